//! Prevotes and precommits.

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::height::{Height, Round};
use crate::keys::{SIGNATURE_BYTES, ValidatorId, verify};
use crate::sign_bytes::{SignTag, sign_bytes};
use crate::validators::ValidatorSet;

/// The two voting steps of a round.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum VoteKind {
    /// "A valid proposal of this block has arrived", or nil.
    Prevote,
    /// "A quorum of prevotes for this block has arrived", or nil.
    Precommit,
}

/// A vote for a block, or for nil, in one round of one height.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// The height voted on.
    pub height: Height,
    /// The round of that height.
    pub round: Round,
    /// The block voted for; `None` is a vote for nil.
    pub block_hash: Option<B256>,
    /// The voter. Not part of the signed bytes, because the key identifies it.
    pub validator: ValidatorId,
}

impl Vote {
    /// The bytes a validator of `chain` signs. They hold no timestamp and no extension (pitfall 7).
    pub fn sign_bytes(&self, chain: B256) -> Vec<u8> {
        let tag = match self.kind {
            VoteKind::Prevote => SignTag::Prevote,
            VoteKind::Precommit => SignTag::Precommit,
        };
        sign_bytes(tag, chain, &(self.height, self.round, self.block_hash))
    }
}

/// A vote with its validator's signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// ed25519 over [`Vote::sign_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
}

impl SignedVote {
    /// Whether the vote's validator is in `set` and signed the vote.
    pub fn verify(&self, chain: B256, set: &ValidatorSet) -> bool {
        set.verifying_key(&self.vote.validator)
            .is_some_and(|key| verify(key, &self.vote.sign_bytes(chain), &self.signature))
    }
}
