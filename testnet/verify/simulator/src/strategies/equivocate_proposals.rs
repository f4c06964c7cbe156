//! Equivocation of proposals: two valid blocks for one round, one for each half of the machines. Members with this strategy are a
//! conspiracy: they know the halves without communication, show each other both blocks, vote with each half for its
//! block, and hide each half's messages from the other half. Their own nodes stay with the half that is shown the block
//! with the smaller hash. From more than a third of the power on that forks the chain.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{ConsensusMessage, PartList, Proposal, SignedProposal, VoteKind};
use causeway_execution::{Block, ExecutedBlock};
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{Ballot, parts, propose, say, vote},
    hearsay::Hearsay,
};
use crate::setup;

/// Number of second blocks that are kept.
const KEPT: usize = 16;
/// The other conspirators receive the second block this much later than the first.
const SECOND_AFTER_MS: u64 = 25;
/// Number of repetitions of the votes for both blocks, for nodes that were not ready for them.
const SAY_AGAIN_MS: u64 = 300;
/// Number of heights below the next one for which they are repeated.
const HEIGHTS_BACK: u64 = 1;

#[derive(Debug, Default)]
pub(super) struct EquivocateProposals {
    heard: Hearsay,
    /// By the hash of a block of this member's: the other block and its body.
    others: BTreeMap<B256, Other>,
    /// Part-list roots of its own first blocks, with their hashes.
    roots: BTreeMap<B256, B256>,
    /// Rounds in which it has voted for both blocks, and when it said so last.
    cast: BTreeMap<(u64, u32), u64>,
}

#[derive(Debug, Clone)]
struct Other {
    height: u64,
    hash: B256,
    body: Bytes,
}

/// Whether a machine is shown the block with the smaller hash of two.
fn sees_small(out: &Context<'_>, to: usize, height: u64) -> bool {
    conspires(out, to) || (to as u64 + height).is_multiple_of(2)
}

/// Whether a machine's member is in the conspiracy, too.
fn conspires(out: &Context<'_>, machine: usize) -> bool {
    out.plan.byzantine.contains(&(machine, out.kind))
}

/// Whether a proposal has two blocks: it is by the conspiracy, and not for a block that already has a quorum of prevotes,
/// because the other block of that round lacks one.
fn has_two(out: &Context<'_>, proposal: &Proposal) -> bool {
    let is_by = |machine: usize| setup::node_keys(machine).validator_id() == proposal.proposer;
    proposal.pol_round.is_none()
        && out.plan.byzantine.iter().any(|(machine, kind)| *kind == out.kind && is_by(*machine))
}

impl EquivocateProposals {
    /// Whether a round's block is by another conspirator and its second block is not known yet: messages about it would now reach the wrong
    /// half.
    fn awaits_second(&self, out: &Context<'_>, height: u64, round: u32) -> bool {
        let [signed] = self.heard.proposals(height, round) else { return false };
        has_two(out, &signed.proposal) && signed.proposal.proposer != out.id()
    }

    /// Whether it will show a second block beside its own one: its node votes before it proposes.
    fn has_second(&self, block: Option<B256>) -> bool {
        let is_shown = |block: &B256| self.roots.values().any(|first| first == block);
        block.is_some_and(|block| self.others.contains_key(&block) && !is_shown(&block))
    }

    /// The block that `to` is shown in a round with two blocks.
    fn shown(&self, out: &Context<'_>, to: usize, height: u64, round: u32) -> Option<B256> {
        match self.heard.blocks(height, round).as_slice() {
            [small, .., great] => Some(if sees_small(out, to, height) { *small } else { *great }),
            _ => None,
        }
    }

    /// The block of a round that is proposed again. After a failed attack both halves may be locked on one: the conspiracy
    /// then helps both.
    fn again(&self, height: u64, round: u32) -> Option<B256> {
        match self.heard.proposals(height, round) {
            [signed] if signed.proposal.pol_round.is_some() => Some(signed.proposal.block_hash),
            _ => None,
        }
    }

    fn second(&self, out: &Context<'_>, first: &Proposal) -> Option<(SignedProposal, Bytes)> {
        if !has_two(out, first) {
            return None;
        }
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
        let is_first = self.shown(out, to, height.0, first.proposal.round.0) == Some(first.proposal.block_hash);
        let both = conspires(out, to);
        if is_first && !both {
            return vec![(0, message)];
        }
        out.acted();
        let (first, after_ms) = if both { (Some((0, message)), SECOND_AFTER_MS) } else { (None, 0) };
        let parts = parts(height, &second.proposal.parts, &body);
        let parts = parts.into_iter().map(|part| (after_ms, say(ConsensusMessage::Part(part))));
        first.into_iter().chain([(after_ms, other)]).chain(parts).collect()
    }

