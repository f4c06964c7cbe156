//! Verified messages of the next height, held until it starts. The core has a buffer of its own, but fills it before
//! signatures are checked (pitfall 5), so nothing of a future height is ever shown to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::height::{Height, Round};
use crate::index::PROPOSALS_PER_ROUND;
use crate::io::PeerToken;
use crate::keys::ValidatorId;
use crate::proposal::SignedProposal;
use crate::vote::{SignedVote, VoteKind};

/// Rounds of the next height of which messages are held; later ones are repeated by their senders anyway.
pub(crate) const FUTURE_ROUNDS: u32 = 4;

/// What is handed out when the height starts: proposals and votes, each with the peer that sent it.
pub(crate) type Held = (Vec<(PeerToken, SignedProposal)>, Vec<(PeerToken, SignedVote)>);

/// Messages of one future height: at most two votes for each validator and round, and two proposals a round.
#[derive(Default)]
pub(crate) struct Future {
    height: Height,
    votes: BTreeMap<(Round, VoteKind, ValidatorId), (PeerToken, SignedVote)>,
    proposals: Vec<(PeerToken, SignedProposal)>,
    /// Who signed any of them.
    voices: BTreeSet<ValidatorId>,
}

impl Future {
    /// Turns to `height`, forgetting messages of any other.
    pub(crate) fn expect(&mut self, height: Height) {
        if self.height != height {
            *self = Self { height, ..Self::default() };
        }
    }

    /// How many votes and proposals are held.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.votes.len(), self.proposals.len())
    }

    /// Whose messages of `height` are held.
    pub(crate) fn voices(&self, height: Height) -> impl Iterator<Item = &ValidatorId> {
        self.voices.iter().filter(move |_| self.height == height)
    }

    /// Whether there is room for `vote`; ask before verifying it.
    pub(crate) fn wants_vote(&self, vote: &SignedVote) -> bool {
        let key = (vote.vote.round, vote.vote.kind, vote.vote.validator);
        vote.vote.height == self.height && vote.vote.round.0 < FUTURE_ROUNDS && !self.votes.contains_key(&key)
    }

    /// Whether there is room for `proposal`; ask before verifying it.
    pub(crate) fn wants_proposal(&self, proposal: &SignedProposal) -> bool {
        let proposal = &proposal.proposal;
        let same_round = self.proposals.iter().filter(|(_, p)| p.proposal.round == proposal.round);
        proposal.height == self.height
            && proposal.round.0 < FUTURE_ROUNDS
            && !self.proposals.iter().any(|(_, p)| p.proposal == *proposal)
            && same_round.count() < PROPOSALS_PER_ROUND
    }

    /// Holds a verified, wanted vote.
    pub(crate) fn hold_vote(&mut self, from: PeerToken, vote: SignedVote) {
        let key = (vote.vote.round, vote.vote.kind, vote.vote.validator);
        self.voices.insert(vote.vote.validator);
        self.votes.insert(key, (from, vote));
    }

    /// Holds a verified, wanted proposal.
    pub(crate) fn hold_proposal(&mut self, from: PeerToken, proposal: SignedProposal) {
        self.voices.insert(proposal.proposal.proposer);
        self.proposals.push((from, proposal));
    }

    /// Hands out everything held for `height`: proposals, then votes by round.
    pub(crate) fn take(&mut self, height: Height) -> Held {
        let held = std::mem::take(self);
        if held.height != height {
            return (Vec::new(), Vec::new());
        }
        (held.proposals, held.votes.into_values().collect())
    }
}
