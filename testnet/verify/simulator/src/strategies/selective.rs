//! Selective sending: its messages go to a few machines, to different ones in each round.

use std::collections::BTreeMap;

use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is, forgery::is_among};

#[derive(Debug, Default)]
pub(super) struct Selective {
    /// The receivers, by height and round.
    audience: BTreeMap<(u64, u32), u64>,
}

impl Strategy for Selective {
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing {
        let GossipMessage::Consensus(said) = message else { return as_it_is(message) };
        let round = said.round().map_or(0, |round| round.0);
        let oldest = out.head.saturating_sub(1);
        let rng = &mut *out.rng;
        let audience = *self.audience.entry((said.height().0, round)).or_insert_with(|| rng.bits() & rng.bits());
        self.audience = self.audience.split_off(&(oldest, 0));
        if is_among(audience, to) {
            return as_it_is(message);
        }
        out.acted();
        Vec::new()
    }
}
