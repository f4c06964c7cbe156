//! The consensus messages between nodes, and their bounded decoding.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::{CommitCertificate, PolkaCertificate, RoundCertificate};
use crate::height::{Height, Round};
use crate::proposal::{MAX_BLOCK_BYTES, MAX_PARTS, ProposalPart, SignedProposal};
use crate::validators::MAX_VALIDATORS;
use crate::vote::SignedVote;

/// Largest encoded certificate: 160 bytes covers a round signature, the largest of the three kinds.
pub const MAX_CERTIFICATE_BYTES: usize = 128 + 160 * MAX_VALIDATORS;

/// Largest encoded message, a decision with a full block, in bytes. Networks refuse longer frames.
pub const MAX_MESSAGE_BYTES: usize = MAX_BLOCK_BYTES + MAX_CERTIFICATE_BYTES + 64;

/// A decided block with its proof, sent to a peer that still works on that height.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DecisionNotice {
    /// Proves the decision.
    pub certificate: CommitCertificate,
    /// The decided block's body, at most [`MAX_BLOCK_BYTES`].
    pub body: Bytes,
}

/// Asks a peer for parts of a proposed body.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PartRequest {
    /// The height the body is proposed for.
    pub height: Height,
    /// Root of the body's part list.
    pub root: B256,
    /// Indices of the requested parts, strictly ascending, at most [`MAX_PARTS`].
    pub indices: Vec<u32>,
}

/// Asks a peer for the proposals of a round, after its votes named a block that we never saw proposed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProposalRequest {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: Round,
}

/// A consensus message between nodes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ConsensusMessage {
    /// A prevote or precommit.
    Vote(SignedVote),
    /// A proposal; its body follows in parts.
    Proposal(SignedProposal),
    /// One part of a proposed body.
    Part(ProposalPart),
    /// Proof of a polka, so that others can accept a block proposed again.
    PolkaCertificate(PolkaCertificate),
    /// Proof that a round was left or may be entered.
    RoundCertificate(RoundCertificate),
    /// A decision, for a peer that lags by a few heights.
    Decision(DecisionNotice),
    /// A pull for missing parts; answered with [`ConsensusMessage::Part`].
    PartRequest(PartRequest),
    /// A pull for a lost proposal; answered with [`ConsensusMessage::Proposal`].
    ProposalRequest(ProposalRequest),
}

/// Why bytes are not a consensus message. The peer is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("{0} bytes exceed the largest consensus message")]
    TooLong(usize),
    /// Not the borsh encoding of a message, or bytes follow it.
    #[error("malformed consensus message: {0}")]
    Malformed(String),
    /// A list or body inside is longer than its limit.
    #[error("a {0} exceeds its limit")]
    OverLimit(&'static str),
}

impl ConsensusMessage {
    /// The height of the message.
    pub fn height(&self) -> Height {
        match self {
            Self::Vote(m) => m.vote.height,
            Self::Proposal(m) => m.proposal.height,
            Self::Part(m) => m.height,
            Self::PolkaCertificate(m) => m.height,
            Self::RoundCertificate(m) => m.height,
            Self::Decision(m) => m.certificate.height,
            Self::PartRequest(m) => m.height,
            Self::ProposalRequest(m) => m.height,
        }
    }

    /// The round of the message, if it has one.
    pub fn round(&self) -> Option<Round> {
        match self {
            Self::Vote(m) => Some(m.vote.round),
            Self::Proposal(m) => Some(m.proposal.round),
            Self::PolkaCertificate(m) => Some(m.round),
            Self::RoundCertificate(m) => Some(m.round),
            Self::Decision(m) => Some(m.certificate.round),
            Self::ProposalRequest(m) => Some(m.round),
            Self::Part(_) | Self::PartRequest(_) => None,
        }
    }

    /// A short name for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Vote(_) => "vote",
            Self::Proposal(_) => "proposal",
            Self::Part(_) => "part",
            Self::PolkaCertificate(_) => "polka certificate",
            Self::RoundCertificate(_) => "round certificate",
            Self::Decision(_) => "decision",
            Self::PartRequest(_) => "part request",
            Self::ProposalRequest(_) => "proposal request",
        }
    }

    /// The borsh encoding.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Decodes one whole message and checks every length in it.
    ///
    /// # Errors
    /// [`MessageError`]; the sender is at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(MessageError::TooLong(bytes.len()));
        }
        let message: Self = borsh::from_slice(bytes).map_err(|e| MessageError::Malformed(e.to_string()))?;
        message.check_limits()?;
        Ok(message)
    }

    /// Checks that every list and body is within its limit. Decoding calls it, and the host calls it for messages that were
    /// never encoded.
    pub(crate) fn check_limits(&self) -> Result<(), MessageError> {
        let over = match self {
            Self::Vote(_) | Self::ProposalRequest(_) => None,
            Self::Proposal(m) => (!m.proposal.parts.is_well_formed()).then_some("proposal's part list"),
            Self::Part(m) => {
                (m.bytes.is_empty() || m.bytes.len() > crate::proposal::PART_BYTES || m.index as usize >= MAX_PARTS)
                    .then_some("proposal part")
            }
            Self::PolkaCertificate(m) => (m.signatures.len() > MAX_VALIDATORS).then_some("polka certificate"),
            Self::RoundCertificate(m) => (m.signatures.len() > MAX_VALIDATORS).then_some("round certificate"),
            Self::Decision(m) => {
                (m.certificate.signatures.len() > MAX_VALIDATORS || m.body.is_empty() || m.body.len() > MAX_BLOCK_BYTES)
                    .then_some("decision")
            }
            Self::PartRequest(m) => (m.indices.is_empty()
                || m.indices.len() > MAX_PARTS
                || m.indices.windows(2).any(|pair| pair[0] >= pair[1]))
            .then_some("part request"),
        };
        over.map_or(Ok(()), |what| Err(MessageError::OverLimit(what)))
    }
}
