//! Every rule of a block broken once: the fault that is found, and nothing else.

use std::sync::Arc;

use crate::support::{ETHER, MemoryState, TestChain, peg, wallet};
use alloy_consensus::{SignableTransaction, TxEip4844, TxEip4844Variant, TxEnvelope};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, Signature, U256};
use causeway_consensus::{Height, Round};
use causeway_execution::{
    Account, Block, BlockFault, ExecutedBlock, ExecutionError, SYSTEM_TX_TYPE, SourceError, StateSource, SystemTx,
    Transaction, TransactionError, ValidationContext,
};
use causeway_genesis::addresses::{PEG, SYSTEM};
use causeway_trie::{Nibbles, NodeSource, NodeSourceError};
use revm::context_interface::result::InvalidTransaction;

/// A pegged chain two blocks on, and a valid third block with an import and two transfers.
fn scene() -> (TestChain, Block) {
    let mut chain = TestChain::pegged();
    let import = peg::import(&chain, &[(wallet::address(0), 10 * ETHER), (wallet::address(1), 10 * ETHER)]);
    chain.push(vec![import], &[]);
    chain.push(Vec::new(), &[]);
    let import = peg::import(&chain, &[(wallet::address(2), ETHER)]);
    let to = Address::repeat_byte(0x44);
    let built = chain.build(vec![import], &[wallet::transfer(0, 0, to, 1), wallet::transfer(1, 0, to, 2)]);
    assert_eq!(built.receipts.len(), 3);
    (chain, Block::clone(&built.block))
}

fn fault(result: Result<ExecutedBlock, ExecutionError>) -> BlockFault {
    match result {
        Err(ExecutionError::Invalid(fault)) => *fault,
        other => panic!("expected a fault, got {:?}", other.map(|executed| executed.hash)),
    }
}

/// The fault of the scene's block after `change`.
fn fault_of(change: impl FnOnce(&mut Block)) -> BlockFault {
    let (chain, mut block) = scene();
    change(&mut block);
    fault(chain.execute(block))
}

/// The fault after a change to the body, with the transactions root put right.
fn body_fault(change: impl FnOnce(&mut Block)) -> BlockFault {
    fault_of(|block| {
        change(block);
        block.header.transactions_root = causeway_execution::transactions_root(&block.transactions);
    })
}

#[test]
fn the_unchanged_block_is_valid() {
    let (chain, block) = scene();
    chain.execute(block).unwrap();
}

#[test]
fn lineage_is_checked() {
    assert!(matches!(fault_of(|b| b.header.parent_hash = B256::ZERO), BlockFault::ParentHash { .. }));
    assert_eq!(fault_of(|b| b.header.number = 4), BlockFault::Number { expected: 3, actual: 4 });
    let parent = crate::support::GENESIS_TIME + 2;
    assert_eq!(
        fault_of(|b| b.header.timestamp = parent - 1),
        BlockFault::TimestampBeforeParent { parent, actual: parent - 1 }
    );
}

#[test]
fn a_timestamp_may_be_five_seconds_ahead_of_the_clock() {
    let (chain, mut block) = scene();
    let now = chain.now_ms() / 1_000;
    block.header.timestamp = now + 6;
    let found = fault(chain.execute(block.clone()));
    assert_eq!(found, BlockFault::TimestampAhead { limit: now + 5, actual: now + 6 });
    // Within the drift the timestamp itself is no fault (the roots are then those of another block).
    block.header.timestamp = now + 5;
    assert!(!matches!(fault(chain.execute(block)), BlockFault::TimestampAhead { .. }));
}

#[test]
fn a_clock_set_back_does_not_stop_a_chain_that_keeps_its_parents_time() {
    let chain = TestChain::standalone(0);
    let mut attributes = chain.attributes();
    attributes.timestamp = chain.head.timestamp;
    let built = chain.executor.build(&chain.head, &chain.state, attributes, Vec::new(), std::iter::empty()).unwrap();
    let checks = ValidationContext {
        now_ms: 0,
        parent_validators: &chain.validators,
        operators: &std::collections::BTreeSet::from([chain.proposer()]),
    };
    chain.executor.execute(&chain.head, &chain.state, built.block, &|_| None, &checks).unwrap();
}