    /// Forwarded messages of others: at a height with two blocks, nothing that shows one half the other half's block.
    fn passed_on(&self, out: &Context<'_>, to: usize, message: &ConsensusMessage) -> Outgoing {
        let height = message.height().0;
        let hides = match message {
            ConsensusMessage::Proposal(signed) => {
                let round = signed.proposal.round.0;
                let shown = self.shown(out, to, height, round);
                shown
                    .map_or_else(|| self.awaits_second(out, height, round), |shown| shown != signed.proposal.block_hash)
            }
            ConsensusMessage::Vote(_)
            | ConsensusMessage::PolkaCertificate(_)
            | ConsensusMessage::RoundCertificate(_)
            | ConsensusMessage::Decision(_) => self.heard.is_split(height),
            ConsensusMessage::Part(_) | ConsensusMessage::PartRequest(_) | ConsensusMessage::ProposalRequest(_) => {
                false
            }
        };
        if hides { Vec::new() } else { vec![(0, say(message.clone()))] }
    }
}

impl Strategy for EquivocateProposals {
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing {
        let GossipMessage::Consensus(message) = message else { return as_it_is(message) };
        match message {
            ConsensusMessage::Proposal(signed) if signed.proposal.proposer == out.id() => {
                let signed = signed.clone();
                self.proposed(out, to, &signed)
            }
            // A machine that is shown the other block does not need parts of the first.
            ConsensusMessage::Part(part) if !conspires(out, to) => {
                let hides = self.roots.contains_key(&part.root) && !sees_small(out, to, part.height.0);
                if hides { Vec::new() } else { vec![(0, say(message.clone()))] }
            }
            ConsensusMessage::Vote(signed) if signed.vote.validator == out.id() => {
                let (kind, height, round) = (signed.vote.kind, signed.vote.height.0, signed.vote.round.0);
                match self.shown(out, to, height, round).or_else(|| self.again(height, round)) {
                    Some(block) => vec![(0, vote(out, Ballot { kind, height, round, block: Some(block) }))],
                    // It votes for both blocks as soon as it knows both.
                    None if self.awaits_second(out, height, round) || self.has_second(signed.vote.block_hash) => {
                        Vec::new()
                    }
                    None => vec![(0, say(message.clone()))],
                }
            }
            _ => self.passed_on(out, to, message),
        }
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        // Certificates also contain its second signatures, which its node must not see.
        let own = match message {
            GossipMessage::Consensus(ConsensusMessage::PolkaCertificate(polka)) => {
                polka.signatures.iter().any(|signature| signature.validator == out.id())
            }
            GossipMessage::Consensus(ConsensusMessage::RoundCertificate(round)) => {
                round.votes().any(|signed| signed.vote.validator == out.id())
            }
            GossipMessage::Consensus(ConsensusMessage::Decision(decision)) => {
                let (height, block) = (decision.certificate.height.0, decision.certificate.block_hash);
                self.heard
                    .rounds(height)
                    .any(|round| self.heard.blocks(height, round).iter().skip(1).any(|other| *other == block))
            }
            // Its node would report a conspirator that has shown it both blocks.
            GossipMessage::Consensus(ConsensusMessage::Proposal(signed)) => {
                let first = self.heard.proposals(signed.proposal.height.0, signed.proposal.round.0).first();
                out.is_own(message) || first.is_some_and(|first| first != signed)
            }
            _ => out.is_own(message),
        };
        !own
    }

    fn relays(&self, out: &Context<'_>, message: &GossipMessage) -> bool {
        match message {
            // Each half is shown its block by the proposer alone.
            GossipMessage::Consensus(ConsensusMessage::Proposal(signed)) if has_two(out, &signed.proposal) => false,
            GossipMessage::Consensus(message) => !self.heard.is_split(message.height().0),
            _ => true,
        }
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let height = block.block.header.number;
        let mut other = Block::clone(&block.block);
        // A random mark gives a greater hash with probability one half.
        while other.hash() <= block.hash {
            other.header.extra_data = Bytes::copy_from_slice(&out.rng.bits().to_be_bytes());
        }
        self.others.insert(block.hash, Other { height, hash: other.hash(), body: other.encode() });
        if self.others.len() > KEPT {
            self.others.retain(|_, other| other.height + 1 >= height);
            self.roots.retain(|_, first| self.others.contains_key(first));
        }
        block
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        let (next, oldest) = (out.head + 1, (out.head + 1).saturating_sub(HEIGHTS_BACK));
        self.cast = self.cast.split_off(&(oldest, 0));
        let mut said = Vec::new();
        for height in oldest..=next {
            for round in self.heard.rounds(height).collect::<Vec<_>>() {
                let said_ms = self.cast.get(&(height, round)).copied();
                let is_due = said_ms.is_none_or(|said_ms| out.now_ms >= said_ms + SAY_AGAIN_MS);
                if self.heard.blocks(height, round).len() < 2 || !is_due {
                    continue;
                }
                self.cast.insert((height, round), out.now_ms);
                for to in out.others() {
                    let block = self.shown(out, to, height, round);
                    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                        said.push((to, vote(out, Ballot { kind, height, round, block })));
                    }
                }
                out.acted();
            }
        }
        said
    }
}
