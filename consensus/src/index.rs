//! Signatures of each validator over a window of heights. It is the cache of verified signatures, and it detects a second,
//! conflicting signature (pitfall 6: the core forgets evidence with each height and never receives late votes).

use std::collections::BTreeMap;

use alloy_primitives::B256;

use crate::evidence::Evidence;
use crate::height::{Height, Round};
use crate::keys::{SIGNATURE_BYTES, ValidatorId};
use crate::proposal::SignedProposal;
use crate::validators::ValidatorSet;
use crate::vote::{SignedVote, VoteKind};

/// Heights whose signatures are remembered. At 100 validators about 50 kB each.
pub(crate) const INDEXED_HEIGHTS: usize = 256;

/// Different proposals kept for one round: equivocation needs two, and the core accepts two.
pub(crate) const PROPOSALS_PER_ROUND: usize = 2;

type Signed = (Option<B256>, [u8; SIGNATURE_BYTES]);

/// The signatures of one validator for one kind of vote in one round.
struct Slot {
    first: Signed,
    /// The first conflicting one. Later ones add nothing and are not even verified.
    second: Option<Signed>,
    /// Whether the core received the first as a single vote, not only inside a certificate.
    fed: bool,
}

/// How a vote relates to the indexed ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// No vote of this validator, kind and round is known.
    Nothing,
    /// The same vote is known; `fed` tells whether the core received it.
    Same { fed: bool },
    /// Another vote is known: if this one verifies, it is an equivocation.
    Other,
    /// An equivocation is already known.
    Saturated,
}

/// The signatures of one height.
struct HeightIndex {
    set: ValidatorSet,
    /// The round of this node when it left the height. Bounds the rounds of late votes that are still indexed.
    left_in: Option<Round>,
    votes: BTreeMap<(Round, VoteKind, ValidatorId), Slot>,
    proposals: BTreeMap<Round, Vec<SignedProposal>>,
}

/// Verified signatures by height. Insert only verified messages.
#[derive(Default)]
pub(crate) struct SignedIndex {
    heights: BTreeMap<Height, HeightIndex>,
}

impl SignedIndex {
    /// Opens a height and forgets the oldest one beyond the window.
    pub(crate) fn open(&mut self, height: Height, set: ValidatorSet) {
        let fresh = || HeightIndex { set, left_in: None, votes: BTreeMap::new(), proposals: BTreeMap::new() };
        self.heights.entry(height).or_insert_with(fresh);
        while self.heights.len() > INDEXED_HEIGHTS {
            self.heights.pop_first();
        }
    }

    /// Number of heights in the window.
    pub(crate) fn heights(&self) -> usize {
        self.heights.len()
    }

    /// Number of indexed votes and of indexed proposals of a height.
    pub(crate) fn sizes(&self, height: Height) -> (usize, usize) {
        self.heights.get(&height).map_or((0, 0), |h| (h.votes.len(), h.proposals.values().map(Vec::len).sum()))
    }

    /// The validators of a height in the window.
    pub(crate) fn set(&self, height: Height) -> Option<&ValidatorSet> {
        self.heights.get(&height).map(|h| &h.set)
    }

    /// Notes the round in which this node left `height`.
    pub(crate) fn leave(&mut self, height: Height, round: Round) {
        if let Some(index) = self.heights.get_mut(&height) {
            index.left_in = Some(round);
        }
    }

    /// The round in which this node left `height`; `None` while it works on it, or when the height is outside the window.
    pub(crate) fn left_in(&self, height: Height) -> Option<Round> {
        self.heights.get(&height).and_then(|h| h.left_in)
    }

    fn slot(&self, vote: &SignedVote) -> Option<&Slot> {
        let votes = &self.heights.get(&vote.vote.height)?.votes;
        votes.get(&(vote.vote.round, vote.vote.kind, vote.vote.validator))
    }

    /// How `vote` relates to the indexed ones; verifies nothing.
    pub(crate) fn known(&self, vote: &SignedVote) -> Known {
        match self.slot(vote) {
            None => Known::Nothing,
            Some(slot) if slot.first.0 == vote.vote.block_hash => Known::Same { fed: slot.fed },
            Some(slot) if slot.second.is_some() => Known::Saturated,
            Some(_) => Known::Other,
        }
    }

    /// Whether exactly this signature on exactly this vote was verified before.
    pub(crate) fn is_verified(&self, vote: &SignedVote) -> bool {
        let signed = (vote.vote.block_hash, vote.signature);
        self.slot(vote).is_some_and(|slot| slot.first == signed || slot.second == Some(signed))
    }

    /// Inserts a verified vote; returns evidence when it is the first that conflicts with the known one.
    pub(crate) fn insert_vote(&mut self, vote: &SignedVote, fed: bool) -> Option<Evidence> {
        let votes = &mut self.heights.get_mut(&vote.vote.height)?.votes;
        let signed = (vote.vote.block_hash, vote.signature);
        let key = (vote.vote.round, vote.vote.kind, vote.vote.validator);
        let Some(slot) = votes.get_mut(&key) else {
            votes.insert(key, Slot { first: signed, second: None, fed });
            return None;
        };
        if slot.first.0 == vote.vote.block_hash {
            slot.fed |= fed;
            return None;
        }
        if slot.second.is_some() {
            return None;
        }
        slot.second = Some(signed);
        let mut first = vote.clone();
        (first.vote.block_hash, first.signature) = slot.first;
        Some(Evidence::of_votes(first, vote.clone()))
    }

    /// The verified proposals of a round, at most [`PROPOSALS_PER_ROUND`].
    pub(crate) fn proposals(&self, height: Height, round: Round) -> &[SignedProposal] {
        self.heights.get(&height).and_then(|h| h.proposals.get(&round)).map_or(&[], Vec::as_slice)
    }

    /// All verified proposals of a height, by round.
    pub(crate) fn all_proposals(&self, height: Height) -> impl Iterator<Item = &SignedProposal> {
        self.heights.get(&height).into_iter().flat_map(|h| h.proposals.values().flatten())
    }

    /// Inserts a verified proposal unless the round is full; returns evidence when it is the second of its round.
    pub(crate) fn insert_proposal(&mut self, proposal: &SignedProposal) -> Option<Evidence> {
        let height = self.heights.get_mut(&proposal.proposal.height)?;
        let known = height.proposals.entry(proposal.proposal.round).or_default();
        if known.len() >= PROPOSALS_PER_ROUND || known.iter().any(|k| k.proposal == proposal.proposal) {
            return None;
        }
        known.push(proposal.clone());
        match known.as_slice() {
            [first, second] => Some(Evidence::of_proposals(first.clone(), second.clone())),
            _ => None,
        }
    }
}
