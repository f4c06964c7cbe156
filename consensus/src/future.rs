//! Buffer of verified messages of the next height. The core has a buffer of its own, but fills it before signatures are
//! checked (pitfall 5), so the core never receives a message of a future height.

use std::collections::{BTreeMap, BTreeSet};

use crate::height::{Height, Round};
use crate::index::PROPOSALS_PER_ROUND;
use crate::io::PeerToken;
use crate::keys::ValidatorId;
use crate::proposal::SignedProposal;
use crate::vote::{SignedVote, VoteKind};

/// Rounds of the next height whose messages are buffered. Senders repeat messages of later rounds anyway.
pub(crate) const FUTURE_ROUNDS: u32 = 4;

/// The buffered messages handed out when the height starts: proposals and votes, each with the peer that sent it.
pub(crate) type Buffered = (Vec<(PeerToken, SignedProposal)>, Vec<(PeerToken, SignedVote)>);

/// Messages of one future height: at most two votes for each validator and round, and two proposals a round.
#[derive(Default)]
pub(crate) struct Future {
    height: Height,
    votes: BTreeMap<(Round, VoteKind, ValidatorId), (PeerToken, SignedVote)>,
    proposals: Vec<(PeerToken, SignedProposal)>,
    /// The signers of the buffered messages.
    signers: BTreeSet<ValidatorId>,
}

impl Future {
    /// Sets the buffered height to `height`; drops messages of any other height.
    pub(crate) fn expect(&mut self, height: Height) {
        if self.height != height {
            *self = Self { height, ..Self::default() };
        }
    }

    /// Number of buffered votes and of buffered proposals.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.votes.len(), self.proposals.len())
    }

    /// The signers of the buffered messages of `height`.
    pub(crate) fn signers(&self, height: Height) -> impl Iterator<Item = &ValidatorId> {
        self.signers.iter().filter(move |_| self.height == height)
    }

    /// Whether there is room for `vote`; call it before verifying the vote.
    pub(crate) fn wants_vote(&self, vote: &SignedVote) -> bool {
        let key = (vote.vote.round, vote.vote.kind, vote.vote.validator);
        vote.vote.height == self.height && vote.vote.round.0 < FUTURE_ROUNDS && !self.votes.contains_key(&key)
    }

    /// Whether there is room for `proposal`; call it before verifying the proposal.
    pub(crate) fn wants_proposal(&self, proposal: &SignedProposal) -> bool {
        let proposal = &proposal.proposal;
        let same_round = self.proposals.iter().filter(|(_, p)| p.proposal.round == proposal.round);
        proposal.height == self.height
            && proposal.round.0 < FUTURE_ROUNDS
            && !self.proposals.iter().any(|(_, p)| p.proposal == *proposal)
            && same_round.count() < PROPOSALS_PER_ROUND
    }

    /// Buffers a vote that was verified and has room.
    pub(crate) fn buffer_vote(&mut self, from: PeerToken, vote: SignedVote) {
        let key = (vote.vote.round, vote.vote.kind, vote.vote.validator);
        self.signers.insert(vote.vote.validator);
        self.votes.insert(key, (from, vote));
    }

    /// Buffers a proposal that was verified and has room.
    pub(crate) fn buffer_proposal(&mut self, from: PeerToken, proposal: SignedProposal) {
        self.signers.insert(proposal.proposal.proposer);
        self.proposals.push((from, proposal));
    }

    /// Removes and returns all messages of `height`: proposals, then votes by round.
    pub(crate) fn take(&mut self, height: Height) -> Buffered {
        let held = std::mem::take(self);
        if held.height != height {
            return (Vec::new(), Vec::new());
        }
        (held.proposals, held.votes.into_values().collect())
    }
}
