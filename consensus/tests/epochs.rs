//! Rotating sets, late votes of former validators, and a key that signed elsewhere. Each test checks one rule of one host.

use crate::kit::*;
use alloy_primitives::B256;
use causeway_consensus::*;

fn late(outputs: &[Output]) -> Vec<SignedVote> {
    let late = outputs.iter().filter_map(|output| match output {
        Output::LatePrecommit(vote) => Some(vote.clone()),
        _ => None,
    });
    late.collect()
}

fn set_of(kit: &Kit, members: &[usize]) -> ValidatorSet {
    ValidatorSet::new(members.iter().map(|n| Validator::new(kit.signers[*n].key(), 10)).collect()).unwrap()
}

/// A kit of six validators. The first four decide the heights, so that 4 and 5 are not members yet.
fn six() -> (Kit, ValidatorSet) {
    let mut kit = Kit::idle(6, 5);
    let first = set_of(&kit, &[0, 1, 2, 3]);
    kit.feed(Input::StartHeight { height: Height(1), validators: first.clone() });
    (kit, first)
}

#[test]
fn a_joiners_vote_for_the_next_height_is_buffered_only_when_its_set_is_upcoming() {
    let (mut kit, _) = six();
    let vote = kit.prevote(4, 2, 0, None);
    kit.hear(vote.clone());
    assert_eq!(kit.host.verdict(), MessageVerdict::Ignore, "the vote of a non-member");
    let next = set_of(&kit, &[1, 2, 3, 4]);
    kit.host.note_upcoming(Some(next.clone()));
    kit.hear(vote);
    assert_eq!(kit.host.verdict(), MessageVerdict::Accept);
    let ConsensusMessage::Vote(mut forged) = kit.prevote(4, 2, 1, None) else { unreachable!() };
    forged.signature[3] ^= 1;
    assert!(blamed(&kit.hear(ConsensusMessage::Vote(forged))).is_some());
}

#[test]
fn a_buffered_proposal_of_a_rotation_that_did_not_happen_is_dropped_without_blame() {
    let (mut kit, first) = six();
    let next = set_of(&kit, &[4]);
    kit.host.note_upcoming(Some(next));
    let block = block(1, 10);
    let proposal = Proposal {
        height: Height(2),
        round: Round(0),
        pol_round: None,
        block_hash: block.hash,
        parts: PartList::of(&block.body).unwrap(),
        proposer: kit.id(4),
    };
    let signed = kit.sign_proposal(4, proposal);
    kit.hear(ConsensusMessage::Proposal(signed));
    assert_eq!(kit.host.verdict(), MessageVerdict::Accept);
    let outputs = kit.feed(Input::StartHeight { height: Height(2), validators: first });
    assert_eq!(blamed(&outputs), None);
}

#[test]
fn a_signer_votes_from_the_height_on_at_which_it_is_a_member_and_not_after() {
    let (mut kit, first) = six();
    assert!(votes(&kit.wait(2_000)).is_empty(), "outside the set");
    let all = kit.set.clone();
    kit.feed(Input::StartHeight { height: Height(2), validators: all });
    assert!(kit.host.status().validating);
    assert!(!votes(&kit.wait(2_000)).is_empty(), "a member prevotes nil when no proposal comes");
    kit.feed(Input::StartHeight { height: Height(3), validators: first });
    assert!(!kit.host.status().validating);
    assert!(votes(&kit.wait(4_000)).is_empty(), "outside the set again");
}

#[test]
fn precommits_from_before_the_start_are_verified_and_passed_to_the_caller() {
    let mut kit = Kit::idle(4, 3);
    kit.start(50);
    let vote = kit.signed_vote(0, VoteKind::Precommit, 7, 0, Some(B256::repeat_byte(1)));
    let outputs = kit.hear(ConsensusMessage::Vote(vote.clone()));
    assert_eq!(late(&outputs), std::slice::from_ref(&vote));
    let certificate = kit.certificate(7, 0, B256::repeat_byte(2), 4);
    let other = certificate.contradicted_by(&vote).expect("the certificate holds another precommit of the same");
    let evidence = Evidence::of_votes(other, vote);
    evidence.verify(CHAIN, &kit.signers[0].key()).unwrap();

    let prevote = kit.prevote(0, 7, 0, None);
    assert!(late(&kit.hear(prevote)).is_empty(), "no certificate holds prevotes");
    let mut forged = kit.signed_vote(1, VoteKind::Precommit, 7, 0, None);
    forged.signature[0] ^= 1;
    assert!(blamed(&kit.hear(ConsensusMessage::Vote(forged))).is_some());
}

#[test]
fn a_late_precommit_of_a_former_member_is_verified_and_of_an_unknown_one_is_not() {
    let mut kit = Kit::idle(6, 5);
    let first = set_of(&kit, &[0, 1, 2, 3]);
    kit.feed(Input::StartHeight { height: Height(300), validators: first });
    let vote = kit.precommit(4, 7, 0, None);
    assert!(late(&kit.hear(vote.clone())).is_empty(), "the validator is unknown");
    let key = kit.signers[4].key();
    kit.host.note_key(key, Height(9));
    assert_eq!(late(&kit.hear(vote)).len(), 1);
}

