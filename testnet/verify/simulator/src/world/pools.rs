//! Pools: their gossip, and their limits.

use alloy_primitives::Bytes;
use causeway::transactions::to_announce;
use causeway_network::GossipMessage;

use super::{World, event::Event};
use crate::{Machine, Violation, plan::PoolLimits};

/// Time during which transactions are collected for one gossip message.
const COLLECT_MS: u64 = 10;

/// Whether a machine's pool has as many transactions as the plan's tight limit allows.
pub(super) fn is_full(machine: &Machine, most: Option<PoolLimits>) -> bool {
    let (Some(most), Some(chain)) = (most, machine.chain()) else { return false };
    let status = chain.pool.lock().status();
    status.pending + status.queued >= most.transactions
}

impl World {
    /// Gossips the due transactions of a pool.
    pub(super) fn announce(&mut self, index: usize) -> Result<(), Violation> {
        let Some(up) = &mut self.machines[index].up else { return Ok(()) };
        if up.announces_ms > self.now_ms {
            return Ok(());
        }
        up.announces_ms = u64::MAX;
        let batches: Vec<Vec<Bytes>> = to_announce(&up.performer.chain).collect();
        for batch in batches {
            self.publish(index, GossipMessage::Transactions(batch))?;
        }
        self.set_announce(index, 0);
        Ok(())
    }

    /// Schedules a pool's next gossip.
    pub(super) fn set_announce(&mut self, index: usize, least_ms: u64) {
        let life = self.life(index);
        let now_ms = self.now_ms;
        let machine = &mut self.machines[index];
        let Some(up) = &mut machine.up else { return };
        let Some(due) = up.performer.chain.pool.lock().next_announcement_ms() else { return };
        let at = machine.clock.when(due).max(now_ms + least_ms.max(1));
        if at < up.announces_ms {
            up.announces_ms = at;
            self.schedule.at(at, Event::Announce(life));
        }
    }

    /// A pool has received a user's transaction: it is gossiped together with those that follow soon.
    pub(super) fn submitted(&mut self, index: usize) {
        self.set_announce(index, COLLECT_MS);
    }
}
