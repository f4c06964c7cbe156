//! Encodings: golden vectors for signed or hashed bytes, round trips, and decoders that never panic.

use crate::kit::CHAIN;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use causeway_consensus::*;
use proptest::prelude::*;

/// Changing any of these forks a running network.
#[test]
fn signed_bytes_are_golden() {
    let vote = |kind, block_hash| Vote {
        kind,
        height: Height(0x0102_0304_0506_0708),
        round: Round(0x0a0b_0c0d),
        block_hash,
        validator: Address::repeat_byte(0xee),
    };
    let prefix = format!("{}{{tag}}{}", hex::encode("causeway"), hex::encode(CHAIN));
    let prefix = |tag: u8| prefix.replace("{tag}", &format!("{tag:02x}"));
    let scope = "08070605040302010d0c0b0a";
    let hash = B256::repeat_byte(0xbb);
    assert_eq!(hex::encode(vote(VoteKind::Prevote, None).sign_bytes(CHAIN)), format!("{}{scope}00", prefix(1)));
    assert_eq!(
        hex::encode(vote(VoteKind::Precommit, Some(hash)).sign_bytes(CHAIN)),
        format!("{}{scope}01{}", prefix(2), hex::encode(hash))
    );
    let proposal = Proposal {
        height: Height(0x0102_0304_0506_0708),
        round: Round(0x0a0b_0c0d),
        pol_round: Some(Round(2)),
        block_hash: hash,
        parts: PartList { total_bytes: 5, hashes: vec![B256::repeat_byte(0x11)] },
        proposer: Address::repeat_byte(0xee),
    };
    assert_eq!(
        hex::encode(proposal.sign_bytes(CHAIN)),
        format!(
            "{}{scope}0102000000{}0500000001000000{}",
            prefix(3),
            hex::encode(hash),
            hex::encode(B256::repeat_byte(0x11))
        )
    );
}

#[test]
fn signatures_certificates_and_lists_are_golden() {
    let kit = crate::kit::Kit::idle(4, 0);
    let signed = kit.signed_vote(0, VoteKind::Precommit, 7, 1, Some(B256::repeat_byte(0xbb)));
    let certificate = kit.certificate(7, 1, B256::repeat_byte(0xbb), 4);
    let list = PartList::of(b"causeway").unwrap();
    let golden = [
        ("validator id", hex::encode(signed.vote.validator)),
        ("vote signature", hex::encode(keccak256(signed.signature))),
        ("commit certificate", hex::encode(certificate.hash())),
        ("part list", hex::encode(list.root())),
    ];
    let expected = [
        ("validator id", GOLDEN_ID),
        ("vote signature", GOLDEN_SIGNATURE),
        ("commit certificate", GOLDEN_CERTIFICATE),
        ("part list", GOLDEN_LIST),
    ];
    assert_eq!(golden.each_ref().map(|(name, got)| (*name, got.as_str())), expected);
}

const GOLDEN_ID: &str = "a89408a99e897abedebe7e847b0476aefdf2550e";
const GOLDEN_SIGNATURE: &str = "1dc3fea206a7c44f5d92d6290ece0d556ccf38548f8fcfb27d97d9464f07a1e1";
const GOLDEN_CERTIFICATE: &str = "6cbaf8fe986082e6d0e105ae4a7742f9d23b8508cf356f2f6f6e76029e095509";
const GOLDEN_LIST: &str = "f63d9fdb4b7baca19cd2d45faa97c88c032d448aa2d58eaa458cd4eb0ba77a28";

fn hash() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(B256::from)
}

fn id() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    prop::collection::vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().unwrap())
}

fn kind() -> impl Strategy<Value = VoteKind> {
    prop_oneof![Just(VoteKind::Prevote), Just(VoteKind::Precommit)]
}

prop_compose! {
    fn vote()(kind in kind(), height in any::<u64>(), round in any::<u32>(), block_hash in prop::option::of(hash()),
              validator in id(), signature in signature()) -> SignedVote {
        let vote = Vote { kind, height: Height(height), round: Round(round), block_hash, validator };
        SignedVote { vote, signature }
    }
}

