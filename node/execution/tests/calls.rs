//! `eth_call` and `eth_estimateGas` semantics.

use std::collections::BTreeMap;

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    peg, wallet,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{
    AccountOverride, BlockOverrides, CallError, CallRequest, CallResult, EstimateError, Overrides, StateOverrides,
};
use causeway_genesis::addresses::PEG;
use causeway_peg::IPeg;

fn install(chain: &mut TestChain, runtime: &Bytes) -> Address {
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::create(0, nonce, asm::deploy(runtime))]);
    wallet::address(0).create(nonce)
}

/// Returns one word that `code` leaves on the stack.
fn answering(code: Asm) -> Bytes {
    code.push(0u64).op(asm::MSTORE).push(32u64).push(0u64).op(asm::RETURN).bytes()
}

fn word_of(result: CallResult) -> U256 {
    match result {
        CallResult::Success { output, .. } => U256::from_be_slice(&output),
        other => panic!("{other:?}"),
    }
}

fn to(address: Address) -> CallRequest {
    CallRequest { to: Some(address), ..CallRequest::default() }
}

fn with_account(address: Address, change: AccountOverride) -> Overrides {
    Overrides {
        state: StateOverrides { accounts: BTreeMap::from([(address, change)]) },
        block: BlockOverrides::default(),
    }
}

#[test]
fn anybody_may_call_for_free_whatever_the_nonce() {
    let mut chain = TestChain::standalone(1);
    let contract = install(&mut chain, &answering(Asm::new().op(0x33))); // CALLER
    for from in [Address::repeat_byte(9), wallet::address(0), contract] {
        let request = CallRequest { from: Some(from), ..to(contract) };
        assert_eq!(word_of(chain.call(&request)), U256::from_be_bytes(from.into_word().0), "even a contract");
    }
    assert_eq!(word_of(chain.call(&to(contract))), U256::ZERO);
}

#[test]
fn the_block_of_a_call_is_the_one_named() {
    let mut chain = TestChain::standalone(1);
    let number = install(&mut chain, &answering(Asm::new().op(0x43)));
    let timestamp = install(&mut chain, &answering(Asm::new().op(0x42)));
    let base_fee = install(&mut chain, &answering(Asm::new().op(0x48)));
    let prevrandao = install(&mut chain, &answering(Asm::new().op(0x44)));
    let chain_id = install(&mut chain, &answering(Asm::new().op(0x46)));
    assert_eq!(word_of(chain.call(&to(number))), U256::from(chain.head.number));
    assert_eq!(word_of(chain.call(&to(timestamp))), U256::from(chain.head.timestamp));
    assert_eq!(word_of(chain.call(&to(prevrandao))), U256::from_be_bytes(chain.head.mix_hash.0));
    assert_eq!(word_of(chain.call(&to(chain_id))), U256::from(crate::support::CHAIN_ID));
    // A free call sees no base fee, a paying one sees the block's.
    assert_eq!(word_of(chain.call(&to(base_fee))), U256::ZERO);
    let paying = CallRequest {
        from: Some(wallet::address(0)),
        gas: Some(100_000),
        max_fee_per_gas: Some(wallet::FEE_CAP),
        ..to(base_fee)
    };
    assert_eq!(word_of(chain.call(&paying)), U256::from(chain.head.base_fee_per_gas.unwrap()));
}

#[test]
fn the_block_may_be_overridden() {
    let mut chain = TestChain::standalone(1);
    let block = BlockOverrides {
        number: Some(U256::from(77)),
        timestamp: Some(88),
        gas_limit: Some(99_000_000),
        beneficiary: Some(Address::repeat_byte(3)),
        prevrandao: Some(B256::repeat_byte(4)),
        base_fee: Some(5),
    };
    let expected = [
        (0x43, U256::from(77)),
        (0x42, U256::from(88)),
        (0x45, U256::from(99_000_000)),
        (0x41, U256::from_be_bytes(Address::repeat_byte(3).into_word().0)),
        (0x44, U256::from_be_bytes(B256::repeat_byte(4).0)),
        (0x48, U256::from(5)),
    ];
    for (op, value) in expected {
        let contract = install(&mut chain, &answering(Asm::new().op(op)));
        let overrides = Overrides { block: block.clone(), ..Overrides::default() };
        let request =
            CallRequest { gas_price: Some(5), from: Some(wallet::address(0)), gas: Some(90_000), ..to(contract) };
        let result = chain.executor.call(&chain.head, &chain.state, &request, &overrides).unwrap();
        assert_eq!(word_of(result), value, "opcode {op:#x}");
    }
}

