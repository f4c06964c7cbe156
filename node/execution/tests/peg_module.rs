//! The peg module through transactions: system transactions, withdrawals, and every way of calling it wrongly.

use crate::support::{
    ETHER, TestChain,
    asm::{self, Asm},
    contracts, peg, wallet,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Revert, SolCall, SolError, SolInterface};
use causeway_execution::{CallRequest, CallResult, PegEventKind, SystemCall, SystemTx, Transaction, peg_state};
use causeway_genesis::addresses::{PEG, REWARD_POOL, STAKING, SYSTEM};
use causeway_peg::{Frontier, IPeg, IPeg::IPegErrors, PegModule, Slots, TREE_DEPTH, withdrawal::withdrawal_leaf};

/// A pegged chain on which wallet 0 and wallet 1 hold 10 coin each.
fn funded() -> TestChain {
    let mut chain = TestChain::pegged();
    let import = peg::import(&chain, &[(wallet::address(0), 10 * ETHER), (wallet::address(1), 10 * ETHER)]);
    let executed = chain.push(vec![import], &[]);
    assert_eq!(executed.receipts.len(), 1);
    chain
}

fn assert_conserved(chain: &TestChain) {
    assert_eq!(chain.state.total_balance(), peg::supply(chain));
}

fn peg_error(output: &Bytes) -> IPegErrors {
    IPegErrors::abi_decode(output).unwrap()
}

fn revert_data(chain: &TestChain, request: &CallRequest) -> Bytes {
    match chain.call(request) {
        CallResult::Revert { output, .. } => output,
        other => panic!("expected a revert, got {other:?}"),
    }
}

fn peg_call(from: Address, value: u128, input: impl Into<Bytes>) -> CallRequest {
    CallRequest { from: Some(from), to: Some(PEG), value: U256::from(value), input: input.into(), ..Default::default() }
}

#[test]
fn a_certified_import_mints_without_calling_anybody() {
    let chain = funded();
    assert_eq!(chain.state.balance(wallet::address(0)), U256::from(10 * ETHER));
    assert_eq!(peg::supply(&chain), U256::from(20 * ETHER));
    assert_eq!(PegModule::deposit_nonce(&mut peg_state(&chain.state)).unwrap(), 2);
    assert_conserved(&chain);
}

#[test]
fn an_import_leaves_an_ordinary_receipt_and_typed_events() {
    let chain = TestChain::pegged();
    let (alice, bob) = (wallet::address(0), wallet::address(1));
    let import = peg::import(&chain, &[(alice, 5), (bob, 6)]);
    let executed = chain.build(vec![import], &[]);
    let receipt = &executed.receipts[0];
    assert_eq!((receipt.tx_type, receipt.status, receipt.effective_gas_price), (0x7c, true, 0));
    assert!(receipt.gas_used > 0 && receipt.gas_used == executed.block.header.gas_used);
    assert_eq!(executed.senders, [SYSTEM]);
    let kinds: Vec<_> = executed.peg_events.iter().map(|event| (event.log_index, &event.kind)).collect();
    assert!(
        matches!(kinds[0], (0, PegEventKind::DepositMinted(event)) if event.recipient == alice && event.nonce == 1)
    );
    assert!(matches!(kinds[1], (1, PegEventKind::DepositMinted(event)) if event.amount == U256::from(6)));
    assert!(matches!(kinds[2], (2, PegEventKind::DepositsImported(event)) if event.depositNonce == 2));
    let Transaction::System(tx) = &executed.block.transactions[0] else { panic!("a system transaction") };
    assert_eq!((tx.block_number, tx.index, tx.to), (1, 0, PEG));
}

#[test]
fn a_full_import_fits_its_gas() {
    let chain = TestChain::pegged_with(|spec| spec.gas_limit = 5_000_000);
    let credits: Vec<_> = (0..256u64).map(|user| (Address::from_word(wallet::word(0x1000 + user)), 7)).collect();
    let executed = chain.build(vec![peg::import(&chain, &credits)], &[]);
    assert_eq!(executed.receipts.len(), 1);
    assert_eq!(executed.peg_events.len(), 257);
}

