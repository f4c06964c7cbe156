//! Adds transactions from users and peers to the pool, and selects those to be gossiped.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_execution::RecoveredTx;
use causeway_mempool::{PendingFeed, PoolError};
use causeway_network::Verdict;
use tokio::sync::Notify;

use crate::chain::Chain;

/// Most transactions in one gossip message.
pub const GOSSIP_BATCH: usize = 512;
/// Most bytes of transactions in one gossip message.
pub const GOSSIP_BATCH_BYTES: usize = 256 << 10;

/// The pool's transactions that are due for gossip, in one batch for each message. The caller must gossip every batch that it
/// takes, because the pool marks its transactions as gossiped.
pub fn to_announce(chain: &Chain) -> impl Iterator<Item = Vec<Bytes>> {
    std::iter::from_fn(|| {
        let batch = chain.pool.lock().announce(chain.clocks.steady_ms(), GOSSIP_BATCH, GOSSIP_BATCH_BYTES);
        (!batch.is_empty()).then(|| batch.iter().map(|transaction| transaction.encoded()).collect())
    })
}

/// Admits transactions. Needs no runtime.
#[derive(Clone)]
pub struct Admission {
    /// The chain and its pool.
    pub chain: Chain,
    /// Subscribers to pending transactions.
    pub pending: PendingFeed,
    /// Wakes the task that gossips local transactions.
    pub announce: Arc<Notify>,
}

impl Admission {
    /// Adds a user's transaction to the pool and wakes the gossip task. Blocking and short.
    ///
    /// # Errors
    /// The pool's refusal, in geth's wording.
    pub fn submit(&self, transaction: Arc<RecoveredTx>) -> Result<B256, PoolError> {
        let hash = transaction.hash;
        self.admit(&transaction, true)?;
        self.announce.notify_one();
        Ok(hash)
    }

    /// Adds a batch from a peer. Blocking: it recovers senders. The verdict is for gossip: a batch with a transaction that no honest
    /// node would forward is rejected; a transaction that only does not fit this pool now is not a fault.
    pub fn gossiped(&self, batch: &[Bytes]) -> Verdict {
        let mut admitted = false;
        for raw in batch {
            let Ok(transaction) = RecoveredTx::decode_2718_and_recover(raw) else { return Verdict::Reject };
            let transaction = Arc::new(transaction);
            match self.admit(&transaction, false) {
                Ok(()) => admitted = true,
                Err(error) if error.is_never_valid() && !self.is_allowed_elsewhere(&transaction) => {
                    return Verdict::Reject;
                }
                Err(_) => {}
            }
        }
        if admitted { Verdict::Accept } else { Verdict::Ignore }
    }

    /// Whether a peer at another height may have admitted the transaction: an honest one goes by the rules of its own next block.
    fn is_allowed_elsewhere(&self, transaction: &RecoveredTx) -> bool {
        let schedule = &self.chain.genesis.schedule;
        let pool = self.chain.pool.lock();
        schedule.unknown().is_some() || schedule.known().any(|(_, rules)| pool.allows_under(rules, transaction))
    }

    fn admit(&self, transaction: &Arc<RecoveredTx>, local: bool) -> Result<(), PoolError> {
        if self.chain.pool.lock().contains(&transaction.hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let account = self
            .chain
            .account_view(transaction.sender)
            .map_err(|error| PoolError::StateUnavailable(error.to_string()))?;
        let base_fee = self
            .chain
            .executor
            .next_base_fee(&self.chain.storage.head())
            .map_err(|unknown| PoolError::StateUnavailable(unknown.to_string()))?;
        self.chain.pool.lock().add(transaction.clone(), &account, base_fee, self.chain.clocks.steady_ms(), local)?;
        self.pending.publish(transaction);
        Ok(())
    }
}
