//! The staking module through transactions: every action, and every way of calling it wrongly.

use crate::support::{
    ETHER, TestChain, asm, contracts,
    staking::{self, act, active, ask, liquid, operator, operator_user, registration, stake, validator},
    wallet,
};
use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_sol_types::{Revert, SolCall, SolError, SolEvent, SolInterface};
use causeway_execution::{CallRequest, CallResult, ExecutedBlock};
use causeway_genesis::addresses::{STAKE_TOKEN, STAKING, SYSTEM};
use causeway_staking::abi::{
    IStakeToken,
    IStaking::{self, IStakingErrors as Refused},
};

fn refused(output: &Bytes) -> Refused {
    Refused::abi_decode(output).unwrap()
}

fn refusal(chain: &TestChain, from: Address, call: &impl SolCall) -> Refused {
    refused(&staking::refusal(chain, from, call))
}

fn logs(executed: &ExecutedBlock) -> &[Log] {
    &executed.receipts.last().unwrap().logs
}

fn event<E: SolEvent>(executed: &ExecutedBlock) -> E {
    let found = logs(executed).iter().filter(|log| log.address == STAKING);
    let mut events = found.filter_map(|log| E::decode_raw_log_validate(log.data.topics(), &log.data.data).ok());
    events.next().unwrap()
}

/// Movements of liquid stake in the block: (from, to, amount).
fn transfers(executed: &ExecutedBlock) -> Vec<(Address, Address, U256)> {
    let found = logs(executed).iter().filter(|log| log.address == STAKE_TOKEN);
    found
        .map(|log| IStakeToken::Transfer::decode_raw_log_validate(log.data.topics(), &log.data.data).unwrap())
        .map(|event| (event.from, event.to, event.value))
        .collect()
}

fn delegate(validator: u8, tokens: u64) -> IStaking::delegateCall {
    IStaking::delegateCall { validator: operator(validator), amount: stake(tokens) }
}

fn undelegate(validator: u8, tokens: u64) -> IStaking::undelegateCall {
    IStaking::undelegateCall { validator: operator(validator), amount: stake(tokens) }
}

/// A chain on which the operator 5 has registered with the keys 5 and 2,000 of stake.
fn with_fifth() -> TestChain {
    let mut chain = staking::standalone();
    let call = registration(&chain, operator(5), 5, 500, stake(2_000));
    act(&mut chain, operator_user(5), &call);
    chain
}

