//! Transactions that tests sign themselves.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use causeway_testnet::{
    accounts,
    funding::{self, Call, Fees},
    rpc::Rpc,
};
use serde_json::{Value, json};

/// Sends coin and returns the transaction's hash.
pub async fn send(rpc: &Rpc, key: &B256, to: Address, value: U256) -> B256 {
    call(rpc, key, TxKind::Call(to), value, Bytes::new(), 21_000).await
}

/// Sends any transaction and returns its hash.
pub async fn call(rpc: &Rpc, key: &B256, to: TxKind, value: U256, input: Bytes, gas_limit: u64) -> B256 {
    let signer = accounts::signer(key);
    let nonce = rpc.nonce(signer.address()).await.unwrap();
    let (hash, raw) = sign(rpc, &signer, nonce, to, value, input, gas_limit).await;
    let answered: B256 = rpc.call("eth_sendRawTransaction", json!([raw])).await.unwrap();
    assert_eq!(answered, hash);
    hash
}

/// Signs a transaction with ample fees.
pub async fn sign(
    rpc: &Rpc,
    signer: &PrivateKeySigner,
    nonce: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
    gas_limit: u64,
) -> (B256, Bytes) {
    let fees = Fees::ample(rpc).await.unwrap();
    funding::sign(signer, fees, nonce, &Call { to, value, input, gas_limit }).unwrap()
}

/// Waits for a receipt of success.
pub async fn receipt(rpc: &Rpc, hash: B256) -> Value {
    rpc.receipt(hash, Duration::from_secs(30)).await.unwrap()
}
