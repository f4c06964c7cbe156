//! A member's memory of heights around its own: proposals and votes that it has received.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use causeway_consensus::{ConsensusMessage, SignedProposal, SignedVote, ValidatorId, VoteKind};
use causeway_network::GossipMessage;

/// Number of remembered heights around the head.
const AROUND: u64 = 2;
/// Number of remembered rounds of a height.
const ROUNDS: u32 = 64;
/// Number of remembered proposals of one round.
const PROPOSALS: usize = 4;

/// Proposals and votes.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    proposals: BTreeMap<(u64, u32), Vec<SignedProposal>>,
    votes: BTreeMap<(u64, u32, VoteKind), BTreeMap<ValidatorId, SignedVote>>,
}

impl Hearsay {
    /// Remembers a message.
    pub(super) fn note(&mut self, head: u64, message: &GossipMessage) {
        let GossipMessage::Consensus(message) = message else { return };
        let (height, round) = (message.height().0, message.round().map_or(0, |round| round.0));
        let oldest = head.saturating_sub(AROUND);
        if !(oldest..=head + AROUND).contains(&height) || round >= ROUNDS {
            return;
        }
        if self.proposals.first_key_value().is_some_and(|((height, _), _)| *height < oldest) {
            self.proposals = self.proposals.split_off(&(oldest, 0));
        }
        if self.votes.first_key_value().is_some_and(|((height, ..), _)| *height < oldest) {
            self.votes = self.votes.split_off(&(oldest, 0, VoteKind::Prevote));
        }
        match message {
            ConsensusMessage::Proposal(signed) => {
                let known = self.proposals.entry((height, round)).or_default();
                if known.len() < PROPOSALS && !known.contains(signed) {
                    known.push(signed.clone());
                }
            }
            ConsensusMessage::Vote(signed) => {
                let votes = self.votes.entry((height, round, signed.vote.kind)).or_default();
                votes.entry(signed.vote.validator).or_insert_with(|| signed.clone());
            }
            _ => {}
        }
    }

    /// The proposals of a round.
    pub(super) fn proposals(&self, height: u64, round: u32) -> &[SignedProposal] {
        self.proposals.get(&(height, round)).map_or(&[], Vec::as_slice)
    }

    /// The blocks proposed in a round, in ascending order.
    pub(super) fn blocks(&self, height: u64, round: u32) -> Vec<B256> {
        let mut blocks: Vec<B256> =
            self.proposals(height, round).iter().map(|signed| signed.proposal.block_hash).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Whether two blocks are proposed in one round of a height.
    pub(super) fn is_split(&self, height: u64) -> bool {
        self.rounds(height).any(|round| self.blocks(height, round).len() > 1)
    }

    /// The rounds of a height that have proposals, in ascending order.
    pub(super) fn rounds(&self, height: u64) -> impl Iterator<Item = u32> + '_ {
        self.proposals.range((height, 0)..(height + 1, 0)).map(|((_, round), _)| *round)
    }

    /// Votes of one kind and round, by validator.
    pub(super) fn votes(&self, height: u64, round: u32, kind: VoteKind) -> Vec<&SignedVote> {
        self.votes.get(&(height, round, kind)).into_iter().flat_map(BTreeMap::values).collect()
    }

    /// All votes remembered.
    pub(super) fn all_votes(&self) -> impl Iterator<Item = &SignedVote> {
        self.votes.values().flat_map(BTreeMap::values)
    }
}
