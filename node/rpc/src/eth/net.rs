//! `net_*`, `web3_*`, `eth_chainId` and `eth_syncing`: methods about the node and not about blocks.

use alloy_primitives::{B256, Bytes, U64, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "web3_clientVersion", Cost::Memory, 0, |_, _| {
        Ok(format!("causeway/v{}/{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH))
    })?;
    method(module, "web3_sha3", Cost::Read, 1, |_, call| {
        let data: Bytes = call.args.required(0)?;
        Ok::<B256, _>(keccak256(data))
    })?;
    method(module, "net_version", Cost::Memory, 0, |api, _| Ok(api.chain_id().to_string()))?;
    method(module, "net_listening", Cost::Memory, 0, |api, _| Ok(api.ctx.status.is_listening()))?;
    method(module, "net_peerCount", Cost::Memory, 0, |api, _| Ok(U64::from(api.ctx.status.peer_count())))?;
    method(module, "eth_chainId", Cost::Memory, 0, |api, _| Ok(U64::from(api.chain_id())))?;
    method(module, "eth_syncing", Cost::Memory, 0, syncing)
}

fn syncing(api: &Api, _call: &Call<'_>) -> Result<Value, Fault> {
    Ok(match api.ctx.status.syncing() {
        None => Value::Bool(false),
        Some(progress) => json!({
            "startingBlock": U64::from(progress.starting),
            "currentBlock": U64::from(progress.current),
            "highestBlock": U64::from(progress.highest),
        }),
    })
}
