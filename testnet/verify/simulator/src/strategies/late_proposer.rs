//! A late proposer: its proposal, or its body, comes just before the others' time-out, or after it.

use std::collections::BTreeMap;

use causeway_consensus::ConsensusMessage;
use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is};

#[derive(Debug, Default)]
pub(super) struct LateProposer {
    /// Delay of the proposal and its parts, by height and round.
    delays: BTreeMap<(u64, u32), (u64, u64)>,
}

impl Strategy for LateProposer {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        let (height, round, is_part) = match message {
            GossipMessage::Consensus(ConsensusMessage::Proposal(signed)) if signed.proposal.proposer == out.id() => {
                (signed.proposal.height.0, signed.proposal.round.0, false)
            }
            GossipMessage::Consensus(ConsensusMessage::Part(part)) => (part.height.0, out.round(), true),
            _ => return as_it_is(message),
        };
        let timeouts = out.plan.timeouts;
        let patience = timeouts.propose_ms + timeouts.delta_ms * u64::from(round);
        let longest = 2 * patience + timeouts.prevote_ms + timeouts.precommit_ms;
        let rng = &mut *out.rng;
        let mut late = || rng.between(patience * 2 / 3, longest);
        let (proposal, parts) = *self.delays.entry((height, round)).or_insert_with(|| (late(), late()));
        self.delays = self.delays.split_off(&(out.head.saturating_sub(1), 0));
        out.acted();
        vec![(if is_part { parts } else { proposal }, message.clone())]
    }
}
