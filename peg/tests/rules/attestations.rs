use alloy_primitives::{B256, keccak256};
use causeway_peg::{
    Attestation, Attestations, Checkpoint, Outcome, ParentView, PegMessage, Refusal, SetAcknowledged, Settled,
    attestations::{ACKNOWLEDGEMENTS_OF_ONE, CHECKPOINTS_AHEAD, CHECKPOINTS_BEHIND, EPOCHS_AHEAD, VIEW_WINDOW},
    deposit::MAX_DEPOSITS_PER_VIEW,
    verify_signatures,
};

use crate::federation::{Federation, domain};

fn view(nonce: u64) -> ParentView {
    ParentView {
        parentHeight: nonce.saturating_add(100),
        parentHash: keccak256(format!("block {nonce}")),
        depositNonce: nonce,
        depositAcc: keccak256(format!("acc {nonce}")),
    }
}

fn view_message(federation: &Federation, position: usize, nonce: u64) -> PegMessage {
    federation.message(position, Attestation::ParentView(view(nonce)))
}

/// A checkpoint of this number on the chain named by `fork`.
fn checkpoint(number: u64, fork: &str) -> Checkpoint {
    let height = number.saturating_mul(10);
    Checkpoint { number, height, blockHash: keccak256(fork), epoch: 7, ..Checkpoint::default() }
}

fn digest(number: u64, fork: &str) -> B256 {
    domain().checkpoint_digest(&checkpoint(number, fork))
}

fn checkpoint_message(federation: &Federation, position: usize, number: u64, fork: &str) -> PegMessage {
    federation.message(position, Attestation::Checkpoint(checkpoint(number, fork)))
}

/// "The parent has this set in force."
fn seen_message(federation: &Federation, position: usize, epoch: u64, set: &str) -> PegMessage {
    federation.message(position, Attestation::SetAcknowledged(SetAcknowledged { epoch, commitment: keccak256(set) }))
}

fn collector() -> (Federation, Attestations) {
    (Federation::new(&[1, 1, 1, 1]), Attestations::new(domain()))
}

#[test]
fn view_is_certified_by_the_third_of_four() {
    let (federation, mut attestations) = collector();
    for position in [3, 0, 2] {
        assert_eq!(attestations.best_parent_view(0, &federation.set), None);
        let message = view_message(&federation, position, 5);
        assert_eq!(attestations.add(message, &federation.set), Outcome::Added);
        assert_eq!(attestations.add(message, &federation.set), Outcome::Duplicate);
    }
    let (best, signatures) = attestations.best_parent_view(0, &federation.set).unwrap();
    assert_eq!(best, view(5));
    assert_eq!(verify_signatures(domain().parent_view_digest(&best), &signatures, &federation.set), Ok(()));
    attestations.add(view_message(&federation, 1, 5), &federation.set);
    let (_, signatures) = attestations.best_parent_view(0, &federation.set).unwrap();
    assert_eq!(signatures.len(), 3, "no more signatures than necessary");
}

#[test]
fn best_view_is_the_furthest_one_that_an_import_can_reach() {
    let (federation, mut attestations) = collector();
    for nonce in [3, MAX_DEPOSITS_PER_VIEW, MAX_DEPOSITS_PER_VIEW + 1] {
        for position in 0..3 {
            assert_eq!(attestations.add(view_message(&federation, position, nonce), &federation.set), Outcome::Added);
        }
    }
    // Further, but not certified.
    attestations.add(view_message(&federation, 0, 200), &federation.set);
    let best = |imported| attestations.best_parent_view(imported, &federation.set).map(|(view, _)| view.depositNonce);
    assert_eq!(best(0), Some(MAX_DEPOSITS_PER_VIEW));
    assert_eq!(best(1), Some(MAX_DEPOSITS_PER_VIEW + 1));
    assert_eq!(best(MAX_DEPOSITS_PER_VIEW), Some(MAX_DEPOSITS_PER_VIEW + 1));
    assert_eq!(best(MAX_DEPOSITS_PER_VIEW + 1), None);
    assert_eq!(best(u64::MAX), None);
}

