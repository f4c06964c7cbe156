//! The feed of admitted transactions: a bounded ring that filters read by position and subscribers follow.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_primitives::B256;
use causeway_execution::RecoveredTx;
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// Hashes the ring keeps: a pending-transaction filter that is polled less often than this many admissions loses the oldest.
const RING: usize = 16_384;
/// Transactions a subscriber may lag behind before it is dropped.
const LAG: usize = 4_096;

/// Clones share one feed. The node publishes each transaction that its pool admits.
#[derive(Debug, Clone)]
pub struct PendingFeed {
    ring: Arc<Mutex<Ring>>,
    live: broadcast::Sender<Arc<RecoveredTx>>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Position of the oldest hash in the ring.
    first: u64,
    hashes: VecDeque<B256>,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.hashes.len()).unwrap_or(u64::MAX))
    }
}

impl Default for PendingFeed {
    fn default() -> Self {
        Self { ring: Arc::default(), live: broadcast::channel(LAG).0 }
    }
}

impl PendingFeed {
    /// Announces a transaction that the pool has admitted.
    pub fn publish(&self, transaction: &Arc<RecoveredTx>) {
        {
            let mut ring = self.ring.lock();
            ring.hashes.push_back(transaction.hash);
            if ring.hashes.len() > RING {
                ring.hashes.pop_front();
                ring.first = ring.first.saturating_add(1);
            }
        }
        if self.live.receiver_count() > 0 {
            // An error means that the last subscriber has just left.
            self.live.send(Arc::clone(transaction)).ok();
        }
    }

    /// Position after the newest transaction.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.ring.lock().next()
    }

    /// Hashes admitted from position `from` up to but without position `to`, as far as the ring still has them.
    #[must_use]
    pub fn between(&self, from: u64, to: u64) -> Vec<B256> {
        let ring = self.ring.lock();
        let skip = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let first = from.max(ring.first);
        let take = usize::try_from(to.saturating_sub(first)).unwrap_or(usize::MAX);
        ring.hashes.iter().skip(skip).take(take).copied().collect()
    }

    /// Every transaction published from now on. A subscriber that falls more than [`LAG`] transactions behind loses the oldest
    /// and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<RecoveredTx>> {
        self.live.subscribe()
    }
}
