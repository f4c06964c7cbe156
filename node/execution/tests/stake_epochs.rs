//! Validator sets that change in real blocks: rotations, their boundaries, downtime, and the handover on a pegged chain.

use std::sync::Arc;

use crate::support::{
    TestChain, peg,
    staking::{self, act, active, ask, operator, operator_user, registration, stake, validator},
    wallet,
};
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolInterface};
use causeway_execution::{Block, BlockFault, ExecutionError, ValidationContext, peg_state, validator_set_at};
use causeway_peg::PegModule;
use causeway_staking::abi::IStaking::{self, IStakingErrors as Refused};

fn epoch(chain: &TestChain) -> IStaking::epochReturn {
    ask(chain, &IStaking::epochCall {})
}

fn next(chain: &TestChain) -> Vec<Address> {
    ask(chain, &IStaking::nextSetCall {}).into_iter().map(|member| member.operator).collect()
}

fn refusal(chain: &TestChain, from: Address, call: &impl SolCall) -> Refused {
    Refused::abi_decode(&staking::refusal(chain, from, call)).unwrap()
}

fn join(chain: &mut TestChain, seed: u8, tokens: u64) {
    let call = registration(chain, operator(seed), seed, 0, stake(tokens));
    act(chain, operator_user(seed), &call);
}

#[test]
fn epochs_of_a_standalone_chain_have_their_length_to_the_block() {
    let mut chain = staking::standalone();
    let length = chain.genesis.spec.epoch_length;
    for number in 1..=4 * length {
        chain.push(Vec::new(), &[]);
        let found = epoch(&chain);
        // The last block of an epoch leaves a state in which the next epoch decides.
        assert_eq!(found.number, number / length, "after block {number}");
        assert_eq!(found.startHeight, found.number * length + 1);
        assert_eq!(found.extended, 0);
    }
}

#[test]
fn a_new_validator_decides_from_the_first_block_of_its_epoch() {
    let mut chain = staking::standalone();
    join(&mut chain, 5, 500);
    let length = chain.genesis.spec.epoch_length;
    // Announced at the first rotation, a member from the second.
    staking::reach_epoch(&mut chain, 1);
    assert!(next(&chain).contains(&operator(5)) && !active(&chain).contains(&operator(5)));
    while chain.head.number + 1 < 2 * length {
        chain.push(Vec::new(), &[]);
    }
    let builds = |chain: &mut TestChain| {
        chain.builder = Some(operator(5));
        let built = chain.build(Vec::new(), &[]);
        chain.builder = None;
        chain.execute(Block::clone(&built.block))
    };
    let early = builds(&mut chain).unwrap_err();
    assert!(matches!(early.fault(), Some(BlockFault::Beneficiary(who)) if *who == operator(5)), "{early}");
    // The last block of epoch 1 is still decided by its four.
    chain.push(Vec::new(), &[]);
    assert_eq!(chain.validators.len(), 4);
    assert_eq!(validator_set_at(&chain.state).unwrap().0.len(), 5);
    builds(&mut chain).unwrap();
    chain.push(Vec::new(), &[]);
    assert_eq!(chain.validators.len(), 5);
}

