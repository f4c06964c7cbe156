//! Call traces: geth's shape, failures, modules, limits, and agreement with the receipts.

use std::sync::Arc;

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    peg, wallet,
};
use alloy_primitives::{Address, Bytes, U64, U256};
use alloy_sol_types::{Revert, SolCall, SolError};
use causeway_execution::{CallFrame, CallRequest, ExecutedBlock, Overrides, RecoveredTx, TraceError, TraceOptions};
use causeway_genesis::addresses::{PEG, SYSTEM};
use causeway_peg::IPeg;

fn install(chain: &mut TestChain, runtime: &Bytes) -> Address {
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::create(0, nonce, asm::deploy(runtime))]);
    wallet::address(0).create(nonce)
}

/// Pushes `txs` and traces all of the block on its parent's state.
fn traced(chain: &mut TestChain, txs: &[Arc<RecoveredTx>], options: TraceOptions) -> (ExecutedBlock, Vec<CallFrame>) {
    let (parent, state) = (chain.head.clone(), chain.state.clone());
    let executed = chain.push(Vec::new(), txs);
    let count = executed.block.transactions.len();
    let frames =
        chain.executor.trace_block(&parent, &state, &executed.block, &executed.senders, 0..count, options).unwrap();
    assert_eq!(frames.len(), count);
    for (frame, receipt) in frames.iter().zip(&executed.receipts) {
        assert_eq!(frame.gas_used, U64::from(receipt.gas_used));
        assert_eq!(frame.error.is_none(), receipt.status);
    }
    (executed, frames)
}

fn call_of(chain: &TestChain, request: &CallRequest) -> Result<CallFrame, TraceError> {
    chain.executor.trace_call(&chain.head, &chain.state, request, &Overrides::default(), TraceOptions::default())
}

#[test]
fn a_transfer_is_one_call_in_geths_json() {
    let mut chain = TestChain::standalone(1);
    let to = Address::repeat_byte(0x44);
    let (_, frames) = traced(&mut chain, &[wallet::transfer(0, 0, to, 5)], TraceOptions::default());
    let json = serde_json::to_value(&frames[0]).unwrap();
    let from = wallet::address(0);
    assert_eq!(
        json,
        serde_json::json!({
            "type": "CALL", "from": from, "to": to, "value": "0x5",
            "gas": "0x5208", "gasUsed": "0x5208", "input": "0x",
        })
    );
}

#[test]
fn calls_nest_and_keep_their_kinds() {
    let mut chain = TestChain::standalone(2);
    let leaf = install(
        &mut chain,
        &Asm::new().push(7u64).push(0u64).op(asm::MSTORE).push(32u64).push(0u64).op(asm::RETURN).bytes(),
    );
    let zero = || Some(Asm::new().push(0u64));
    let middle = install(
        &mut chain,
        &Asm::new()
            .forward(asm::STATICCALL, leaf, None)
            .op(asm::POP)
            .forward(asm::DELEGATECALL, leaf, None)
            .op(asm::POP)
            .forward(asm::CALLCODE, leaf, zero())
            .op(asm::STOP)
            .bytes(),
    );
    let outer = install(
        &mut chain,
        &Asm::new().forward(asm::CALL, middle, Some(Asm::new().op(asm::CALLVALUE))).op(asm::STOP).bytes(),
    );
    let (_, frames) = traced(&mut chain, &[wallet::call(1, 0, outer, 9, Bytes::new())], TraceOptions::default());
    let top = &frames[0];
    assert_eq!((top.kind, top.to, top.value, top.calls.len()), ("CALL", Some(outer), Some(U256::from(9)), 1));
    let inner = &top.calls[0];
    assert_eq!((inner.from, inner.to, inner.value), (outer, Some(middle), Some(U256::from(9))));
    let kinds: Vec<_> = inner.calls.iter().map(|call| (call.kind, call.from, call.to, call.value.is_some())).collect();
    assert_eq!(
        kinds,
        [
            ("STATICCALL", middle, Some(leaf), false),
            ("DELEGATECALL", middle, Some(leaf), true),
            ("CALLCODE", middle, Some(leaf), true)
        ]
    );
    for call in &inner.calls {
        assert_eq!(call.output, Some(Bytes::from(wallet::word(7))));
    }
    let only = TraceOptions { only_top_call: true, ..TraceOptions::default() };
    let (_, frames) = traced(&mut chain, &[wallet::call(1, 1, outer, 9, Bytes::new())], only);
    assert!(frames[0].calls.is_empty());
}

#[test]
fn failures_carry_geths_words_and_the_reason() {
    let mut chain = TestChain::standalone(2);
    // Reverts with its calldata.
    let revert =
        install(&mut chain, &Asm::new().calldata_to_memory().op(asm::CALLDATASIZE).push(0u64).op(asm::REVERT).bytes());
    let invalid = install(&mut chain, &Asm::new().op(asm::INVALID).bytes());
    let reason: Bytes = Revert::from("not today").abi_encode().into();
    let txs = [
        wallet::call(1, 0, revert, 0, reason.clone()),
        wallet::call(1, 1, invalid, 0, Bytes::new()),
        wallet::create(1, 2, Bytes::from_static(&[asm::INVALID])),
    ];
    let (_, frames) = traced(&mut chain, &txs, TraceOptions::default());
    assert_eq!(frames[0].error.as_deref(), Some("execution reverted"));
    assert_eq!(frames[0].revert_reason.as_deref(), Some("not today"));
    assert_eq!(frames[0].output, Some(reason));
    assert_eq!((frames[1].error.as_deref(), frames[1].output.clone()), (Some("invalid opcode"), None));
    assert_eq!((frames[2].kind, frames[2].to), ("CREATE", None));
}

