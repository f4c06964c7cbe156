//! Users whose keys depend on a number alone, and the transactions they sign.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::{
    eip2930::AccessList,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_execution::RecoveredTx;

use super::CHAIN_ID;

pub const FEE_CAP: u128 = 100_000_000_000;
pub const TIP: u128 = 1_000_000_000;

pub fn signer(user: u64) -> PrivateKeySigner {
    let secret = keccak256([b"user".as_slice(), &user.to_be_bytes()].concat());
    PrivateKeySigner::from_bytes(&secret).unwrap()
}

pub fn address(user: u64) -> Address {
    signer(user).address()
}

pub fn sign<T>(user: u64, mut tx: T) -> Arc<RecoveredTx>
where
    T: SignableTransaction<Signature> + 'static,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer(user).sign_transaction_sync(&mut tx).unwrap();
    Arc::new(RecoveredTx::recover(tx.into_signed(signature).into()).unwrap())
}

/// An EIP-1559 transaction with room in its fees.
pub fn eip1559(nonce: u64, to: TxKind, value: U256, input: Bytes, gas_limit: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas: FEE_CAP,
        max_priority_fee_per_gas: TIP,
        to,
        value,
        access_list: AccessList::default(),
        input,
    }
}

pub fn transfer(user: u64, nonce: u64, to: Address, value: u128) -> Arc<RecoveredTx> {
    sign(user, eip1559(nonce, TxKind::Call(to), U256::from(value), Bytes::new(), 21_000))
}

pub fn call(user: u64, nonce: u64, to: Address, value: u128, input: impl Into<Bytes>) -> Arc<RecoveredTx> {
    sign(user, eip1559(nonce, TxKind::Call(to), U256::from(value), input.into(), 1_000_000))
}

pub fn call_gas(
    user: u64,
    nonce: u64,
    to: Address,
    value: u128,
    input: impl Into<Bytes>,
    gas: u64,
) -> Arc<RecoveredTx> {
    sign(user, eip1559(nonce, TxKind::Call(to), U256::from(value), input.into(), gas))
}

pub fn create(user: u64, nonce: u64, init: impl Into<Bytes>) -> Arc<RecoveredTx> {
    sign(user, eip1559(nonce, TxKind::Create, U256::ZERO, init.into(), 3_000_000))
}

pub fn legacy(user: u64, nonce: u64, to: Address, value: u128, chain_id: Option<u64>) -> Arc<RecoveredTx> {
    let tx = TxLegacy {
        chain_id,
        nonce,
        gas_price: FEE_CAP,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::new(),
    };
    sign(user, tx)
}

pub fn eip2930(user: u64, nonce: u64, to: Address, input: Bytes, access_list: AccessList) -> Arc<RecoveredTx> {
    let tx = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce,
        gas_price: FEE_CAP,
        gas_limit: 500_000,
        to: TxKind::Call(to),
        value: U256::ZERO,
        access_list,
        input,
    };
    sign(user, tx)
}

pub fn authorize(user: u64, nonce: u64, delegate: Address) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: delegate, nonce };
    let signature = signer(user).sign_hash_sync(&authorization.signature_hash()).unwrap();
    authorization.into_signed(signature)
}

pub fn eip7702(user: u64, nonce: u64, to: Address, list: Vec<SignedAuthorization>, input: Bytes) -> Arc<RecoveredTx> {
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: FEE_CAP,
        max_priority_fee_per_gas: TIP,
        to,
        value: U256::ZERO,
        access_list: AccessList::default(),
        authorization_list: list,
        input,
    };
    sign(user, tx)
}

pub fn word(value: u64) -> B256 {
    B256::from(U256::from(value))
}
