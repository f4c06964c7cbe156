//! Evidence and the keys of former validators survive a restart, within their bounds.

use crate::support::{Place, TestChain};
use alloy_primitives::B256;
use causeway_consensus::{
    ConsensusKey, Ed25519Signer, Evidence, Height, MAX_KNOWN_KEYS, Round, SignedVote, Vote, VoteKind,
};
use causeway_storage::{MAX_EVIDENCE_OF_ONE, StorageOptions};

in_each_place! {
    evidence_survives_a_restart_until_it_is_dropped,
    one_offender_does_not_fill_the_pool,
    former_members_are_remembered_until_they_are_too_old_or_too_many,
}

fn key(n: u64) -> ConsensusKey {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&n.to_le_bytes());
    Ed25519Signer::new(&secret).key()
}

fn evidence(n: u64, height: u64) -> Evidence {
    let vote = |block_hash| SignedVote {
        vote: Vote {
            kind: VoteKind::Precommit,
            height: Height(height),
            round: Round(0),
            block_hash,
            validator: key(n).id(),
        },
        signature: [0; 64],
    };
    Evidence::of_votes(vote(None), vote(Some(B256::repeat_byte(1))))
}

fn evidence_survives_a_restart_until_it_is_dropped(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    assert!(chain.storage.keep_evidence(&evidence(1, 5)).unwrap());
    assert!(!chain.storage.keep_evidence(&evidence(1, 5)).unwrap(), "known already");
    assert!(chain.storage.keep_evidence(&evidence(2, 5)).unwrap());
    chain.reopen_in(place);
    assert_eq!(chain.storage.pending_evidence().unwrap().len(), 2);
    chain.storage.drop_evidence(&[evidence(1, 5).hash()]).unwrap();
    chain.reopen_in(place);
    assert_eq!(chain.storage.pending_evidence().unwrap(), vec![evidence(2, 5)]);
}

fn one_offender_does_not_fill_the_pool(place: &Place) {
    let chain = TestChain::open_in(place, StorageOptions::default());
    for height in 0..10 {
        assert_eq!(chain.storage.keep_evidence(&evidence(1, height)).unwrap(), height < MAX_EVIDENCE_OF_ONE as u64);
    }
    assert!(chain.storage.keep_evidence(&evidence(2, 1)).unwrap());
}

fn former_members_are_remembered_until_they_are_too_old_or_too_many(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    chain.storage.note_members(10, 0, [key(1), key(2)]).unwrap();
    chain.storage.note_members(20, 0, [key(2), key(3)]).unwrap();
    chain.reopen_in(place);
    let mut members = chain.storage.former_members().unwrap();
    members.sort_by_key(|(key, _)| *key);
    let mut expected = vec![(key(1), 10), (key(2), 20), (key(3), 20)];
    expected.sort_by_key(|(key, _)| *key);
    assert_eq!(members, expected);
    chain.storage.note_members(30, 15, [key(3)]).unwrap();
    let members = chain.storage.former_members().unwrap();
    assert!(!members.iter().any(|(known, _)| *known == key(1)), "last a member before height 15");
    assert_eq!(members.len(), 2);
    chain.storage.note_members(40, 0, (10..10 + MAX_KNOWN_KEYS as u64 + 1).map(key)).unwrap();
    chain.storage.note_members(50, 0, [key(3)]).unwrap();
    assert!(chain.storage.former_members().unwrap().len() <= MAX_KNOWN_KEYS + 1);
}