#[test]
fn late_precommits_of_one_peer_are_limited() {
    let mut kit = Kit::idle(4, 3);
    kit.start(5_000);
    let mut handed = 0;
    for height in 1..200 {
        let vote = kit.precommit(0, height, 0, None);
        handed += late(&kit.hear(vote)).len();
    }
    assert_eq!(handed, LATE_PRECOMMITS_PER_SECOND as usize);
}

#[test]
fn only_a_precommit_of_the_certificates_round_for_another_block_contradicts_it() {
    let kit = Kit::idle(4, 3);
    let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let certificate = kit.certificate(7, 1, a, 3);
    let contradicts = |n, kind, height, round, hash| {
        certificate.contradicted_by(&kit.signed_vote(n, kind, height, round, hash)).is_some()
    };
    assert!(contradicts(0, VoteKind::Precommit, 7, 1, Some(b)));
    assert!(contradicts(0, VoteKind::Precommit, 7, 1, None));
    assert!(!contradicts(0, VoteKind::Precommit, 7, 1, Some(a)), "the same vote");
    assert!(!contradicts(0, VoteKind::Prevote, 7, 1, Some(b)), "another kind");
    assert!(!contradicts(0, VoteKind::Precommit, 7, 2, Some(b)), "another round");
    assert!(!contradicts(0, VoteKind::Precommit, 8, 1, Some(b)), "another height");
    assert!(!contradicts(3, VoteKind::Precommit, 7, 1, Some(b)), "not in the certificate");
}

/// A disk restored from an old snapshot: the key signed at height 9, but the host's sign state does not know it.
#[test]
fn own_signatures_from_elsewhere_are_recorded_before_it_signs() {
    let mut kit = Kit::idle(4, 0);
    kit.host.note_set(Height(9), &kit.set.clone());
    let own = kit.prevote(0, 9, 0, Some(B256::repeat_byte(9)));
    let state = last_sign_state(&kit.host.overhear(&own)).expect("remembered, and to be persisted");
    assert_eq!(state.last(), (Height(9), Round(0)));
    assert!(kit.host.overhear(&own).is_empty(), "once");
    // At the same height it repeats that vote and signs no different one for its step.
    kit.start(9);
    let prevotes = voted(&kit.wait(3_000), VoteKind::Prevote);
    assert!(prevotes.iter().all(|hash| *hash == Some(B256::repeat_byte(9))), "{prevotes:?}");
    // At an older height it is silent.
    let mut kit = Kit::idle(4, 0);
    kit.host.note_set(Height(9), &kit.set.clone());
    kit.host.overhear(&own);
    kit.start(8);
    assert!(votes(&kit.wait(3_000)).iter().all(|vote| vote.height == Height(9)));
}

#[test]
fn a_message_that_only_claims_to_be_ours_is_not_recorded() {
    let mut kit = Kit::idle(4, 0);
    kit.host.note_set(Height(9), &kit.set.clone());
    let ConsensusMessage::Vote(mut forged) = kit.prevote(1, 1_000, 0, None) else { unreachable!() };
    forged.vote.validator = kit.id(0);
    assert!(kit.host.overhear(&ConsensusMessage::Vote(forged)).is_empty());
    let others = kit.prevote(1, 1_000, 0, None);
    assert!(kit.host.overhear(&others).is_empty());
}

#[test]
fn an_own_vote_of_a_greater_height_silences_a_running_host_until_then() {
    let mut kit = Kit::started(4);
    let own = kit.prevote(kit.us, 5, 0, None);
    assert!(last_sign_state(&kit.hear(own)).is_some());
    assert!(votes(&kit.wait(3_000)).iter().all(|vote| vote.height == Height(5)));
}

#[test]
fn nothing_is_signed_at_a_height_that_a_certificate_proves_decided() {
    let mut kit = Kit::idle(4, 3);
    kit.start(1);
    let block = block(3, 40);
    let certificate = kit.certificate(1, 0, block.hash, 3);
    kit.feed(Input::SyncedBlock { from: PEER, certificate, body: block.body.clone() });
    assert!(votes(&kit.wait(5_000)).is_empty(), "it signs nothing while the body's verdict is pending");
    let outputs = kit.verdict(1, &block, true);
    assert!(decided(&outputs).is_some());
}

#[test]
fn evidence_is_displayed_in_one_line() {
    let kit = Kit::idle(4, 0);
    let votes = Evidence::of_votes(
        kit.signed_vote(1, VoteKind::Precommit, 7, 2, None),
        kit.signed_vote(1, VoteKind::Precommit, 7, 2, Some(B256::repeat_byte(0xab))),
    );
    let text = votes.to_string();
    assert!(text.contains(&kit.id(1).to_string()) && text.contains("precommits at height 7, round 2"), "{text}");
    assert!(
        text.contains("nil") && text.contains(&B256::repeat_byte(0xab).to_string()) && !text.contains('\n'),
        "{text}"
    );
    let proposals =
        Evidence::of_proposals(kit.proposal(7, 0, None, &block(1, 9)), kit.proposal(7, 0, None, &block(2, 9)));
    assert!(proposals.to_string().contains("two proposals at height 7, round 0"), "{proposals}");
}
