//! Transactions without real signatures. The pool does not check the sender.

use std::sync::Arc;

use alloy_consensus::{Signed, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use causeway_execution::{RecoveredTx, Rules};
use causeway_genesis::{ChainSpec, Schedule, ceremony};
use causeway_mempool::{AccountCode, AccountView, Mempool, PoolConfig};

pub(crate) const CHAIN_ID: u64 = 777;
pub(crate) const BLOCK_GAS: u64 = 10_000_000;

pub(crate) fn sender(tag: u8) -> Address {
    Address::repeat_byte(tag)
}

/// A dynamic-fee transfer whose fields tests change.
pub(crate) fn transfer(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 10,
        to: TxKind::Call(Address::ZERO),
        value: U256::ZERO,
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

pub(crate) fn envelope(tx: TxEip1559, from: Address) -> TxEnvelope {
    // The hash depends on the sender, as it does with a real signature.
    let mut content = from.to_vec();
    content.extend(format!("{tx:?}").into_bytes());
    TxEnvelope::Eip1559(Signed::new_unchecked(tx, Signature::test_signature(), keccak256(content)))
}

pub(crate) fn recovered(tx: TxEnvelope, from: Address) -> Arc<RecoveredTx> {
    let (hash, size) = (*tx.tx_hash(), tx.encode_2718_len());
    Arc::new(RecoveredTx { tx, hash, sender: from, size })
}

pub(crate) fn signed(tx: TxEip1559, from: Address) -> Arc<RecoveredTx> {
    recovered(envelope(tx, from), from)
}

pub(crate) fn legacy(nonce: u64, gas_price: u128, chain_id: Option<u64>, from: Address) -> Arc<RecoveredTx> {
    let tx = TxLegacy {
        chain_id,
        nonce,
        gas_price,
        gas_limit: 21_000,
        to: TxKind::Call(Address::ZERO),
        value: U256::ZERO,
        input: Bytes::new(),
    };
    let hash = keccak256(format!("{tx:?}{from}"));
    recovered(TxEnvelope::Legacy(Signed::new_unchecked(tx, Signature::test_signature(), hash)), from)
}

/// A transfer with this fee cap and tip.
pub(crate) fn paying(from: Address, nonce: u64, cap: u128, tip: u128) -> Arc<RecoveredTx> {
    signed(TxEip1559 { max_fee_per_gas: cap, max_priority_fee_per_gas: tip, ..transfer(nonce) }, from)
}

pub(crate) fn account(nonce: u64, balance: u64) -> AccountView {
    AccountView { nonce, balance: U256::from(balance), code: AccountCode::None }
}

pub(crate) fn rich() -> AccountView {
    account(0, u64::MAX)
}

pub(crate) fn config() -> PoolConfig {
    PoolConfig::new(CHAIN_ID)
}

/// The rules that a chain with this spec starts with.
pub(crate) fn rules_of(change: impl FnOnce(&mut ChainSpec)) -> Rules {
    let mut spec = ceremony::new_spec(CHAIN_ID, "pool", 0, None);
    spec.gas_limit = BLOCK_GAS;
    change(&mut spec);
    *Schedule::of(&spec).expect("the rules are valid").first()
}

pub(crate) fn rules() -> Rules {
    rules_of(|_| {})
}

pub(crate) fn pool() -> Mempool {
    Mempool::new(config(), &rules())
}

pub(crate) fn best(pool: &Mempool, base_fee: u64) -> Vec<B256> {
    pool.best(base_fee).map(|tx| tx.hash).collect()
}