#[test]
fn header_fields_are_checked() {
    assert!(matches!(fault_of(|b| b.header.gas_limit += 1), BlockFault::GasLimit { .. }));
    assert!(matches!(fault_of(|b| b.header.base_fee_per_gas = Some(1)), BlockFault::BaseFee { .. }));
    assert!(matches!(fault_of(|b| b.header.base_fee_per_gas = None), BlockFault::BaseFee { actual: None, .. }));
    assert!(matches!(fault_of(|b| b.header.beneficiary = Address::ZERO), BlockFault::Beneficiary(_)));
    assert_eq!(
        fault_of(|b| b.header.extra_data = Bytes::from(vec![0; 33])),
        BlockFault::ExtraData { length: 33, limit: 32 }
    );
    assert!(matches!(fault_of(|b| b.header.mix_hash = B256::ZERO), BlockFault::MixHash { .. }));
    assert!(matches!(
        fault_of(|b| b.header.parent_beacon_block_root = Some(B256::ZERO)),
        BlockFault::CertificateHash { .. }
    ));
    assert!(matches!(
        fault_of(|b| b.header.parent_beacon_block_root = None),
        BlockFault::CertificateHash { actual: None, .. }
    ));
}

#[test]
fn fields_without_meaning_here_have_one_value() {
    type Change = fn(&mut Block);
    let cases: [(&str, Change); 9] = [
        ("ommersHash", |b| b.header.ommers_hash = B256::ZERO),
        ("difficulty", |b| b.header.difficulty = U256::from(1)),
        ("nonce", |b| b.header.nonce = B64::repeat_byte(1)),
        ("withdrawalsRoot", |b| b.header.withdrawals_root = None),
        ("blobGasUsed", |b| b.header.blob_gas_used = Some(1)),
        ("excessBlobGas", |b| b.header.excess_blob_gas = None),
        ("requestsHash", |b| b.header.requests_hash = None),
        ("blockAccessListHash", |b| b.header.block_access_list_hash = Some(B256::ZERO)),
        ("slotNumber", |b| b.header.slot_number = Some(1)),
    ];
    for (field, change) in cases {
        assert_eq!(fault_of(change), BlockFault::FixedField(field));
    }
}

#[test]
fn the_parents_certificate_is_checked() {
    assert_eq!(fault_of(|b| b.parent_certificate = None), BlockFault::CertificateMissing);
    let certificate = |change: fn(&mut causeway_consensus::CommitCertificate)| {
        fault_of(|b| change(b.parent_certificate.as_mut().unwrap()))
    };
    assert!(matches!(certificate(|c| c.height = Height(1)), BlockFault::CertificateTarget { .. }));
    assert!(matches!(certificate(|c| c.block_hash = B256::ZERO), BlockFault::CertificateTarget { .. }));
    assert!(matches!(certificate(|c| c.round = Round(7)), BlockFault::Certificate(_)));
    assert!(matches!(certificate(|c| c.signatures.truncate(2)), BlockFault::Certificate(_)));
    assert!(matches!(certificate(|c| c.signatures[0].signature[0] ^= 1), BlockFault::Certificate(_)));
    assert!(matches!(certificate(|c| c.signatures.reverse()), BlockFault::Certificate(_)));
    // A smaller, still sufficient certificate is another certificate.
    assert!(matches!(
        certificate(|c| {
            c.signatures.pop();
        }),
        BlockFault::CertificateHash { .. }
    ));
}

#[test]
fn block_one_carries_no_certificate() {
    let chain = TestChain::standalone(0);
    let built = chain.build(Vec::new(), &[]);
    let mut block = Block::clone(&built.block);
    block.parent_certificate = Some(chain.certificate(0, chain.genesis.hash));
    assert_eq!(fault(chain.execute(block)), BlockFault::CertificateUnexpected);
}

#[test]
fn the_body_matches_the_header() {
    assert!(matches!(fault_of(|b| b.transactions.truncate(2)), BlockFault::TransactionsRoot { .. }));
    assert!(matches!(fault_of(|b| b.transactions.swap(1, 2)), BlockFault::TransactionsRoot { .. }));
}

fn system(block: &mut Block, index: usize) -> &mut SystemTx {
    let Transaction::System(tx) = &mut block.transactions[index] else { panic!("a system transaction") };
    tx
}

#[test]
fn system_transactions_stand_at_the_head_with_their_numbers() {
    assert_eq!(body_fault(|b| b.transactions.swap(0, 1)), BlockFault::SystemPosition(1));
    assert_eq!(body_fault(|b| system(b, 0).index = 1), BlockFault::SystemNumber(0));
    assert_eq!(body_fault(|b| system(b, 0).block_number = 2), BlockFault::SystemNumber(0));
    assert_eq!(body_fault(|b| system(b, 0).to = Address::ZERO), BlockFault::SystemKind(0));
    assert_eq!(body_fault(|b| system(b, 0).input = Bytes::from_static(&[1, 2])), BlockFault::SystemKind(0));
    assert_eq!(body_fault(|b| system(b, 0).gas_limit = 9_999_999), BlockFault::SystemKind(0));
}

