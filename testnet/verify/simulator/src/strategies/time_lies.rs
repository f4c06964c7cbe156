//! Lies about the time: blocks dated as far in the future as others accept, further, very far, or in the past. All other fields are consistent with the
//! date.

use std::sync::Arc;

use causeway_execution::ExecutedBlock;
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    blocks::{Attributes, doctored, rebuilt},
};
use crate::world::START_UNIX_MS;

#[derive(Debug)]
pub(super) struct TimeLies;

impl Strategy for TimeLies {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let now_s = (START_UNIX_MS + out.now_ms) / 1_000;
        let rules = out.genesis.rules(block.block.header.number).unwrap_or(out.genesis.schedule.first());
        let drift_s = rules.block.time_drift_ms / 1_000;
        let lie = match out.rng.below(7) {
            0 => now_s + drift_s,
            1 => now_s + drift_s - 1,
            2 => now_s + drift_s + out.rng.between(1, 3),
            3 => now_s + out.rng.between(10, 100_000),
            4 => u64::MAX / 1_000,
            5 => 0,
            _ => now_s - out.rng.between(1, 60),
        };
        let true_one = block.block.header.timestamp;
        // The builder raises an earlier date to that of the previous block, so the date is overwritten afterwards.
        let dated = match rebuilt(out, &block, Attributes { timestamp: Some(lie), ..Attributes::default() }) {
            Some(rebuilt) if rebuilt.block.header.timestamp == lie => rebuilt,
            _ => doctored(&block, |block| block.header.timestamp = lie),
        };
        if lie != true_one {
            out.acted();
        }
        dated
    }
}
