//! Making room when the pool is full.

use alloy_consensus::Transaction;
use alloy_primitives::B256;

use crate::account::AccountView;
use crate::admission::encoded_bytes;
use crate::config::MAX_EVICTIONS_PER_ADD;
use crate::error::PoolError;
use crate::pool::Mempool;
use crate::sender::{SenderTxs, Slot, score};

/// What an arriving transaction takes up, less what the one it replaces leaves.
struct Demand {
    transactions: usize,
    queued: usize,
    bytes: usize,
    freed_bytes: usize,
}

impl Demand {
    fn fits(&self, pool: &Mempool) -> bool {
        let total = pool.by_hash.len();
        total + self.transactions <= pool.config.max_transactions
            && pool.bytes + self.bytes <= pool.config.max_bytes.saturating_add(self.freed_bytes)
            && (self.queued == 0 || total - pool.pending + self.queued <= pool.config.max_queued)
    }
}

impl Mempool {
    /// Evicts until the transaction fits, or leaves everything as it is and says why it does not. Returns
    /// the hashes of the evicted.
    ///
    /// A runnable transaction beats queued ones and cheaper runnable ones; a queued one beats only cheaper
    /// queued ones. The victim is always the last transaction of a sender other than its own, for taking
    /// its own sender's would open a gap in front of it.
    pub(crate) fn make_room(&mut self, new: &Slot, account: &AccountView) -> Result<Vec<B256>, PoolError> {
        let (sender, nonce) = (new.tx.sender, new.tx.tx.nonce());
        let pooled = self.senders.get(&sender);
        let replaced = pooled.and_then(|txs| txs.txs.get(&nonce));
        let next = pooled.map_or(account.nonce, SenderTxs::next_nonce);
        let pending = replaced.map_or(nonce == next, |old| old.pending);
        let demand = Demand {
            transactions: usize::from(replaced.is_none()),
            queued: usize::from(replaced.is_none() && !pending),
            bytes: encoded_bytes(&new.tx),
            freed_bytes: replaced.map_or(0, |old| encoded_bytes(&old.tx)),
        };
        if demand.fits(self) {
            return Ok(Vec::new());
        }
        self.rebuild_order();
        let before = self.senders.get(&sender).and_then(|txs| txs.txs.range(..nonce).next_back());
        let rank = before.map_or(new.score, |(_, slot)| slot.floor.min(new.score));
        let mut evicted: Vec<(AccountView, Slot)> = Vec::new();
        let refusal = loop {
            if demand.fits(self) {
                return Ok(evicted.into_iter().map(|(_, slot)| slot.tx.hash).collect());
            }
            let victim = self.order.iter().find(|key| key.sender != sender).copied();
            let Some(victim) = victim.filter(|_| evicted.len() < MAX_EVICTIONS_PER_ADD) else {
                break PoolError::Full;
            };
            if (victim.pending, victim.rank) >= (pending, rank) {
                break if victim.pending == pending {
                    PoolError::Underpriced { tip: rank, needed: victim.rank }
                } else {
                    PoolError::Full
                };
            }
            let tail = self.senders.get(&victim.sender).and_then(|txs| {
                let nonce = *txs.txs.keys().next_back()?;
                Some((txs.account, nonce))
            });
            let taken = tail.and_then(|(account, nonce)| Some((account, self.take(victim.sender, nonce)?)));
            match taken {
                Some(taken) => evicted.push(taken),
                None => break PoolError::Full,
            }
        };
        // Not enough: everybody returns, the last evicted first, so that chains are whole again.
        for (account, slot) in evicted.into_iter().rev() {
            self.insert(slot, account, &mut Vec::new());
        }
        Err(refusal)
    }

    /// Computes every score at the present base fee, if it moved since, and sorts the senders by them.
    /// Done only when the pool is full, at most once a block.
    fn rebuild_order(&mut self) {
        if !self.order_is_stale {
            return;
        }
        self.order_is_stale = false;
        self.order.clear();
        for (sender, txs) in &mut self.senders {
            let mut floor = i128::MAX;
            for slot in txs.txs.values_mut() {
                slot.score = score(&slot.tx, self.base_fee);
                floor = floor.min(slot.score);
                slot.floor = floor;
            }
            txs.key = txs.eviction_key(*sender);
            self.order.extend(txs.key);
        }
    }
}
