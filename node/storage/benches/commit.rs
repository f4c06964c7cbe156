//! Committing a block of 2,000 transfers between random accounts of 100,000, over a real file system.
//!
//! Unit: one commit, from the executed block to the synced batch (executing it is not measured).
//! Run: `cargo bench -p causeway-storage -p causeway-unify --bench commit`
#![allow(missing_docs)]

use alloy_consensus::{Header, SignableTransaction, TxEip1559};
use alloy_primitives::{Address, Signature, TxKind, U256, keccak256};
use alloy_trie::TrieAccount;
use causeway_consensus::{CommitCertificate, Height, Round};
use causeway_execution::{Account, Block, ExecutedBlock, Receipt, StateDiff, StateSource, Transaction};
use causeway_genesis::{AllocAccount, Genesis, NodeKeys, SecretKey, ceremony};
use causeway_storage::{Storage, StorageOptions};
use causeway_trie::{StateChanges, state_root_after};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::{sync::Arc, time::Duration};

const ACCOUNTS: u64 = 100_000;
const TRANSFERS: u64 = 2_000;

fn address(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

fn genesis() -> Genesis {
    let mut spec = ceremony::new_spec(4_242, "Benchmark", 1_700_000_000, None);
    let key = |role: u8| SecretKey::from_bytes([role; 32]);
    let keys = NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) };
    let stake = U256::from(10u64).pow(U256::from(24));
    spec.validators.push(ceremony::validator_entry("validator", Address::repeat_byte(0xb1), stake, &keys));
    for number in 0..ACCOUNTS {
        let rich = AllocAccount { balance: U256::from(10u64).pow(U256::from(20)), ..AllocAccount::default() };
        spec.alloc.insert(address(number), rich);
    }
    Genesis::build(spec).expect("the specification is valid")
}

/// The next block: `TRANSFERS` transfers, each changing two accounts picked by `seed`.
fn next(storage: &Storage, seed: u64) -> (Arc<ExecutedBlock>, CommitCertificate) {
    let (parent, state) = (storage.head(), storage.latest());
    let mut diff = StateDiff::default();
    let mut transactions = Vec::new();
    for transfer in 0..TRANSFERS {
        let pick = |salt: u64| {
            let hash = keccak256([seed, transfer, salt].map(u64::to_be_bytes).concat());
            address(U256::from_be_bytes(hash.0).wrapping_rem(U256::from(ACCOUNTS)).to::<u64>())
        };
        for address in [pick(0), pick(1)] {
            let entry = diff.accounts.entry(address).or_insert_with(|| {
                let before = state.account(address).expect("readable");
                (before, before)
            });
            entry.1 = entry.1.map(|account| Account { nonce: account.nonce + 1, ..account });
        }
        let tx = TxEip1559 { nonce: transfer, to: TxKind::Call(pick(1)), chain_id: 4_242, ..TxEip1559::default() };
        let signature = Signature::new(U256::from(seed + 1), U256::from(transfer + 1), false);
        transactions.push(Transaction::Ethereum(tx.into_signed(signature).into()));
    }
    let mut changes = StateChanges::default();
    for (address, (_, after)) in &diff.accounts {
        let leaf = after.map(|account| TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: account.storage_root,
            code_hash: account.code_hash,
        });
        changes.accounts.insert(keccak256(address), leaf);
    }
    let after = state_root_after(&*state, parent.state_root, &changes).expect("the state is complete");
    diff.trie = after.updates;
    let header = Header {
        number: parent.number + 1,
        parent_hash: storage.head_hash(),
        state_root: after.root,
        ..Header::default()
    };
    let receipt = |gas| Receipt {
        tx_type: 2,
        status: true,
        cumulative_gas_used: gas,
        gas_used: 21_000,
        effective_gas_price: 7,
        contract_address: None,
        logs: Vec::new(),
        bloom: Default::default(),
    };
    let hash = header.hash_slow();
    let executed = ExecutedBlock {
        senders: vec![Address::ZERO; transactions.len()],
        receipts: (1..=TRANSFERS).map(|count| receipt(count * 21_000)).collect(),
        block: Arc::new(Block { header, transactions, parent_certificate: None }),
        hash,
        diff,
        peg_events: Vec::new(),
    };
    let certificate = CommitCertificate {
        height: Height(executed.block.header.number),
        round: Round(0),
        block_hash: hash,
        signatures: Vec::new(),
    };
    (Arc::new(executed), certificate)
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let storage = Storage::open(dir.path(), &genesis(), StorageOptions::default()).expect("a new database");
    let mut seed = 0;
    let mut group = criterion.benchmark_group("storage");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).warm_up_time(Duration::from_millis(500));
    group.bench_function("commit_2000_transfers_of_100k_accounts", |bencher| {
        bencher.iter_batched(
            || {
                seed += 1;
                next(&storage, seed)
            },
            // Returned, so that freeing the block is not measured.
            |(executed, certificate)| {
                storage.commit(&executed, &certificate).expect("it follows the head");
                executed
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("sync_of_an_empty_block", |bencher| {
        bencher.iter_batched(
            || {
                let (executed, certificate) = next(&storage, 0);
                let mut executed = ExecutedBlock::clone(&executed);
                executed.diff = StateDiff::default();
                executed.senders.clear();
                executed.receipts.clear();
                let header = Header { state_root: storage.head().state_root, ..executed.block.header.clone() };
                executed.hash = header.hash_slow();
                executed.block = Arc::new(Block { header, transactions: Vec::new(), parent_certificate: None });
                (Arc::new(executed.clone()), CommitCertificate { block_hash: executed.hash, ..certificate })
            },
            |(executed, certificate)| storage.commit(&executed, &certificate).expect("it follows the head"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
