//! Equivocation of proposals: two valid blocks for one round, one for each half of the machines. Members with this strategy
//! know the halves without talking to each other, and vote with each half for its block: from a third of the power on that
//! forks the chain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{ConsensusMessage, PartList, Proposal, SignedProposal, VoteKind};
use causeway_execution::{Block, ExecutedBlock};
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{Ballot, parts, propose, say, vote},
    hearsay::Hearsay,
};

/// Second blocks that are kept.
const KEPT: usize = 16;

#[derive(Debug, Default)]
pub(super) struct EquivocateProposals {
    heard: Hearsay,
    /// By the hash of a block of this member's: the other block and its body.
    others: BTreeMap<B256, Other>,
    /// Part-list roots of its own first blocks, with their hashes.
    roots: BTreeMap<B256, B256>,
    /// Rounds in which it has voted for both blocks.
    cast: BTreeSet<(u64, u32)>,
}

#[derive(Debug, Clone)]
struct Other {
    height: u64,
    hash: B256,
    body: Bytes,
}

/// Which of the two blocks a machine is shown: the one with the smaller hash, or the other.
fn half(to: usize, height: u64) -> usize {
    usize::from((to as u64 + height) % 2 == 1)
}

impl EquivocateProposals {
    /// The block that `to` is shown in a round with two.
    fn shown(&self, to: usize, height: u64, round: u32) -> Option<B256> {
        match self.heard.blocks(height, round).as_slice() {
            [small, .., great] => Some(if half(to, height) == 0 { *small } else { *great }),
            _ => None,
        }
    }

    fn second(&self, out: &Context<'_>, first: &Proposal) -> Option<(SignedProposal, Bytes)> {
        let other = self.others.get(&first.block_hash)?;
        let parts = PartList::of(&other.body)?;
        let proposal = Proposal { block_hash: other.hash, parts, ..first.clone() };
        Some((propose(out, proposal), other.body.clone()))
    }

    fn proposed(&mut self, out: &mut Context<'_>, to: usize, first: &SignedProposal) -> Outgoing {
        let message = say(ConsensusMessage::Proposal(first.clone()));
        let Some((second, body)) = self.second(out, &first.proposal) else { return as_it_is(&message) };
        let height = first.proposal.height;
        self.roots.insert(first.proposal.parts.root(), first.proposal.block_hash);
        let other = say(ConsensusMessage::Proposal(second.clone()));
        self.heard.note(out.head, &message);
        self.heard.note(out.head, &other);
        if self.shown(to, height.0, first.proposal.round.0) == Some(first.proposal.block_hash) {
            return vec![(0, message)];
        }
        out.acted();
        let parts = parts(height, &second.proposal.parts, &body);
        let parts = parts.into_iter().map(|part| (0, say(ConsensusMessage::Part(part))));
        std::iter::once((0, other)).chain(parts).collect()
    }
}

impl Strategy for EquivocateProposals {
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing {
        match message {
            GossipMessage::Consensus(ConsensusMessage::Proposal(signed)) if signed.proposal.proposer == out.id() => {
                let signed = signed.clone();
                self.proposed(out, to, &signed)
            }
            // Whoever is shown the other block has no use for parts of the first.
            GossipMessage::Consensus(ConsensusMessage::Part(part)) => {
                let first =
                    self.roots.get(&part.root).and_then(|first| self.others.get(first).map(|other| (*first, other)));
                match first {
                    Some((first, other)) if (half(to, part.height.0) == 0) != (first < other.hash) => Vec::new(),
                    _ => as_it_is(message),
                }
            }
            GossipMessage::Consensus(ConsensusMessage::Vote(signed)) if signed.vote.validator == out.id() => {
                let (kind, height, round) = (signed.vote.kind, signed.vote.height.0, signed.vote.round.0);
                match self.shown(to, height, round) {
                    Some(block) => vec![(0, vote(out, Ballot { kind, height, round, block: Some(block) }))],
                    None => as_it_is(message),
                }
            }
            _ => as_it_is(message),
        }
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        !out.is_own(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let mut header = block.block.header.clone();
        let mark = out.rng.bits();
        header.extra_data = Bytes::copy_from_slice(&mark.to_be_bytes());
        let height = header.number;
        let other = Block { header, ..Block::clone(&block.block) };
        self.others.insert(block.hash, Other { height, hash: other.hash(), body: other.encode() });
        if self.others.len() > KEPT {
            self.others.retain(|_, other| other.height + 1 >= height);
            self.roots.retain(|_, first| self.others.contains_key(first));
        }
        block
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        let height = out.head + 1;
        self.cast = self.cast.split_off(&(height, 0));
        let rounds: Vec<u32> = self.heard.rounds(height).collect();
        let mut said = Vec::new();
        for round in rounds {
            if self.heard.blocks(height, round).len() < 2 || !self.cast.insert((height, round)) {
                continue;
            }
            for to in out.others() {
                let block = self.shown(to, height, round);
                for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                    said.push((to, vote(out, Ballot { kind, height, round, block })));
                }
            }
            out.acted();
        }
        said
    }
}
