//! Stake as a person handles it: over the command line, and read over JSON-RPC.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use causeway_contracts::bindings::TestToken;
use causeway_genesis::addresses::STAKE_TOKEN;
use causeway_testnet::{chain, rpc::Rpc};
use serde_json::{Value, json};

use super::{Net, causeway_json, coins, eventually, quantity, sibling, transfer};

/// An epoch of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub number: u64,
    /// First height that its set decides.
    pub start: u64,
}

/// `causeway stake ... --json` with an account's key, at a node.
pub fn stake(net: &Net, node: usize, key_file: &str, arguments: &[&str]) -> Value {
    let rpc = net.record.rpc[node].as_str();
    let common = ["--rpc", rpc, "--key-file", key_file, "--json"];
    causeway_json(&[["stake"].as_slice(), arguments, &common].concat())
}

/// `causeway stake exit` of a genesis validator, tried until the queue of those who leave has room for it.
pub async fn exit(net: &Net, node: usize, patience: Duration) -> Value {
    let (rpc, key) = (net.record.rpc[0].as_str(), operator_key(net, node));
    let arguments = ["stake", "exit", "--rpc", rpc, "--key-file", &key, "--json"];
    let deadline = Instant::now() + patience;
    loop {
        let output = Command::new(sibling("causeway")).args(arguments).stdin(Stdio::null()).output().unwrap();
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).unwrap();
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("leaving already"), "{said}");
        assert!(Instant::now() < deadline, "validator-{node} cannot leave: {said}");
        let next = epoch(&net.rpc(0)).await.number + 1;
        eventually(patience, "the next epoch begins", || async { epoch(&net.rpc(0)).await.number >= next }).await;
    }
}

/// The file with a node's operator key.
pub fn operator_key(net: &Net, node: usize) -> String {
    chain::operator_key(&net.record.validators[node].dir).display().to_string()
}

/// `causeway stake register` for a node, by its operator.
pub fn register(net: &Net, node: usize, self_bond: &str, commission_bps: &str) -> Value {
    let dir = net.record.validators[node].dir.display().to_string();
    let arguments = ["register", "--dir", &dir, "--self-bond", self_bond, "--commission-bps", commission_bps];
    stake(net, 0, &operator_key(net, node), &arguments)
}

/// Gives the operator of a genesis validator coin for its transactions: it has none.
pub async fn pay_operator(net: &Net, node: usize, from_account: usize) {
    let (key, to) = (net.record.accounts[from_account].private_key, net.record.validators[node].address);
    let hash = transfer::send(&net.rpc(0), &key, to, coins(1)).await;
    transfer::receipt(&net.rpc(0), hash).await;
}

/// The epoch after a block.
pub async fn epoch_after(rpc: &Rpc, block: u64) -> Epoch {
    epoch_of(rpc.call("staking_epoch", json!([format!("{block:#x}")])).await.unwrap())
}

/// The present epoch.
pub async fn epoch(rpc: &Rpc) -> Epoch {
    epoch_of(rpc.call("staking_epoch", json!(["latest"])).await.unwrap())
}

fn epoch_of(answer: Value) -> Epoch {
    Epoch { number: quantity(&answer["number"]), start: quantity(&answer["startHeight"]) }
}

/// Powers by operator of the set that decides the height after a block.
pub async fn powers_after(rpc: &Rpc, block: u64) -> BTreeMap<Address, u64> {
    let all: Value = rpc.call("staking_validators", json!([format!("{block:#x}")])).await.unwrap();
    let powers = all.as_array().unwrap().iter().map(|one| (address(&one["operator"]), quantity(&one["power"])));
    powers.filter(|(_, power)| *power > 0).collect()
}

/// Powers by operator of the present set.
pub async fn powers(rpc: &Rpc) -> BTreeMap<Address, u64> {
    powers_after(rpc, rpc.block_number().await.unwrap()).await
}

/// What is known about a validator.
pub async fn validator(rpc: &Rpc, operator: Address) -> Value {
    rpc.call("staking_validator", json!([operator])).await.unwrap()
}

/// Stake tokens that an account holds and has not bonded.
pub async fn liquid(rpc: &Rpc, account: Address) -> U256 {
    let data = Bytes::from(TestToken::balanceOfCall { owner: account }.abi_encode());
    let answer: Bytes = rpc.call("eth_call", json!([{ "to": STAKE_TOKEN, "data": data }, "latest"])).await.unwrap();
    U256::from_be_slice(&answer)
}

/// Fees of a block in wei: all of them go to the stakers.
pub async fn fees(rpc: &Rpc, block: u64) -> U256 {
    let receipts: Value = rpc.call("eth_getBlockReceipts", json!([format!("{block:#x}")])).await.unwrap();
    let fee = |receipt: &Value| wei(&receipt["gasUsed"]) * wei(&receipt["effectiveGasPrice"]);
    receipts.as_array().unwrap().iter().map(fee).sum()
}

/// What a transaction cost its sender, and its block.
pub async fn cost(rpc: &Rpc, transaction: &Value) -> (U256, u64) {
    let hash: B256 = serde_json::from_value(transaction.clone()).unwrap();
    let receipt = transfer::receipt(rpc, hash).await;
    (wei(&receipt["gasUsed"]) * wei(&receipt["effectiveGasPrice"]), quantity(&receipt["blockNumber"]))
}

/// Coin of an account after a block.
pub async fn coin_after(rpc: &Rpc, account: Address, block: u64) -> U256 {
    rpc.call("eth_getBalance", json!([account, format!("{block:#x}")])).await.unwrap()
}

/// An amount that an answer gives as a hex quantity.
pub fn wei(value: &Value) -> U256 {
    serde_json::from_value(value.clone()).unwrap()
}

/// An address that an answer gives.
pub fn address(value: &Value) -> Address {
    serde_json::from_value(value.clone()).unwrap()
}
