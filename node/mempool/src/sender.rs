//! The transactions of one sender, by nonce.
//!
//! The runnable ("pending") transactions are the longest run of consecutive nonces that starts at the
//! account's nonce and whose total cost the balance covers. All later ones are queued.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, U256};
use causeway_execution::RecoveredTx;

use crate::account::AccountView;

/// A transaction in the pool with the values that the pool derives from it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) tx: Arc<RecoveredTx>,
    /// Order of arrival.
    pub(crate) seq: u64,
    /// Whether it was submitted to this node rather than gossiped by a peer.
    pub(crate) local: bool,
    /// Gas limit times fee cap plus value, in wei; saturated.
    pub(crate) cost: U256,
    /// Accounts that signed authorizations in it (EIP-7702).
    pub(crate) authorities: Vec<Address>,
    /// Effective tip at the pool's base fee; negative when the fee cap is below it.
    pub(crate) score: i128,
    /// The lowest score of the sender's transactions up to this one, which have to be included before it.
    pub(crate) floor: i128,
    pub(crate) pending: bool,
    /// When it became queued.
    pub(crate) queued_since_ms: u64,
    /// When to gossip it next; `None` if it is not scheduled.
    pub(crate) announce_at_ms: Option<u64>,
}

/// A sender's place in the order of eviction, by its last transaction: queued before pending, then lower
/// rank first, then later arrival first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EvictionKey {
    pub(crate) pending: bool,
    pub(crate) rank: i128,
    pub(crate) youth: Reverse<u64>,
    pub(crate) sender: Address,
}

/// One sender's chain of nonces.
#[derive(Debug, Clone, Default)]
pub(crate) struct SenderTxs {
    pub(crate) account: AccountView,
    pub(crate) txs: BTreeMap<u64, Slot>,
    /// Number of pending transactions. They are the first ones of `txs`.
    pub(crate) pending: usize,
    /// Sum of the pending transactions' costs, in wei.
    pub(crate) spent: U256,
    /// This sender's key in the pool's order of eviction.
    pub(crate) key: Option<EvictionKey>,
}

impl SenderTxs {
    /// The first nonce behind the pending transactions.
    pub(crate) fn next_nonce(&self) -> u64 {
        // Pending nonces are consecutive, and the greatest nonce is never admitted (EIP-2681).
        self.account.nonce.saturating_add(u64::try_from(self.pending).unwrap_or(u64::MAX))
    }

    pub(crate) fn queued(&self) -> usize {
        self.txs.len() - self.pending
    }

    /// Recomputes which transactions are pending, and every `floor`. Returns the nonces that became pending
    /// or queued. Linear in the sender's bounded number of slots.
    pub(crate) fn recompute(&mut self) -> Vec<u64> {
        let mut changed = Vec::new();
        let mut next = Some(self.account.nonce);
        let mut floor = i128::MAX;
        self.pending = 0;
        self.spent = U256::ZERO;
        for (nonce, slot) in &mut self.txs {
            floor = floor.min(slot.score);
            slot.floor = floor;
            let affordable = self
                .spent
                .checked_add(slot.cost)
                .filter(|spent| next == Some(*nonce) && *spent <= self.account.balance);
            let pending = affordable.is_some();
            if let Some(spent) = affordable {
                self.spent = spent;
                self.pending += 1;
                next = nonce.checked_add(1);
            } else {
                next = None;
            }
            if slot.pending != pending {
                slot.pending = pending;
                changed.push(*nonce);
            }
        }
        changed
    }

    /// A shortcut for a sender that submits in order: if all but the last transaction are pending and the last
    /// can be, makes it pending and returns its nonce. Otherwise changes nothing and returns `None`.
    pub(crate) fn extend(&mut self) -> Option<u64> {
        if self.pending + 1 != self.txs.len() {
            return None;
        }
        let expected = self.next_nonce();
        let before = self.txs.values().rev().nth(1).map_or(i128::MAX, |slot| slot.floor);
        let mut last = self.txs.last_entry().filter(|last| *last.key() == expected)?;
        let slot = last.get_mut();
        let spent = self.spent.checked_add(slot.cost).filter(|spent| *spent <= self.account.balance)?;
        slot.floor = before.min(slot.score);
        slot.pending = true;
        self.spent = spent;
        self.pending += 1;
        Some(expected)
    }

    /// The sender's key in the order of eviction once its last `depth` transactions are gone.
    pub(crate) fn eviction_key(&self, sender: Address, depth: usize) -> Option<EvictionKey> {
        let tail = self.txs.values().rev().nth(depth)?;
        Some(EvictionKey { pending: tail.pending, rank: tail.floor, youth: Reverse(tail.seq), sender })
    }
}

/// The effective tip at a base fee, in wei per gas. If the fee cap is below the base fee, the result is
/// negative: fee cap minus base fee. Saturates at values that no balance can pay.
pub(crate) fn score(tx: &RecoveredTx, base_fee: u64) -> i128 {
    let cap = i128::try_from(tx.tx.max_fee_per_gas()).unwrap_or(i128::MAX);
    let tip = i128::try_from(tx.tx.priority_fee_or_price()).unwrap_or(i128::MAX);
    let room = cap.saturating_sub(i128::from(base_fee));
    // A legacy gas price is both fee cap and tip, so the part above the base fee is the effective tip.
    tip.min(room)
}

/// Gas limit times fee cap plus value: the balance a sender must hold. Saturates.
pub(crate) fn cost(tx: &RecoveredTx) -> U256 {
    U256::from(tx.tx.gas_limit()).saturating_mul(U256::from(tx.tx.max_fee_per_gas())).saturating_add(tx.tx.value())
}
