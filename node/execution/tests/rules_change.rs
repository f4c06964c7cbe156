//! A chain whose rules change at heights: the EVM, the gas limit, prices and the base fee follow the rules of each height, in
//! building, checking, calls, estimates and traces.

use std::sync::Arc;

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    peg, wallet,
};
use alloy_primitives::{Address, Bytes, U256};
use causeway_execution::{
    BlockFault, CallRequest, CallResult, ExecutedBlock, ExecutionError, Executor, LocalError, Overrides, Schedule,
    TraceOptions,
};
use causeway_genesis::{ChainSpec, Genesis, RulesEntry, addresses::PEG};
use serde_json::{Value, json};

/// First block under the second rules.
const CHANGE: u64 = 5;
/// What a leaf of the withdrawal tree costs more from then on.
const DEARER: u64 = 1_000;
/// Below Osaka's cap on a transaction this is no limit, above it is.
const ABOVE_CAP: u64 = (1 << 24) + 1;

fn entry(height: u64, version: u64, figures: Value) -> RulesEntry {
    RulesEntry { height, version, changes: figures.as_object().unwrap().clone() }
}

/// Prague first; Osaka, a dearer leaf, half the gas limit and a calmer base fee later.
fn change_rules(spec: &mut ChainSpec) {
    spec.rules = vec![
        entry(0, 1, json!({ "evm": { "fork": "prague" } })),
        entry(
            CHANGE,
            1,
            json!({
                "evm": { "fork": "osaka" },
                "block": { "gasLimit": 30_000_000 },
                "baseFee": { "changeDenominator": 16 },
                "modules": { "prices": { "leaf": 150 + DEARER } },
            }),
        ),
    ];
}

/// A contract that stores how many leading zeros 1 has (EIP-7939), installed by wallet 0 in the next block.
fn clz(chain: &mut TestChain) -> Address {
    let code = Asm::new().push(1u64).op(0x1e).push(0u64).op(asm::SSTORE).bytes();
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::create(0, nonce, asm::deploy(&code))]);
    wallet::address(0).create(nonce)
}

fn to(contract: Address) -> CallRequest {
    CallRequest { from: Some(wallet::address(0)), to: Some(contract), ..CallRequest::default() }
}

/// Pushes empty blocks until the next one is at `height`.
fn advance(chain: &mut TestChain, height: u64) {
    while chain.head.number + 1 < height {
        chain.push(Vec::new(), &[]);
    }
}

fn fault(result: Result<ExecutedBlock, ExecutionError>) -> BlockFault {
    result.unwrap_err().fault().unwrap().clone()
}

#[test]
fn a_price_of_a_module_changes_with_the_block_at_the_height() {
    let mut chain = TestChain::pegged_with(change_rules);
    let import = peg::import(&chain, &[(wallet::address(0), 10 * ETHER)]);
    chain.push(vec![import], &[]);
    let mut gas = Vec::new();
    // The first withdrawal writes slots that later ones change; blocks of two compare like with like.
    while chain.head.number < CHANGE + 3 {
        let nonce = chain.nonce(0);
        let input = peg::withdraw_input(Address::repeat_byte(1), 0);
        let executed = chain.push_ok(&[wallet::call(0, nonce, PEG, ETHER / 10, input)]);
        gas.push((executed.block.header.number, executed.receipts[0].gas_used));
    }
    let mut steady = TestChain::pegged_with(|spec| {
        change_rules(spec);
        spec.rules.pop();
    });
    let import = peg::import(&steady, &[(wallet::address(0), 10 * ETHER)]);
    steady.push(vec![import], &[]);
    for (number, gas) in gas {
        let nonce = steady.nonce(0);
        let input = peg::withdraw_input(Address::repeat_byte(1), 0);
        let executed = steady.push_ok(&[wallet::call(0, nonce, PEG, ETHER / 10, input)]);
        assert_eq!(executed.block.header.number, number);
        let more = if number >= CHANGE { DEARER } else { 0 };
        assert_eq!(gas, executed.receipts[0].gas_used + more, "block {number}");
    }
}

