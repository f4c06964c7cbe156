//! Withheld parts: a proposal whose body no peer gets, or only one.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use causeway_consensus::ConsensusMessage;
use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is};

/// Number of bodies whose treatment it remembers.
const KEPT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    All,
    Nobody,
    One(usize),
}

#[derive(Debug, Default)]
pub(super) struct WithholdParts {
    /// By part-list root.
    given: BTreeMap<B256, Given>,
}

impl Strategy for WithholdParts {
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing {
        let GossipMessage::Consensus(ConsensusMessage::Part(part)) = message else { return as_it_is(message) };
        if self.given.len() >= KEPT && !self.given.contains_key(&part.root) {
            self.given.pop_first();
        }
        let (rng, machines) = (&mut *out.rng, out.machines);
        let given = *self.given.entry(part.root).or_insert_with(|| match rng.below(10) {
            0 | 1 => Given::All,
            2..=4 => Given::One(rng.index(machines)),
            _ => Given::Nobody,
        });
        if given == Given::All || given == Given::One(to) {
            return as_it_is(message);
        }
        out.acted();
        Vec::new()
    }
}
