//! The feed of admitted transactions. Filters read hashes by position from a bounded ring; subscribers receive each transaction.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_primitives::B256;
use causeway_execution::RecoveredTx;
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// Hashes in the ring. A filter misses the oldest hashes if more transactions than this are admitted between two polls.
const RING: usize = 16_384;
/// Transactions that a subscriber may fall behind before it misses some.
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
            // An error means that the last subscriber left meanwhile.
            self.live.send(Arc::clone(transaction)).ok();
        }
    }

    /// Position after the newest transaction.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.ring.lock().next()
    }

    /// The hashes at positions `from..to`, as far as the ring still has them.
    #[must_use]
    pub fn between(&self, from: u64, to: u64) -> Vec<B256> {
        let ring = self.ring.lock();
        let skip = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let first = from.max(ring.first);
        let take = usize::try_from(to.saturating_sub(first)).unwrap_or(usize::MAX);
        ring.hashes.iter().skip(skip).take(take).copied().collect()
    }

    /// Every transaction published from now on. A receiver that falls more than 4,096 transactions behind misses the oldest ones
    /// and gets an error that counts them.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<RecoveredTx>> {
        self.live.subscribe()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_consensus::{Signed, TxLegacy};
    use alloy_primitives::{Address, Signature, U256};

    fn transaction(n: usize) -> Arc<RecoveredTx> {
        let hash = B256::from(U256::from(n));
        let tx = Signed::new_unchecked(TxLegacy::default(), Signature::test_signature(), hash).into();
        Arc::new(RecoveredTx { tx, hash, sender: Address::ZERO, size: 0 })
    }

    #[test]
    fn positions_outlive_the_hashes_that_the_ring_drops() {
        let feed = PendingFeed::default();
        let transactions: Vec<_> = (0..RING + 2).map(transaction).collect();
        for transaction in &transactions {
            feed.publish(transaction);
        }
        let newest = feed.position();
        assert_eq!(newest, u64::try_from(RING + 2).unwrap());
        assert!(feed.between(newest, newest).is_empty());
        assert_eq!(feed.between(newest - 1, newest), [transactions[RING + 1].hash]);
        // The two oldest are gone.
        assert_eq!(feed.between(0, newest).len(), RING);
        assert_eq!(feed.between(0, 3), [transactions[2].hash]);
        assert!(feed.between(0, 2).is_empty());
    }

    #[test]
    fn a_subscriber_receives_what_is_published_after_it_came() {
        let feed = PendingFeed::default();
        feed.publish(&transaction(1));
        let mut subscriber = feed.subscribe();
        feed.publish(&transaction(2));
        assert_eq!(subscriber.try_recv().unwrap().hash, transaction(2).hash);
        assert!(subscriber.try_recv().is_err());
    }
}