#[test]
fn split_signers_certify_nothing() {
    let (federation, mut attestations) = collector();
    for position in 0..4 {
        let mut other = view(5);
        if position >= 2 {
            other.depositAcc = keccak256("a poisoned endpoint");
        }
        let message = federation.message(position, Attestation::ParentView(other));
        assert_eq!(attestations.add(message, &federation.set), Outcome::Added);
        let fork = if position < 2 { "one" } else { "other" };
        attestations.add(checkpoint_message(&federation, position, 1, fork), &federation.set);
    }
    assert_eq!(attestations.best_parent_view(0, &federation.set), None);
    assert_eq!(attestations.checkpoint(1, digest(1, "one"), &federation.set), None);
    assert_eq!(attestations.checkpoint(1, digest(1, "other"), &federation.set), None);
}

#[test]
fn only_the_chains_own_checkpoint_digest_is_certified() {
    let (federation, mut attestations) = collector();
    let digest = digest(1, "ours");
    for position in 0..3 {
        assert_eq!(attestations.checkpoint(1, digest, &federation.set), None);
        attestations.add(checkpoint_message(&federation, position, 1, "ours"), &federation.set);
    }
    let signatures = attestations.checkpoint(1, digest, &federation.set).unwrap();
    assert_eq!(verify_signatures(digest, &signatures, &federation.set), Ok(()));
    assert_eq!(attestations.checkpoint(1, keccak256("another"), &federation.set), None);
    assert_eq!(attestations.checkpoint(2, digest, &federation.set), None);
}

#[test]
fn two_statements_of_one_subject_are_returned_as_evidence() {
    let (federation, mut attestations) = collector();
    let first = checkpoint_message(&federation, 0, 1, "one");
    let second = checkpoint_message(&federation, 0, 1, "two");
    assert_eq!(attestations.add(first, &federation.set), Outcome::Added);
    assert_eq!(attestations.add(second, &federation.set), Outcome::Equivocation(Box::new((first, second))));
    assert_eq!(attestations.add(first, &federation.set), Outcome::Duplicate, "the first one stays");
    let first = view_message(&federation, 0, 7);
    let other = ParentView { parentHash: keccak256("fork"), ..view(7) };
    let second = federation.message(0, Attestation::ParentView(other));
    assert_eq!(attestations.add(first, &federation.set), Outcome::Added);
    assert_eq!(attestations.add(second, &federation.set), Outcome::Equivocation(Box::new((first, second))));
}

#[test]
fn an_honest_signer_cannot_be_shown_as_an_equivocator() {
    let (federation, mut attestations) = collector();
    let first = checkpoint_message(&federation, 0, 1, "one");
    attestations.add(first, &federation.set);
    let forged = PegMessage { attestation: Attestation::Checkpoint(checkpoint(1, "two")), ..first };
    assert_eq!(attestations.add(forged, &federation.set), Outcome::Refused(Refusal::BadSignature));
    assert!(Refusal::BadSignature.is_peers_fault());
    // The signature of one number under another one.
    let moved = PegMessage { attestation: Attestation::Checkpoint(checkpoint(2, "one")), ..first };
    assert_eq!(attestations.add(moved, &federation.set), Outcome::Refused(Refusal::BadSignature));
    let mut stolen = checkpoint_message(&federation, 1, 1, "two");
    stolen.signer = first.signer;
    assert_eq!(attestations.add(stolen, &federation.set), Outcome::Refused(Refusal::BadSignature));
}

#[test]
fn messages_of_non_members_are_refused() {
    let (federation, mut attestations) = collector();
    let strangers = Federation::new(&[1, 1, 1, 1, 1]);
    let stranger = (0..5).find(|i| federation.set.get(&strangers.set.validators()[*i].address).is_none()).unwrap();
    let message = view_message(&strangers, stranger, 5);
    assert_eq!(
        attestations.add(message, &federation.set),
        Outcome::Refused(Refusal::UnknownSigner { signer: message.signer })
    );
    assert!(attestations.is_empty());
}