#[test]
fn an_opcode_of_the_later_fork_works_from_the_height_on_in_blocks_calls_and_traces() {
    let mut chain = TestChain::standalone_with(1, change_rules);
    let contract = clz(&mut chain);
    advance(&mut chain, CHANGE - 1);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (parent, state, nonce) = (chain.head.clone(), chain.state.clone(), chain.nonce(0));
        let executed = chain.push(Vec::new(), &[wallet::call(0, nonce, contract, 0, Bytes::new())]);
        let number = executed.block.header.number;
        assert_eq!(executed.receipts[0].status, number >= CHANGE, "block {number}");
        seen.push((parent, state, executed));
    }
    assert_eq!(chain.state.slot(contract, 0), U256::from(255));
    // Old blocks are traced, and calls run in them, under their own rules whatever the head.
    for (parent, state, executed) in &seen {
        let number = executed.block.header.number;
        let frames = chain
            .executor
            .trace_block(parent, state, &executed.block, &executed.senders, 0..1, TraceOptions::default())
            .unwrap();
        let error = (number < CHANGE).then(|| "invalid opcode".to_owned());
        assert_eq!(frames[0].error, error, "block {number}");
        let call = chain.executor.call(parent, state, &to(contract), &Overrides::default()).unwrap();
        assert_eq!(matches!(call, CallResult::Success { .. }), parent.number >= CHANGE, "call in {}", parent.number);
        let trace =
            chain.executor.trace_call(parent, state, &to(contract), &Overrides::default(), TraceOptions::default());
        assert_eq!(trace.unwrap().error.is_none(), parent.number >= CHANGE, "trace in {}", parent.number);
        let list = chain.executor.create_access_list(parent, state, &to(contract), &Overrides::default()).unwrap();
        assert_eq!(list.error.is_none(), parent.number >= CHANGE, "access list in {}", parent.number);
    }
}

#[test]
fn an_estimate_is_for_the_next_block_and_so_under_its_rules() {
    let mut chain = TestChain::standalone_with(1, change_rules);
    let contract = clz(&mut chain);
    let estimate = |chain: &TestChain| {
        chain.executor.estimate_gas(&chain.head, &chain.state, &to(contract), &Overrides::default())
    };
    advance(&mut chain, CHANGE - 1);
    assert_eq!(estimate(&chain).unwrap_err().to_string(), "invalid opcode");
    advance(&mut chain, CHANGE);
    let gas = estimate(&chain).unwrap();
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::call_gas(0, nonce, contract, 0, Bytes::new(), gas)]);
}

#[test]
fn a_transaction_above_the_later_cap_is_included_before_the_height_only() {
    let mut chain = TestChain::standalone_with(1, change_rules);
    let large =
        |chain: &TestChain| wallet::call_gas(0, chain.nonce(0), Address::repeat_byte(9), 0, Bytes::new(), ABOVE_CAP);
    advance(&mut chain, CHANGE - 1);
    let tx = large(&chain);
    chain.push_ok(&[tx]);
    let tx = large(&chain);
    let built = chain.build(Vec::new(), &[tx.clone()]);
    assert!(built.block.transactions.is_empty(), "left out");
    // Whoever places it all the same is refused.
    let old = executor_under_the_first_rules(&chain);
    let mut block = old
        .build(&chain.head, &chain.state, chain.attributes(), Vec::new(), [tx].into_iter())
        .unwrap()
        .block
        .as_ref()
        .clone();
    assert_eq!(block.transactions.len(), 1);
    block.header.gas_limit = 30_000_000;
    block.header.base_fee_per_gas = built.block.header.base_fee_per_gas;
    let fault = fault(chain.execute(block));
    assert!(matches!(fault, BlockFault::Transaction { index: 0, .. }), "{fault}");
}

/// The same chain, for one who has missed the change.
fn executor_under_the_first_rules(chain: &TestChain) -> Executor {
    let mut spec = chain.genesis.spec.clone();
    spec.rules.pop();
    let schedule = Arc::new(Schedule::of(&spec).unwrap());
    let mut genesis = Genesis::clone(&chain.genesis);
    genesis.schedule = schedule;
    Executor::new(Arc::new(genesis))
}

#[test]
fn a_block_made_under_the_rules_before_its_own_is_refused_and_one_under_the_next_rules_too() {
    let mut chain = TestChain::standalone_with(1, change_rules);
    advance(&mut chain, CHANGE - 1);
    let old = executor_under_the_first_rules(&chain);
    let block = |executor: &Executor, chain: &TestChain| {
        let built = executor.build(&chain.head, &chain.state, chain.attributes(), Vec::new(), std::iter::empty());
        built.unwrap().block.as_ref().clone()
    };
    assert_eq!(block(&old, &chain), block(&chain.executor, &chain), "before the height they are the same");
    let mut early = block(&chain.executor, &chain);
    early.header.gas_limit = 30_000_000;
    assert_eq!(fault(chain.execute(early)), BlockFault::GasLimit { expected: 60_000_000, actual: 30_000_000 });
    advance(&mut chain, CHANGE);
    let mut late = block(&old, &chain);
    assert_eq!(fault(chain.execute(late.clone())), BlockFault::GasLimit { expected: 30_000_000, actual: 60_000_000 });
    late.header.gas_limit = 30_000_000;
    let expected = block(&chain.executor, &chain).header.base_fee_per_gas;
    let actual = late.header.base_fee_per_gas;
    assert_eq!(fault(chain.execute(late)), BlockFault::BaseFee { expected: expected.unwrap(), actual });
    let right = block(&chain.executor, &chain);
    chain.execute(right).unwrap();
}

