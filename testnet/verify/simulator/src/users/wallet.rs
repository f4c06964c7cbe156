//! One account on the sidechain: its key, and its pending transactions.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_execution::RecoveredTx;

use super::intent::Intent;
use crate::world::CHAIN_ID;

/// Most pending transactions of one account.
const MOST_UNDER_WAY: usize = 4;
/// A transaction that is in no block after this long is sent to another node.
const LOST_AFTER_MS: u64 = 4_000;
/// Initial fee cap: chains begin at one gwei, and blocks are nearly empty.
const FEE_CAP: u128 = 20_000_000_000;
/// Factor by which a replacement pays more.
const BUMP_PERCENT: u128 = 50;

/// The content of a transaction to send.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) to: TxKind,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    pub(crate) gas: u64,
    pub(crate) tip: u128,
    pub(crate) intent: Intent,
}

/// A signed transaction without a known block.
#[derive(Debug, Clone)]
struct Sent {
    transaction: Arc<RecoveredTx>,
    order: Order,
    fee_cap: u128,
}

/// The versions of one nonce, and the time at which one was last sent to a node.
#[derive(Debug, Clone)]
struct UnderWay {
    versions: Vec<Sent>,
    given_ms: u64,
}

/// An account with its key.
#[derive(Debug)]
pub(crate) struct Wallet {
    pub(crate) key: PrivateKeySigner,
    pub(crate) address: Address,
    nonce: u64,
    under_way: BTreeMap<u64, UnderWay>,
}

/// An included transaction of the account.
#[derive(Debug)]
pub(crate) struct Included {
    pub(crate) intent: Intent,
    pub(crate) value: U256,
    /// Whether another version of it was sent to a node, too.
    pub(crate) replaced: bool,
}

impl Wallet {
    pub(crate) fn new(key: PrivateKeySigner) -> Self {
        Self { address: key.address(), key, nonce: 0, under_way: BTreeMap::new() }
    }

    /// Whether the account may send another transaction now.
    pub(crate) fn is_free(&self) -> bool {
        self.under_way.len() < MOST_UNDER_WAY
    }

    /// Largest cost of all pending transactions, wei.
    pub(crate) fn promised(&self) -> U256 {
        let cost = |sent: &Sent| sent.order.value + U256::from(sent.fee_cap) * U256::from(sent.order.gas);
        let dearest = |way: &UnderWay| way.versions.iter().map(cost).max().unwrap_or_default();
        self.under_way.values().map(dearest).fold(U256::ZERO, |sum, cost| sum + cost)
    }

    /// Largest fee of a transaction to send.
    pub(crate) fn fees(gas: u64) -> U256 {
        // Includes a possible replacement.
        U256::from(FEE_CAP * 2) * U256::from(gas)
    }

    /// Signs a new transaction.
    pub(crate) fn send(&mut self, order: Order, now_ms: u64) -> Arc<RecoveredTx> {
        let nonce = self.nonce;
        self.nonce += 1;
        let sent = self.sign(nonce, order, FEE_CAP);
        let transaction = sent.transaction.clone();
        self.under_way.insert(nonce, UnderWay { versions: vec![sent], given_ms: now_ms });
        transaction
    }

    /// Signs a replacement with a higher fee for the newest pending transaction without a second version.
    pub(crate) fn replace(&mut self, order: Order, now_ms: u64) -> Option<Arc<RecoveredTx>> {
        let (nonce, first) = self.under_way.iter().next_back().map(|(nonce, way)| (*nonce, way.versions[0].clone()))?;
        if self.under_way.get(&nonce).is_some_and(|way| way.versions.len() > 1) {
            return None;
        }
        let dearer = |fee: u128| fee + fee * BUMP_PERCENT / 100 + 1;
        let order = Order { tip: dearer(first.order.tip), ..order };
        let sent = self.sign(nonce, order, dearer(first.fee_cap));
        let transaction = sent.transaction.clone();
        let way = self.under_way.get_mut(&nonce)?;
        way.versions.push(sent);
        way.given_ms = now_ms;
        Some(transaction)
    }

    /// A transaction with a nonce gap, which is never filled.
    pub(crate) fn stray(&self, ahead: u64) -> Arc<RecoveredTx> {
        let order = Order {
            to: TxKind::Call(self.address),
            value: U256::ONE,
            input: Bytes::new(),
            gas: 21_000,
            tip: 1,
            intent: Intent::Transfer { to: self.address },
        };
        self.sign(self.nonce + ahead, order, FEE_CAP).transaction
    }

    /// Transactions that seem lost, to be sent to another node: all of the account, because the first may block the others.
    pub(crate) fn lost(&mut self, now_ms: u64) -> Vec<Arc<RecoveredTx>> {
        let waits = self.under_way.values().next().is_some_and(|way| now_ms >= way.given_ms + LOST_AFTER_MS);
        if !waits {
            return Vec::new();
        }
        let mut again = Vec::new();
        for way in self.under_way.values_mut() {
            way.given_ms = now_ms;
            again.extend(way.versions.last().map(|sent| sent.transaction.clone()));
        }
        again
    }

    /// Removes an included transaction of this account. `None` when the account never signed it.
    pub(crate) fn included(&mut self, hash: &B256, nonce: u64) -> Option<Included> {
        let way = self.under_way.remove(&nonce)?;
        let replaced = way.versions.len() > 1;
        let sent = way.versions.into_iter().find(|sent| sent.transaction.hash == *hash)?;
        Some(Included { intent: sent.order.intent, value: sent.order.value, replaced })
    }

    fn sign(&self, nonce: u64, order: Order, fee_cap: u128) -> Sent {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: order.gas,
            max_fee_per_gas: fee_cap,
            max_priority_fee_per_gas: order.tip,
            to: order.to,
            value: order.value,
            access_list: Default::default(),
            input: order.input.clone(),
        };
        let signature = self.key.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs");
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        // The signer is known, so it need not be recovered.
        let (hash, size) = (*envelope.tx_hash(), envelope.encode_2718_len());
        let transaction = RecoveredTx { tx: envelope, hash, sender: self.address, size };
        Sent { transaction: Arc::new(transaction), order, fee_cap }
    }
}