#[test]
fn the_parents_certificate_is_checked_against_the_parents_set_across_a_rotation() {
    let mut chain = staking::standalone();
    join(&mut chain, 5, 500);
    staking::reach_epoch(&mut chain, 2);
    // The head is the last block of epoch 1: four signed it, five decide the next one.
    let (new_set, operators) = chain.next_set();
    assert_eq!((chain.validators.len(), new_set.len()), (4, 5));
    let built = chain.build(Vec::new(), &[]);
    let check = |parent_validators| {
        let checks = ValidationContext { now_ms: chain.now_ms(), parent_validators, operators: &operators };
        chain.executor.execute(&chain.head, &chain.state, built.block.clone(), &|_| None, &checks)
    };
    check(&chain.validators).unwrap();
    // Under the new set the same certificate misses the newcomer, but is a quorum; with its vote it is none of the old set's.
    check(&new_set).unwrap();
    let mut wide = TestChain { validators: new_set.clone(), ..staking::standalone() };
    std::mem::swap(&mut wide.genesis, &mut chain.genesis);
    let certificate = wide.certificate(chain.head.number, chain.head.hash_slow());
    std::mem::swap(&mut wide.genesis, &mut chain.genesis);
    assert_eq!(certificate.signatures.len(), 5);
    let attributes =
        causeway_execution::BuildAttributes { parent_certificate: Some(certificate), ..chain.attributes() };
    let foreign = chain.executor.build(&chain.head, &chain.state, attributes, Vec::new(), std::iter::empty()).unwrap();
    let checks =
        ValidationContext { now_ms: chain.now_ms(), parent_validators: &chain.validators, operators: &operators };
    let result = chain.executor.execute(&chain.head, &chain.state, foreign.block, &|_| None, &checks);
    let Err(ExecutionError::Invalid(fault)) = result else { panic!("accepted a stranger's vote") };
    assert!(matches!(*fault, BlockFault::Certificate(_)), "{fault}");
    // And the chain goes on over the boundary with a certificate by all five.
    chain.push(Vec::new(), &[]);
    chain.push(Vec::new(), &[]);
    assert_eq!(chain.head_certificate().unwrap().signatures.len(), 5);
}

