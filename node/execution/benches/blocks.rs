//! Costs of a block: recovering senders, executing, building, and the parts of finishing it.
//!
//! Unit: one block of 2,000 transactions (the bench's name says of what) over an in-memory state of 10,000 accounts.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "written for the tests, of which a benchmark uses a part")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::{hint::black_box, sync::Arc};

use alloy_consensus::TxEnvelope;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_execution::{Block, RecoveredTx, ValidationContext, recover_all};
use causeway_genesis::AllocAccount;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use support::{
    TestChain,
    asm::{self, Asm},
    wallet,
};

const TRANSACTIONS: u64 = 2_000;
const ACCOUNTS: u64 = 10_000;

/// `transfer(to, amount)` of a token reduced to its cost: two balances in a mapping, one log, no checks.
fn token() -> Bytes {
    let slot_of = |code: Asm| code.push(0u64).op(asm::MSTORE).push(64u64).push(0u64).op(0x20);
    let balance_of_caller = slot_of(Asm::new().op(0x33));
    let balance_of_to = slot_of(Asm::new().push(4u64).op(asm::CALLDATALOAD));
    let amount = Asm::new().push(36u64).op(asm::CALLDATALOAD);
    Asm::new()
        // balances[caller] -= amount
        .ops(&balance_of_caller.bytes())
        .op(asm::DUP1)
        .op(asm::SLOAD)
        .ops(&amount.clone().bytes())
        .op(0x90)
        .op(0x03)
        .op(0x90)
        .op(asm::SSTORE)
        // balances[to] += amount
        .ops(&balance_of_to.bytes())
        .op(asm::DUP1)
        .op(asm::SLOAD)
        .ops(&amount.bytes())
        .op(asm::ADD)
        .op(0x90)
        .op(asm::SSTORE)
        // Transfer(caller, to, amount)
        .push(4u64)
        .op(asm::CALLDATALOAD)
        .op(0x33)
        .push(U256::from_be_bytes(keccak256("Transfer(address,address,uint256)").0))
        .push(32u64)
        .push(36u64)
        .op(0xa3)
        .op(asm::STOP)
        .bytes()
}

const TOKEN: Address = Address::repeat_byte(0x70);

fn chain() -> TestChain {
    TestChain::standalone_with(TRANSACTIONS, |spec| {
        spec.gas_limit = 1_000_000_000;
        for account in 0..ACCOUNTS - TRANSACTIONS {
            let address = Address::from_word(wallet::word(0x10_0000 + account));
            spec.alloc.insert(address, AllocAccount { balance: U256::from(1), ..AllocAccount::default() });
        }
        let mut storage = std::collections::BTreeMap::new();
        for user in 0..TRANSACTIONS {
            let slot = keccak256([wallet::address(user).into_word().0, [0; 32]].concat());
            storage.insert(U256::from_be_bytes(slot.0), U256::from(1_000_000));
        }
        spec.alloc.insert(TOKEN, AllocAccount { nonce: 1, code: token(), storage, ..AllocAccount::default() });
    })
}

fn transfers() -> Vec<Arc<RecoveredTx>> {
    (0..TRANSACTIONS).map(|user| wallet::transfer(user, 0, recipient(user), 7)).collect()
}

fn token_transfers() -> Vec<Arc<RecoveredTx>> {
    (0..TRANSACTIONS)
        .map(|user| {
            let mut input = keccak256("transfer(address,uint256)")[..4].to_vec();
            input.extend_from_slice(recipient(user).into_word().as_slice());
            input.extend_from_slice(B256::from(U256::from(5)).as_slice());
            wallet::call_gas(user, 0, TOKEN, 0, input, 100_000)
        })
        .collect()
}

/// An existing account for each sender, as in a busy chain.
fn recipient(user: u64) -> Address {
    Address::from_word(wallet::word(0x10_0000 + user))
}

fn recovery(c: &mut Criterion) {
    let txs: Vec<TxEnvelope> = transfers().iter().map(|tx| tx.tx.clone()).collect();
    let mut group = c.benchmark_group("recover");
    group.throughput(Throughput::Elements(TRANSACTIONS)).sample_size(10);
    group.bench_function("one core", |b| {
        b.iter_batched(
            || txs.clone(),
            |txs| txs.into_iter().map(|tx| RecoveredTx::recover(tx).unwrap().sender).collect::<Vec<_>>(),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("all cores", |b| {
        b.iter_batched(|| txs.clone(), recover_all, BatchSize::LargeInput);
    });
    group.finish();
}

fn blocks(c: &mut Criterion) {
    let chain = chain();
    for (name, txs) in [("transfers", transfers()), ("token transfers", token_transfers())] {
        let built = chain.build(Vec::new(), &txs);
        assert_eq!(built.receipts.len(), txs.len());
        assert!(built.receipts.iter().all(|receipt| receipt.status));
        let senders: std::collections::HashMap<B256, Address> = txs.iter().map(|tx| (tx.hash, tx.sender)).collect();
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(TRANSACTIONS)).sample_size(20);
        group.bench_function("build", |b| b.iter(|| black_box(chain.build(Vec::new(), &txs))));
        group.bench_function("execute, senders known", |b| {
            let checks = ValidationContext {
                now_ms: chain.now_ms(),
                parent_validators: &chain.validators,
                operators: &std::collections::BTreeSet::from([chain.proposer()]),
            };
            b.iter(|| {
                let lookup = |hash: &B256| senders.get(hash).copied();
                let block = built.block.clone();
                chain.executor.execute(&chain.head, &chain.state, block, &lookup, &checks).unwrap()
            });
        });
        let body = built.block.encode();
        group.bench_function("encode", |b| b.iter(|| black_box(built.block.encode())));
        group.bench_function("decode", |b| b.iter(|| Block::decode(black_box(&body)).unwrap()));
        group.finish();
    }
}

criterion_group!(benches, recovery, blocks);
criterion_main!(benches);
