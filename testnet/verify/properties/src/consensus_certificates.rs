//! Votes, certificates, evidence, sign states: their rules must agree with a slow second implementation.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::{
    CommitCertificate, ConsensusKey, Evidence, Height, PolkaCertificate, Round, RoundCertificate, SignState,
    SignedProposal, SignedVote, Validator, ValidatorSet, VoteKind,
};

use crate::committee::{CHAIN, COMMITTEE};
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. The first byte is the type of the rest.
pub const TARGET: Target = Target { name: "consensus_certificates", check, seeds, max_bytes: 2048 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8();
    let bytes = reader.rest();
    match kind {
        0 => answers(decoded(bytes).map(|certificate| commit(&certificate))),
        1 => answers(decoded::<Evidence>(bytes).map(|evidence| accuse(&evidence))),
        2 => answers(decoded::<SignedVote>(bytes).map(|vote| believed(&vote))),
        3 => answers(decoded::<SignState>(bytes)),
        4 => answers(decoded::<Vec<Validator>>(bytes).map(set)),
        5 => answers(decoded::<PolkaCertificate>(bytes)),
        6 => answers(decoded::<RoundCertificate>(bytes)),
        7 => answers(decoded::<SignedProposal>(bytes).map(|proposal| proposal.verify(CHAIN, &COMMITTEE.set))),
        _ => altered(kind, bytes),
    }
}

/// Decodes all of `bytes`, which must be the value's only encoding.
fn decoded<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> Option<T> {
    let value = borsh::from_slice::<T>(bytes).ok()?;
    assert_eq!(borsh::to_vec(&value).expect("writing to memory"), bytes, "one encoding");
    Some(value)
}

/// A certificate holds exactly when distinct members of more than two thirds of the power signed it, in order.
fn commit(certificate: &CommitCertificate) {
    let set = &COMMITTEE.set;
    let votes: Vec<_> = certificate.votes().collect();
    let ids: Vec<_> = votes.iter().map(|vote| vote.vote.validator).collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    let sorted = ids.is_sorted() && distinct.len() == ids.len();
    let power: u128 = distinct.iter().filter_map(|id| set.get(id)).map(|member| u128::from(member.power)).sum();
    let members = ids.iter().all(|id| set.get(id).is_some());
    let holds = sorted
        && members
        && power * 3 > u128::from(set.total_power()) * 2
        && votes.iter().all(|vote| vote.verify(CHAIN, set));
    assert_eq!(certificate.verify(CHAIN, set).is_ok(), holds);
    for vote in &votes {
        assert_eq!(certificate.contradicted_by(vote), None, "no vote contradicts itself");
    }
}

/// Valid evidence contains two different messages signed by one key.
fn accuse(evidence: &Evidence) {
    let shown = evidence.to_string();
    assert!(!shown.is_empty());
    for member in COMMITTEE.set.iter() {
        if evidence.verify(CHAIN, &member.key).is_err() {
            continue;
        }
        assert_eq!(evidence.validator(), member.id);
        match evidence {
            Evidence::Votes(a, b) => {
                assert!(believed(a) && believed(b) && a.vote.block_hash != b.vote.block_hash);
                assert_eq!((a.vote.height, a.vote.round, a.vote.kind), (b.vote.height, b.vote.round, b.vote.kind));
                assert_eq!(Evidence::of_votes(b.clone(), a.clone()).hash(), evidence.hash(), "one offence, one hash");
            }
            Evidence::Proposals(a, b) => {
                assert!(a.verify(CHAIN, &COMMITTEE.set) && b.verify(CHAIN, &COMMITTEE.set));
                assert_eq!(Evidence::of_proposals(b.clone(), a.clone()).hash(), evidence.hash());
            }
        }
    }
}

fn believed(vote: &SignedVote) -> bool {
    vote.verify(CHAIN, &COMMITTEE.set)
}

fn set(validators: Vec<Validator>) {
    let members: BTreeSet<_> = validators.iter().map(|validator| validator.id).collect();
    let Ok(set) = ValidatorSet::new(validators) else { return };
    assert_eq!((set.len(), set.iter().map(|member| member.id).collect::<BTreeSet<_>>()), (members.len(), members));
    assert!(set.is_quorum(set.total_power()) && !set.is_quorum(0));
    for slot in 0..16 {
        let proposer = set.proposer(Height(u64::MAX - slot), Round(u32::MAX));
        assert!(set.get(&proposer.id).is_some());
    }
}

/// A valid certificate, vote pair or key with some bytes changed: rarely valid, and never by accident.
fn altered(kind: u8, bytes: &[u8]) {
    let all = &*COMMITTEE;
    let mut reader = Reader::new(bytes);
    let (height, round) = (Height(u64::from(reader.u8())), Round(u32::from(reader.u8())));
    let hash = all.blocks[reader.below(2)].hash;
    if kind < 64 {
        let mut key = all.set.iter().next().expect("a member").key;
        key.0[reader.below(32)] ^= reader.u8();
        let vote = all.vote(0, VoteKind::Prevote, height, round, Some(hash));
        let ours = ConsensusKey(key.0) == all.signers[0].key();
        assert_eq!(key.verifies(&vote.vote.sign_bytes(CHAIN), &vote.signature), ours, "a signature has one key");
        return;
    }
    let mut encoding = if kind < 160 {
        borsh::to_vec(&all.certificate(reader.u8(), height, round, hash)).expect("writing to memory")
    } else {
        let other = all.blocks[reader.below(2)].hash;
        let vote = |hash| all.vote(usize::from(kind % 4), VoteKind::Precommit, height, round, Some(hash));
        borsh::to_vec(&Evidence::of_votes(vote(hash), vote(other))).expect("writing to memory")
    };
    while !reader.is_empty() {
        let at = usize::from(reader.u16()) % encoding.len();
        encoding[at] ^= reader.u8();
    }
    if kind < 160 {
        answers(decoded::<CommitCertificate>(&encoding).map(|certificate| commit(&certificate)));
    } else {
        answers(decoded::<Evidence>(&encoding).map(|evidence| accuse(&evidence)));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let all = &*COMMITTEE;
    let (height, round) = (Height(7), Round(2));
    let [a, b] = [all.blocks[0].hash, all.blocks[1].hash];
    let vote = |hash| all.vote(1, VoteKind::Precommit, height, round, hash);
    let proposal = |at: usize| all.proposal(2, height, round, None, &all.blocks[at]);
    let members: Vec<Validator> = all.set.iter().cloned().collect();
    vec![
        seed(0, &all.certificate(15, height, round, a)),
        seed(0, &all.certificate(3, height, round, a)),
        seed(1, &Evidence::of_votes(vote(Some(a)), vote(None))),
        seed(1, &Evidence::of_proposals(proposal(0), proposal(1))),
        seed(2, &vote(Some(b))),
        seed(3, &SignState::default()),
        seed(4, &members),
        seed(5, &all.polka(15, height, round, a)),
        seed(6, &all.round_certificate(15, true, height, round)),
        seed(7, &proposal(2)),
        vec![32, 1, 0, 0, 5, 0],
        vec![100, 1, 0, 0, 15, 40, 0, 1],
        vec![200, 1, 0, 0, 1],
    ]
}

fn seed(kind: u8, value: &impl BorshSerialize) -> Vec<u8> {
    let mut bytes = vec![kind];
    value.serialize(&mut bytes).expect("writing to memory");
    bytes
}