prop_compose! {
    fn proposal()(height in any::<u64>(), round in any::<u32>(), pol in prop::option::of(any::<u32>()),
                  block_hash in hash(), body in prop::collection::vec(any::<u8>(), 1..300), proposer in id(),
                  signature in signature()) -> SignedProposal {
        let parts = PartList::of(&body).unwrap();
        let (height, round, pol_round) = (Height(height), Round(round), pol.map(Round));
        SignedProposal { proposal: Proposal { height, round, pol_round, block_hash, parts, proposer }, signature }
    }
}

fn commit_signatures() -> impl Strategy<Value = Vec<CommitSignature>> {
    let one = (id(), signature()).prop_map(|(validator, signature)| CommitSignature { validator, signature });
    prop::collection::vec(one, 0..6)
}

prop_compose! {
    fn commit()(height in any::<u64>(), round in any::<u32>(), block_hash in hash(),
                signatures in commit_signatures()) -> CommitCertificate {
        CommitCertificate { height: Height(height), round: Round(round), block_hash, signatures }
    }
}

prop_compose! {
    fn round_certificate()(height in any::<u64>(), round in any::<u32>(), skip in any::<bool>(),
                           votes in prop::collection::vec(vote(), 0..5)) -> RoundCertificate {
        let kind = if skip { RoundCertificateKind::Skip } else { RoundCertificateKind::Precommit };
        let signatures = votes.into_iter().map(|v| RoundSignature {
            kind: v.vote.kind, block_hash: v.vote.block_hash, validator: v.vote.validator, signature: v.signature,
        });
        RoundCertificate { height: Height(height), round: Round(round), kind, signatures: signatures.collect() }
    }
}

