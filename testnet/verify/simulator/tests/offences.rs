//! A double signer is reported by the one node that saw it, slashed, tombstoned and removed, once.

use crate::support::{Scenario, epochs, plan};
use alloy_primitives::{B256, U256};
use causeway::{
    evidence::{self, Kept},
    handle::Event,
};
use causeway_consensus::{
    ConsensusMessage, Ed25519Signer, Evidence, Height, Round, SignedVote, Signer, Vote, VoteKind,
};
use causeway_execution::staking_state;
use causeway_genesis::addresses::STAKING;
use causeway_simulator::setup::{stake, token};
use causeway_staking::{IStaking, views};

/// Five validators, of which some may sign twice.
fn start(seed: u64, offenders: &[usize]) -> Scenario {
    let mut scenario = Scenario::with_offenders(&epochs(plan(5, seed), 10), offenders);
    assert!(scenario.run(5_000, |scenario| scenario.all_reached(4)));
    scenario
}

/// A vote for a phantom block, signed with a member's key outside its node.
fn twin(scenario: &Scenario, index: usize, kind: VoteKind, height: u64, round: Round) -> ConsensusMessage {
    let block_hash = Some(B256::repeat_byte(0xee));
    let vote = Vote { kind, height: Height(height), round, block_hash, validator: scenario.id(index) };
    let signer = Ed25519Signer::new(scenario.machine(index).keys.consensus.expose());
    let signature = signer.sign(&vote.sign_bytes(scenario.world.genesis.hash)).unwrap();
    ConsensusMessage::Vote(SignedVote { vote, signature })
}

/// Only machine 1 receives it.
fn hear(scenario: &mut Scenario, from: usize, message: ConsensusMessage) {
    scenario.happens(1, 1, Event::Consensus { from: token(from), message });
}

/// Blocks with a call of the system into the staking module.
fn reports(scenario: &Scenario) -> usize {
    let storage = &scenario.chain(0).storage;
    let system = |number| {
        let block = storage.block(number).unwrap().unwrap();
        block.transactions.iter().filter_map(|tx| tx.as_system()).filter(|tx| tx.to == STAKING).count()
    };
    (1..=scenario.head(0)).map(system).sum()
}

fn assert_punished_once(scenario: &mut Scenario, offender: usize) {
    let punished = |scenario: &Scenario| scenario.validator(offender).is_some_and(|validator| validator.tombstoned);
    assert!(scenario.run(60_000, punished), "the evidence is in no block");
    let height = scenario.head(0) + 30;
    assert!(scenario.run(120_000, |scenario| scenario.all_reached(height)));
    assert!(!scenario.set().contains(&offender), "still in the set");
    assert_eq!(reports(scenario), 1, "reported more than once");
    assert!(scenario.chain(1).storage.pending_evidence().unwrap().is_empty());
    let state = scenario.chain(0).storage.latest();
    let mut slots = staking_state(state.as_ref());
    assert!(views::totals(&mut slots).unwrap().slashed > U256::ZERO);
    let reporter = scenario.machine(1).operator.address();
    assert!(views::balance_of(&mut slots, reporter).unwrap() > U256::ZERO, "the reporter's share");
}

#[test]
fn a_double_vote_seen_by_one_node_is_slashed_and_its_signer_removed() {
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        let mut scenario = start(21, &[4]);
        let message = twin(&scenario, 4, kind, scenario.head(1) + 1, Round(0));
        hear(&mut scenario, 4, message);
        assert_punished_once(&mut scenario, 4);
        // A tombstoned validator cannot fill the evidence pool with further offences.
        let height = scenario.head(1).saturating_sub(40).max(5);
        for round in 0..3 {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                let message = twin(&scenario, 4, kind, height, Round(round));
                hear(&mut scenario, 4, message);
            }
        }
        scenario.pass(50);
        assert!(scenario.chain(1).storage.pending_evidence().unwrap().is_empty());
    }
}

