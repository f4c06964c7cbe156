//! Who signs twice is reported by the one node that saw it, slashed, tombstoned and removed; once.

use alloy_primitives::{B256, U256};
use causeway_consensus::{ConsensusMessage, Ed25519Signer, Height, Round, SignedVote, Signer, Vote, VoteKind};
use causeway_execution::staking_state;
use causeway_genesis::addresses::STAKING;
use causeway_staking::{IStaking, views};

use super::cluster::{Cluster, Plan, stake, token};
use crate::handle::Event;

/// A vote for a phantom block, signed by a member's key behind its node's back.
fn twin(cluster: &Cluster, index: usize, kind: VoteKind, height: u64, round: Round) -> ConsensusMessage {
    let block_hash = Some(B256::repeat_byte(0xee));
    let vote = Vote { kind, height: Height(height), round, block_hash, validator: cluster.id(index) };
    let signer = Ed25519Signer::new(cluster.members[index].keys.consensus.expose());
    let signature = signer.sign(&vote.sign_bytes(cluster.genesis.hash)).unwrap();
    ConsensusMessage::Vote(SignedVote { vote, signature })
}

/// Blocks of `index` with a call of the system into the staking module.
fn reports(cluster: &Cluster, index: usize) -> usize {
    let storage = &cluster.chain(index).storage;
    let system = |number| {
        let block = storage.block(number).unwrap().unwrap();
        block.transactions.iter().filter_map(|tx| tx.as_system()).filter(|tx| tx.to == STAKING).count()
    };
    (1..=cluster.head(index)).map(system).sum()
}

fn assert_punished_once(cluster: &mut Cluster, offender: usize, reporter: usize) {
    let punished = |cluster: &Cluster| cluster.validator(offender).is_some_and(|validator| validator.tombstoned);
    assert!(cluster.run(60_000, punished), "the evidence is in no block");
    let height = cluster.head(0) + 30;
    assert!(cluster.run(120_000, |cluster| cluster.all_reached(height)));
    assert!(!cluster.set().contains(&offender), "still in the set");
    assert_eq!(reports(cluster, 0), 1, "reported more than once");
    assert!(cluster.chain(reporter).storage.pending_evidence().unwrap().is_empty());
    let state = cluster.chain(0).storage.latest();
    let mut slots = staking_state(state.as_ref());
    assert!(views::totals(&mut slots).unwrap().slashed > U256::ZERO);
    let operator = cluster.members[reporter].operator.address();
    assert!(views::balance_of(&mut slots, operator).unwrap() > U256::ZERO, "the reporter's share");
    cluster.assert_agreement();
}

#[test]
fn a_double_vote_seen_by_one_node_is_slashed_and_its_signer_removed() {
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        let mut cluster = Plan::new(5, 21).epochs(10).start();
        assert!(cluster.run(5_000, |cluster| cluster.all_reached(4)));
        cluster.offenders.push(cluster.id(4));
        let message = twin(&cluster, 4, kind, cluster.head(1) + 1, Round(0));
        cluster.schedule(1, 1, Event::Consensus { from: token(4), message });
        assert_punished_once(&mut cluster, 4, 1);
        // Whoever is out cannot fill the pool with further offences.
        let height = cluster.head(1).saturating_sub(40).max(5);
        for round in 0..3 {
            for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                let message = twin(&cluster, 4, kind, height, Round(round));
                cluster.schedule(1, 1, Event::Consensus { from: token(4), message });
            }
        }
        let until = cluster.now() + 50;
        cluster.run(100, |cluster| cluster.now() >= until);
        assert!(cluster.chain(1).storage.pending_evidence().unwrap().is_empty());
    }
}

#[test]
fn evidence_survives_a_crash_of_the_only_node_that_saw_it() {
    let mut cluster = Plan::new(5, 22).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(4)));
    cluster.offenders.push(cluster.id(4));
    let message = twin(&cluster, 4, VoteKind::Prevote, cluster.head(1) + 1, Round(0));
    cluster.schedule(1, 1, Event::Consensus { from: token(4), message });
    let seen = |cluster: &Cluster| !cluster.chain(1).storage.pending_evidence().unwrap().is_empty();
    assert!(cluster.run(5_000, seen));
    cluster.crash(1);
    let height = cluster.head(0) + 5;
    assert!(cluster.run(60_000, |cluster| cluster.head(0) >= height));
    assert!(!cluster.validator(4).unwrap().tombstoned);
    cluster.start(1);
    assert_punished_once(&mut cluster, 4, 1);
}

/// Who signed the certificate of a height, but neither member 0 nor member 1.
fn signer_of(cluster: &Cluster, height: u64) -> (usize, Round) {
    let certificate = cluster.chain(1).storage.certificate(height).unwrap().unwrap();
    let signed = |index: &usize| certificate.signatures.iter().any(|s| s.validator == cluster.id(*index));
    ((2..5).find(signed).unwrap(), certificate.round)
}

#[test]
fn a_late_precommit_is_compared_with_the_stored_certificate_after_a_restart() {
    let mut cluster = Plan::new(5, 23).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(4)));
    let (offender, round) = signer_of(&cluster, 3);
    cluster.offenders.push(cluster.id(offender));
    let message = twin(&cluster, offender, VoteKind::Precommit, 3, round);
    cluster.crash(1);
    assert!(cluster.run(10_000, |cluster| cluster.head(0) >= 8));
    cluster.start(1);
    assert!(cluster.run(60_000, |cluster| cluster.head(1) >= 12 && !cluster.node(1).is_held()));
    cluster.schedule(1, 1, Event::Consensus { from: token(offender), message });
    assert_punished_once(&mut cluster, offender, 1);
}

#[test]
fn a_former_members_stake_answers_for_what_it_signed_as_long_as_it_unbonds() {
    let mut cluster = Plan::new(5, 24).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(4)));
    let (offender, round) = signer_of(&cluster, 3);
    cluster.offenders.push(cluster.id(offender));
    let message = twin(&cluster, offender, VoteKind::Precommit, 3, round);
    cluster.stake_call(offender, IStaking::exitCall {});
    assert!(cluster.run(300_000, |cluster| !cluster.set().contains(&offender)), "{:?}", cluster.set());
    cluster.crash(1);
    cluster.start(1);
    let height = cluster.head(0) + 15;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height) && !cluster.node(1).is_held()));
    cluster.schedule(1, 1, Event::Consensus { from: token(offender), message });
    assert_punished_once(&mut cluster, offender, 1);
    let state = cluster.chain(0).storage.latest();
    let slashed = views::totals(&mut staking_state(state.as_ref())).unwrap().slashed;
    // 5 % of 1,000 tokens, less the reporter's 5 % of that.
    assert!(slashed >= stake(47) && slashed <= stake(50), "{slashed}");
}
