//! `ConsensusMessage::decode`: every decoded message is within its limits and has one encoding.

use causeway_consensus::{
    ConsensusMessage, DecisionNotice, Height, MAX_CERTIFICATE_BYTES, MAX_MESSAGE_BYTES, MAX_PARTS, PART_BYTES,
    PartRequest, ProposalRequest, Round, VoteKind,
};

use crate::Target;
use crate::committee::COMMITTEE;

/// See the module.
pub const TARGET: Target = Target { name: "consensus_message", check, seeds, max_bytes: 4096 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let Ok(message) = ConsensusMessage::decode(bytes) else { return };
    assert_eq!(message.encode(), bytes, "one encoding");
    assert!(bytes.len() <= MAX_MESSAGE_BYTES);
    assert!(!message.name().is_empty());
    let (height, round) = (message.height(), message.round());
    match &message {
        ConsensusMessage::Vote(m) => {
            assert_eq!((height, round), (m.vote.height, Some(m.vote.round)));
            assert!(!m.verify(alloy_primitives::B256::ZERO, &COMMITTEE.set), "signed for another chain");
        }
        ConsensusMessage::Proposal(m) => {
            let parts = &m.proposal.parts;
            assert!(parts.is_well_formed());
            let sizes = (0..parts.hashes.len()).map(|at| parts.part_len(at).expect("a part in the list"));
            assert_eq!(sizes.sum::<usize>(), parts.total_bytes as usize, "parts add up to the body");
            assert_eq!(parts.part_len(parts.hashes.len()), None);
        }
        ConsensusMessage::Part(m) => assert!(m.bytes.len() <= PART_BYTES && (m.index as usize) < MAX_PARTS),
        ConsensusMessage::PolkaCertificate(_) | ConsensusMessage::RoundCertificate(_) => {
            assert!(bytes.len() <= MAX_CERTIFICATE_BYTES);
        }
        ConsensusMessage::Decision(m) => assert!(!m.body.is_empty()),
        ConsensusMessage::PartRequest(m) => assert!(m.indices.len() <= MAX_PARTS),
        ConsensusMessage::ProposalRequest(m) => assert_eq!((height, round), (m.height, Some(m.round))),
    }
}

/// One message of each kind, as four validators send it.
pub(crate) fn messages() -> Vec<ConsensusMessage> {
    let all = &*COMMITTEE;
    let (height, round) = (Height(1), Round(0));
    let block = &all.blocks[0];
    let vote = |kind, hash| ConsensusMessage::Vote(all.vote(1, kind, height, round, hash));
    let proposer = all.proposer(height, round);
    vec![
        vote(VoteKind::Prevote, None),
        vote(VoteKind::Precommit, Some(block.hash)),
        ConsensusMessage::Proposal(all.proposal(proposer, height, round, None, block)),
        ConsensusMessage::Proposal(all.proposal(proposer, height, Round(3), Some(Round(1)), &all.blocks[2])),
        ConsensusMessage::Part(block.part(height, 0).expect("a first part")),
        ConsensusMessage::PolkaCertificate(all.polka(7, height, round, block.hash)),
        ConsensusMessage::RoundCertificate(all.round_certificate(7, false, height, round)),
        ConsensusMessage::RoundCertificate(all.round_certificate(3, true, height, round)),
        ConsensusMessage::Decision(DecisionNotice {
            certificate: all.certificate(15, height, round, block.hash),
            body: block.body.clone(),
        }),
        ConsensusMessage::PartRequest(PartRequest { height, root: block.parts.root(), indices: vec![0, 1, 7] }),
        ConsensusMessage::ProposalRequest(ProposalRequest { height, round }),
    ]
}

fn seeds() -> Vec<Vec<u8>> {
    messages().iter().map(ConsensusMessage::encode).collect()
}
