//! Reorganisations of the chain, and branches beside it.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, TxKind, U256};

use super::{
    chain::{Chain, Weather},
    pool::ParentTx,
};
use crate::rng::Rng;

/// The depositor on lying branches.
const FORGER: Address = Address::repeat_byte(0xf0);

/// Time of a block that replaces another one.
#[derive(Clone, Copy, Debug)]
struct Slot {
    ms: u64,
    /// The final block at the time when this block was the head.
    finalized: u64,
}

/// The result of a reorganisation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Undone {
    pub(super) blocks: u64,
    pub(super) transactions: u64,
    pub(super) dropped: u64,
    pub(super) deposits: u64,
}

impl Chain {
    /// Replaces the last `depth` blocks that are not final by as many new ones. Their transactions go back to the
    /// pool and are included again at other times; `drop_percent` of them are forgotten.
    pub(super) fn reorganise(&mut self, depth: u64, drop_percent: u64, weather: Weather, rng: &mut Rng) -> Undone {
        let head = self.head().height;
        let depth = depth.min(head.saturating_sub(self.finalized()));
        let deposits = self.ledger.deposits(head).len();
        let (slots, again) = self.rewind(head - depth);
        let deposits = deposits - self.ledger.deposits(head).len();
        let mut undone =
            Undone { blocks: depth, transactions: again.len() as u64, dropped: 0, deposits: deposits as u64 };
        let first_ms = slots.first().map_or(0, |slot| slot.ms);
        let last_ms = slots.last().map_or(0, |slot| slot.ms).saturating_add(self.plan.block_ms.saturating_mul(2));
        for tx in again {
            if rng.percent(drop_percent) {
                undone.dropped += 1;
            } else {
                self.pool.put(tx, Some(rng.between(first_ms, last_ms)));
            }
        }
        self.salt = rng.bits();
        self.remake(&slots, weather, Vec::new());
        undone
    }

    /// Another branch of the same height, which leaves this one after block `height`, or after the last final block if that is
    /// later. Its first block begins with `deposit`, a call with value from an account without a known key.
    pub(super) fn branch(
        &self,
        height: u64,
        salt: u64,
        weather: Weather,
        deposit: Option<(Address, U256, Bytes)>,
    ) -> Self {
        let mut branch = self.clone();
        let base = height.max(self.finalized()).min(self.head().height.saturating_sub(1));
        let (slots, again) = branch.rewind(base);
        for tx in again {
            branch.pool.put(tx, Some(0));
        }
        branch.salt = salt;
        let forged = deposit.map(|(to, value, input)| {
            let nonce = branch.payer(FORGER).nonce;
            branch.unsigned(FORGER, nonce, TxKind::Call(to), value, input)
        });
        branch.remake(&slots, weather, forged.into_iter().collect());
        branch
    }

    /// Undoes the blocks above `base`. Returns their times and contents.
    fn rewind(&mut self, base: u64) -> (Vec<Slot>, Vec<Arc<ParentTx>>) {
        let kept = self.blocks.partition_point(|block| block.height <= base);
        let removed = self.blocks.split_off(kept);
        for block in removed.iter().rev() {
            self.state.undo(block.height);
        }
        self.logs.truncate(self.logs.partition_point(|placed| placed.height <= base));
        self.ledger.undo(base);
        let hashes = removed.iter().flat_map(|block| &block.transactions);
        let transactions = hashes.filter_map(|hash| self.receipts.remove(hash)).map(|receipt| receipt.tx).collect();
        (removed.iter().map(|block| Slot { ms: block.slot_ms, finalized: block.finalized }).collect(), transactions)
    }

    fn remake(&mut self, slots: &[Slot], weather: Weather, mut forced: Vec<ParentTx>) {
        for slot in slots {
            self.make_block(slot.ms, weather, std::mem::take(&mut forced));
            // A final block stays final.
            let block = self.blocks.last_mut().expect("a block was made");
            block.finalized = block.finalized.max(slot.finalized);
        }
    }
}
