//! Amnesia: restarts without log, lock and sign state, votes at once for any proposal, and prevotes against the
//! lock. Two prevotes or precommits of one round convict it; a prevote against a lock does not.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use causeway_consensus::VoteKind;
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, TICK_MS, as_it_is,
    forgery::{Ballot, vote},
    hearsay::Hearsay,
};

/// The mean time between two restarts.
const RESTART_MS: u64 = 4_000;
/// Percentage of restarts that forget.
const FORGETS: u64 = 80;

#[derive(Debug, Default)]
pub(super) struct Amnesia {
    heard: Hearsay,
    /// The last precommitted block: height, round, hash.
    lock: Option<(u64, u32, B256)>,
    /// Rounds in which it voted by itself since it forgot.
    cast: BTreeSet<(u64, u32)>,
    /// Whether it has forgotten and its node does not sign yet.
    fresh: bool,
}

impl Strategy for Amnesia {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        let Some(signed) = out.own_vote(message) else { return as_it_is(message) };
        let (height, round, block) = (signed.vote.height.0, signed.vote.round.0, signed.vote.block_hash);
        self.fresh = false;
        if let (VoteKind::Precommit, Some(block)) = (signed.vote.kind, block) {
            self.lock = Some((height, round, block));
            return as_it_is(message);
        }
        let locked =
            self.lock.filter(|(at, since, _)| (*at, signed.vote.kind) == (height, VoteKind::Prevote) && *since < round);
        let Some((_, _, locked)) = locked else { return as_it_is(message) };
        match self.heard.blocks(height, round).into_iter().find(|other| *other != locked) {
            Some(other) if block != Some(other) => {
                out.acted();
                out.coverage.hit("strategy:amnesia:against_lock");
                vec![(0, vote(out, Ballot { kind: VoteKind::Prevote, height, round, block: Some(other) }))]
            }
            _ => as_it_is(message),
        }
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        !out.is_own(message)
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        let height = out.head + 1;
        let Some(round) = self.heard.rounds(height).last().filter(|_| self.fresh) else { return Vec::new() };
        let Some(block) = self.heard.blocks(height, round).pop() else { return Vec::new() };
        if !self.cast.insert((height, round)) {
            return Vec::new();
        }
        out.acted();
        let votes = [VoteKind::Prevote, VoteKind::Precommit]
            .map(|kind| vote(out, Ballot { kind, height, round, block: Some(block) }));
        out.others().flat_map(|to| votes.clone().map(|vote| (to, vote))).collect()
    }

    fn restarts(&mut self, out: &mut Context<'_>) -> bool {
        out.rng.below(RESTART_MS / TICK_MS) == 0
    }

    fn forgets(&mut self, out: &mut Context<'_>) -> Vec<&'static str> {
        if out.own.life <= 1 || !out.rng.percent(FORGETS) {
            return Vec::new();
        }
        out.acted();
        self.lock = None;
        self.cast.clear();
        self.fresh = true;
        vec!["data/consensus.wal", "data/sign_state", "data/peg_sign_state"]
    }
}
