//! Entries of the write-ahead log: everything the core needs to come back to where it was in a height.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::PolkaCertificate;
use crate::engine::Timer;
use crate::height::{Height, Round};
use crate::keys::ValidatorId;
use crate::proposal::SignedProposal;
use crate::vote::SignedVote;

/// One entry. Each names its height, so that a log of another height is noticed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum WalEntry {
    /// A vote from a peer. It may be our own, come back after an earlier log was lost: it counts, but it is nothing that
    /// replaying this log must lead to.
    Vote(SignedVote),
    /// A proposal from a peer, with its part list; see `Vote` about our own.
    Proposal(SignedProposal),
    /// A polka certificate.
    Polka(PolkaCertificate),
    /// The body of a valid block, logged before the block is first called valid. Without it a restarted node that is
    /// locked on the block could not propose it again, and if every node restarts nobody could (pitfall 11).
    Body {
        /// The height.
        height: Height,
        /// The block.
        block_hash: B256,
        /// Its body.
        body: Bytes,
    },
    /// The caller's verdict on a block, or our own block.
    Verdict {
        /// The height.
        height: Height,
        /// The round of the proposal it answered.
        round: Round,
        /// That proposal's polka round.
        pol_round: Option<Round>,
        /// That proposal's proposer.
        proposer: ValidatorId,
        /// The block.
        block_hash: B256,
        /// The verdict.
        valid: bool,
    },
    /// A timeout of a step.
    Timeout {
        /// The height.
        height: Height,
        /// The timer.
        timer: Timer,
    },
    /// A vote this node signed here: replaying the entries before it must lead to it.
    OwnVote(SignedVote),
    /// A proposal this node signed here: replaying the entries before it must lead to it.
    OwnProposal(SignedProposal),
}

impl WalEntry {
    pub(crate) fn height(&self) -> Height {
        match self {
            Self::Vote(m) | Self::OwnVote(m) => m.vote.height,
            Self::Proposal(m) | Self::OwnProposal(m) => m.proposal.height,
            Self::Polka(m) => m.height,
            Self::Body { height, .. } | Self::Verdict { height, .. } | Self::Timeout { height, .. } => *height,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        borsh::from_slice(bytes).map_err(|error| error.to_string())
    }
}