#[test]
fn accounts_may_be_overridden() {
    let chain = TestChain::standalone(0);
    let ghost = Address::repeat_byte(0x61);
    let call = |change: AccountOverride, request: CallRequest| {
        chain.executor.call(&chain.head, &chain.state, &request, &with_account(ghost, change)).unwrap()
    };
    // Code and single slots.
    let code = answering(Asm::new().push(1u64).op(asm::SLOAD));
    let change = AccountOverride {
        code: Some(code.clone()),
        state_diff: BTreeMap::from([(U256::from(1), U256::from(11))]),
        ..AccountOverride::default()
    };
    assert_eq!(word_of(call(change, to(ghost))), U256::from(11));
    // The whole storage: what is not named is zero.
    let change = AccountOverride {
        code: Some(code),
        state: Some(BTreeMap::from([(U256::from(2), U256::from(11))])),
        ..AccountOverride::default()
    };
    assert_eq!(word_of(call(change, to(ghost))), U256::ZERO);
    // Balance, of an account that does not exist.
    let change = AccountOverride { balance: Some(U256::from(ETHER)), ..AccountOverride::default() };
    let request = CallRequest { from: Some(ghost), value: U256::from(ETHER), ..to(Address::repeat_byte(1)) };
    assert!(matches!(call(change, request), CallResult::Success { .. }));
    // Nonce decides the address of a creation.
    let change = AccountOverride { nonce: Some(7), ..AccountOverride::default() };
    let init = answering(Asm::new().op(0x30)); // ADDRESS, "deployed" as code
    let created = word_of(call(change, CallRequest { from: Some(ghost), input: init, ..CallRequest::default() }));
    assert_eq!(created, U256::from_be_bytes(ghost.create(7).into_word().0));
}

#[test]
fn malformed_code_in_an_override_does_not_panic() {
    let chain = TestChain::standalone(0);
    let ghost = Address::repeat_byte(0x61);
    for code in [vec![0xef], vec![0xef, 0x01], vec![0xef, 0x01, 0x00], vec![0xef, 0x01, 0x00, 0x05], vec![0xef; 40]] {
        let change = AccountOverride { code: Some(code.into()), ..AccountOverride::default() };
        let result = chain.executor.call(&chain.head, &chain.state, &to(ghost), &with_account(ghost, change)).unwrap();
        assert!(!matches!(result, CallResult::Revert { .. }));
    }
}

#[test]
fn calls_that_cannot_start_say_why_in_geths_words() {
    let chain = TestChain::standalone(1);
    let alice = wallet::address(0);
    let refuse = |request: CallRequest| {
        chain.executor.call(&chain.head, &chain.state, &request, &Overrides::default()).unwrap_err().to_string()
    };
    let broke = CallRequest { from: Some(Address::repeat_byte(2)), value: U256::from(5), ..to(alice) };
    assert!(refuse(broke).starts_with("insufficient funds for gas * price + value: address 0x0202"));
    let cheap = CallRequest { from: Some(alice), gas_price: Some(1), gas: Some(21_000), ..to(alice) };
    assert!(refuse(cheap).starts_with("max fee per gas less than block base fee"));
    let tip = CallRequest {
        from: Some(alice),
        max_fee_per_gas: Some(wallet::FEE_CAP),
        max_priority_fee_per_gas: Some(wallet::FEE_CAP + 1),
        gas: Some(21_000),
        ..to(alice)
    };
    assert!(refuse(tip.clone()).starts_with("max priority fee per gas higher than max fee per gas"));
    assert!(refuse(CallRequest { gas_price: Some(1), ..tip }).starts_with("both gasPrice and"));
    let little = CallRequest { gas: Some(20_999), ..to(alice) };
    assert_eq!(refuse(little), "intrinsic gas too low: have 20999, want 21000");
    let both = AccountOverride {
        state: Some(BTreeMap::new()),
        state_diff: BTreeMap::from([(U256::ZERO, U256::ZERO)]),
        ..AccountOverride::default()
    };
    let result = chain.executor.call(&chain.head, &chain.state, &to(alice), &with_account(alice, both));
    assert!(matches!(result, Err(CallError::ConflictingOverrides(_))));
}

#[test]
fn revert_data_and_halts_are_told_apart() {
    let mut chain = TestChain::standalone(1);
    let revert = install(
        &mut chain,
        &Asm::new().push(0xbeefu64).push(0u64).op(asm::MSTORE).push(32u64).push(0u64).op(asm::REVERT).bytes(),
    );
    let CallResult::Revert { output, .. } = chain.call(&to(revert)) else { panic!("reverts") };
    assert_eq!(U256::from_be_slice(&output), U256::from(0xbeef));
    let invalid = install(&mut chain, &Asm::new().op(asm::INVALID).bytes());
    let CallResult::Halt { reason, out_of_gas, .. } = chain.call(&to(invalid)) else { panic!("halts") };
    assert_eq!((reason.as_str(), out_of_gas), ("invalid opcode", false));
    let spin = install(&mut chain, &Asm::new().op(asm::JUMPDEST).push(0u64).op(asm::JUMP).bytes());
    let request = CallRequest { gas: Some(100_000), ..to(spin) };
    let CallResult::Halt { gas_used, reason, out_of_gas } = chain.call(&request) else { panic!("halts") };
    assert_eq!((gas_used, reason.as_str(), out_of_gas), (100_000, "out of gas", true));
}

