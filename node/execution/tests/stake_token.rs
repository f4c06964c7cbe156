//! The stake token: an ERC-20 at its own address over the staking module's balance sheet.

use crate::support::{
    TestChain, asm, contracts,
    staking::{self, ask_at, liquid, stake},
    wallet,
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{Revert, SolCall, SolError, SolEvent, SolInterface};
use causeway_execution::{CallRequest, CallResult};
use causeway_genesis::addresses::{STAKE_TOKEN, STAKING};
use causeway_staking::abi::IStakeToken::{self, IStakeTokenErrors as Refused};

fn ask<C: SolCall>(chain: &TestChain, call: &C) -> C::Return {
    ask_at(chain, STAKE_TOKEN, call)
}

fn refusal(chain: &TestChain, from: Address, call: &impl SolCall) -> Refused {
    Refused::abi_decode(&staking::refusal_at(chain, from, STAKE_TOKEN, call)).unwrap()
}

fn transfer(to: Address, tokens: u64) -> IStakeToken::transferCall {
    IStakeToken::transferCall { to, amount: stake(tokens) }
}

#[test]
fn wallets_can_show_it() {
    let chain = staking::standalone();
    assert_eq!(ask(&chain, &IStakeToken::nameCall {}), "Causeway Stake");
    assert_eq!(ask(&chain, &IStakeToken::symbolCall {}), "STAKE");
    assert_eq!(ask(&chain, &IStakeToken::decimalsCall {}), 18);
    // Four validators of 1,000 and twenty accounts of 10,000.
    assert_eq!(ask(&chain, &IStakeToken::totalSupplyCall {}), stake(204_000));
    assert_eq!(liquid(&chain, STAKING), stake(4_000));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_transfer_moves_stake_and_logs_from_the_tokens_address() {
    let mut chain = staking::standalone();
    let (from, to) = (wallet::address(0), wallet::address(1));
    let tx = staking::to(&chain, 0, STAKE_TOKEN, &transfer(to, 7));
    let executed = chain.push_ok(&[tx]);
    let log = &executed.receipts[0].logs[0];
    assert_eq!((executed.receipts[0].logs.len(), log.address), (1, STAKE_TOKEN));
    let event = IStakeToken::Transfer::decode_raw_log_validate(log.data.topics(), &log.data.data).unwrap();
    assert_eq!((event.from, event.to, event.value), (from, to, stake(7)));
    assert_eq!((liquid(&chain, from), liquid(&chain, to)), (stake(9_993), stake(10_007)));
    // The balance sheet is one: the token's own account has no storage.
    assert!(!chain.state.storage.keys().any(|(owner, _)| *owner == STAKE_TOKEN));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn an_allowance_is_spent() {
    let mut chain = staking::standalone();
    let (owner, spender, to) = (wallet::address(0), wallet::address(1), wallet::address(2));
    let approve = IStakeToken::approveCall { spender, amount: stake(10) };
    let tx = staking::to(&chain, 0, STAKE_TOKEN, &approve);
    let executed = chain.push_ok(&[tx]);
    let log = &executed.receipts[0].logs[0];
    let event = IStakeToken::Approval::decode_raw_log_validate(log.data.topics(), &log.data.data).unwrap();
    assert_eq!((event.owner, event.spender, event.value), (owner, spender, stake(10)));
    let spend = |tokens| IStakeToken::transferFromCall { from: owner, to, amount: stake(tokens) };
    assert!(matches!(refusal(&chain, spender, &spend(11)), Refused::ERC20InsufficientAllowance(_)));
    assert!(matches!(refusal(&chain, to, &spend(1)), Refused::ERC20InsufficientAllowance(_)));
    let tx = staking::to(&chain, 1, STAKE_TOKEN, &spend(6));
    chain.push_ok(&[tx]);
    assert_eq!(ask(&chain, &IStakeToken::allowanceCall { owner, spender }), stake(4));
    assert_eq!((liquid(&chain, owner), liquid(&chain, to)), (stake(9_994), stake(10_006)));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn what_cannot_be_moved_is_refused_with_the_standard_errors() {
    let chain = staking::standalone();
    let user = wallet::address(0);
    let refuse = |call: &IStakeToken::transferCall| refusal(&chain, user, call);
    assert!(matches!(refuse(&transfer(wallet::address(1), 10_001)), Refused::ERC20InsufficientBalance(_)));
    for receiver in [Address::ZERO, STAKING, STAKE_TOKEN] {
        assert!(matches!(refuse(&transfer(receiver, 1)), Refused::ERC20InvalidReceiver(_)), "{receiver}");
    }
    let nobody = IStakeToken::approveCall { spender: Address::ZERO, amount: stake(1) };
    assert!(matches!(refusal(&chain, user, &nobody), Refused::ERC20InvalidSpender(_)));
}

#[test]
fn a_transfer_to_oneself_changes_nothing() {
    let mut chain = staking::standalone();
    let tx = staking::to(&chain, 0, STAKE_TOKEN, &transfer(wallet::address(0), 10_000));
    chain.push_ok(&[tx]);
    assert_eq!(liquid(&chain, wallet::address(0)), stake(10_000));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn calls_of_the_wrong_kind_or_shape_are_refused() {
    let mut chain = staking::standalone();
    let transfer: Bytes = transfer(wallet::address(1), 1).abi_encode().into();
    let run = |chain: &TestChain, to, input: &Bytes, value: u64| {
        let from = Some(wallet::address(0));
        let request = CallRequest {
            from,
            to: Some(to),
            input: input.clone(),
            value: U256::from(value),
            ..CallRequest::default()
        };
        match chain.call(&request) {
            CallResult::Revert { output, .. } => output,
            other => panic!("{other:?}"),
        }
    };
    let error = |output: &Bytes| Refused::abi_decode(output).unwrap();
    assert!(matches!(error(&run(&chain, STAKE_TOKEN, &transfer, 1)), Refused::NotPayable(_)));
    assert!(matches!(error(&run(&chain, STAKE_TOKEN, &Bytes::new(), 1)), Refused::InvalidCall(_)));
    let mut dirty = transfer.to_vec();
    dirty[4] = 1;
    assert!(matches!(error(&run(&chain, STAKE_TOKEN, &dirty.into(), 0)), Refused::InvalidCall(_)));
    assert!(matches!(error(&run(&chain, STAKE_TOKEN, &transfer.slice(..60), 0)), Refused::InvalidCall(_)));
    let reason = |output: &Bytes| Revert::abi_decode(output).unwrap().reason;
    let looker = contracts::install(&mut chain, 1, &contracts::forwarder(asm::STATICCALL, STAKE_TOKEN));
    assert_eq!(reason(&run(&chain, looker, &transfer, 0)), "state change in a static call");
    for kind in [asm::DELEGATECALL, asm::CALLCODE] {
        let contract = contracts::install(&mut chain, 1, &contracts::forwarder(kind, STAKE_TOKEN));
        let output = run(&chain, contract, &transfer, 0);
        assert_eq!(reason(&output), "native modules cannot be delegate-called");
    }
    // The functions of one module are not those of the other.
    let refused = run(&chain, STAKING, &transfer, 0);
    assert!(Refused::abi_decode(&refused).is_ok_and(|error| matches!(error, Refused::InvalidCall(_))));
}

#[test]
fn a_reverted_transfer_leaves_nothing() {
    let mut chain = staking::standalone();
    let reverter = contracts::install(&mut chain, 1, &contracts::reverter(STAKE_TOKEN));
    let swallower = contracts::install(&mut chain, 1, &contracts::swallower(reverter));
    let tx = staking::to(&chain, 0, STAKE_TOKEN, &transfer(reverter, 9));
    chain.push_ok(&[tx]);
    let input = transfer(wallet::address(2), 5).abi_encode();
    let tx = wallet::call(0, chain.nonce(0), swallower, 0, input);
    let executed = chain.push_ok(&[tx]);
    assert!(executed.receipts[0].logs.is_empty());
    assert_eq!((liquid(&chain, reverter), liquid(&chain, wallet::address(2))), (stake(9), stake(10_000)));
}

#[test]
fn gas_of_slots_is_what_sload_and_sstore_charge() {
    let chain = staking::standalone();
    let input: Bytes = IStakeToken::balanceOfCall { account: wallet::address(0) }.abi_encode().into();
    let calldata: u64 = input.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
    let request = CallRequest { to: Some(STAKE_TOKEN), input, ..CallRequest::default() };
    let CallResult::Success { gas_used, .. } = chain.call(&request) else { panic!("a view") };
    // Two words of input and one cold slot; the account that holds it is warm.
    assert_eq!(gas_used, 21_000 + calldata + 2 * 3 + 2_100);
}