#[test]
fn creations_and_destructions_are_frames() {
    let mut chain = TestChain::standalone(1);
    let heir = Address::repeat_byte(0x99);
    let init = Asm::new().push_address(heir).op(asm::SELFDESTRUCT).bytes();
    let mut tx = wallet::eip1559(0, alloy_primitives::TxKind::Create, U256::from(3), init.clone(), 200_000);
    tx.nonce = 0;
    let (_, frames) = traced(&mut chain, &[wallet::sign(0, tx)], TraceOptions::default());
    let created = wallet::address(0).create(0);
    assert_eq!((frames[0].kind, frames[0].to, &frames[0].input), ("CREATE", Some(created), &init));
    let end = &frames[0].calls[0];
    assert_eq!((end.kind, end.from, end.to, end.value), ("SELFDESTRUCT", created, Some(heir), Some(U256::from(3))));
}

#[test]
fn system_transactions_withdrawals_and_their_logs_are_traced() {
    let mut chain = TestChain::pegged();
    let (parent, state) = (chain.head.clone(), chain.state.clone());
    let import = peg::import(&chain, &[(wallet::address(0), 10 * ETHER)]);
    let executed = chain.push(vec![import], &[]);
    let with_log = TraceOptions { with_log: true, ..TraceOptions::default() };
    let frames =
        chain.executor.trace_block(&parent, &state, &executed.block, &executed.senders, 0..1, with_log).unwrap();
    assert_eq!((frames[0].from, frames[0].to, frames[0].logs.len()), (SYSTEM, Some(PEG), 2));

    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let (executed, frames) = traced(&mut chain, &[wallet::call(0, 0, PEG, 5, input)], with_log);
    assert_eq!(frames[0].logs[0].data, executed.receipts[0].logs[0].data.data);
    assert_eq!(frames[0].output, Some(Bytes::from(IPeg::withdrawCall::abi_encode_returns(&0))));
}

#[test]
fn one_transaction_of_many_is_traced_on_what_came_before_it() {
    let mut chain = TestChain::standalone(1);
    let counter = install(
        &mut chain,
        &Asm::new()
            .push(0u64)
            .op(asm::SLOAD)
            .push(1u64)
            .op(asm::ADD)
            .op(asm::DUP1)
            .push(0u64)
            .op(asm::SSTORE)
            .push(0u64)
            .op(asm::MSTORE)
            .push(32u64)
            .push(0u64)
            .op(asm::RETURN)
            .bytes(),
    );
    let nonce = chain.nonce(0);
    let txs: Vec<_> = (0..4).map(|n| wallet::call(0, nonce + n, counter, 0, Bytes::new())).collect();
    let (parent, state) = (chain.head.clone(), chain.state.clone());
    let executed = chain.push_ok(&txs);
    let trace = |range| {
        chain.executor.trace_block(&parent, &state, &executed.block, &executed.senders, range, TraceOptions::default())
    };
    let third = trace(2..3).unwrap();
    assert_eq!(third[0].output, Some(Bytes::from(wallet::word(3))));
    assert!(trace(9..10).unwrap().is_empty());
    // On another state the block does not run.
    let wrong = chain.executor.trace_block(
        &parent,
        &chain.state,
        &executed.block,
        &executed.senders,
        0..1,
        TraceOptions::default(),
    );
    assert!(matches!(wrong, Err(TraceError::WrongState(0))));
}

#[test]
fn a_call_is_traced_without_leaving_anything() {
    let mut chain = TestChain::standalone(1);
    let contract = install(&mut chain, &Asm::new().push(1u64).push(0u64).op(asm::SSTORE).bytes());
    let request = CallRequest { to: Some(contract), gas: Some(100_000), ..CallRequest::default() };
    let frame = call_of(&chain, &request).unwrap();
    assert_eq!((frame.gas, frame.gas_used, frame.error), (U64::from(100_000), U64::from(43_106), None));
    assert!(matches!(call_of(&chain, &CallRequest { gas: Some(1), ..request }), Err(TraceError::Call(_))));
}

#[test]
fn a_trace_has_a_size_limit() {
    let mut chain = TestChain::standalone(1);
    // Grows memory to 256 KiB once and passes all of it to a precompile again and again.
    let size = 262_144u64;
    let code = Asm::new().push(0u64).push(size).op(asm::MSTORE).op(asm::JUMPDEST);
    let start = code.clone().bytes().len() as u64 - 1;
    let code = code
        .push(0u64)
        .push(0u64)
        .push(size)
        .push(0u64)
        .push_address(Address::with_last_byte(0x99))
        .op(asm::GAS)
        .op(asm::STATICCALL)
        .op(asm::POP)
        .push(start)
        .op(asm::JUMP)
        .bytes();
    let greedy = install(&mut chain, &code);
    let request = CallRequest { to: Some(greedy), gas: Some(10_000_000), ..CallRequest::default() };
    assert!(matches!(call_of(&chain, &request), Err(TraceError::TooLarge)));
}
