//! Equivocation of votes: a second vote of the same kind, height and round as its node's vote; some machines see the first,
//! some the second, some both.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use causeway_consensus::{Vote, VoteKind};
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{Ballot, is_among, phantom, vote},
    hearsay::Hearsay,
};

/// Percentage of votes with a second one.
const DOUBLED: u64 = 60;

#[derive(Debug, Default)]
pub(super) struct EquivocateVotes {
    heard: Hearsay,
    pairs: BTreeMap<(u64, u32, VoteKind), Option<Pair>>,
}

/// A second vote, and the machines that see each.
#[derive(Debug)]
struct Pair {
    other: GossipMessage,
    see_first: u64,
    see_other: u64,
}

impl EquivocateVotes {
    fn pair(&self, out: &mut Context<'_>, first: &Vote) -> Option<Pair> {
        if !out.rng.percent(DOUBLED) {
            return None;
        }
        let mut others: Vec<Option<B256>> = vec![None, Some(phantom(out.rng))];
        others.extend(self.heard.blocks(first.height.0, first.round.0).into_iter().map(Some));
        others.retain(|block| *block != first.block_hash);
        let block = *out.rng.pick(&others);
        let see_first = out.rng.bits();
        let see_other = out.rng.bits() | !see_first;
        let ballot = Ballot { kind: first.kind, height: first.height.0, round: first.round.0, block };
        Some(Pair { other: vote(out, ballot), see_first, see_other })
    }
}

impl Strategy for EquivocateVotes {
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing {
        let Some(signed) = out.own_vote(message) else { return as_it_is(message) };
        let key = (signed.vote.height.0, signed.vote.round.0, signed.vote.kind);
        if !self.pairs.contains_key(&key) {
            let pair = self.pair(out, &signed.vote);
            if pair.is_some() {
                out.acted();
            }
            self.pairs.insert(key, pair);
            self.pairs = self.pairs.split_off(&(out.head.saturating_sub(1), 0, VoteKind::Prevote));
        }
        match self.pairs.get(&key) {
            Some(Some(pair)) => {
                let first = is_among(pair.see_first, to).then(|| message.clone());
                let other = is_among(pair.see_other, to).then(|| pair.other.clone());
                first.into_iter().chain(other).map(|message| (0, message)).collect()
            }
            _ => as_it_is(message),
        }
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        !out.is_own(message)
    }
}