#[test]
fn kept_messages_are_bounded_by_windows() {
    let (federation, mut attestations) = collector();
    let settled =
        Settled { imported_nonce: 1000, recorded_checkpoint: 5, latest_checkpoint: 200, epoch: 7, acked_epoch: 5 };
    attestations.prune(settled, &federation.set);
    let mut add = |message| attestations.add(message, &federation.set);
    let stale = Outcome::Refused(Refusal::Stale);
    let ahead = Outcome::Refused(Refusal::TooFarAhead);
    assert_eq!(add(view_message(&federation, 0, 1000)), stale);
    assert_eq!(add(view_message(&federation, 0, 1001)), Outcome::Added);
    assert_eq!(add(view_message(&federation, 0, 1000 + VIEW_WINDOW)), Outcome::Added);
    assert_eq!(add(view_message(&federation, 0, 1001 + VIEW_WINDOW)), ahead);
    assert_eq!(add(view_message(&federation, 0, u64::MAX)), ahead);
    assert_eq!(add(checkpoint_message(&federation, 0, 200 - CHECKPOINTS_BEHIND, "ours")), stale);
    assert_eq!(add(checkpoint_message(&federation, 0, 201 - CHECKPOINTS_BEHIND, "ours")), Outcome::Added);
    assert_eq!(add(checkpoint_message(&federation, 0, 200 + CHECKPOINTS_AHEAD, "ours")), Outcome::Added);
    assert_eq!(add(checkpoint_message(&federation, 0, 201 + CHECKPOINTS_AHEAD, "ours")), ahead);
    assert_eq!(add(checkpoint_message(&federation, 0, u64::MAX, "ours")), ahead);
    let earlier = Checkpoint { epoch: 6, ..checkpoint(200, "ours") };
    assert_eq!(add(federation.message(1, Attestation::Checkpoint(earlier))), stale, "its epoch is over");
    assert_eq!(add(seen_message(&federation, 0, 5, "set")), stale);
    assert_eq!(add(seen_message(&federation, 0, 6, "set")), Outcome::Added);
    assert_eq!(add(seen_message(&federation, 0, 7 + EPOCHS_AHEAD, "set")), Outcome::Added);
    assert_eq!(add(seen_message(&federation, 0, 8 + EPOCHS_AHEAD, "set")), ahead);
    assert_eq!(add(seen_message(&federation, 0, u64::MAX, "set")), ahead);
    assert_eq!(attestations.len(), 6);
    assert_eq!(attestations.messages().count(), 6);
}

#[test]
fn pruning_drops_only_settled_subjects() {
    let (federation, mut attestations) = collector();
    for nonce in [1, 2, 3] {
        attestations.add(view_message(&federation, 0, nonce), &federation.set);
        attestations.add(checkpoint_message(&federation, 0, nonce, "ours"), &federation.set);
    }
    let settled = Settled { imported_nonce: 2, recorded_checkpoint: 1, latest_checkpoint: 3, ..Settled::default() };
    attestations.prune(settled, &federation.set);
    let kept: Vec<Attestation> = attestations.messages().map(|message| message.attestation).collect();
    assert_eq!(
        kept,
        [
            Attestation::ParentView(view(3)),
            Attestation::Checkpoint(checkpoint(2, "ours")),
            Attestation::Checkpoint(checkpoint(3, "ours")),
        ]
    );
}

#[test]
fn long_outage_of_recording_does_not_stop_later_checkpoints() {
    // Nothing was recorded for a thousand checkpoints; the latest can still be certified.
    let (federation, mut attestations) = collector();
    attestations.prune(Settled { latest_checkpoint: 1000, ..Settled::default() }, &federation.set);
    let digest = digest(1000, "ours");
    for position in 0..3 {
        let message = checkpoint_message(&federation, position, 1000, "ours");
        assert_eq!(attestations.add(message, &federation.set), Outcome::Added);
    }
    assert!(attestations.checkpoint(1000, digest, &federation.set).is_some());
}

#[test]
fn powers_of_the_given_set_are_counted() {
    let (federation, mut attestations) = collector();
    for position in 0..3 {
        attestations.add(view_message(&federation, position, 5), &federation.set);
    }
    let larger = Federation::new(&[9, 9, 9, 9, 9, 9, 9, 9]);
    assert!(attestations.best_parent_view(0, &federation.set).is_some());
    assert!(attestations.best_parent_view(0, &larger.set).is_none());
}