fn message() -> impl Strategy<Value = ConsensusMessage> {
    let body = || prop::collection::vec(any::<u8>(), 1..200).prop_map(Bytes::from);
    prop_oneof![
        vote().prop_map(ConsensusMessage::Vote),
        proposal().prop_map(ConsensusMessage::Proposal),
        (any::<u64>(), hash(), 0..MAX_PARTS as u32, body()).prop_map(|(height, root, index, bytes)| {
            ConsensusMessage::Part(ProposalPart { height: Height(height), root, index, bytes })
        }),
        commit().prop_map(|c| ConsensusMessage::PolkaCertificate(PolkaCertificate {
            height: c.height,
            round: c.round,
            block_hash: c.block_hash,
            signatures: c.signatures,
        })),
        round_certificate().prop_map(ConsensusMessage::RoundCertificate),
        (commit(), body())
            .prop_map(|(certificate, body)| ConsensusMessage::Decision(DecisionNotice { certificate, body })),
        (any::<u64>(), hash(), prop::collection::btree_set(any::<u32>(), 1..MAX_PARTS)).prop_map(
            |(height, root, indices)| ConsensusMessage::PartRequest(PartRequest {
                height: Height(height),
                root,
                indices: indices.into_iter().collect()
            })
        ),
        (any::<u64>(), any::<u32>()).prop_map(|(height, round)| ConsensusMessage::ProposalRequest(ProposalRequest {
            height: Height(height),
            round: Round(round)
        })),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip(message in message()) {
        let bytes = message.encode();
        prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
        prop_assert_eq!(ConsensusMessage::decode(&bytes).unwrap(), message);
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused(message in message(), extra in any::<u8>()) {
        let mut bytes = message.encode();
        prop_assert!(ConsensusMessage::decode(&bytes[..bytes.len() - 1]).is_err());
        bytes.push(extra);
        prop_assert!(ConsensusMessage::decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_decode_or_fail_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        drop(ConsensusMessage::decode(&bytes));
        drop(borsh::from_slice::<Evidence>(&bytes));
        drop(borsh::from_slice::<SignState>(&bytes));
        drop(borsh::from_slice::<CommitCertificate>(&bytes));
    }

    #[test]
    fn mutated_messages_never_panic_a_host(
        messages in prop::collection::vec((message(), any::<prop::sample::Index>(), any::<u8>()), 1..12)
    ) {
        let mut kit = crate::kit::Kit::started(4);
        for (message, at, flip) in messages {
            let mut bytes = message.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(message) = ConsensusMessage::decode(&bytes) {
                kit.hear(message);
            }
        }
        let block = crate::kit::block(1, 100);
        let outputs = kit.decide(1, &block);
        prop_assert!(crate::kit::decided(&outputs).is_some(), "noise does not stop the host");
    }

    #[test]
    fn noise_at_the_current_height_never_panics_a_host(
        messages in prop::collection::vec((message(), 0u32..4), 1..16)
    ) {
        let mut kit = crate::kit::Kit::started(4);
        for (mut message, round) in messages {
            let (height, round) = (Height(1), Round(round));
            match &mut message {
                ConsensusMessage::Vote(m) => (m.vote.height, m.vote.round) = (height, round),
                ConsensusMessage::Proposal(m) => (m.proposal.height, m.proposal.round) = (height, round),
                ConsensusMessage::Part(m) => m.height = height,
                ConsensusMessage::PolkaCertificate(m) => (m.height, m.round) = (height, round),
                ConsensusMessage::RoundCertificate(m) => (m.height, m.round) = (height, round),
                ConsensusMessage::Decision(m) => (m.certificate.height, m.certificate.round) = (height, round),
                ConsensusMessage::PartRequest(m) => m.height = height,
                ConsensusMessage::ProposalRequest(m) => (m.height, m.round) = (height, round),
            }
            let outputs = kit.hear(message);
            prop_assert!(crate::kit::log(&outputs).is_empty(), "nothing unverified reaches the log");
        }
        let block = crate::kit::block(1, 100);
        let outputs = kit.decide(1, &block);
        prop_assert!(crate::kit::decided(&outputs).is_some());
    }
}

#[test]
fn lengths_over_the_limits_are_refused() {
    let part = |len: usize, index: u32| {
        ConsensusMessage::Part(ProposalPart { height: Height(1), root: B256::ZERO, index, bytes: vec![0; len].into() })
    };
    assert!(ConsensusMessage::decode(&part(PART_BYTES, MAX_PARTS as u32 - 1).encode()).is_ok());
    assert!(ConsensusMessage::decode(&part(PART_BYTES + 1, 0).encode()).is_err());
    assert!(ConsensusMessage::decode(&part(1, MAX_PARTS as u32).encode()).is_err());
    assert!(ConsensusMessage::decode(&part(0, 0).encode()).is_err());
    let decision = |len: usize, signatures: usize| {
        let one = CommitSignature { validator: Address::ZERO, signature: [0; 64] };
        ConsensusMessage::Decision(DecisionNotice {
            certificate: CommitCertificate {
                height: Height(1),
                round: Round(0),
                block_hash: B256::ZERO,
                signatures: vec![one; signatures],
            },
            body: vec![0; len].into(),
        })
    };
    let largest = decision(MAX_BLOCK_BYTES, MAX_VALIDATORS).encode();
    assert!(largest.len() <= MAX_MESSAGE_BYTES, "{}", largest.len());
    assert!(ConsensusMessage::decode(&largest).is_ok());
    assert!(ConsensusMessage::decode(&decision(MAX_BLOCK_BYTES + 1, 1).encode()).is_err());
    assert!(ConsensusMessage::decode(&decision(1, MAX_VALIDATORS + 1).encode()).is_err());
    assert!(matches!(ConsensusMessage::decode(&vec![0; MAX_MESSAGE_BYTES + 1]), Err(MessageError::TooLong(_))));
}

/// The largest round certificate fits the certificate limit.
#[test]
fn the_largest_certificates_fit_their_limit() {
    let one = RoundSignature {
        kind: VoteKind::Prevote,
        block_hash: Some(B256::ZERO),
        validator: Address::ZERO,
        signature: [0; 64],
    };
    let certificate = RoundCertificate {
        height: Height(1),
        round: Round(0),
        kind: RoundCertificateKind::Skip,
        signatures: vec![one; MAX_VALIDATORS],
    };
    assert!(borsh::to_vec(&certificate).unwrap().len() <= MAX_CERTIFICATE_BYTES);
}

/// A huge length prefix must not make the decoder allocate.
#[test]
fn huge_length_prefixes_fail_fast() {
    for tag in 0..8u8 {
        let mut bytes = vec![tag];
        bytes.extend([0xff; 300]);
        assert!(ConsensusMessage::decode(&bytes).is_err());
    }
}
