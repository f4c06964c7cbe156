//! Transactions that wait for a block of the parent, under the usual pool rules for fees, nonces and room.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_consensus::{Transaction, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm::context::TxEnv;

/// Most transactions the pool holds.
const MAX_TRANSACTIONS: usize = 4_096;
/// Most transactions of one sender.
const MAX_OF_SENDER: usize = 64;
/// Longest transaction, bytes.
const MAX_BYTES: usize = 128 << 10;
/// Inclusion time of a stuck transaction.
const NEVER: u64 = u64::MAX;

/// A transaction whose sender is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParentTx {
    /// Its hash.
    pub(super) hash: B256,
    /// Its signer.
    pub(super) sender: Address,
    /// The sender's nonce.
    pub(super) nonce: u64,
    /// Gas limit.
    pub(super) gas_limit: u64,
    /// `maxFeePerGas`, wei.
    pub(super) max_fee: u128,
    /// `maxPriorityFeePerGas`, wei.
    pub(super) tip: u128,
    /// The called contract, or a creation.
    pub(super) to: TxKind,
    /// Wei sent along.
    pub(super) value: U256,
    /// Calldata or creation code.
    pub(super) input: Bytes,
}

/// A refusal of the pool, with geth's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The bytes are no EIP-1559 transaction.
    #[error("transaction type not supported")]
    Encoding,
    /// The signature is invalid.
    #[error("invalid sender")]
    Sender,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {0:?}")]
    ChainId(Option<u64>),
    /// Above [`MAX_BYTES`].
    #[error("oversized data")]
    TooLong,
    /// It is in the pool already.
    #[error("already known")]
    Known,
    /// The nonce is used.
    #[error("nonce too low: next nonce {next}, tx nonce {found}")]
    NonceTooLow {
        /// The account's next nonce.
        next: u64,
        /// The transaction's.
        found: u64,
    },
    /// Another transaction with this nonce waits, and this one does not pay a tenth more in both fees.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The tip is above the whole fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// More gas than a block has.
    #[error("exceeds block gas limit")]
    GasLimit,
    /// The sender cannot pay it at its greatest price.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    Funds {
        /// The sender's coin.
        balance: U256,
        /// Its largest cost.
        cost: U256,
    },
    /// The pool holds [`MAX_TRANSACTIONS`], or [`MAX_OF_SENDER`] of this sender.
    #[error("txpool is full")]
    Full,
    /// It would fail in the next block; only [`super::Parent::send`] looks.
    #[error("execution reverted: {0}")]
    WouldRevert(Bytes),
    /// The signing failed.
    #[error("the key cannot sign: {0}")]
    Key(String),
}

impl ParentTx {
    /// Decodes a signed EIP-1559 transaction and recovers its signer.
    ///
    /// # Errors
    /// `Encoding`, `Sender`, `ChainId`, `TooLong`.
    pub(super) fn decode(raw: &[u8], chain_id: u64) -> Result<Self, PoolError> {
        if raw.len() > MAX_BYTES {
            return Err(PoolError::TooLong);
        }
        let envelope = TxEnvelope::decode_2718_exact(raw).map_err(|_| PoolError::Encoding)?;
        if !envelope.is_eip1559() {
            return Err(PoolError::Encoding);
        }
        if envelope.chain_id() != Some(chain_id) {
            return Err(PoolError::ChainId(envelope.chain_id()));
        }
        let sender = envelope.recover_signer().map_err(|_| PoolError::Sender)?;
        Ok(Self {
            hash: *envelope.tx_hash(),
            sender,
            nonce: envelope.nonce(),
            gas_limit: envelope.gas_limit(),
            max_fee: envelope.max_fee_per_gas(),
            tip: envelope.max_priority_fee_per_gas().unwrap_or_default(),
            to: envelope.kind(),
            value: envelope.value(),
            input: envelope.input().clone(),
        })
    }

    pub(super) fn env(&self, chain_id: u64) -> TxEnv {
        TxEnv {
            tx_type: 2,
            caller: self.sender,
            gas_limit: self.gas_limit,
            gas_price: self.max_fee,
            gas_priority_fee: Some(self.tip),
            kind: self.to,
            value: self.value,
            data: self.input.clone(),
            nonce: self.nonce,
            chain_id: Some(chain_id),
            ..TxEnv::default()
        }
    }

    fn cost(&self) -> U256 {
        U256::from(self.gas_limit).saturating_mul(U256::from(self.max_fee)).saturating_add(self.value)
    }