#[test]
fn latest_acknowledgement_that_is_certified_and_has_begun_is_the_best() {
    let (federation, mut attestations) = collector();
    attestations.prune(Settled { epoch: 5, acked_epoch: 1, ..Settled::default() }, &federation.set);
    let best = |attestations: &Attestations| attestations.acknowledgement(&federation.set).map(|(seen, _)| seen.epoch);
    for epoch in [2, 3, 6] {
        for position in 0..3 {
            assert_eq!(best(&attestations).is_some(), epoch > 2);
            let outcome = attestations.add(seen_message(&federation, position, epoch, "set"), &federation.set);
            assert_eq!(outcome, Outcome::Added);
        }
    }
    attestations.add(seen_message(&federation, 0, 5, "set"), &federation.set);
    assert_eq!(best(&attestations), Some(3), "5 is not certified, 6 has not begun here");
    let (seen, signatures) = attestations.acknowledgement(&federation.set).unwrap();
    assert_eq!(signatures.len(), 3);
    assert_eq!(verify_signatures(domain().set_acknowledged_digest(&seen), &signatures, &federation.set), Ok(()));
    attestations.prune(Settled { epoch: 6, acked_epoch: 3, ..Settled::default() }, &federation.set);
    assert_eq!(best(&attestations), Some(6));
    attestations.prune(Settled { epoch: 6, acked_epoch: 6, ..Settled::default() }, &federation.set);
    assert_eq!(best(&attestations), None);
    assert!(attestations.is_empty());
    attestations.prune(Settled { epoch: u64::MAX, acked_epoch: u64::MAX, ..Settled::default() }, &federation.set);
    assert_eq!(best(&attestations), None);
}

#[test]
fn signers_of_different_sets_form_no_acknowledgement() {
    let (federation, mut attestations) = collector();
    attestations.prune(Settled { epoch: 1, ..Settled::default() }, &federation.set);
    for position in 0..4 {
        let set = if position < 2 { "one" } else { "other" };
        assert_eq!(attestations.add(seen_message(&federation, position, 1, set), &federation.set), Outcome::Added);
    }
    assert_eq!(attestations.acknowledgement(&federation.set), None);
    let second = seen_message(&federation, 0, 1, "other");
    assert!(matches!(attestations.add(second, &federation.set), Outcome::Equivocation(_)));
}

#[test]
fn a_signers_acknowledgements_are_bounded_however_far_the_parent_is_behind() {
    let (federation, mut attestations) = collector();
    attestations.prune(Settled { epoch: 1_000, ..Settled::default() }, &federation.set);
    attestations.add(seen_message(&federation, 1, 1, "set"), &federation.set);
    for epoch in 1..=20 {
        let outcome = attestations.add(seen_message(&federation, 0, epoch, "set"), &federation.set);
        assert_eq!(outcome, Outcome::Added);
    }
    let own: Vec<u64> = attestations
        .messages()
        .filter(|message| message.signer == federation.set.validators()[0].address)
        .map(|message| match message.attestation {
            Attestation::SetAcknowledged(seen) => seen.epoch,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(own, (21 - u64::try_from(ACKNOWLEDGEMENTS_OF_ONE).unwrap()..=20).collect::<Vec<u64>>());
    assert_eq!(attestations.len(), ACKNOWLEDGEMENTS_OF_ONE + 1, "the other signer keeps its own");
}

#[test]
fn messages_of_former_members_are_dropped_and_of_new_members_accepted() {
    let (old, mut attestations) = collector();
    // Keys 2 to 5: two of the old ones stay.
    let new = Federation::of_epoch(1, 2, &[1, 1, 1, 1]);
    let joins = (0..4).find(|i| old.set.get(&new.set.validators()[*i].address).is_none()).unwrap();
    for position in 0..4 {
        assert_eq!(attestations.add(view_message(&old, position, 5), &old.set), Outcome::Added);
    }
    let joiner = view_message(&new, joins, 5);
    assert!(matches!(attestations.add(joiner, &old.set), Outcome::Refused(Refusal::UnknownSigner { .. })));
    attestations.prune(Settled { epoch: 1, ..Settled::default() }, &new.set);
    assert_eq!(attestations.len(), 2, "views of members of both sets stay");
    assert_eq!(attestations.best_parent_view(0, &new.set), None);
    assert_eq!(attestations.add(joiner, &new.set), Outcome::Added);
    assert!(attestations.best_parent_view(0, &new.set).is_some());
    let leaver = (0..4).find(|i| new.set.get(&old.set.validators()[*i].address).is_none()).unwrap();
    let message = view_message(&old, leaver, 5);
    assert!(matches!(attestations.add(message, &new.set), Outcome::Refused(Refusal::UnknownSigner { .. })));
}