#[test]
fn one_system_transaction_of_a_kind_is_the_most() {
    let found = body_fault(|b| {
        let mut second = system(b, 0).clone();
        second.index = 1;
        b.transactions.insert(1, Transaction::System(second));
    });
    assert_eq!(found, BlockFault::SystemRepeated(1));
}

#[test]
fn a_failing_system_transaction_makes_the_block_invalid() {
    let found = body_fault(|b| {
        let tx = system(b, 0);
        let mut input = tx.input.to_vec();
        let last = input.len() - 1;
        input[last] ^= 1; // the last deposit's amount
        tx.input = input.into();
    });
    assert!(matches!(found, BlockFault::SystemFailed { index: 0, output } if !output.is_empty()));
}

#[test]
fn user_transactions_must_be_includable() {
    let replace = |tx: Arc<causeway_execution::RecoveredTx>| {
        body_fault(|b| b.transactions[2] = Transaction::Ethereum(tx.tx.clone()))
    };
    let to = Address::repeat_byte(0x44);
    let rule = |fault: BlockFault| match fault {
        BlockFault::Transaction { index: 2, error } => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule(replace(wallet::transfer(0, 0, to, 1))), InvalidTransaction::NonceTooLow { tx: 0, state: 1 });
    assert_eq!(rule(replace(wallet::transfer(1, 3, to, 1))), InvalidTransaction::NonceTooHigh { tx: 3, state: 0 });
    assert!(matches!(rule(replace(wallet::transfer(7, 0, to, 1))), InvalidTransaction::LackOfFundForMaxFee { .. }));
    assert_eq!(rule(replace(wallet::legacy(1, 0, to, 1, Some(1)))), InvalidTransaction::InvalidChainId);
    assert!(matches!(
        rule(replace(wallet::call_gas(1, 0, to, 0, Bytes::new(), 20_000))),
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
    ));
    assert!(matches!(
        rule(replace(wallet::call_gas(1, 0, to, 0, Bytes::new(), (1 << 24) + 1))),
        InvalidTransaction::TxGasLimitGreaterThanCap { .. }
    ));
    let mut cheap = wallet::eip1559(0, to.into(), U256::ZERO, Bytes::new(), 21_000);
    cheap.max_fee_per_gas = 1;
    cheap.max_priority_fee_per_gas = 1;
    assert_eq!(rule(replace(wallet::sign(1, cheap))), InvalidTransaction::GasPriceLessThanBasefee);
}

#[test]
fn the_gas_limits_of_transactions_must_fit_the_block() {
    let (chain, mut block) = scene();
    // 60M block: fill it with four transactions that may use 16M each and use it.
    let burner = crate::support::asm::Asm::new().op(crate::support::asm::INVALID).bytes();
    let txs: Vec<_> = (0..4)
        .map(|nonce| {
            let kind = alloy_primitives::TxKind::Create;
            wallet::sign(0, wallet::eip1559(nonce, kind, U256::ZERO, burner.clone(), 16_000_000))
        })
        .collect();
    block.transactions.truncate(1);
    block.transactions.extend(txs.iter().map(|tx| Transaction::Ethereum(tx.tx.clone())));
    block.header.transactions_root = causeway_execution::transactions_root(&block.transactions);
    let found = fault(chain.execute(block));
    assert!(matches!(found, BlockFault::GasExceeded { index: 4, gas_limit: 16_000_000, .. }), "{found:?}");
}

#[test]
fn blob_transactions_are_refused() {
    let signature = Signature::test_signature();
    let blob = TxEip4844Variant::<alloy_eips::eip7594::BlobTransactionSidecarVariant>::TxEip4844(TxEip4844::default());
    let blob: TxEnvelope = blob.into_signed(signature).into();
    let found = body_fault(|b| b.transactions[2] = Transaction::Ethereum(blob));
    assert_eq!(found, BlockFault::TransactionType { index: 2, ty: 3 });
}

#[test]
fn a_signature_without_a_signer_is_a_fault() {
    let tx = wallet::eip1559(0, Address::ZERO.into(), U256::ZERO, Bytes::new(), 21_000);
    let signature = Signature::new(U256::ZERO, U256::from(1), false);
    let found = body_fault(|b| b.transactions[2] = Transaction::Ethereum(tx.into_signed(signature).into()));
    assert_eq!(found, BlockFault::Signature { index: 2, error: TransactionError::InvalidSignature });
}