#[test]
fn an_import_with_a_bad_certificate_is_left_out() {
    let mut chain = TestChain::pegged();
    let (view, deposits) = peg::deposits(&chain, &[(wallet::address(0), 5)]);
    let digest = chain.genesis.peg_domain().unwrap().parent_view_digest(&view);
    let mut signatures = peg::certify(&chain, digest);
    signatures.truncate(2);
    let too_few = peg::import_call(view, &signatures, deposits);
    let executed = chain.push(vec![too_few], &[]);
    assert!(executed.receipts.is_empty() && executed.block.transactions.is_empty());
    assert_eq!(peg::supply(&chain), U256::ZERO);
}

#[test]
fn a_replayed_import_is_left_out() {
    let mut chain = TestChain::pegged();
    let import = peg::import(&chain, &[(wallet::address(0), 5)]);
    chain.push(vec![import.clone()], &[]);
    let executed = chain.push(vec![import], &[]);
    assert!(executed.receipts.is_empty());
    assert_eq!(peg::supply(&chain), U256::from(5));
}

#[test]
fn a_due_checkpoint_is_built_from_the_parent_and_recorded_with_its_certificate() {
    let mut chain = funded();
    while chain.head.number < 4 {
        chain.push(Vec::new(), &[]);
    }
    let parent = chain.head.clone();
    let slots = &mut peg_state(&chain.state);
    assert_eq!(PegModule::latest_checkpoint_number(slots).unwrap(), 0);
    let due = PegModule::new(chain.genesis.peg_domain().unwrap())
        .checkpoint_due(
            slots,
            &causeway_peg::CheckpointBlock {
                number: parent.number,
                hash: parent.hash_slow(),
                state_root: parent.state_root,
            },
        )
        .unwrap()
        .unwrap();

    chain.push(Vec::new(), &[]);
    let stored = PegModule::checkpoint(&mut peg_state(&chain.state), 1).unwrap().unwrap();
    assert_eq!(stored, due);
    assert_eq!((stored.height, stored.blockHash, stored.depositNonce), (4, parent.hash_slow(), 2));

    let executed = chain.push(vec![peg::record(&chain, 1)], &[]);
    assert!(matches!(&executed.peg_events[0].kind, PegEventKind::CheckpointRecorded(event) if event.number == 1));
    // Once only.
    let executed = chain.push(vec![peg::record(&chain, 1)], &[]);
    assert!(executed.receipts.is_empty());
}

#[test]
fn a_withdrawal_burns_what_was_sent() {
    let mut chain = funded();
    let (alice, recipient) = (wallet::address(0), Address::repeat_byte(0xee));
    let executed = chain.push_ok(&[wallet::call(0, 0, PEG, 3 * ETHER, peg::withdraw_input(recipient, 5))]);
    let PegEventKind::WithdrawalRequested(event) = &executed.peg_events[0].kind else { panic!("a withdrawal") };
    assert_eq!((event.index, event.sender, event.recipient), (0, alice, recipient));
    assert_eq!((event.amount, event.relayerFee), (U256::from(3 * ETHER), U256::from(5)));
    assert_eq!(chain.state.balance(PEG), U256::ZERO);
    assert_eq!(peg::supply(&chain), U256::from(17 * ETHER));
    assert_conserved(&chain);

    let withdrawal = causeway_peg::Withdrawal {
        index: 0,
        token: Address::ZERO,
        sender: alice,
        recipient,
        amount: U256::from(3 * ETHER),
        relayerFee: U256::from(5),
    };
    let root = PegModule::withdrawal_root(&mut peg_state(&chain.state)).unwrap();
    let mut frontier = Frontier::default();
    frontier.append(withdrawal_leaf(&withdrawal)).unwrap();
    assert_eq!(frontier.root(), root);
}

#[test]
fn the_return_value_of_a_withdrawal_is_its_index() {
    let mut chain = funded();
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    chain.push_ok(&[wallet::call(0, 0, PEG, 1, input.clone())]);
    let CallResult::Success { output, .. } = chain.call(&peg_call(wallet::address(1), 1, input)) else { panic!() };
    assert_eq!(IPeg::withdrawCall::abi_decode_returns(&output).unwrap(), 1);
}

