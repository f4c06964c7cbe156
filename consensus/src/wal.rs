//! Entries of the write-ahead log: everything the core needs to restore its state within a height.

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::PolkaCertificate;
use crate::engine::Timer;
use crate::height::{Height, Round};
use crate::keys::ValidatorId;
use crate::proposal::SignedProposal;
use crate::vote::SignedVote;

/// One entry. Each contains its height, so that a log of another height is detected.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum WalEntry {
    /// A vote from a peer. It may be our own, sent back after an earlier log was lost: it counts, but a replay of this log
    /// need not derive it.
    Vote(SignedVote),
    /// A proposal from a peer, with its part list. It may be our own, as with `Vote`.
    Proposal(SignedProposal),
    /// A polka certificate.
    Polka(PolkaCertificate),
    /// The body of a valid block, logged before the block's first valid verdict. Without it, a restarted node that is locked
    /// on the block could not propose it again; if every node restarts, none could (pitfall 11).
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
        /// The round of the proposal that the verdict answered.
        round: Round,
        /// The polka round of that proposal.
        pol_round: Option<Round>,
        /// The proposer of that proposal.
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
    /// A vote that this node signed with this log: replaying the entries before it must derive it.
    OwnVote(SignedVote),
    /// A proposal that this node signed with this log: replaying the entries before it must derive it.
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
