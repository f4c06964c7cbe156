//! Making room when the pool is full.

use std::collections::BTreeSet;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256};

use crate::account::AccountView;
use crate::admission::encoded_bytes;
use crate::config::MAX_EVICTIONS_PER_ADD;
use crate::error::PoolError;
use crate::pool::Mempool;
use crate::sender::{EvictionKey, SenderTxs, Slot, score};

/// The room that an arriving transaction needs, and the room that evictions have freed for it.
#[derive(Default)]
struct Demand {
    transactions: usize,
    queued: usize,
    bytes: usize,
    freed_transactions: usize,
    freed_queued: usize,
    freed_bytes: usize,
}

impl Demand {
    fn free(&mut self, slot: &Slot) {
        self.freed_transactions += 1;
        self.freed_queued += usize::from(!slot.pending);
        self.freed_bytes += encoded_bytes(&slot.tx);
    }

    fn fits(&self, pool: &Mempool) -> bool {
        let total = pool.by_hash.len();
        let queued = total - pool.pending;
        let within = |now: usize, more: usize, freed: usize, limit: usize| now + more <= limit.saturating_add(freed);
        within(total, self.transactions, self.freed_transactions, pool.config.max_transactions)
            && within(pool.bytes, self.bytes, self.freed_bytes, pool.config.max_bytes)
            && (self.queued == 0 || within(queued, self.queued, self.freed_queued, pool.config.max_queued))
    }
}

/// Chooses victims one by one. Each is the first in the order of eviction once the earlier victims are gone.
struct Victims<'a, I: Iterator<Item = &'a EvictionKey>> {
    pool: &'a Mempool,
    /// Senders that have lost nothing so far. The sender of the arriving transaction is left out.
    untouched: std::iter::Peekable<I>,
    /// For each sender that has lost a transaction, its next candidate.
    touched: BTreeSet<EvictionKey>,
    chosen: Vec<(Address, u64)>,
}

impl<'a, I: Iterator<Item = &'a EvictionKey>> Victims<'a, I> {
    fn peek(&mut self) -> Option<EvictionKey> {
        let untouched = self.untouched.peek().copied().copied();
        let touched = self.touched.first().copied();
        untouched.into_iter().chain(touched).min()
    }

    fn choose(&mut self, key: &EvictionKey) -> Option<&'a Slot> {
        if !self.touched.remove(key) {
            self.untouched.next();
        }
        let txs = self.pool.senders.get(&key.sender)?;
        let depth = self.chosen.iter().filter(|(sender, _)| *sender == key.sender).count();
        let (nonce, slot) = txs.txs.iter().rev().nth(depth)?;
        self.chosen.push((key.sender, *nonce));
        self.touched.extend(txs.eviction_key(key.sender, depth + 1));
        Some(slot)
    }
}

impl Mempool {
    /// Evicts transactions until the new one fits, and returns their hashes.
    ///
    /// A runnable transaction beats queued ones and cheaper runnable ones. A queued one beats only cheaper
    /// queued ones. A victim is always the last transaction of another sender: evicting one of the new
    /// transaction's own sender would open a nonce gap before it.
    ///
    /// # Errors
    /// [`PoolError::Underpriced`] or [`PoolError::Full`]; the pool is then unchanged.
    pub(crate) fn make_room(&mut self, new: &Slot, account: &AccountView) -> Result<Vec<B256>, PoolError> {
        let (sender, nonce) = (new.tx.sender, new.tx.tx.nonce());
        let pooled = self.senders.get(&sender);
        let replaced = pooled.and_then(|txs| txs.txs.get(&nonce));
        let next = pooled.map_or(account.nonce, SenderTxs::next_nonce);
        let pending = replaced.map_or(nonce == next, |old| old.pending);
        let mut demand = Demand {
            transactions: 1,
            queued: usize::from(!pending),
            bytes: encoded_bytes(&new.tx),
            ..Demand::default()
        };
        if let Some(replaced) = replaced {
            demand.free(replaced);
        }
        if demand.fits(self) {
            return Ok(Vec::new());
        }
        self.rebuild_order();
        let before = self.senders.get(&sender).and_then(|txs| txs.txs.range(..nonce).next_back());
        let rank = before.map_or(new.score, |(_, slot)| slot.floor.min(new.score));
        let mut victims = Victims {
            pool: self,
            untouched: self.order.iter().filter(move |key| key.sender != sender).peekable(),
            touched: BTreeSet::new(),
            chosen: Vec::new(),
        };
        while !demand.fits(self) {
            let victim = victims.peek().filter(|_| victims.chosen.len() < MAX_EVICTIONS_PER_ADD);
            let victim = victim.ok_or(PoolError::Full)?;
            if (victim.pending, victim.rank) >= (pending, rank) {
                return Err(if victim.pending == pending {
                    PoolError::Underpriced { tip: rank, needed: victim.rank }
                } else {
                    PoolError::Full
                });
            }
            demand.free(victims.choose(&victim).ok_or(PoolError::Full)?);
        }
        let chosen = victims.chosen;
        Ok(chosen.into_iter().filter_map(|(sender, nonce)| self.take(sender, nonce)).map(|slot| slot.tx.hash).collect())
    }

    /// If the base fee has changed, recomputes every score and sorts the senders by them. This happens only
    /// when the pool is full, at most once a block.
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
            txs.key = txs.eviction_key(*sender, 0);
            self.order.extend(txs.key);
        }
    }
}