#[test]
fn views_answer_from_state() {
    let chain = funded();
    let ask = |input: Vec<u8>| match chain.call(&peg_call(Address::ZERO, 0, input)) {
        CallResult::Success { output, .. } => output,
        other => panic!("{other:?}"),
    };
    let output = ask(IPeg::supplyCall {}.abi_encode());
    assert_eq!(IPeg::supplyCall::abi_decode_returns(&output).unwrap(), U256::from(20 * ETHER));
    let output = ask(IPeg::depositNonceCall {}.abi_encode());
    assert_eq!(IPeg::depositNonceCall::abi_decode_returns(&output).unwrap(), 2);
    let output = ask(IPeg::vaultCall {}.abi_encode());
    assert_eq!(IPeg::vaultCall::abi_decode_returns(&output).unwrap(), chain.genesis.spec.peg.as_ref().unwrap().vault);
    let output = ask(IPeg::checkpointIntervalCall {}.abi_encode());
    assert_eq!(IPeg::checkpointIntervalCall::abi_decode_returns(&output).unwrap(), 4);
    let output = ask(IPeg::withdrawalRootCall {}.abi_encode());
    assert_eq!(
        IPeg::withdrawalRootCall::abi_decode_returns(&output).unwrap(),
        PegModule::withdrawal_root(&mut peg_state(&chain.state)).unwrap()
    );
    for input in [
        IPeg::parentChainIdCall {}.abi_encode(),
        IPeg::registryCall {}.abi_encode(),
        IPeg::depositAccCall {}.abi_encode(),
        IPeg::lastParentHeightCall {}.abi_encode(),
        IPeg::withdrawalCountCall {}.abi_encode(),
        IPeg::latestCheckpointCall {}.abi_encode(),
        IPeg::recordedCheckpointCall {}.abi_encode(),
    ] {
        assert_eq!(ask(input).len(), 32);
    }
    let unknown = revert_data(&chain, &peg_call(Address::ZERO, 0, IPeg::checkpointCall { number: 9 }.abi_encode()));
    assert!(matches!(peg_error(&unknown), IPegErrors::UnknownCheckpoint(error) if error.number == 9));
}

#[test]
fn broken_calls_revert_with_a_reason() {
    let chain = funded();
    let alice = wallet::address(0);
    let refuse = |value: u128, input: Vec<u8>| peg_error(&revert_data(&chain, &peg_call(alice, value, input)));
    assert!(matches!(refuse(0, Vec::new()), IPegErrors::InvalidCall(_)));
    assert!(matches!(refuse(1, Vec::new()), IPegErrors::InvalidCall(_)), "plain payments bounce");
    assert!(matches!(refuse(0, vec![1, 2, 3]), IPegErrors::InvalidCall(_)));
    assert!(matches!(refuse(0, vec![0xff; 4]), IPegErrors::InvalidCall(_)));
    let withdraw = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    assert!(matches!(refuse(1, withdraw[..40].to_vec()), IPegErrors::InvalidCall(_)), "truncated");
    let mut dirty = withdraw.to_vec();
    dirty[5] = 1;
    assert!(matches!(refuse(1, dirty), IPegErrors::InvalidCall(_)), "dirty upper bits of an address");
    assert!(matches!(refuse(1, IPeg::supplyCall {}.abi_encode()), IPegErrors::NotPayable(_)));
    assert!(matches!(refuse(0, withdraw.to_vec()), IPegErrors::ZeroAmount(_)));
    let fee = peg::withdraw_input(Address::repeat_byte(0xee), 2);
    assert!(matches!(refuse(1, fee.to_vec()), IPegErrors::FeeExceedsAmount(_)));
    let zero = peg::withdraw_input(Address::ZERO, 0);
    assert!(matches!(refuse(1, zero.to_vec()), IPegErrors::InvalidRecipient(_)));
}

#[test]
fn only_a_system_transaction_may_import_or_record() {
    let mut chain = funded();
    let import = peg::import(&chain, &[(wallet::address(0), 5)]);
    // Not a user, and not a simulated call that names the system address as its sender either.
    for from in [wallet::address(0), SYSTEM] {
        let refused = peg_error(&revert_data(&chain, &peg_call(from, 0, import.input.clone())));
        assert!(matches!(refused, IPegErrors::OnlySystem(_)), "{from}");
    }
    let executed = chain.push(Vec::new(), &[wallet::call(0, 0, PEG, 0, import.input.clone())]);
    assert!(!executed.receipts[0].status);
    let record = IPeg::recordCheckpointCall { number: 1, signatures: Vec::new() }.abi_encode();
    let refused = peg_error(&revert_data(&chain, &peg_call(wallet::address(0), 0, record)));
    assert!(matches!(refused, IPegErrors::OnlySystem(_)));
    assert_conserved(&chain);
}