#[test]
fn evidence_of_a_height_that_is_not_reached_waits_for_it() {
    let mut scenario = start(25, &[4]);
    let height = scenario.head(1) + 6;
    let vote = |block: u8| {
        let ConsensusMessage::Vote(signed) = twin(&scenario, 4, VoteKind::Prevote, height, Round(0)) else { panic!() };
        let vote = Vote { block_hash: Some(B256::repeat_byte(block)), ..signed.vote };
        let signer = Ed25519Signer::new(scenario.machine(4).keys.consensus.expose());
        let signature = signer.sign(&vote.sign_bytes(scenario.world.genesis.hash)).unwrap();
        SignedVote { vote, signature }
    };
    let evidence = Evidence::of_votes(vote(1), vote(2));
    let chain = scenario.chain(1).clone();
    assert_eq!(evidence::keep(&chain.genesis, &chain.storage, &evidence).unwrap(), Kept::New);
    let report =
        |height| evidence::report(&chain.genesis, &chain.storage, chain.storage.latest().as_ref(), height).unwrap();
    assert!(report(scenario.head(1) + 1).is_none(), "no block before that height can carry it");
    assert!(scenario.run(20_000, |scenario| scenario.head(1) + 1 >= height));
    assert!(report(height).is_some());
}

#[test]
fn evidence_survives_a_crash_of_the_only_node_that_saw_it() {
    let mut scenario = start(22, &[4]);
    let message = twin(&scenario, 4, VoteKind::Prevote, scenario.head(1) + 1, Round(0));
    hear(&mut scenario, 4, message);
    let seen = |scenario: &Scenario| !scenario.chain(1).storage.pending_evidence().unwrap().is_empty();
    assert!(scenario.run(5_000, seen));
    scenario.crash(1);
    let height = scenario.head(0) + 5;
    assert!(scenario.run(60_000, |scenario| scenario.head(0) >= height));
    assert!(!scenario.validator(4).unwrap().tombstoned);
    scenario.start(1);
    assert_punished_once(&mut scenario, 4);
}

/// Signers of a height's certificate, without machines 0 and 1.
fn signer_of(scenario: &Scenario, height: u64) -> (usize, Round) {
    let certificate = scenario.chain(1).storage.certificate(height).unwrap().unwrap();
    let signed = |index: &usize| certificate.signatures.iter().any(|s| s.validator == scenario.id(*index));
    ((2..5).find(signed).unwrap(), certificate.round)
}

#[test]
fn a_late_precommit_is_compared_with_the_stored_certificate_after_a_restart() {
    let mut scenario = start(23, &[2, 3, 4]);
    let (offender, round) = signer_of(&scenario, 3);
    let message = twin(&scenario, offender, VoteKind::Precommit, 3, round);
    scenario.crash(1);
    assert!(scenario.run(10_000, |scenario| scenario.head(0) >= 8));
    scenario.start(1);
    assert!(scenario.run(60_000, |scenario| scenario.head(1) >= 12 && !scenario.node(1).is_held()));
    hear(&mut scenario, offender, message);
    assert_punished_once(&mut scenario, offender);
}

#[test]
fn a_former_members_stake_answers_for_what_it_signed_as_long_as_it_unbonds() {
    let mut scenario = start(24, &[2, 3, 4]);
    let (offender, round) = signer_of(&scenario, 3);
    let message = twin(&scenario, offender, VoteKind::Precommit, 3, round);
    scenario.stake_call(offender, IStaking::exitCall {});
    assert!(scenario.run(300_000, |scenario| !scenario.set().contains(&offender)), "{:?}", scenario.set());
    scenario.crash(1);
    scenario.start(1);
    let height = scenario.head(0) + 15;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height) && !scenario.node(1).is_held()));
    hear(&mut scenario, offender, message);
    assert_punished_once(&mut scenario, offender);
    let state = scenario.chain(0).storage.latest();
    let slashed = views::totals(&mut staking_state(state.as_ref())).unwrap().slashed;
    // 5 % of 1,000 tokens, less the reporter's 5 % of that.
    assert!(slashed >= stake(47) && slashed <= stake(50), "{slashed}");
}
