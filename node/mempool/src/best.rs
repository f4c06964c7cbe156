//! The order in which a proposer takes transactions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, btree_map};
use std::sync::Arc;

use alloy_primitives::Address;
use causeway_execution::RecoveredTx;

use crate::pool::Mempool;
use crate::sender::{Slot, score};

/// Runnable transactions, highest effective tip first; by nonce within a sender, by arrival among equal
/// tips. A transaction whose fee cap is below the base fee is left out, with all later ones of its sender.
///
/// Creation is linear in the number of senders, each step logarithmic.
#[derive(Debug)]
pub struct Best<'a> {
    base_fee: u64,
    heads: BinaryHeap<(i128, Reverse<u64>, Address)>,
    chains: BTreeMap<Address, btree_map::Values<'a, u64, Slot>>,
    /// The transaction behind each entry of `heads`.
    waiting: BTreeMap<Address, &'a Slot>,
}

impl Mempool {
    /// The order in which a proposer takes transactions at `base_fee` (wei per gas).
    #[must_use]
    pub fn best(&self, base_fee: u64) -> Best<'_> {
        let mut best = Best { base_fee, heads: BinaryHeap::new(), chains: BTreeMap::new(), waiting: BTreeMap::new() };
        for (sender, txs) in &self.senders {
            if txs.pending > 0 {
                best.chains.insert(*sender, txs.txs.values());
                best.advance(*sender);
            }
        }
        best
    }
}

impl Best<'_> {
    /// Leaves out the remaining transactions of a sender, because one of them cannot be included.
    pub fn skip_sender(&mut self, sender: Address) {
        self.chains.remove(&sender);
        self.waiting.remove(&sender);
    }

    fn advance(&mut self, sender: Address) {
        let Some(chain) = self.chains.get_mut(&sender) else { return };
        match chain.next().filter(|slot| slot.pending) {
            Some(slot) => {
                let tip = score(&slot.tx, self.base_fee);
                if tip >= 0 {
                    self.heads.push((tip, Reverse(slot.seq), sender));
                    self.waiting.insert(sender, slot);
                } else {
                    self.chains.remove(&sender);
                }
            }
            None => {
                self.chains.remove(&sender);
            }
        }
    }
}

impl Iterator for Best<'_> {
    type Item = Arc<RecoveredTx>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((_, _, sender)) = self.heads.pop() {
            if let Some(slot) = self.waiting.remove(&sender) {
                let tx = Arc::clone(&slot.tx);
                self.advance(sender);
                return Some(tx);
            }
        }
        None
    }
}