#[test]
fn a_system_call_to_anything_else_is_left_out() {
    let chain = funded();
    let view = SystemCall { to: PEG, input: IPeg::supplyCall {}.abi_encode().into() };
    let elsewhere = SystemCall { to: STAKING, ..peg::import(&chain, &[(wallet::address(0), 5)]) };
    let executed = chain.build(vec![view, elsewhere], &[]);
    assert!(executed.block.transactions.is_empty());
}

#[test]
fn a_chain_without_a_peg_answers_not_pegged() {
    let chain = TestChain::standalone(1);
    let request = peg_call(wallet::address(0), 1, peg::withdraw_input(Address::repeat_byte(0xee), 0));
    assert!(matches!(peg_error(&revert_data(&chain, &request)), IPegErrors::NotPegged(_)));
}

/// Deploys `runtime` from wallet 1 and returns its address.
fn install(chain: &mut TestChain, runtime: &Bytes) -> Address {
    contracts::install(chain, 1, runtime)
}

fn forwarder(kind: u8) -> Bytes {
    contracts::forwarder(kind, PEG)
}

#[test]
fn a_contract_may_withdraw_and_is_the_sender() {
    let mut chain = funded();
    let contract = install(&mut chain, &forwarder(asm::CALL));
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let executed = chain.push_ok(&[wallet::call(0, 0, contract, ETHER, input)]);
    let PegEventKind::WithdrawalRequested(event) = &executed.peg_events[0].kind else { panic!("a withdrawal") };
    assert_eq!(event.sender, contract);
    assert_conserved(&chain);
}

#[test]
fn delegatecall_and_callcode_revert() {
    let mut chain = funded();
    for kind in [asm::DELEGATECALL, asm::CALLCODE] {
        let contract = install(&mut chain, &forwarder(kind));
        for input in [peg::withdraw_input(Address::repeat_byte(0xee), 0), IPeg::supplyCall {}.abi_encode().into()] {
            let request = CallRequest {
                from: Some(wallet::address(0)),
                to: Some(contract),
                input: input.clone(),
                ..CallRequest::default()
            };
            let reason = Revert::abi_decode(&revert_data(&chain, &request)).unwrap();
            assert_eq!(reason.reason, "native modules cannot be delegate-called");
            let nonce = chain.nonce(0);
            let executed = chain.push(Vec::new(), &[wallet::call(0, nonce, contract, ETHER, input)]);
            assert!(!executed.receipts[0].status && executed.receipts[0].logs.is_empty());
        }
        assert_eq!(chain.state.balance(contract), U256::ZERO);
    }
    assert_conserved(&chain);
}

#[test]
fn a_static_call_may_look_but_not_withdraw() {
    let mut chain = funded();
    let contract = install(&mut chain, &forwarder(asm::STATICCALL));
    let look =
        CallRequest { to: Some(contract), input: IPeg::supplyCall {}.abi_encode().into(), ..CallRequest::default() };
    let CallResult::Success { output, .. } = chain.call(&look) else { panic!("views work") };
    assert_eq!(IPeg::supplyCall::abi_decode_returns(&output).unwrap(), U256::from(20 * ETHER));
    let withdraw = CallRequest { input: peg::withdraw_input(Address::repeat_byte(0xee), 0), ..look };
    let reason = Revert::abi_decode(&revert_data(&chain, &withdraw)).unwrap();
    assert_eq!(reason.reason, "state change in a static call");
}

#[test]
fn a_call_inside_a_static_call_is_static_too() {
    let mut chain = funded();
    let inner = install(&mut chain, &forwarder(asm::CALL));
    let outer = Asm::new().calldata_to_memory().forward(asm::STATICCALL, inner, None).return_data().bytes();
    let outer = install(&mut chain, &outer);
    let request = CallRequest {
        to: Some(outer),
        input: peg::withdraw_input(Address::repeat_byte(0xee), 0),
        ..CallRequest::default()
    };
    let CallResult::Success { output, .. } = chain.call(&request) else { panic!("the outer call returns") };
    assert_eq!(Revert::abi_decode(&output).unwrap().reason, "state change in a static call");
}

fn withdraw_then(tail: Asm) -> Bytes {
    contracts::call_then(PEG, tail)
}

