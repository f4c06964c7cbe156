//! `eth_sendRawTransactionSync` (EIP-7966): sends a transaction, waits until a block carries it, and returns its receipt.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;

use crate::api::encode;
use crate::args::Args;
use crate::config::RpcLimits;
use crate::errors::Fault;
use crate::eth::blocks::receipt_of;
use crate::eth::context::EthContext;
use crate::eth::send::send;
use crate::lanes::Cost;

/// Code of a transaction that was accepted but not included in time (EIP-7966).
const CODE_NOT_INCLUDED: i32 = 4;

pub(crate) fn register(module: &mut RpcModule<EthContext>) -> Result<(), RegisterMethodError> {
    module.register_async_method("eth_sendRawTransactionSync", |params, eth, _extensions| async move {
        send_and_wait(&params, eth).await
    })?;
    Ok(())
}

/// A time in milliseconds: a JSON number or a hex quantity.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Millis {
    Number(u64),
    Hex(alloy_primitives::U64),
}

async fn send_and_wait(params: &Params<'_>, eth: Arc<EthContext>) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let (raw, wait_ms) = arguments(params, &eth.api.limits)?;
    // Subscribed before sending, so that the block cannot be missed.
    let mut heads = eth.heads.subscribe();
    let api = &eth.api;
    let sending = Arc::clone(api);
    let hash = api.lanes.run(Cost::Read, move |_| send(&sending, &raw)).await?;
    let included = async {
        loop {
            match heads.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    let reading = Arc::clone(api);
                    let receipt = api
                        .lanes
                        .run(Cost::Read, move |_| receipt_of(&reading, hash)?.as_ref().map(encode).transpose());
                    if let Some(receipt) = receipt.await? {
                        return Ok::<_, Fault>(receipt);
                    }
                }
                Err(RecvError::Closed) => return Err(Fault::Internal("the node is stopping")),
            }
        }
    };
    match tokio::time::timeout(Duration::from_millis(wait_ms), included).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(not_included(hash, wait_ms)),
    }
}

fn arguments(params: &Params<'_>, limits: &RpcLimits) -> Result<(Bytes, u64), Fault> {
    let args = Args::parse(params.as_str(), 2, limits.params_bytes)?;
    let wait_ms = match args.optional(1)? {
        Some(Millis::Number(ms)) => ms,
        Some(Millis::Hex(ms)) => ms.to(),
        None => limits.send_sync_default_ms,
    };
    Ok((args.required(0)?, wait_ms.min(limits.send_sync_max_ms)))
}

fn not_included(hash: B256, wait_ms: u64) -> ErrorObjectOwned {
    let message = format!("the transaction was added to the pool but wasn't processed within {wait_ms} ms");
    ErrorObjectOwned::owned(CODE_NOT_INCLUDED, message, Some(hash))
}