#[test]
fn nobody_sends_as_the_system() {
    let (chain, block) = scene();
    let hash = block.transactions[1].hash();
    // No key gives this sender; a poisoned cache would.
    let result = chain.execute_with(block, &|asked| (*asked == hash).then_some(SYSTEM));
    assert_eq!(fault(result), BlockFault::SystemSender(1));
}

#[test]
fn senders_come_from_the_cache_when_it_knows_them() {
    let (chain, block) = scene();
    let known: Vec<_> = block.transactions.iter().skip(1).map(Transaction::hash).collect();
    let asked = std::cell::RefCell::new(Vec::new());
    let executed = chain
        .execute_with(block, &|hash| {
            asked.borrow_mut().push(*hash);
            (*hash == known[0]).then(|| wallet::address(0))
        })
        .unwrap();
    assert_eq!(*asked.borrow(), known);
    assert_eq!(executed.senders, [SYSTEM, wallet::address(0), wallet::address(1)]);
}

#[test]
fn outcomes_are_compared_with_the_header() {
    assert!(matches!(fault_of(|b| b.header.gas_used += 1), BlockFault::GasUsed { .. }));
    assert_eq!(fault_of(|b| b.header.logs_bloom = Bloom::ZERO), BlockFault::LogsBloom);
    assert!(matches!(fault_of(|b| b.header.receipts_root = B256::ZERO), BlockFault::ReceiptsRoot { .. }));
    assert!(matches!(fault_of(|b| b.header.state_root = B256::ZERO), BlockFault::StateRoot { .. }));
}

#[test]
fn an_oversized_block_is_a_fault() {
    let found = fault_of(|b| {
        let big = SystemTx {
            block_number: 3,
            index: 0,
            to: PEG,
            gas_limit: 1,
            input: Bytes::from(vec![1; causeway_execution::MAX_BLOCK_BYTES]),
        };
        b.transactions = vec![Transaction::System(big)];
    });
    assert!(matches!(found, BlockFault::TooLarge(_)));
    assert_eq!(SYSTEM_TX_TYPE, 0x7c);
}

/// A state whose disk fails for some reads.
struct Failing<'a> {
    state: &'a MemoryState,
    accounts: bool,
    slots: bool,
    nodes: bool,
}

fn broken() -> SourceError {
    SourceError::read("state", std::io::Error::other("disk"))
}

impl NodeSource for Failing<'_> {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        if self.nodes { Err(NodeSourceError::new("disk")) } else { self.state.node(owner, path) }
    }
}

impl StateSource for Failing<'_> {
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError> {
        if self.accounts { Err(broken()) } else { self.state.account(address) }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError> {
        if self.slots { Err(broken()) } else { self.state.storage(address, slot) }
    }

    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        self.state.block_hash(number)
    }
}

#[test]
fn a_failing_disk_is_never_the_blocks_fault() {
    let (chain, block) = scene();
    let block = Arc::new(block);
    for (accounts, slots, nodes) in [(true, false, false), (false, true, false), (false, false, true)] {
        let state = Failing { state: &chain.state, accounts, slots, nodes };
        let checks = ValidationContext {
            now_ms: chain.now_ms(),
            parent_validators: &chain.validators,
            operators: &std::collections::BTreeSet::from([chain.proposer()]),
        };
        let result = chain.executor.execute(&chain.head, &state, block.clone(), &|_| None, &checks);
        assert!(matches!(result, Err(ExecutionError::Local(_))), "{accounts} {slots} {nodes}");
        let result = chain.executor.build(&chain.head, &state, chain.attributes(), Vec::new(), std::iter::empty());
        assert!(matches!(result, Err(ExecutionError::Local(_))), "{accounts} {slots} {nodes}");
    }
}

#[test]
fn missing_or_corrupt_code_is_a_local_failure() {
    let mut chain = TestChain::standalone(2);
    let contract = wallet::address(0).create(0);
    let runtime = crate::support::asm::Asm::new().op(crate::support::asm::STOP).bytes();
    chain.push_ok(&[wallet::create(0, 0, crate::support::asm::deploy(&runtime))]);
    let built = chain.build(Vec::new(), &[wallet::call(1, 0, contract, 0, Bytes::new())]);
    for code in [None, Some(Bytes::from_static(&[0x5b]))] {
        let hash = alloy_primitives::keccak256(&runtime);
        match code {
            None => chain.state.code.remove(&hash),
            Some(other) => chain.state.code.insert(hash, other),
        };
        // A fresh executor, whose cache of code is empty.
        chain.executor = causeway_execution::Executor::new(chain.genesis.clone());
        let result = chain.execute(Block::clone(&built.block));
        assert!(matches!(result, Err(ExecutionError::Local(_))));
    }
}