#[test]
fn all_original_validators_are_replaced_by_new_ones() {
    let mut chain = staking::standalone();
    for seed in 5..=8 {
        join(&mut chain, seed, 1_000);
    }
    for seed in 1..=4 {
        let mut tries = 0;
        // An exit waits for room: at most a third of the stake leaves with an epoch.
        while staking::ask(&chain, &IStaking::validatorCall { operator: operator(seed) }).exitEpoch == 0 {
            let tx = staking::tx(&chain, operator_user(seed), &IStaking::exitCall {});
            chain.push(Vec::new(), &[tx]);
            tries += 1;
            assert!(tries < 200);
        }
    }
    let newcomers: Vec<Address> = (5..=8).map(operator).collect();
    for _ in 0..40 * chain.genesis.spec.epoch_length {
        let set = active(&chain);
        if set.len() == 4 && newcomers.iter().all(|operator| set.contains(operator)) {
            break;
        }
        // Whoever is of the set builds.
        chain.builder = set.first().copied();
        chain.push(Vec::new(), &[]);
    }
    let mut set = active(&chain);
    set.sort_unstable();
    let mut expected = newcomers;
    expected.sort_unstable();
    assert_eq!(set, expected, "within {} epochs", staking::epoch(&chain));
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_validator_that_neither_signs_nor_proposes_is_jailed_and_returns() {
    let mut chain = staking::standalone();
    let window = chain.genesis.spec.staking.downtime_window;
    chain.silent.insert(4);
    while !validator(&chain, 4).jailed {
        chain.push(Vec::new(), &[]);
        assert!(chain.head.number <= 3 * window, "not jailed by block {}", chain.head.number);
    }
    let found = validator(&chain, 4);
    let lost = stake(1_000) * U256::from(chain.genesis.spec.staking.downtime_slash_ppm) / U256::from(1_000_000);
    assert_eq!(found.tokens, stake(1_000) - lost);
    assert!(matches!(refusal(&chain, operator(4), &IStaking::unjailCall {}), Refused::StillJailed(_)));
    // Out of the set with the next computed one, and the chain goes on by the others.
    let at = staking::epoch(&chain);
    staking::reach_epoch(&mut chain, at + 2);
    assert!(!active(&chain).contains(&operator(4)));
    assert_eq!(active(&chain).len(), 3);
    assert!(chain.head.timestamp >= found.jailedUntil);
    act(&mut chain, operator_user(4), &IStaking::unjailCall {});
    chain.silent.clear();
    let at = staking::epoch(&chain);
    staking::reach_epoch(&mut chain, at + 2);
    assert!(active(&chain).contains(&operator(4)));
    for seed in 1..=3 {
        assert_eq!(validator(&chain, seed).tokens, stake(1_000), "who signs loses nothing");
    }
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_validator_that_proposes_is_alive_without_signatures() {
    let mut chain = staking::standalone();
    let window = chain.genesis.spec.staking.downtime_window;
    chain.silent.insert(4);
    while chain.head.number < 4 * window {
        // One block in each window.
        chain.builder = (chain.head.number % window == 5).then(|| operator(4));
        chain.push(Vec::new(), &[]);
    }
    assert!(!validator(&chain, 4).jailed);
    assert_eq!(validator(&chain, 4).tokens, stake(1_000));
}

#[test]
fn issuance_is_minted_at_rotations_and_counted() {
    let mut chain = staking::standalone_with(|spec| spec.staking.issuance_ppm = 10_000);
    let before = ask(&chain, &IStaking::totalsCall {});
    staking::reach_epoch(&mut chain, 1);
    let after = ask(&chain, &IStaking::totalsCall {});
    let issued = after.issued - before.issued;
    // 1 % of 4,000 bonded, rounded down by member.
    assert!(issued <= stake(40) && stake(40) - issued < U256::from(1_000_000), "{issued}");
    assert_eq!(after.bonded, before.bonded + issued);
    staking::assert_stake_conserved(&chain);
}

fn pegged() -> TestChain {
    TestChain::pegged_with(|spec| {
        staking::short_epochs(spec);
        spec.checkpoint_interval = 4;
    })
}

/// Coin for the operators and users, so that they can send transactions.
fn funded() -> TestChain {
    let mut chain = pegged();
    let users = (0..8).chain((1..=12).map(operator_user));
    let credits: Vec<_> = users.map(|user| (wallet::address(user), 100 * crate::support::ETHER)).collect();
    let import = peg::import(&chain, &credits);
    chain.push(vec![import], &[]);
    chain
}

fn peg_epoch(chain: &TestChain) -> u64 {
    PegModule::epoch(&mut peg_state(&chain.state)).unwrap()
}

/// Pushes a block that records the latest checkpoint when it is not recorded yet.
fn push_recording(chain: &mut TestChain) {
    let slots = &mut peg_state(&chain.state);
    let latest = PegModule::latest_checkpoint_number(slots).unwrap();
    let recorded = PegModule::recorded_checkpoint_number(slots).unwrap();
    let system = if latest > recorded { vec![peg::record(chain, latest)] } else { Vec::new() };
    chain.push(system, &[]);
}

/// The federation and the consensus set are the same people with the same powers.
fn assert_one_set(chain: &TestChain) {
    let federation = PegModule::validator_set(&mut peg_state(&chain.state)).unwrap();
    let (set, _) = validator_set_at(&chain.state).unwrap();
    assert_eq!(federation.epoch(), staking::epoch(chain));
    assert_eq!(federation.total_power(), set.total_power());
    assert_eq!(federation.len(), set.len());
    for member in ask(chain, &IStaking::activeSetCall {}) {
        assert_eq!(federation.get(&member.pegAddress).unwrap().1.power, member.power);
    }
}

#[test]
fn a_pegged_epoch_is_extended_until_its_handover_is_in_a_block() {
    let mut chain = funded();
    let length = chain.genesis.spec.epoch_length;
    while chain.head.number < 3 * length {
        chain.push(Vec::new(), &[]);
        assert_one_set(&chain);
    }
    let found = epoch(&chain);
    assert_eq!((found.number, peg_epoch(&chain)), (0, 0));
    // Block `length` would have been the last one of epoch 0; it and every block since was not.
    assert_eq!(found.extended, 3 * length - length + 1);
    // The certificate goes into one block, and the next one is the last of the epoch.
    push_recording(&mut chain);
    assert_eq!(staking::epoch(&chain), 0);
    chain.push(Vec::new(), &[]);
    assert_eq!((staking::epoch(&chain), peg_epoch(&chain)), (1, 1));
    assert_eq!(epoch(&chain).startHeight, chain.head.number + 1);
    assert_one_set(&chain);
}

#[test]
fn a_pegged_chain_rotates_on_time_when_checkpoints_are_recorded() {
    let mut chain = funded();
    join(&mut chain, 5, 500);
    let length = chain.genesis.spec.epoch_length;
    while chain.head.number < 5 * length {
        push_recording(&mut chain);
        assert_one_set(&chain);
        assert_eq!(epoch(&chain).number, chain.head.number / length, "after block {}", chain.head.number);
        assert_eq!(epoch(&chain).extended, 0);
    }
    assert!(active(&chain).contains(&operator(5)));
    // Every checkpoint names the set that follows its own epoch.
    let slots = &mut peg_state(&chain.state);
    for number in 1..=PegModule::latest_checkpoint_number(slots).unwrap() {
        let checkpoint = PegModule::checkpoint(slots, number).unwrap().unwrap();
        let commitment = PegModule::validator_set_commitment(slots, checkpoint.epoch + 1).unwrap();
        assert!(!commitment.is_zero());
        assert_eq!(checkpoint.nextValset, commitment, "checkpoint {number} of epoch {}", checkpoint.epoch);
    }
}

#[test]
fn an_offender_is_out_of_an_announced_set_that_nobody_can_have_signed_yet() {
    let mut chain = funded();
    assert!(chain.head.number < 4, "no checkpoint is due");
    let evidence = staking::double_vote(chain.genesis.hash, 4, 1);
    act(&mut chain, 0, &staking::report(&evidence, 0));
    chain.push(Vec::new(), &[]);
    assert!(!next(&chain).contains(&operator(4)));
    let announced = PegModule::validator_set_of(&mut peg_state(&chain.state), 1).unwrap().unwrap();
    assert_eq!(announced.len(), 3);
    while staking::epoch(&chain) < 1 {
        push_recording(&mut chain);
    }
    assert_eq!(active(&chain).len(), 3);
    assert_one_set(&chain);
}

#[test]
fn an_offender_stays_in_an_announced_set_that_may_be_on_the_parent_and_leaves_with_the_next() {
    let mut chain = funded();
    while chain.head.number < 6 {
        chain.push(Vec::new(), &[]);
    }
    let evidence = staking::double_vote(chain.genesis.hash, 4, 1);
    act(&mut chain, 0, &staking::report(&evidence, 0));
    while staking::epoch(&chain) < 1 {
        push_recording(&mut chain);
    }
    assert!(active(&chain).contains(&operator(4)) && !next(&chain).contains(&operator(4)));
    assert_one_set(&chain);
    while staking::epoch(&chain) < 2 {
        push_recording(&mut chain);
    }
    assert!(!active(&chain).contains(&operator(4)));
    assert_one_set(&chain);
}

#[test]
fn unbonded_stake_waits_for_the_parents_acknowledgement() {
    let mut chain = funded();
    act(&mut chain, 0, &IStaking::delegateCall { validator: operator(1), amount: stake(10) });
    act(&mut chain, 0, &IStaking::undelegateCall { validator: operator(1), amount: stake(10) });
    let leave = ask(&chain, &IStaking::unbondingsCall { delegator: wallet::address(0) })[0].leaveEpoch;
    while staking::epoch(&chain) < leave {
        push_recording(&mut chain);
    }
    let start = epoch(&chain).startTime;
    let unbonding = chain.genesis.spec.staking.unbonding_seconds;
    while chain.head.timestamp < start + unbonding + 1 {
        push_recording(&mut chain);
    }
    let user = wallet::address(0);
    let claim = IStaking::claimUnbondedCall { validator: operator(1), leaveEpoch: leave };
    assert!(matches!(refusal(&chain, user, &claim), Refused::NotClaimable(_)));
    // An acknowledgement of an earlier epoch is not enough.
    let system = vec![peg::acknowledge(&chain, leave - 1)];
    chain.push(system, &[]);
    assert!(matches!(refusal(&chain, user, &claim), Refused::NotClaimable(_)));
    let system = vec![peg::acknowledge(&chain, leave)];
    let executed = chain.push(system, &[]);
    assert_eq!(executed.receipts.len(), 1);
    act(&mut chain, 0, &claim);
    staking::assert_stake_conserved(&chain);
}

#[test]
fn a_silent_parent_holds_unbonded_stake_for_four_periods_at_most() {
    let mut chain = funded();
    act(&mut chain, 0, &IStaking::delegateCall { validator: operator(1), amount: stake(10) });
    act(&mut chain, 0, &IStaking::undelegateCall { validator: operator(1), amount: stake(10) });
    let leave = ask(&chain, &IStaking::unbondingsCall { delegator: wallet::address(0) })[0].leaveEpoch;
    while staking::epoch(&chain) < leave {
        push_recording(&mut chain);
    }
    let end = epoch(&chain).startTime + 4 * chain.genesis.spec.staking.unbonding_seconds;
    let claim = IStaking::claimUnbondedCall { validator: operator(1), leaveEpoch: leave };
    while chain.head.timestamp + 2 < end {
        push_recording(&mut chain);
    }
    assert!(matches!(refusal(&chain, wallet::address(0), &claim), Refused::NotClaimable(_)));
    push_recording(&mut chain);
    act(&mut chain, 0, &claim);
}

#[test]
fn views_of_the_peg_tell_of_epochs() {
    use causeway_peg::IPeg;
    let mut chain = funded();
    while staking::epoch(&chain) < 1 {
        push_recording(&mut chain);
    }
    let to = causeway_genesis::addresses::PEG;
    assert_eq!(staking::ask_at(&chain, to, &IPeg::epochCall {}), 1);
    assert_eq!(staking::ask_at(&chain, to, &IPeg::ackedEpochCall {}), 0);
    let handover = staking::ask_at(&chain, to, &IPeg::handoverCall { epoch_: 0 });
    assert_eq!((handover.checkpoint_, handover.block_), (1, 6));
    let none = staking::ask_at(&chain, to, &IPeg::handoverCall { epoch_: 1 });
    assert_eq!((none.checkpoint_, none.block_), (0, 0));
    for epoch in 0..=2 {
        let set = staking::ask_at(&chain, to, &IPeg::validatorSetCall { epoch_: epoch });
        assert_eq!(set.validators.len(), 4, "{epoch}");
    }
    let output = staking::refusal_at(&chain, Address::ZERO, to, &IPeg::validatorSetCall { epoch_: 3 });
    assert!(matches!(IPeg::IPegErrors::abi_decode(&output).unwrap(), IPeg::IPegErrors::UnknownEpoch(_)));
}

#[test]
fn a_block_traced_again_closes_the_parents_accounts_as_it_did() {
    let mut chain = staking::standalone();
    let window = chain.genesis.spec.staking.downtime_window;
    chain.silent.insert(4);
    while chain.head.number < window + 2 {
        chain.push(Vec::new(), &[]);
    }
    let (parent, state) = (chain.head.clone(), chain.state.clone());
    let tx = staking::tx(&chain, 0, &IStaking::validatorCall { operator: operator(4) });
    let executed = chain.push_ok(&[tx]);
    let block = Arc::new(Block::clone(&executed.block));
    let frames = chain
        .executor
        .trace_block(&parent, &state, &block, &executed.senders, 0..1, causeway_execution::TraceOptions::default())
        .unwrap();
    assert_eq!(frames[0].gas_used.to::<u64>(), executed.receipts[0].gas_used);
}