#[test]
fn genesis_validators_are_registered_with_their_self_bond() {
    let chain = staking::standalone();
    let seeds: Vec<_> = ask(&chain, &IStaking::validatorsCall {});
    assert_eq!(seeds.len(), 4);
    for seed in 1..=4 {
        let found = validator(&chain, seed);
        assert_eq!((found.operator, found.consensusKey), (operator(seed), staking::consensus_key(seed)));
        assert_eq!((found.tokens, found.selfBond, found.commissionBps), (stake(1_000), stake(1_000), 0));
        assert!(found.power > 0 && !found.jailed && !found.tombstoned);
    }
    let (set, _) = causeway_execution::validator_set_at(&chain.state).unwrap();
    assert_eq!(set, chain.genesis.validator_set());
    let (next, operators) = causeway_execution::next_validator_set_at(&chain.state).unwrap();
    assert_eq!(next, set);
    assert_eq!(operators[&crate::support::validator_id(2)], operator(2));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_registration_bonds_its_stake_and_leaves_events() {
    let mut chain = staking::standalone();
    let call = registration(&chain, operator(5), 5, 500, stake(2_000));
    let executed = act(&mut chain, operator_user(5), &call);
    let registered: IStaking::Registered = event(&executed);
    assert_eq!((registered.operator, registered.commissionBps), (operator(5), 500));
    assert_eq!((registered.consensusKey, registered.selfBond), (staking::consensus_key(5), stake(2_000)));
    assert_eq!(transfers(&executed), [(operator(5), STAKING, stake(2_000))]);
    assert_eq!(liquid(&chain, operator(5)), stake(8_000));
    let found = validator(&chain, 5);
    assert_eq!((found.tokens, found.selfBond, found.commissionBps, found.power), (stake(2_000), stake(2_000), 500, 0));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_registration_needs_proofs_of_both_keys_for_this_operator_and_chain() {
    let chain = staking::standalone();
    let good = registration(&chain, operator(5), 5, 0, stake(2));
    let refuse = |from, call: &IStaking::registerCall| {
        assert!(matches!(refusal(&chain, from, call), Refused::InvalidProof(_)));
    };
    // Somebody else sends it.
    refuse(operator(6), &good);
    // Proofs of other keys.
    let other = registration(&chain, operator(5), 6, 0, stake(2));
    refuse(operator(5), &IStaking::registerCall { consensusProof: other.consensusProof.clone(), ..good.clone() });
    refuse(operator(5), &IStaking::registerCall { pegProof: other.pegProof.clone(), ..good.clone() });
    refuse(operator(5), &IStaking::registerCall { consensusKey: other.consensusKey, ..good.clone() });
    refuse(operator(5), &IStaking::registerCall { pegAddress: other.pegAddress, ..good.clone() });
    // Proofs for another chain.
    let elsewhere = staking::standalone_with(|spec| spec.name.push('!'));
    let foreign = registration(&elsewhere, operator(5), 5, 0, stake(2));
    refuse(operator(5), &IStaking::registerCall { consensusProof: foreign.consensusProof, ..good.clone() });
    refuse(operator(5), &IStaking::registerCall { pegProof: foreign.pegProof, ..good.clone() });
    // Other lengths, one flipped bit, the malleable twin.
    for proof in [Bytes::new(), good.consensusProof.slice(..63), [&good.consensusProof[..], &[0]].concat().into()] {
        refuse(operator(5), &IStaking::registerCall { consensusProof: proof, ..good.clone() });
    }
    for proof in [Bytes::new(), good.pegProof.slice(..64), [&good.pegProof[..], &[0]].concat().into()] {
        refuse(operator(5), &IStaking::registerCall { pegProof: proof, ..good.clone() });
    }
    let flipped = |proof: &Bytes, at: usize| {
        let mut bytes = proof.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    refuse(operator(5), &IStaking::registerCall { consensusProof: flipped(&good.consensusProof, 9), ..good.clone() });
    refuse(operator(5), &IStaking::registerCall { pegProof: flipped(&good.pegProof, 9), ..good.clone() });
    let high_s = {
        let order = alloy_consensus::crypto::SECP256K1N_HALF * U256::from(2) + U256::from(1);
        let mut bytes = good.pegProof.to_vec();
        let s = order - U256::from_be_slice(&bytes[32..64]);
        bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
        bytes[64] = 55 - bytes[64];
        Bytes::from(bytes)
    };
    refuse(operator(5), &IStaking::registerCall { pegProof: high_s, ..good.clone() });
    // A key of small order, under which lax rules would accept a signature of zeros.
    let mut identity = [0u8; 32];
    identity[0] = 1;
    let mut proof = [0u8; 64];
    proof[0] = 1;
    let weak =
        IStaking::registerCall { consensusKey: identity.into(), consensusProof: proof.to_vec().into(), ..good.clone() };
    refuse(operator(5), &weak);
    // And the sound one is sound.
    let input = good.abi_encode().into();
    let request = CallRequest { from: Some(operator(5)), to: Some(STAKING), input, ..CallRequest::default() };
    assert!(matches!(chain.call(&request), CallResult::Success { .. }));
}

#[test]
fn keys_and_operators_register_once() {
    let chain = with_fifth();
    let again = registration(&chain, operator(5), 7, 0, stake(2));
    assert!(matches!(refusal(&chain, operator(5), &again), Refused::AlreadyRegistered(_)));
    let key = registration(&chain, operator(6), 5, 0, stake(2));
    assert!(matches!(refusal(&chain, operator(6), &key), Refused::ConsensusKeyTaken(_)));
    let genesis_key = registration(&chain, operator(6), 1, 0, stake(2));
    assert!(matches!(refusal(&chain, operator(6), &genesis_key), Refused::ConsensusKeyTaken(_)));
}

#[test]
fn rules_of_staking_come_back_as_typed_errors() {
    let chain = with_fifth();
    let user = wallet::address(0);
    assert!(matches!(refusal(&chain, user, &delegate(9, 1)), Refused::UnknownValidator(_)));
    let nothing = IStaking::delegateCall { validator: operator(1), amount: U256::ZERO };
    assert!(matches!(refusal(&chain, user, &nothing), Refused::ZeroAmount(_) | Refused::BelowMinimum(_)));
    let dust = IStaking::delegateCall { validator: operator(1), amount: U256::from(1) };
    assert!(matches!(refusal(&chain, user, &dust), Refused::BelowMinimum(_)));
    let output = staking::refusal(&chain, user, &delegate(1, 10_001));
    let short = IStakeToken::IStakeTokenErrors::abi_decode(&output);
    assert!(short.is_ok() || matches!(refused(&output), Refused::InsufficientStake(_)), "{output}");
    assert!(matches!(refusal(&chain, operator(5), &IStaking::unjailCall {}), Refused::NotJailed(_)));
    assert!(matches!(refusal(&chain, user, &IStaking::unjailCall {}), Refused::UnknownValidator(_)));
    let far = IStaking::setCommissionCall { bps: 10_001 };
    assert!(matches!(refusal(&chain, operator(5), &far), Refused::CommissionRefused(_)));
    let early = IStaking::claimUnbondedCall { validator: operator(1), leaveEpoch: 3 };
    assert!(matches!(refusal(&chain, user, &early), Refused::NothingUnbonding(_)));
    let unknown = IStaking::settleRedelegationCall { id: 77 };
    assert!(matches!(refusal(&chain, user, &unknown), Refused::UnknownRedelegation(_)));
}

#[test]
fn stake_is_delegated_unbonded_and_claimed_exactly() {
    let mut chain = with_fifth();
    let user = wallet::address(0);
    let executed = act(&mut chain, 0, &delegate(1, 500));
    let delegated: IStaking::Delegated = event(&executed);
    assert_eq!((delegated.delegator, delegated.validator, delegated.amount), (user, operator(1), stake(500)));
    assert_eq!(transfers(&executed), [(user, STAKING, stake(500))]);
    let found = ask(&chain, &IStaking::delegationCall { delegator: user, validator: operator(1) });
    assert_eq!(found.tokens, stake(500));

    let executed = act(&mut chain, 0, &undelegate(1, 200));
    let undelegated: IStaking::Undelegated = event(&executed);
    assert_eq!((undelegated.delegator, undelegated.amount), (user, stake(200)));
    let leave = undelegated.leaveEpoch;
    assert_eq!(leave, staking::epoch(&chain) + 2);
    assert!(transfers(&executed).is_empty(), "nothing is liquid yet");
    let unbondings = ask(&chain, &IStaking::unbondingsCall { delegator: user });
    assert_eq!((unbondings[0].leaveEpoch, unbondings[0].tokens), (leave, stake(200)));

    let claim = IStaking::claimUnbondedCall { validator: operator(1), leaveEpoch: leave };
    assert!(matches!(refusal(&chain, user, &claim), Refused::NotClaimable(_)));
    staking::reach_epoch(&mut chain, leave);
    assert!(matches!(refusal(&chain, user, &claim), Refused::NotClaimable(_)));
    for _ in 0..chain.genesis.spec.staking.unbonding_seconds {
        chain.push(Vec::new(), &[]);
    }
    let before = liquid(&chain, user);
    let executed = act(&mut chain, 0, &claim);
    assert_eq!(transfers(&executed), [(STAKING, user, stake(200))]);
    assert_eq!(liquid(&chain, user), before + stake(200));
    assert!(matches!(refusal(&chain, user, &claim), Refused::NothingUnbonding(_)));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn stake_moves_between_validators() {
    let mut chain = with_fifth();
    act(&mut chain, 0, &delegate(1, 50));
    let call = IStaking::redelegateCall { from: operator(1), to: operator(2), amount: stake(20) };
    let executed = act(&mut chain, 0, &call);
    let moved: IStaking::Redelegated = event(&executed);
    assert_eq!((moved.from, moved.to, moved.amount), (operator(1), operator(2), stake(20)));
    let records = ask(&chain, &IStaking::redelegationsCall { delegator: wallet::address(0) });
    assert_eq!((records[0].id, records[0].from, records[0].to), (moved.id, operator(1), operator(2)));
    // Anybody may bring it up to date.
    act(&mut chain, 3, &IStaking::settleRedelegationCall { id: moved.id });
    let found = ask(&chain, &IStaking::delegationCall { delegator: wallet::address(0), validator: operator(2) });
    assert_eq!(found.tokens, stake(20));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn rewards_are_paid_out_of_the_pool_to_the_last_wei_that_is_shown() {
    let mut chain = staking::standalone();
    for _ in 0..3 {
        let txs: Vec<_> =
            (0..4).map(|user| wallet::transfer(user, chain.nonce(user), Address::repeat_byte(0x44), 1)).collect();
        chain.push_ok(&txs);
    }
    // The fees of the last block are counted by the next one's hook.
    chain.push(Vec::new(), &[]);
    let user = operator_user(1);
    let pending = ask(&chain, &IStaking::pendingRewardsCall { delegator: operator(1), validator: operator(1) });
    assert!(!pending.is_zero());
    let (coin, pool) = (chain.state.balance(operator(1)), staking::reward_pool(&chain));
    let executed = act(&mut chain, user, &IStaking::claimRewardsCall { validator: operator(1) });
    let claimed: IStaking::RewardsClaimed = event(&executed);
    assert_eq!((claimed.delegator, claimed.coin), (operator(1), pending));
    let receipt = &executed.receipts[0];
    let fee = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    assert_eq!(chain.state.balance(operator(1)), coin + pending - fee);
    assert_eq!(staking::reward_pool(&chain), pool - pending + fee);
    let left = ask(&chain, &IStaking::pendingRewardsCall { delegator: operator(1), validator: operator(1) });
    assert!(left.is_zero(), "its own fee is counted in the next block");
}

#[test]
fn a_commission_is_kept_claimed_and_changed() {
    let mut chain = staking::standalone_with(|spec| spec.validators[0].commission_bps = 1_000);
    act(&mut chain, 0, &delegate(1, 1_000));
    chain.push_ok(&[wallet::transfer(1, chain.nonce(1), Address::repeat_byte(0x44), 1)]);
    chain.push(Vec::new(), &[]);
    let accrued = validator(&chain, 1).commission;
    let executed = act(&mut chain, operator_user(1), &IStaking::claimCommissionCall {});
    let claimed: IStaking::CommissionClaimed = event(&executed);
    assert!(!claimed.coin.is_zero() && claimed.coin >= accrued);
    let change = IStaking::setCommissionCall { bps: 1_100 };
    assert!(matches!(refusal(&chain, operator(1), &change), Refused::CommissionRefused(_)), "a day after genesis");
    chain.interval = 86_400;
    let executed = act(&mut chain, operator_user(1), &change);
    let changed: IStaking::CommissionChanged = event(&executed);
    assert_eq!((changed.operator, changed.bps), (operator(1), 1_100));
    assert_eq!(validator(&chain, 1).commissionBps, 1_100);
    let soon = IStaking::setCommissionCall { bps: 1_150 };
    assert!(matches!(refusal(&chain, operator(1), &soon), Refused::CommissionRefused(_)));
}

#[test]
fn an_exit_leaves_the_set_and_the_stake_comes_back() {
    let mut chain = staking::standalone();
    let executed = act(&mut chain, operator_user(4), &IStaking::exitCall {});
    let exited: IStaking::Exited = event(&executed);
    assert_eq!(exited.operator, operator(4));
    staking::reach_epoch(&mut chain, exited.exitEpoch);
    assert!(!active(&chain).contains(&operator(4)));
    for _ in 0..chain.genesis.spec.staking.unbonding_seconds {
        chain.push(Vec::new(), &[]);
    }
    let before = liquid(&chain, operator(4));
    let unbondings = ask(&chain, &IStaking::unbondingsCall { delegator: operator(4) });
    for unbonding in unbondings {
        let claim = IStaking::claimUnbondedCall { validator: operator(4), leaveEpoch: unbonding.leaveEpoch };
        act(&mut chain, operator_user(4), &claim);
    }
    assert_eq!(liquid(&chain, operator(4)), before + stake(1_000));
    staking::assert_stake_conserved(&chain);
}

/// Every function that changes something, as `from` might call it.
fn actions(chain: &TestChain) -> Vec<Bytes> {
    let evidence = staking::double_vote(chain.genesis.hash, 4, 1);
    let calls: Vec<Vec<u8>> = vec![
        registration(chain, operator(6), 6, 0, stake(2)).abi_encode(),
        delegate(1, 1).abi_encode(),
        undelegate(1, 1).abi_encode(),
        IStaking::redelegateCall { from: operator(1), to: operator(2), amount: stake(1) }.abi_encode(),
        IStaking::settleRedelegationCall { id: 1 }.abi_encode(),
        IStaking::claimUnbondedCall { validator: operator(1), leaveEpoch: 2 }.abi_encode(),
        IStaking::claimRewardsCall { validator: operator(1) }.abi_encode(),
        IStaking::claimCommissionCall {}.abi_encode(),
        IStaking::setCommissionCall { bps: 1 }.abi_encode(),
        IStaking::unjailCall {}.abi_encode(),
        IStaking::exitCall {}.abi_encode(),
        staking::report(&evidence, 0).abi_encode(),
    ];
    calls.into_iter().map(Bytes::from).collect()
}

/// Every function that only asks.
fn views() -> Vec<Bytes> {
    let (user, at) = (wallet::address(0), operator(1));
    let calls: Vec<Vec<u8>> = vec![
        IStaking::epochCall {}.abi_encode(),
        IStaking::activeSetCall {}.abi_encode(),
        IStaking::nextSetCall {}.abi_encode(),
        IStaking::validatorCall { operator: at }.abi_encode(),
        IStaking::validatorsCall {}.abi_encode(),
        IStaking::delegationCall { delegator: user, validator: at }.abi_encode(),
        IStaking::pendingRewardsCall { delegator: user, validator: at }.abi_encode(),
        IStaking::unbondingsCall { delegator: user }.abi_encode(),
        IStaking::redelegationsCall { delegator: user }.abi_encode(),
        IStaking::totalsCall {}.abi_encode(),
        IStaking::paramsCall {}.abi_encode(),
    ];
    calls.into_iter().map(Bytes::from).collect()
}

#[test]
fn the_tests_know_every_function() {
    let chain = staking::standalone();
    let mut selectors: Vec<[u8; 4]> =
        [actions(&chain), views()].concat().iter().map(|input| input[..4].try_into().unwrap()).collect();
    selectors.sort_unstable();
    let mut all = IStaking::IStakingCalls::SELECTORS.to_vec();
    all.sort_unstable();
    assert_eq!(selectors, all);
}

#[test]
fn views_answer_to_call_and_staticcall_and_refuse_value() {
    let mut chain = staking::standalone();
    let looker = contracts::install(&mut chain, 1, &contracts::forwarder(asm::STATICCALL, STAKING));
    let caller = contracts::install(&mut chain, 1, &contracts::forwarder(asm::CALL, STAKING));
    for input in views() {
        let ask = |to, value| {
            let from = Some(wallet::address(0));
            chain.call(&CallRequest { from, to: Some(to), input: input.clone(), value, ..CallRequest::default() })
        };
        let CallResult::Success { output, .. } = ask(STAKING, U256::ZERO) else { panic!("{input}") };
        for to in [looker, caller] {
            assert!(matches!(ask(to, U256::ZERO), CallResult::Success { output: same, .. } if same == output));
        }
        let CallResult::Revert { output, .. } = ask(STAKING, U256::from(1)) else { panic!("{input}") };
        assert!(matches!(refused(&output), Refused::NotPayable(_)));
    }
}

#[test]
fn a_static_call_changes_nothing() {
    let mut chain = staking::standalone();
    let looker = contracts::install(&mut chain, 1, &contracts::forwarder(asm::STATICCALL, STAKING));
    let caller = contracts::install(&mut chain, 1, &contracts::forwarder(asm::CALL, STAKING));
    let outer = contracts::install(&mut chain, 1, &contracts::forwarder(asm::STATICCALL, caller));
    for input in actions(&chain) {
        for to in [looker, outer] {
            let request = CallRequest { to: Some(to), input: input.clone(), ..CallRequest::default() };
            let CallResult::Revert { output, .. } = chain.call(&request) else { panic!("{input}") };
            assert_eq!(Revert::abi_decode(&output).unwrap().reason, "state change in a static call", "{input}");
        }
    }
}

#[test]
fn actions_take_no_value() {
    let chain = staking::standalone();
    for input in actions(&chain) {
        let from = Some(wallet::address(0));
        let value = U256::from(1);
        let request = CallRequest { from, to: Some(STAKING), input, value, ..CallRequest::default() };
        let CallResult::Revert { output, .. } = chain.call(&request) else { panic!("accepted value") };
        assert!(matches!(refused(&output), Refused::NotPayable(_)));
    }
}

#[test]
fn delegatecall_and_callcode_are_refused() {
    let mut chain = staking::standalone();
    for kind in [asm::DELEGATECALL, asm::CALLCODE] {
        let contract = contracts::install(&mut chain, 1, &contracts::forwarder(kind, STAKING));
        for input in [actions(&chain), views()].concat() {
            let request = CallRequest { to: Some(contract), input, ..CallRequest::default() };
            let CallResult::Revert { output, .. } = chain.call(&request) else { panic!("ran as somebody else") };
            assert_eq!(Revert::abi_decode(&output).unwrap().reason, "native modules cannot be delegate-called");
        }
    }
}

#[test]
fn only_exact_encodings_are_calls() {
    let chain = staking::standalone();
    let refuse = |input: Vec<u8>| {
        let from = Some(wallet::address(0));
        let request = CallRequest { from, to: Some(STAKING), input: input.clone().into(), ..CallRequest::default() };
        let CallResult::Revert { output, .. } = chain.call(&request) else { panic!("{input:?}") };
        assert!(matches!(refused(&output), Refused::InvalidCall(_)), "{input:?}");
    };
    for short in [Vec::new(), vec![1, 2, 3], vec![0xff; 4]] {
        refuse(short);
    }
    let call = delegate(1, 1).abi_encode();
    refuse(call[..call.len() - 1].to_vec());
    refuse(call[..40].to_vec());
    for at in 4..16 {
        let mut dirty = call.clone();
        dirty[at] = 1;
        refuse(dirty);
    }
    let mut commission = IStaking::setCommissionCall { bps: 1 }.abi_encode();
    commission[20] = 1;
    refuse(commission);
    let mut claim = IStaking::claimUnbondedCall { validator: operator(1), leaveEpoch: 2 }.abi_encode();
    claim[40] = 1;
    refuse(claim);
    // An array that claims to be longer than the call.
    let mut report = staking::report(&staking::double_vote(chain.genesis.hash, 4, 1), 0).abi_encode();
    report[4 + 64 + 24] = 0xff;
    refuse(report);
}

#[test]
fn a_contract_stakes_in_its_own_name() {
    let mut chain = staking::standalone();
    let contract = contracts::install(&mut chain, 1, &contracts::forwarder(asm::CALL, STAKING));
    let fund = IStakeToken::transferCall { to: contract, amount: stake(100) };
    let tx = staking::to(&chain, 0, STAKE_TOKEN, &fund);
    chain.push_ok(&[tx]);
    let tx = wallet::call(0, chain.nonce(0), contract, 0, delegate(2, 60).abi_encode());
    let executed = chain.push_ok(&[tx]);
    let delegated: IStaking::Delegated = event(&executed);
    assert_eq!(delegated.delegator, contract);
    assert_eq!(liquid(&chain, contract), stake(40));
    assert_eq!(liquid(&chain, wallet::address(0)), stake(9_900));
}

#[test]
fn a_constructor_may_call_and_is_the_sender() {
    let mut chain = staking::standalone();
    let contract = wallet::address(0).create(1);
    let fund = IStakeToken::transferCall { to: contract, amount: stake(100) };
    let tx = staking::to(&chain, 0, STAKE_TOKEN, &fund);
    chain.push_ok(&[tx]);
    let init = contracts::constructor_call(STAKING, &delegate(2, 60).abi_encode());
    chain.push_ok(&[wallet::create(0, 1, init)]);
    let found = ask(&chain, &IStaking::delegationCall { delegator: contract, validator: operator(2) });
    assert_eq!(found.tokens, stake(60));
}

#[test]
fn a_frame_that_reverts_undoes_stake_coin_and_events_at_any_depth() {
    let mut chain = staking::standalone();
    chain.push_ok(&[wallet::transfer(1, chain.nonce(1), Address::repeat_byte(0x44), 1)]);
    let reverter = contracts::install(&mut chain, 1, &contracts::reverter(STAKING));
    let halting = contracts::call_then(STAKING, asm::Asm::new().op(asm::INVALID));
    let halting = contracts::install(&mut chain, 1, &halting);
    for victim in [reverter, halting] {
        let fund = IStakeToken::transferCall { to: victim, amount: stake(100) };
        let tx = staking::to(&chain, 0, STAKE_TOKEN, &fund);
        chain.push_ok(&[tx]);
        let swallower = contracts::install(&mut chain, 1, &contracts::swallower(victim));
        let outer = contracts::install(&mut chain, 1, &contracts::swallower(swallower));
        let storage = staking_slots(&chain);
        for target in [victim, swallower, outer] {
            let tx = wallet::call_gas(0, chain.nonce(0), target, 0, delegate(2, 60).abi_encode(), 2_000_000);
            // Built and not pushed: the hooks of a further block would write slots of their own.
            let executed = chain.build(Vec::new(), &[tx]);
            assert_eq!(executed.receipts.len(), 1);
            assert!(executed.receipts[0].logs.is_empty());
            let empty = chain.build(Vec::new(), &[]);
            let own = |block: &ExecutedBlock| {
                let storage = block.diff.storage.iter().filter(|((owner, _), _)| *owner == STAKING);
                storage.map(|(slot, change)| (*slot, *change)).collect::<Vec<_>>()
            };
            assert_eq!(own(&executed), own(&empty), "only the hooks wrote");
        }
        assert_eq!(storage, staking_slots(&chain));
        assert_eq!(liquid(&chain, victim), stake(100));
    }
    staking::assert_stake_conserved_with(&chain, &[reverter, halting]);
}

fn staking_slots(chain: &TestChain) -> Vec<(U256, U256)> {
    let storage = chain.state.storage.iter().filter(|((owner, _), _)| *owner == STAKING);
    storage.map(|((_, slot), value)| (*slot, *value)).collect()
}

/// Slots of the modules and balances that `executed` changed beyond what an empty block changes, fees aside.
fn assert_left_nothing(chain: &TestChain, executed: &ExecutedBlock, what: &str) {
    let empty = chain.build(Vec::new(), &[]);
    let own = |block: &ExecutedBlock| {
        let storage = block.diff.storage.iter().filter(|((owner, _), _)| *owner == STAKING);
        storage.map(|(slot, change)| (*slot, *change)).collect::<Vec<_>>()
    };
    assert_eq!(own(executed), own(&empty), "{what}");
    assert!(executed.receipts[0].logs.is_empty(), "{what}");
}

#[test]
fn running_out_of_gas_anywhere_leaves_nothing() {
    let mut chain = with_fifth();
    act(&mut chain, 0, &delegate(1, 50));
    chain.push_ok(&[wallet::transfer(1, chain.nonce(1), Address::repeat_byte(0x44), 1)]);
    chain.push(Vec::new(), &[]);
    let evidence = staking::double_vote(chain.genesis.hash, 4, 1);
    let register = registration(&chain, operator(6), 6, 0, stake(2)).abi_encode();
    let redelegate = IStaking::redelegateCall { from: operator(1), to: operator(2), amount: stake(1) };
    let cases: Vec<(&str, u64, Vec<u8>)> = vec![
        ("register", operator_user(6), register),
        ("delegate", 0, delegate(1, 5).abi_encode()),
        ("undelegate", 0, undelegate(1, 5).abi_encode()),
        ("redelegate", 0, redelegate.abi_encode()),
        ("claimRewards", 0, IStaking::claimRewardsCall { validator: operator(1) }.abi_encode()),
        ("exit", operator_user(5), IStaking::exitCall {}.abi_encode()),
        ("reportEvidence", 0, staking::report(&evidence, 0).abi_encode()),
    ];
    for (what, user, input) in cases {
        let nonce = chain.nonce(user);
        let run = |gas| {
            let tx = wallet::call_gas(user, nonce, STAKING, 0, input.clone(), gas);
            chain.build(Vec::new(), &[tx])
        };
        let enough = run(2_000_000);
        assert!(enough.receipts[0].status, "{what}");
        // With all refunds owed, the gas that is needed may be a fifth above the gas used.
        let (used, step) = (enough.receipts[0].gas_used, 1_711);
        let mut gas = used - (used - 21_000) * 9 / 10;
        let mut failures = 0;
        loop {
            let executed = run(gas);
            let Some(receipt) = executed.receipts.first() else {
                gas += step;
                continue;
            };
            if receipt.status {
                assert_eq!(receipt.gas_used, used, "{what}");
                break;
            }
            failures += 1;
            assert_eq!(receipt.gas_used, gas, "{what}: an exceptional halt takes all gas");
            assert_left_nothing(&chain, &executed, what);
            gas += step;
        }
        assert!(failures > 5, "{what}: {failures}");
    }
}

#[test]
fn every_action_succeeds_through_a_forwarder_with_the_gas_it_estimates() {
    let mut chain = with_fifth();
    act(&mut chain, 0, &delegate(1, 50));
    let call = delegate(1, 5).abi_encode();
    let request = CallRequest {
        from: Some(wallet::address(0)),
        to: Some(STAKING),
        input: call.clone().into(),
        ..CallRequest::default()
    };
    let gas = chain
        .executor
        .estimate_gas(&chain.head, &chain.state, &request, &causeway_execution::Overrides::default())
        .unwrap();
    let executed = chain.push_ok(&[wallet::call_gas(0, chain.nonce(0), STAKING, 0, call, gas)]);
    assert!(executed.receipts[0].status);
}

#[test]
fn calls_into_the_modules_are_traced_like_any_other() {
    let mut chain = with_fifth();
    let contract = contracts::install(&mut chain, 1, &contracts::forwarder(asm::CALL, STAKING));
    let (parent, state) = (chain.head.clone(), chain.state.clone());
    let tx = wallet::call(0, chain.nonce(0), contract, 0, IStaking::epochCall {}.abi_encode());
    let executed = chain.push_ok(&[tx]);
    let options = causeway_execution::TraceOptions::default();
    let frames =
        chain.executor.trace_block(&parent, &state, &executed.block, &executed.senders, 0..1, options).unwrap();
    assert_eq!(frames[0].calls[0].to, Some(STAKING));
}

#[test]
fn nobody_speaks_for_the_system() {
    let chain = staking::standalone();
    let evidence = staking::double_vote(chain.genesis.hash, 4, 1);
    // A simulated call from the system address is a report by that address, not by the proposer.
    let request = CallRequest {
        from: Some(SYSTEM),
        to: Some(STAKING),
        input: staking::report(&evidence, 0).abi_encode().into(),
        ..CallRequest::default()
    };
    let before = liquid(&chain, chain.proposer());
    assert!(matches!(chain.call(&request), CallResult::Success { .. } | CallResult::Revert { .. }));
    assert_eq!(liquid(&chain, chain.proposer()), before);
}

#[test]
fn staking_state_is_read_only() {
    use causeway_staking::Slots as _;
    let chain = staking::standalone();
    let mut slots = causeway_execution::staking_state(&chain.state);
    assert_eq!(causeway_staking::views::epoch(&mut slots).unwrap().number, 0);
    assert!(slots.store(U256::ZERO, U256::ZERO).is_err());
}

#[test]
fn registering_costs_two_signature_checks_more_than_its_slots() {
    let chain = staking::standalone();
    // A proof of the wrong length is refused after the checks are paid for.
    let good = registration(&chain, operator(5), 5, 0, stake(2));
    let bad = IStaking::registerCall { pegProof: Bytes::new(), ..good };
    let input: Bytes = bad.abi_encode().into();
    let calldata: u64 = input.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
    let words = input.len().div_ceil(32) as u64;
    let request = CallRequest { from: Some(operator(5)), to: Some(STAKING), input, ..CallRequest::default() };
    let CallResult::Revert { gas_used, .. } = chain.call(&request) else { panic!("a proof is missing") };
    assert_eq!(gas_used, 21_000 + calldata + 3 * words + 2 * 3_000);
}

#[test]
fn coin_sent_to_the_pool_is_shared_like_a_fee() {
    let mut chain = staking::standalone();
    let tx = wallet::transfer(0, chain.nonce(0), causeway_genesis::addresses::REWARD_POOL, ETHER);
    let executed = chain.push_ok(&[tx]);
    let receipt = &executed.receipts[0];
    let fee = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    chain.push(Vec::new(), &[]);
    let pending: U256 = (1..=4)
        .map(|seed| {
            let at = operator(seed);
            ask(&chain, &IStaking::pendingRewardsCall { delegator: at, validator: at })
        })
        .sum();
    let all = fee + U256::from(ETHER);
    assert!(pending <= all && all - pending <= U256::from(100), "{pending} of {all}");
}
