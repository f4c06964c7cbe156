//! Which local transactions are to be gossiped, and when again.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::B256;
use causeway_execution::RecoveredTx;

use crate::config::REANNOUNCE_AFTER_MS;
use crate::pool::Mempool;
use crate::sender::Slot;

/// When each local, runnable transaction is due. Holds at most one entry a transaction in the pool.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    due: BTreeSet<(u64, u64, B256)>,
}

impl Announcements {
    /// Puts the transaction on the list if it is local, runnable, and not on it.
    pub(crate) fn schedule(&mut self, slot: &mut Slot, now_ms: u64) {
        if slot.local && slot.pending && slot.announce_at_ms.is_none() {
            slot.announce_at_ms = Some(now_ms);
            self.due.insert((now_ms, slot.seq, slot.tx.hash));
        }
    }

    /// Takes it off the list.
    pub(crate) fn cancel(&mut self, slot: &mut Slot) {
        if let Some(at) = slot.announce_at_ms.take() {
            self.due.remove(&(at, slot.seq, slot.tx.hash));
        }
    }
}

impl Mempool {
    /// The local transactions to gossip now, in order of arrival: those that became runnable, and those
    /// still waiting [`REANNOUNCE_AFTER_MS`] after they were gossiped last. Stops before exceeding
    /// `max_transactions` or `max_bytes` (one transaction always fits); call again for the rest.
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

    /// When [`Mempool::announce`] has something to return next, if ever.
    #[must_use]
    pub fn next_announcement_ms(&self) -> Option<u64> {
        self.announcements.due.first().map(|(at, _, _)| *at)
    }
}