#[test]
fn a_frame_that_reverts_after_a_withdrawal_undoes_it_at_any_depth() {
    let mut chain = funded();
    let reverting = install(&mut chain, &withdraw_then(Asm::new().push(0u64).push(0u64).op(asm::REVERT)));
    let halting = install(&mut chain, &withdraw_then(Asm::new().op(asm::INVALID)));
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    for victim in [reverting, halting] {
        let nonce = chain.nonce(0);
        let executed = chain.push(Vec::new(), &[wallet::call_gas(0, nonce, victim, ETHER, input.clone(), 300_000)]);
        assert!(!executed.receipts[0].status && executed.peg_events.is_empty());
        // Two frames further down, the failure swallowed on the way.
        let inner = install(&mut chain, &contracts::swallower(victim));
        let outer = install(&mut chain, &contracts::swallower(inner));
        let nonce = chain.nonce(0);
        let executed = chain.push(Vec::new(), &[wallet::call_gas(0, nonce, outer, ETHER, input.clone(), 2_000_000)]);
        assert!(executed.receipts[0].status && executed.peg_events.is_empty());
        assert_eq!(chain.state.balance(inner), U256::from(ETHER), "the value stays with the one who swallowed");
    }
    let mut slots = peg_state(&chain.state);
    assert_eq!(PegModule::withdrawal_count(&mut slots).unwrap(), 0);
    assert_eq!(slots.load(causeway_peg::layout::frontier(0)).unwrap(), U256::ZERO);
    assert_eq!(peg::supply(&chain), U256::from(20 * ETHER));
    assert_conserved(&chain);
}

#[test]
fn two_withdrawals_in_one_transaction_where_one_is_undone_leave_one() {
    let mut chain = funded();
    let reverting = install(&mut chain, &withdraw_then(Asm::new().push(0u64).push(0u64).op(asm::REVERT)));
    // Half of the value through the reverting contract, then half directly.
    let half = Asm::new().push(ETHER / 2);
    let code = Asm::new()
        .calldata_to_memory()
        .forward(asm::CALL, reverting, Some(half.clone()))
        .op(asm::POP)
        .forward(asm::CALL, PEG, Some(half))
        .op(asm::STOP)
        .bytes();
    let contract = install(&mut chain, &code);
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let executed = chain.push_ok(&[wallet::call(0, 0, contract, ETHER, input)]);
    assert_eq!(executed.peg_events.len(), 1);
    let PegEventKind::WithdrawalRequested(event) = &executed.peg_events[0].kind else { panic!("a withdrawal") };
    assert_eq!((event.index, event.sender), (0, contract));
    assert_eq!(peg::supply(&chain), U256::from(20 * ETHER - ETHER / 2));
    assert_conserved(&chain);
}

#[test]
fn a_withdrawal_that_runs_out_of_gas_anywhere_leaves_nothing() {
    let mut chain = funded();
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let full = {
        let executed = chain.build(Vec::new(), &[wallet::call(0, 0, PEG, 1, input.clone())]);
        executed.receipts[0].gas_used
    };
    // Every 250 gas from the intrinsic cost up to enough: each point inside the module is hit.
    let mut gas = 22_500;
    let mut failures = 0;
    while gas < full + 500 {
        let executed = chain.build(Vec::new(), &[wallet::call_gas(0, 0, PEG, 1, input.clone(), gas)]);
        let receipt = &executed.receipts[0];
        if receipt.status {
            assert_eq!(receipt.gas_used, full);
        } else {
            failures += 1;
            assert_eq!(receipt.gas_used, gas, "an exceptional halt takes all gas");
            assert!(executed.peg_events.is_empty());
            assert!(!executed.diff.storage.keys().any(|(owner, _)| *owner == PEG));
            assert!(!executed.diff.accounts.contains_key(&PEG));
        }
        gas += 250;
    }
    assert!(failures > 100, "{failures}");
    let nonce = chain.nonce(0);
    chain.push_ok(&[wallet::call(0, nonce, PEG, 1, input)]);
    assert_conserved(&chain);
}

#[test]
fn the_call_stipend_is_not_enough_to_withdraw() {
    let mut chain = funded();
    // CALL with gas 0 and value: the callee gets the 2,300 stipend only.
    let code = Asm::new()
        .calldata_to_memory()
        .push(0u64)
        .push(0u64)
        .op(asm::CALLDATASIZE)
        .push(0u64)
        .op(asm::CALLVALUE)
        .push_address(PEG)
        .push(0u64)
        .op(asm::CALL)
        .push(0u64)
        .op(asm::SSTORE)
        .bytes();
    let contract = install(&mut chain, &code);
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    chain.push_ok(&[wallet::call(0, 0, contract, ETHER, input)]);
    assert_eq!(chain.state.slot(contract, 0), U256::ZERO, "the call failed");
    assert_eq!(chain.state.balance(contract), U256::from(ETHER));
    assert_conserved(&chain);
}

