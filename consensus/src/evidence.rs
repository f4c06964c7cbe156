//! Evidence of equivocation: two conflicting messages signed by one validator. It can be verified from its own bytes.

use std::fmt;

use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::height::{Height, Round};
use crate::keys::{ConsensusKey, ValidatorId, verify};
use crate::proposal::SignedProposal;
use crate::vote::{SignedVote, VoteKind};

/// Two conflicting signed messages of one validator. They are in ascending order, so that one offence has exactly one
/// encoding, independent of the order in which the messages were seen.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two votes of the same kind, height and round for different blocks (nil counts as a block).
    Votes(SignedVote, SignedVote),
    /// Two different proposals for the same height and round.
    Proposals(SignedProposal, SignedProposal),
}

/// Why evidence is invalid. The submitter is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The key does not belong to the accused validator.
    #[error("the key does not belong to {0}")]
    WrongKey(ValidatorId),
    /// The messages differ in validator, kind, height or round, or do not differ at all.
    #[error("the two messages do not conflict")]
    NoConflict,
    /// The two messages are not in ascending order.
    #[error("the two messages are not in canonical order")]
    NotCanonical,
    /// A signature does not verify on this chain.
    #[error("a signature does not verify on this chain")]
    InvalidSignature,
}

/// Describes the offence in one line for an operator.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "validator {} signed two ", self.validator())?;
        match self {
            Self::Votes(first, second) => {
                let kind = match first.vote.kind {
                    VoteKind::Prevote => "prevotes",
                    VoteKind::Precommit => "precommits",
                };
                write!(f, "{kind} at height {}, round {}: ", self.height(), self.round())?;
                let voted = |vote: &SignedVote| vote.vote.block_hash.map_or("nil".to_owned(), |hash| hash.to_string());
                write!(f, "for {} and for {}", voted(first), voted(second))
            }
            Self::Proposals(first, second) => {
                let (first, second) = (&first.proposal, &second.proposal);
                write!(f, "proposals at height {}, round {}: ", self.height(), self.round())?;
                if first.block_hash == second.block_hash {
                    write!(f, "of block {} with different parts or polka rounds", first.block_hash)
                } else {
                    write!(f, "of block {} and of block {}", first.block_hash, second.block_hash)
                }
            }
        }
    }
}

impl Evidence {
    /// Builds evidence from two votes in canonical order. Does not check that they conflict.
    pub fn of_votes(a: SignedVote, b: SignedVote) -> Self {
        if a <= b { Self::Votes(a, b) } else { Self::Votes(b, a) }
    }

    /// Builds evidence from two proposals in canonical order. Does not check that they conflict.
    pub fn of_proposals(a: SignedProposal, b: SignedProposal) -> Self {
        if a <= b { Self::Proposals(a, b) } else { Self::Proposals(b, a) }
    }

    /// The accused validator.
    pub fn validator(&self) -> ValidatorId {
        match self {
            Self::Votes(first, _) => first.vote.validator,
            Self::Proposals(first, _) => first.proposal.proposer,
        }
    }

    /// The height of the offence.
    pub fn height(&self) -> Height {
        match self {
            Self::Votes(first, _) => first.vote.height,
            Self::Proposals(first, _) => first.proposal.height,
        }
    }

    /// The round of the offence.
    pub fn round(&self) -> Round {
        match self {
            Self::Votes(first, _) => first.vote.round,
            Self::Proposals(first, _) => first.proposal.round,
        }
    }

    /// keccak256 of the borsh encoding.
    pub fn hash(&self) -> B256 {
        keccak256(borsh::to_vec(self).expect("writing to memory cannot fail"))
    }

    /// Checks that the messages conflict and that `key` signed both on `chain`.
    ///
    /// # Errors
    /// The first rule of [`EvidenceError`] that is broken.
    pub fn verify(&self, chain: B256, key: &ConsensusKey) -> Result<(), EvidenceError> {
        if key.id() != self.validator() {
            return Err(EvidenceError::WrongKey(self.validator()));
        }
        let key = key.decode().ok_or(EvidenceError::InvalidSignature)?;
        let ((first, first_signature), (second, second_signature), canonical) = match self {
            Self::Votes(a, b) => {
                let scope = |v: &SignedVote| (v.vote.validator, v.vote.kind, v.vote.height, v.vote.round);
                if scope(a) != scope(b) || a.vote.block_hash == b.vote.block_hash {
                    return Err(EvidenceError::NoConflict);
                }
                ((a.vote.sign_bytes(chain), a.signature), (b.vote.sign_bytes(chain), b.signature), a < b)
            }
            Self::Proposals(a, b) => {
                let scope = |p: &SignedProposal| (p.proposal.proposer, p.proposal.height, p.proposal.round);
                if scope(a) != scope(b) || a.proposal == b.proposal {
                    return Err(EvidenceError::NoConflict);
                }
                ((a.proposal.sign_bytes(chain), a.signature), (b.proposal.sign_bytes(chain), b.signature), a < b)
            }
        };
        if !canonical {
            return Err(EvidenceError::NotCanonical);
        }
        if !verify(&key, &first, &first_signature) || !verify(&key, &second, &second_signature) {
            return Err(EvidenceError::InvalidSignature);
        }
        Ok(())
    }
}