#[test]
fn the_base_fee_of_a_block_follows_the_rule_of_that_block() {
    let mut chain = TestChain::standalone_with(1, |spec| {
        change_rules(spec);
        spec.rules.push(entry(CHANGE + 2, 1, json!({ "baseFee": { "floor": 900_000_000 } })));
    });
    let mut fee = 1_000_000_000u64;
    while chain.head.number < CHANGE + 3 {
        let number = chain.head.number + 1;
        fee -= fee / if number < CHANGE { 8 } else { 16 };
        if number >= CHANGE + 2 {
            fee = fee.max(900_000_000);
        }
        assert_eq!(chain.executor.next_base_fee(&chain.head), Ok(fee));
        assert_eq!(chain.push(Vec::new(), &[]).block.header.base_fee_per_gas, Some(fee), "block {number}");
    }
    assert_eq!(fee, 900_000_000);
}

#[test]
fn sizes_and_system_transactions_follow_the_rules() {
    let mut chain = TestChain::pegged_with(|spec| {
        spec.rules = vec![
            entry(2, 1, json!({ "system": { "transactions": { "importDeposits": false } } })),
            entry(3, 1, json!({ "system": { "transactions": { "importDeposits": true } } })),
            entry(4, 1, json!({ "transaction": { "maxBytes": 40_000 }, "block": { "maxExtraDataBytes": 2 } })),
        ];
    });
    let import = |chain: &TestChain| peg::import(chain, &[(wallet::address(0), 10 * ETHER)]);
    let first = import(&chain);
    chain.push(vec![first], &[]);
    let second = import(&chain);
    assert!(chain.build(vec![second], &[]).block.transactions.is_empty(), "left out");
    chain.push(Vec::new(), &[]);
    let third = import(&chain);
    let large = wallet::call_gas(0, 0, Address::repeat_byte(9), 0, vec![0u8; 50_000], 1_000_000);
    assert_eq!(chain.push(vec![third], &[large]).block.transactions.len(), 2);
    let large = wallet::call_gas(0, 1, Address::repeat_byte(9), 0, vec![0u8; 50_000], 1_000_000);
    let built = chain.build(Vec::new(), &[large.clone()]);
    assert!(built.block.transactions.is_empty(), "left out");
    assert_eq!(built.block.header.extra_data.len(), 2);
    let mut block = built.block.as_ref().clone();
    block.transactions.push(causeway_execution::Transaction::Ethereum(large.tx.clone()));
    block.header.transactions_root = causeway_execution::transactions_root(&block.transactions);
    let size = large.size;
    assert_eq!(fault(chain.execute(block)), BlockFault::TransactionSize { index: 0, size, limit: 40_000 });
    let mut block = built.block.as_ref().clone();
    block.header.extra_data = Bytes::from_static(b"abc");
    assert_eq!(fault(chain.execute(block)), BlockFault::ExtraData { length: 3, limit: 2 });
}

#[test]
fn a_build_that_does_not_know_the_rules_of_a_height_executes_up_to_the_block_before() {
    let mut chain = TestChain::standalone_with(1, |spec| {
        spec.rules = vec![entry(CHANGE, 2, json!({ "something": { "new": [1, "two"] } }))];
    });
    advance(&mut chain, CHANGE);
    let text = "block 5 follows rules version 2, which this build (causeway ";
    let attributes = chain.attributes();
    let error =
        chain.executor.build(&chain.head, &chain.state, attributes, Vec::new(), std::iter::empty()).unwrap_err();
    assert!(matches!(&error, ExecutionError::Local(LocalError::UnknownRules(unknown)) if unknown.height == CHANGE));
    assert!(error.to_string().contains(text), "{error}");
    assert!(chain.executor.next_base_fee(&chain.head).unwrap_err().to_string().starts_with(text));
    // The head can still be asked; only what concerns the next block cannot.
    chain.call(&to(Address::repeat_byte(9)));
    let estimate =
        chain.executor.estimate_gas(&chain.head, &chain.state, &to(Address::repeat_byte(9)), &Overrides::default());
    assert!(estimate.unwrap_err().to_string().starts_with(text));
}