#[test]
fn a_call_may_use_more_gas_than_a_block_but_not_more_than_the_cap() {
    let mut chain = TestChain::standalone_with(1, |spec| spec.gas_limit = 5_000_000);
    let gas_left = install(&mut chain, &answering(Asm::new().op(asm::GAS)));
    let left = word_of(chain.call(&CallRequest { gas: Some(u64::MAX), ..to(gas_left) }));
    assert!(left > U256::from(49_900_000) && left < U256::from(50_000_000));
}

#[test]
fn calls_run_on_old_state() {
    let mut chain = TestChain::standalone(2);
    let old = (chain.head.clone(), chain.state.clone());
    let contract = install(&mut chain, &answering(Asm::new().push(0u64).op(asm::CALLDATALOAD).op(asm::BALANCE)));
    chain.push_ok(&[wallet::transfer(1, 0, Address::repeat_byte(5), 7)]);
    let request = CallRequest { input: Address::repeat_byte(5).into_word().into(), ..to(contract) };
    assert_eq!(word_of(chain.call(&request)), U256::from(7));
    // Before the contract existed there is nothing to run.
    let result = chain.executor.call(&old.0, &old.1, &request, &Overrides::default()).unwrap();
    assert!(matches!(result, CallResult::Success { output, .. } if output.is_empty()));
}

fn estimate(chain: &TestChain, request: &CallRequest) -> Result<u64, EstimateError> {
    chain.executor.estimate_gas(&chain.head, &chain.state, request, &Overrides::default())
}

#[test]
fn a_plain_transfer_is_21000() {
    let chain = TestChain::standalone(1);
    let request = CallRequest { from: Some(wallet::address(0)), value: U256::from(1), ..to(Address::repeat_byte(8)) };
    assert_eq!(estimate(&chain, &request).unwrap(), 21_000);
}

#[test]
fn an_estimate_is_enough_and_not_much_more() {
    let mut chain = TestChain::standalone(1);
    let store = Asm::new().push(1u64).push(0u64).op(asm::SSTORE).bytes();
    let contract = install(&mut chain, &store);
    let request = CallRequest { from: Some(wallet::address(0)), ..to(contract) };
    let gas = estimate(&chain, &request).unwrap();
    let exact = 21_000 + 6 + 22_100;
    assert!(gas >= exact && gas <= exact + exact / 50, "{gas}");
    let nonce = chain.nonce(0);
    let executed = chain.push_ok(&[wallet::call_gas(0, nonce, contract, 0, Bytes::new(), gas)]);
    assert_eq!(executed.receipts[0].gas_used, exact);
}

#[test]
fn an_estimate_covers_gas_that_is_refunded_and_gas_held_back_for_callees() {
    let mut chain = TestChain::standalone(1);
    let clear = Asm::new().push(0u64).op(asm::CALLDATALOAD).push(0u64).op(asm::SSTORE).bytes();
    let inner = install(&mut chain, &clear);
    // Calls `inner` and reverts when that fails.
    let code = Asm::new().calldata_to_memory().forward(asm::CALL, inner, Some(Asm::new().push(0u64)));
    let target = code.clone().bytes().len() + 33 + 1 + 33 + 33 + 1;
    let code = code
        .push(target as u64)
        .op(asm::JUMPI)
        .push(0u64)
        .push(0u64)
        .op(asm::REVERT)
        .op(asm::JUMPDEST)
        .op(asm::STOP)
        .bytes();
    let outer = install(&mut chain, &code);
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::call(0, nonce, outer, 0, wallet::word(1))]);
    let request = CallRequest { from: Some(wallet::address(0)), input: wallet::word(0).into(), ..to(outer) };
    let gas = estimate(&chain, &request).unwrap();
    let executed = chain.push_ok(&[wallet::call_gas(0, nonce + 1, outer, 0, wallet::word(0), gas)]);
    assert!(executed.receipts[0].gas_used < gas, "some was refunded");
}

#[test]
fn an_estimate_of_a_withdrawal_is_enough() {
    let mut chain = TestChain::pegged();
    chain.push(vec![peg::import(&chain, &[(wallet::address(0), 10 * ETHER)])], &[]);
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let request = CallRequest { from: Some(wallet::address(0)), value: U256::from(5), input: input.clone(), ..to(PEG) };
    let gas = estimate(&chain, &request).unwrap();
    chain.push_ok(&[wallet::call_gas(0, 0, PEG, 5, input, gas)]);
    let view = CallRequest { input: IPeg::supplyCall {}.abi_encode().into(), ..to(PEG) };
    let exact = 21_000 + 64 + 3 + 2_100;
    let gas = estimate(&chain, &view).unwrap();
    assert!(gas >= exact && gas <= exact + exact / 50, "{gas}");
}

