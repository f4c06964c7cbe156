//! Withheld votes: most of its prevotes and precommits are not sent.

use std::collections::BTreeMap;

use causeway_consensus::VoteKind;
use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is};

/// Percentage of its votes that are withheld.
const WITHHELD: u64 = 70;

#[derive(Debug, Default)]
pub(super) struct WithholdVotes {
    withheld: BTreeMap<(u64, u32, VoteKind), bool>,
}

impl Strategy for WithholdVotes {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        let Some(signed) = out.own_vote(message) else { return as_it_is(message) };
        let key = (signed.vote.height.0, signed.vote.round.0, signed.vote.kind);
        let rng = &mut *out.rng;
        let withheld = *self.withheld.entry(key).or_insert_with(|| rng.percent(WITHHELD));
        self.withheld = self.withheld.split_off(&(out.head.saturating_sub(1), 0, VoteKind::Prevote));
        if !withheld {
            return as_it_is(message);
        }
        out.acted();
        Vec::new()
    }
}