    /// Tip for each gas; `None` when it does not pay the base fee.
    fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        Some(self.max_fee.checked_sub(u128::from(base_fee))?.min(self.tip))
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    tx: Arc<ParentTx>,
    /// Earliest time of its block, ms.
    from_ms: u64,
    arrival: u64,
}

/// The sender's account at the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payer {
    pub(super) nonce: u64,
    pub(super) balance: U256,
}

/// The pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    waiting: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    known: BTreeSet<B256>,
    arrivals: u64,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the transaction waits.
    pub(super) fn knows(&self, hash: &B256) -> bool {
        self.known.contains(hash)
    }

    /// The first nonce from `nonce` on without a waiting transaction of the account.
    pub(super) fn free_nonce(&self, sender: Address, nonce: u64) -> u64 {
        let Some(own) = self.waiting.get(&sender) else { return nonce };
        let taken = (nonce..).zip(own.range(nonce..)).take_while(|(expected, (found, _))| expected == *found).count();
        nonce.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX))
    }

    /// Adds a transaction, for blocks from `from_ms` on; `None` for one that gets stuck.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(super) fn add(
        &mut self,
        tx: Arc<ParentTx>,
        payer: Payer,
        gas: u64,
        from_ms: Option<u64>,
    ) -> Result<(), PoolError> {
        if self.known.contains(&tx.hash) {
            return Err(PoolError::Known);
        }
        if tx.nonce < payer.nonce {
            return Err(PoolError::NonceTooLow { next: payer.nonce, found: tx.nonce });
        }
        if tx.tip > tx.max_fee {
            return Err(PoolError::TipAboveFee);
        }
        if tx.gas_limit > gas {
            return Err(PoolError::GasLimit);
        }
        let cost = tx.cost();
        if cost > payer.balance {
            return Err(PoolError::Funds { balance: payer.balance, cost });
        }
        let own = self.waiting.get(&tx.sender);
        match own.and_then(|own| own.get(&tx.nonce)) {
            Some(before) => {
                let raised = |old: u128, new: u128| new >= old.saturating_add(old.div_ceil(10)).max(1);
                if !raised(before.tx.max_fee, tx.max_fee) || !raised(before.tx.tip, tx.tip) {
                    return Err(PoolError::Underpriced);
                }
                self.known.remove(&before.tx.hash);
            }
            None if self.len() >= MAX_TRANSACTIONS || own.is_some_and(|own| own.len() >= MAX_OF_SENDER) => {
                return Err(PoolError::Full);
            }
            None => {}
        }
        self.put(tx, from_ms);
        Ok(())
    }

    /// Returns a transaction of an undone block to the pool. It was valid once and may be valid again.
    pub(super) fn put(&mut self, tx: Arc<ParentTx>, from_ms: Option<u64>) {
        self.arrivals = self.arrivals.saturating_add(1);
        self.known.insert(tx.hash);
        let waiting = Waiting { tx: tx.clone(), from_ms: from_ms.unwrap_or(NEVER), arrival: self.arrivals };
        let replaced = self.waiting.entry(tx.sender).or_default().insert(tx.nonce, waiting);
        if let Some(replaced) = replaced.filter(|replaced| replaced.tx.hash != tx.hash) {
            self.known.remove(&replaced.tx.hash);
        }
    }

    /// The best-paying transaction that may be next at `now_ms`. `next_nonce` returns an account's next nonce.
    pub(super) fn best(
        &self,
        now_ms: u64,
        base_fee: u64,
        gas: u64,
        next_nonce: impl Fn(Address) -> u64,
    ) -> Option<Arc<ParentTx>> {
        let ready = self.waiting.iter().filter_map(|(sender, own)| {
            let waiting = own.get(&next_nonce(*sender))?;
            let tip = waiting.tx.effective_tip(base_fee)?;
            (waiting.from_ms <= now_ms && waiting.tx.gas_limit <= gas).then_some((tip, waiting))
        });
        let best = ready.max_by_key(|(tip, waiting)| (*tip, std::cmp::Reverse(waiting.arrival)));
        best.map(|(_, waiting)| waiting.tx.clone())
    }

    /// Removes a transaction.
    pub(super) fn remove(&mut self, tx: &ParentTx) {
        if !self.known.remove(&tx.hash) {
            return;
        }
        if let Some(own) = self.waiting.get_mut(&tx.sender) {
            own.remove(&tx.nonce);
            if own.is_empty() {
                self.waiting.remove(&tx.sender);
            }
        }
    }

    /// Drops transactions whose nonce the account has used.
    pub(super) fn prune(&mut self, next_nonce: impl Fn(Address) -> u64) {
        let Self { waiting, known, .. } = self;
        waiting.retain(|sender, own| {
            let rest = own.split_off(&next_nonce(*sender));
            for used in std::mem::replace(own, rest).into_values() {
                known.remove(&used.tx.hash);
            }
            !own.is_empty()
        });
    }

    /// Releases stuck transactions.
    pub(super) fn release(&mut self, now_ms: u64) {
        for waiting in self.waiting.values_mut().flat_map(BTreeMap::values_mut) {
            waiting.from_ms = waiting.from_ms.min(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RICH: Payer = Payer { nonce: 0, balance: U256::MAX };
    const GAS: u64 = 30_000_000;

    fn tx(sender: u8, nonce: u64, fee: u128) -> Arc<ParentTx> {
        let id = [&[sender][..], &nonce.to_be_bytes(), &fee.to_be_bytes()].concat();
        Arc::new(ParentTx {
            hash: alloy_primitives::keccak256(id),
            sender: Address::repeat_byte(sender),
            nonce,
            gas_limit: 21_000,
            max_fee: fee,
            tip: fee,
            to: TxKind::Call(Address::ZERO),
            value: U256::ZERO,
            input: Bytes::new(),
        })
    }

    #[test]
    fn replacement_pays_a_tenth_more_in_both_fees() {
        let mut pool = Pool::default();
        assert_eq!(pool.add(tx(1, 0, 100), RICH, GAS, Some(0)), Ok(()));
        assert_eq!(pool.add(tx(1, 0, 100), RICH, GAS, Some(0)), Err(PoolError::Known));
        assert_eq!(pool.add(tx(1, 0, 109), RICH, GAS, Some(0)), Err(PoolError::Underpriced));
        assert_eq!(pool.add(tx(1, 0, 110), RICH, GAS, Some(0)), Ok(()));
        assert_eq!(pool.len(), 1);
        assert_eq!(pool.best(0, 1, GAS, |_| 0), Some(tx(1, 0, 110)));
    }

    #[test]
    fn best_payer_whose_turn_it_is_comes_first() {
        let mut pool = Pool::default();
        for (sender, nonce, fee) in [(1, 0, 50), (1, 1, 900), (2, 0, 70), (3, 1, 999)] {
            assert_eq!(pool.add(tx(sender, nonce, fee), RICH, GAS, Some(0)), Ok(()));
        }
        assert_eq!(pool.best(0, 10, GAS, |_| 0), Some(tx(2, 0, 70)));
        assert_eq!(pool.best(0, 60, GAS, |_| 0), Some(tx(2, 0, 70)));
        assert_eq!(pool.best(0, 71, GAS, |_| 0), None, "nobody pays the base fee");
        pool.remove(&tx(2, 0, 70));
        assert_eq!(pool.best(0, 10, GAS, |_| 0), Some(tx(1, 0, 50)), "nonce before price");
    }

    #[test]
    fn stuck_transactions_wait_until_they_are_released_or_replaced() {
        let mut pool = Pool::default();
        assert_eq!(pool.add(tx(1, 0, 100), RICH, GAS, None), Ok(()));
        assert_eq!(pool.add(tx(2, 0, 100), RICH, GAS, None), Ok(()));
        assert_eq!(pool.best(1 << 60, 1, GAS, |_| 0), None);
        assert_eq!(pool.add(tx(1, 0, 200), RICH, GAS, Some(5)), Ok(()));
        assert_eq!(pool.best(5, 1, GAS, |_| 0), Some(tx(1, 0, 200)));
        pool.remove(&tx(1, 0, 200));
        pool.release(9);
        assert_eq!(pool.best(9, 1, GAS, |_| 0), Some(tx(2, 0, 100)));
    }

    #[test]
    fn used_nonces_go_and_gaps_are_named() {
        let mut pool = Pool::default();
        for nonce in [0, 1, 2, 5] {
            assert_eq!(pool.add(tx(1, nonce, 100), RICH, GAS, Some(0)), Ok(()));
        }
        assert_eq!(pool.free_nonce(Address::repeat_byte(1), 0), 3);
        pool.prune(|_| 2);
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.free_nonce(Address::repeat_byte(1), 2), 3);
        assert!(matches!(
            pool.add(tx(1, 0, 100), Payer { nonce: 2, ..RICH }, GAS, Some(0)),
            Err(PoolError::NonceTooLow { next: 2, found: 0 })
        ));
    }
}