#[test]
fn estimates_fail_as_geths_do() {
    let mut chain = TestChain::standalone(1);
    let alice = wallet::address(0);
    let reverting = install(&mut chain, &Asm::new().push(0u64).push(0u64).op(asm::REVERT).bytes());
    let error = estimate(&chain, &to(reverting)).unwrap_err();
    assert!(matches!(&error, EstimateError::Reverted(data) if data.is_empty()));
    assert_eq!(error.to_string(), "execution reverted");
    let spin = install(&mut chain, &Asm::new().op(asm::JUMPDEST).push(0u64).op(asm::JUMP).bytes());
    let request = CallRequest { gas: Some(500_000), ..to(spin) };
    assert_eq!(estimate(&chain, &request).unwrap_err().to_string(), "gas required exceeds allowance (500000)");
    // The sender's balance bounds the gas when it pays for it.
    let poor = Address::repeat_byte(0x0b);
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::transfer(0, nonce, poor, 10_000 * wallet::FEE_CAP)]);
    let request = CallRequest { from: Some(poor), gas_price: Some(wallet::FEE_CAP), ..to(alice) };
    assert_eq!(estimate(&chain, &request).unwrap_err().to_string(), "gas required exceeds allowance (10000)");
    let request = CallRequest { value: U256::from(ETHER), ..request };
    assert!(estimate(&chain, &request).unwrap_err().to_string().starts_with("insufficient funds"));
    // And the transaction gas cap bounds it in any case.
    let request = CallRequest { gas: Some(u64::MAX), ..to(spin) };
    assert_eq!(estimate(&chain, &request).unwrap_err().to_string(), "gas required exceeds allowance (16777216)");
}

fn access_list(chain: &TestChain, request: &CallRequest) -> causeway_execution::AccessListResult {
    chain.executor.create_access_list(&chain.head, &chain.state, request, &Overrides::default()).unwrap()
}

#[test]
fn an_access_list_names_what_a_call_touches_and_makes_it_warm() {
    let mut chain = TestChain::standalone(2);
    let inner = install(&mut chain, &answering(Asm::new().push(7u64).op(asm::SLOAD)));
    let code = Asm::new()
        .push(1u64)
        .op(asm::SLOAD)
        .op(asm::POP)
        .push_address(Address::repeat_byte(0x21))
        .op(asm::BALANCE)
        .op(asm::POP)
        .forward(asm::CALL, inner, Some(Asm::new().push(0u64)))
        .op(asm::STOP)
        .bytes();
    let outer = install(&mut chain, &code);
    let request = CallRequest { from: Some(wallet::address(1)), ..to(outer) };
    let found = access_list(&chain, &request);
    let mut expected =
        vec![(outer, vec![wallet::word(1)]), (inner, vec![wallet::word(7)]), (Address::repeat_byte(0x21), vec![])];
    expected.sort();
    let items: Vec<_> = found.access_list.0.iter().map(|item| (item.address, item.storage_keys.clone())).collect();
    assert_eq!((items, found.error), (expected, None));
    let executed = chain.push_ok(&[wallet::eip2930(1, 0, outer, Bytes::new(), found.access_list)]);
    assert_eq!(executed.receipts[0].gas_used, found.gas_used);
}

#[test]
fn a_transfer_needs_no_access_list_and_a_failure_is_reported() {
    let mut chain = TestChain::standalone(1);
    let found = access_list(&chain, &to(Address::repeat_byte(0x21)));
    assert!(found.access_list.0.is_empty() && found.gas_used == 21_000);
    let revert = install(&mut chain, &Asm::new().push(3u64).op(asm::SLOAD).push(0u64).op(asm::REVERT).bytes());
    let found = access_list(&chain, &to(revert));
    assert_eq!(found.error.as_deref(), Some("execution reverted"));
    assert_eq!(found.access_list.0[0].storage_keys, [wallet::word(3)]);
}

#[test]
fn the_pegs_slots_are_in_the_list_of_a_withdrawal() {
    let mut chain = TestChain::pegged();
    chain.push(vec![peg::import(&chain, &[(wallet::address(0), 10 * ETHER)])], &[]);
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let request = CallRequest { from: Some(wallet::address(0)), value: U256::from(5), input, ..to(PEG) };
    let found = access_list(&chain, &request);
    assert_eq!(found.access_list.0.len(), 1);
    assert!(found.access_list.0[0].storage_keys.contains(&B256::from(causeway_peg::layout::SUPPLY)));
}
