//! Which local transactions to gossip, and when to gossip them again.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::B256;
use causeway_execution::RecoveredTx;

use crate::config::REANNOUNCE_AFTER_MS;
use crate::pool::Mempool;
use crate::sender::Slot;

/// When each local, runnable transaction is due: (time in ms, arrival, hash). At most one entry for each transaction in the pool.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    due: BTreeSet<(u64, u64, B256)>,
}

impl Announcements {
    /// Schedules a local, runnable transaction for now, unless it is scheduled already.
    pub(crate) fn schedule(&mut self, slot: &mut Slot, now_ms: u64) {
        if slot.local && slot.pending && slot.announce_at_ms.is_none() {
            slot.announce_at_ms = Some(now_ms);
            self.due.insert((now_ms, slot.seq, slot.tx.hash));
        }
    }

    /// Removes the transaction from the schedule.
    pub(crate) fn cancel(&mut self, slot: &mut Slot) {
        if let Some(at) = slot.announce_at_ms.take() {
            self.due.remove(&(at, slot.seq, slot.tx.hash));
        }
    }
}

impl Mempool {
    /// The local transactions to gossip now, earliest due first: those that became runnable, and those that still
    /// wait [`REANNOUNCE_AFTER_MS`] after they were last gossiped. The answer stays within `max_transactions` and
    /// `max_bytes`, but holds one transaction of any size. Call again for the rest.
    pub fn announce(&mut self, now_ms: u64, max_transactions: usize, max_bytes: usize) -> Vec<Arc<RecoveredTx>> {
        let mut found = Vec::new();
        let mut bytes = 0usize;
        while found.len() < max_transactions {
            let Some(&entry) = self.announcements.due.first() else { break };
            let (at, seq, hash) = entry;
            if at > now_ms {
                break;
            }
            let Some(tx) = self.get(&hash) else {
                self.announcements.due.remove(&entry);
                continue;
            };
            bytes = bytes.saturating_add(crate::admission::encoded_bytes(&tx));
            if !found.is_empty() && bytes > max_bytes {
                break;
            }
            self.announcements.due.remove(&entry);
            let again = now_ms.saturating_add(REANNOUNCE_AFTER_MS);
            self.announcements.due.insert((again, seq, hash));
            if let Some(slot) = self.slot_mut(&hash) {
                slot.announce_at_ms = Some(again);
            }
            found.push(tx);
        }
        found
    }

    /// The time at which [`Mempool::announce`] next returns a transaction; `None` if none is scheduled.
    #[must_use]
    pub fn next_announcement_ms(&self) -> Option<u64> {
        self.announcements.due.first().map(|(at, _, _)| *at)
    }
}
