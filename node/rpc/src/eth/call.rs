//! `eth_call`, `eth_estimateGas` and `eth_createAccessList`, with state and block overrides.

use std::collections::BTreeMap;

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{B256, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::state::{AccountOverride as RpcAccountOverride, StateOverride};
use alloy_rpc_types_eth::{BlockOverrides as RpcBlockOverrides, TransactionRequest};
use causeway_execution::{
    AccountOverride, BlockOverrides, CallError, CallRequest, CallResult, EstimateError, Overrides, StateOverrides,
};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "eth_call", Cost::Heavy, 4, call)?;
    method(module, "eth_estimateGas", Cost::Heavy, 4, estimate_gas)?;
    method(module, "eth_createAccessList", Cost::Heavy, 3, create_access_list)
}

fn call(api: &Api, call: &Call<'_>) -> Result<Bytes, Fault> {
    let request = request(call.args.required(0)?, api.limits.call_gas)?;
    let at = api.state(call.args.block(1)?)?;
    let overrides = overrides(call.args.optional(2)?, call.args.optional(3)?, &request, api.limits.call_overrides)?;
    match api.ctx.executor.call(&at.header, &*at.state, &request, &overrides).map_err(|error| call_fault(api, error))? {
        CallResult::Success { output, .. } => Ok(output),
        CallResult::Revert { output, .. } => Err(Fault::Reverted(output)),
        CallResult::Halt { reason, .. } => Err(Fault::Refused(reason)),
    }
}

fn estimate_gas(api: &Api, call: &Call<'_>) -> Result<U64, Fault> {
    let request = request(call.args.required(0)?, api.limits.call_gas)?;
    let at = api.state(call.args.block(1)?)?;
    let overrides = overrides(call.args.optional(2)?, call.args.optional(3)?, &request, api.limits.call_overrides)?;
    let estimate = api.ctx.executor.estimate_gas(&at.header, &*at.state, &request, &overrides);
    estimate.map(U64::from).map_err(|error| match error {
        EstimateError::Call(error) => call_fault(api, error),
        EstimateError::Reverted(output) => Fault::Reverted(output),
        error @ (EstimateError::Halted(_) | EstimateError::ExceedsAllowance(_)) => Fault::Refused(error.to_string()),
    })
}

/// The result of `eth_createAccessList`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListAnswer {
    access_list: AccessList,
    gas_used: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn create_access_list(api: &Api, call: &Call<'_>) -> Result<AccessListAnswer, Fault> {
    let request = request(call.args.required(0)?, api.limits.call_gas)?;
    let at = api.state(call.args.block(1)?)?;
    let overrides = overrides(call.args.optional(2)?, None, &request, api.limits.call_overrides)?;
    let created = api.ctx.executor.create_access_list(&at.header, &*at.state, &request, &overrides);
    let created = created.map_err(|error| call_fault(api, error))?;
    Ok(AccessListAnswer {
        access_list: created.access_list,
        gas_used: U64::from(created.gas_used),
        error: created.error,
    })
}

/// The fault of a call that cannot start.
pub(crate) fn call_fault(api: &Api, error: CallError) -> Fault {
    match error {
        CallError::Local(error) => api.local_fault(&error),
        error => Fault::Refused(error.to_string()),
    }
}

/// Converts a call for execution. Its gas is at most the server's cap.
///
/// # Errors
/// [`Fault::InvalidParams`] for blobs, and for `data` and `input` that differ.
pub(crate) fn request(request: TransactionRequest, gas_cap: u64) -> Result<CallRequest, Fault> {
    if request.blob_versioned_hashes.is_some() || request.max_fee_per_blob_gas.is_some() || request.sidecar.is_some() {
        return Err(Fault::InvalidParams("blob transactions are not supported".to_owned()));
    }
    let input = request.input.try_into_unique_input().map_err(|_| {
        Fault::InvalidParams(
            "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data"
                .to_owned(),
        )
    })?;
    Ok(CallRequest {
        from: request.from,
        to: request.to.and_then(|kind| match kind {
            TxKind::Call(to) => Some(to),
            TxKind::Create => None,
        }),
        gas: Some(request.gas.unwrap_or(gas_cap).min(gas_cap)),
        gas_price: request.gas_price,
        max_fee_per_gas: request.max_fee_per_gas,
        max_priority_fee_per_gas: request.max_priority_fee_per_gas,
        value: request.value.unwrap_or_default(),
        input: input.unwrap_or_default(),
        access_list: request.access_list,
        authorization_list: request.authorization_list.unwrap_or_default(),
    })
}

/// Converts the overrides of a call for execution.
///
/// # Errors
/// [`Fault::InvalidParams`] for overrides that contradict each other or are not supported, [`Fault::Limit`] for more than `limit`.
pub(crate) fn overrides(
    state: Option<StateOverride>,
    block: Option<RpcBlockOverrides>,
    request: &CallRequest,
    limit: usize,
) -> Result<Overrides, Fault> {
    let state = state.map(|state| state_overrides(state, limit)).transpose()?.unwrap_or_default();
    let mut block = block.map(block_overrides).transpose()?.unwrap_or_default();
    if request.fee_cap() == 0 {
        // As in geth, a call without a gas price sees a base fee of 0, even if it is overridden.
        block.base_fee = None;
    }
    Ok(Overrides { state, block })
}

fn state_overrides(state: StateOverride, limit: usize) -> Result<StateOverrides, Fault> {
    let slots = |account: &RpcAccountOverride| {
        account.state.as_ref().map_or(0, |slots| slots.len())
            + account.state_diff.as_ref().map_or(0, |slots| slots.len())
    };
    let size = state.len() + state.values().map(slots).sum::<usize>();
    if size > limit {
        return Err(Fault::Limit(format!("too many overrides: {size}, the most in one call is {limit}")));
    }
    let mut accounts = BTreeMap::new();
    for (address, account) in state {
        if account.move_precompile_to.is_some() {
            return Err(Fault::InvalidParams("movePrecompileToAddress is not supported".to_owned()));
        }
        if account.state.is_some() && account.state_diff.is_some() {
            return Err(Fault::InvalidParams(format!("account {address} has both 'state' and 'stateDiff'")));
        }
        accounts.insert(
            address,
            AccountOverride {
                balance: account.balance,
                nonce: account.nonce,
                code: account.code,
                state: account.state.map(words),
                state_diff: account.state_diff.map(words).unwrap_or_default(),
            },
        );
    }
    Ok(StateOverrides { accounts })
}

fn words(slots: impl IntoIterator<Item = (B256, B256)>) -> BTreeMap<U256, U256> {
    slots.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect()
}

fn block_overrides(block: RpcBlockOverrides) -> Result<BlockOverrides, Fault> {
    if block.beacon_root.is_some() {
        return Err(Fault::InvalidParams(
            "block override \"beaconRoot\" is not supported for this RPC method".to_owned(),
        ));
    }
    if block.block_hash.is_some() {
        return Err(Fault::InvalidParams("block override \"blockHash\" is not supported".to_owned()));
    }
    let base_fee = block
        .base_fee
        .map(u64::try_from)
        .transpose()
        .map_err(|_| Fault::InvalidParams("block override \"baseFeePerGas\" is too large".to_owned()))?;
    // Difficulty and blob base fee have no meaning here. geth also ignores the difficulty since the merge.
    Ok(BlockOverrides {
        number: block.number,
        timestamp: block.time,
        gas_limit: block.gas_limit,
        beneficiary: block.coinbase,
        prevrandao: block.random,
        base_fee,
    })
}