#[test]
fn gas_of_slots_is_what_sload_and_sstore_charge() {
    let mut chain = funded();
    let supply: Bytes = IPeg::supplyCall {}.abi_encode().into();
    let gas = |chain: &TestChain, input: &Bytes, value| {
        let mut request = peg_call(wallet::address(0), value, input.clone());
        request.gas = Some(1_000_000);
        match chain.call(&request) {
            CallResult::Success { gas_used, .. } => gas_used,
            other => panic!("{other:?}"),
        }
    };
    // 21,000 + calldata (4 non-zero bytes) + one word of input + one cold slot.
    assert_eq!(gas(&chain, &supply, 0), 21_000 + 4 * 16 + 3 + 2_100);

    let withdraw = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    chain.push_ok(&[wallet::call(0, 0, PEG, 1, withdraw.clone()), wallet::call(0, 1, PEG, 1, withdraw.clone())]);
    let calldata: u64 = withdraw.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
    // Third leaf (index 2) goes to level 0. Cold: vault, registry, count, supply; warm reset of frontier[0] (cold), count, supply.
    let slots = 4 * 2_100 + (2_100 + 2_900) + 2 * 2_900;
    let compute = 3 * 3 + 150 + TREE_DEPTH as u64 * 42;
    let event = 375 + 4 * 375 + 8 * 96;
    assert_eq!(gas(&chain, &withdraw, 1), 21_000 + calldata + compute + slots + event);
}

#[test]
fn the_peg_is_an_account_with_code_and_its_slots_are_provable() {
    let chain = funded();
    let account = chain.state.accounts[&PEG];
    assert!(account.has_code());
    let slot = B256::from(causeway_peg::layout::SUPPLY);
    let proof = causeway_trie::prove(
        &chain.state.nodes,
        Some(alloy_primitives::keccak256(PEG)),
        account.storage_root,
        alloy_primitives::keccak256(slot),
    )
    .unwrap();
    assert!(!proof.is_empty());
}

#[test]
fn peg_state_is_read_only() {
    let chain = funded();
    let mut slots = peg_state(&chain.state);
    assert_eq!(slots.load(causeway_peg::layout::SUPPLY).unwrap(), U256::from(20 * ETHER));
    assert!(slots.store(U256::ZERO, U256::ZERO).is_err());
}

#[test]
fn delegating_an_account_to_the_peg_runs_the_invalid_opcode() {
    let mut chain = funded();
    let bob = wallet::address(1);
    let input = peg::withdraw_input(Address::repeat_byte(0xee), 0);
    let executed = chain.push(Vec::new(), &[wallet::eip7702(0, 0, bob, vec![wallet::authorize(1, 0, PEG)], input)]);
    assert!(!executed.receipts[0].status && executed.peg_events.is_empty());
    assert_conserved(&chain);
}

#[test]
fn minting_to_a_contract_runs_no_code() {
    let mut chain = funded();
    let contract = install(&mut chain, &Asm::new().op(asm::INVALID).bytes());
    let import = peg::import(&chain, &[(contract, 9), (REWARD_POOL, 2), (PEG, 1)]);
    let executed = chain.push(vec![import], &[]);
    assert_eq!(executed.receipts.len(), 1);
    assert_eq!(chain.state.balance(contract), U256::from(9));
    assert_conserved(&chain);
}

#[test]
fn an_import_may_be_spent_in_the_same_block() {
    let mut chain = TestChain::pegged();
    let import = peg::import(&chain, &[(wallet::address(0), ETHER)]);
    let executed = chain.push(vec![import], &[wallet::transfer(0, 0, Address::repeat_byte(0x12), 5)]);
    assert_eq!(executed.receipts.len(), 2);
    assert_eq!(executed.receipts[1].cumulative_gas_used, executed.block.header.gas_used);
    assert_conserved(&chain);
}

#[test]
fn system_transactions_have_unique_hashes() {
    let tx = SystemTx { block_number: 1, index: 0, to: PEG, gas_limit: 1, input: Bytes::new() };
    let later = SystemTx { block_number: 2, ..tx.clone() };
    let next = SystemTx { index: 1, ..tx.clone() };
    let hashes = [tx, later, next].map(|tx| Transaction::System(tx).hash());
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
}
