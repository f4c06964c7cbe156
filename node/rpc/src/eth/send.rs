//! `eth_sendRawTransaction`: decodes a transaction, recovers its sender and hands it to the node. Refusals have the pool's text.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use causeway_execution::RecoveredTx;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "eth_sendRawTransaction", Cost::Read, 1, send_raw_transaction)?;
    // The node has no keys of users; wallets sign.
    method(module, "eth_accounts", Cost::Memory, 0, |_, _| Ok::<[Address; 0], _>([]))
}

fn send_raw_transaction(api: &Api, call: &Call<'_>) -> Result<B256, Fault> {
    send(api, &call.args.required(0)?)
}

/// Hands an encoded transaction to the node and returns its hash.
///
/// # Errors
/// [`Fault::Refused`] with the text of the decoder or the pool.
pub(crate) fn send(api: &Api, raw: &Bytes) -> Result<B256, Fault> {
    let tx = RecoveredTx::decode_2718_and_recover(raw).map_err(|error| Fault::Refused(error.to_string()))?;
    (api.ctx.submit)(Arc::new(tx)).map_err(|error| Fault::Refused(error.to_string()))
}
