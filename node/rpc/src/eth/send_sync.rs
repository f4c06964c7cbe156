//! `eth_sendRawTransactionSync` (EIP-7966): send, and answer with the receipt once a block carries the transaction.

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;

use crate::api::{Api, encode};
use crate::args::Args;
use crate::errors::Fault;
use crate::eth::blocks::receipt_of;
use crate::eth::send::send;
use crate::lanes::Cost;

/// Code of a transaction that was accepted and is not included in time (EIP-7966).
const CODE_NOT_INCLUDED: i32 = 4;
/// Waiting time when the caller names none, in milliseconds.
const DEFAULT_WAIT_MS: u64 = 5_000;
/// Longest waiting time, in milliseconds: a longer wish is cut to it.
const MAX_WAIT_MS: u64 = 30_000;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    module.register_async_method("eth_sendRawTransactionSync", |params, api, _extensions| async move {
        send_and_wait(&params, api).await
    })?;
    Ok(())
}

/// A time in milliseconds, as JSON or as a hex quantity.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Millis {
    Number(u64),
    Hex(alloy_primitives::U64),
}

async fn send_and_wait(params: &Params<'_>, api: std::sync::Arc<Api>) -> Result<Box<RawValue>, ErrorObjectOwned> {
    let (raw, wait_ms) = arguments(params, api.limits.params_bytes)?;
    // Before sending, so that the block cannot pass unseen.
    let mut heads = api.heads.subscribe();
    let sending = std::sync::Arc::clone(&api);
    let hash = api.workers.run(Cost::Read, move |_| send(&sending, &raw)).await?;
    let included = async {
        loop {
            match heads.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    let reading = std::sync::Arc::clone(&api);
                    let receipt = api
                        .workers
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

fn arguments(params: &Params<'_>, max_bytes: usize) -> Result<(Bytes, u64), Fault> {
    let args = Args::parse(params.as_str(), 2, max_bytes)?;
    let wait_ms = match args.optional(1)? {
        Some(Millis::Number(ms)) => ms,
        Some(Millis::Hex(ms)) => ms.to(),
        None => DEFAULT_WAIT_MS,
    };
    Ok((args.required(0)?, wait_ms.min(MAX_WAIT_MS)))
}

fn not_included(hash: B256, wait_ms: u64) -> ErrorObjectOwned {
    let message = format!("the transaction was added to the pool but wasn't processed within {wait_ms} ms");
    ErrorObjectOwned::owned(CODE_NOT_INCLUDED, message, Some(hash))
}
