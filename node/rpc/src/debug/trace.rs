//! `debug_traceTransaction`, `debug_traceBlockBy*` and `debug_traceCall` with geth's `callTracer`. Traced blocks are executed again.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use alloy_rpc_types_eth::BlockOverrides;
use alloy_rpc_types_eth::state::StateOverride;
use causeway_execution::{CallFrame, TraceError, TraceOptions};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::{Deserialize, Serialize};

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::eth::call as eth_call;
use crate::lanes::Cost;

/// The only tracer.
const CALL_TRACER: &str = "callTracer";

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "debug_traceTransaction", Cost::Trace, 2, trace_transaction)?;
    method(module, "debug_traceBlockByNumber", Cost::Trace, 2, |api, call| {
        let tag: BlockNumberOrTag = call.args.required(0)?;
        trace_block(api, call, BlockId::Number(tag))
    })?;
    method(module, "debug_traceBlockByHash", Cost::Trace, 2, |api, call| {
        let hash: B256 = call.args.required(0)?;
        trace_block(api, call, BlockId::from(hash))
    })?;
    method(module, "debug_traceCall", Cost::Trace, 3, trace_call)
}

/// The fields of geth's trace configuration that the call tracer uses. Others (`timeout`, `reexec`) are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TraceConfig {
    tracer: Option<String>,
    tracer_config: Option<TracerConfig>,
    state_overrides: Option<StateOverride>,
    block_overrides: Option<BlockOverrides>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TracerConfig {
    only_top_call: bool,
    with_log: bool,
}

impl TraceConfig {
    fn options(&self) -> Result<TraceOptions, Fault> {
        match self.tracer.as_deref() {
            Some(CALL_TRACER) => {
                let config = self.tracer_config.unwrap_or_default();
                Ok(TraceOptions { only_top_call: config.only_top_call, with_log: config.with_log })
            }
            _ => Err(Fault::InvalidParams(format!("tracer not supported: this node has {CALL_TRACER} only"))),
        }
    }
}

/// The trace of one transaction in the trace of a block.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TransactionTrace {
    tx_hash: B256,
    result: CallFrame,
}

fn trace_transaction(api: &Api, call: &Call<'_>) -> Result<CallFrame, Fault> {
    let hash: B256 = call.args.required(0)?;
    let options = config(call, 1)?.options()?;
    let (number, index) = api.locate(hash)?.ok_or_else(|| Fault::Refused("transaction not found".to_owned()))?;
    let mut frames = frames(api, number, Some(index), options)?;
    frames.pop().ok_or_else(|| Fault::internal("trace", format_args!("transaction {index} of block {number} has none")))
}

fn trace_block(api: &Api, call: &Call<'_>, id: BlockId) -> Result<Vec<TransactionTrace>, Fault> {
    let options = config(call, 1)?.options()?;
    let number = api.number_of(id)?.ok_or(Fault::HeaderNotFound)?;
    let block = api.existing_block(number)?.block;
    let frames = frames(api, number, None, options)?;
    let hashes = block.transactions.iter().map(causeway_execution::Transaction::hash);
    Ok(hashes.zip(frames).map(|(tx_hash, result)| TransactionTrace { tx_hash, result }).collect())
}

/// Traces of the transaction at `index` of a block, or of all its transactions.
fn frames(api: &Api, number: u64, index: Option<usize>, options: TraceOptions) -> Result<Vec<CallFrame>, Fault> {
    let before = number.checked_sub(1).ok_or_else(|| Fault::Refused("genesis is not traceable".to_owned()))?;
    let block = api.existing_block(number)?.block;
    let senders = api.existing_senders(number)?;
    let previous = api.state(BlockId::number(before))?;
    let range = match index {
        Some(index) => index..index.saturating_add(1),
        None => 0..block.transactions.len(),
    };
    let executor = &api.ctx.executor;
    executor
        .trace_block(&previous.header, &*previous.state, &block, &senders, range, options)
        .map_err(|error| trace_fault(api, error))
}

fn trace_call(api: &Api, call: &Call<'_>) -> Result<CallFrame, Fault> {
    let request = eth_call::request(call.args.required(0)?, api.limits.call_gas)?;
    let at = api.state(call.args.block(1)?)?;
    let config = config(call, 2)?;
    let options = config.options()?;
    let overrides =
        eth_call::overrides(config.state_overrides, config.block_overrides, &request, api.limits.call_overrides)?;
    let traced = api.ctx.executor.trace_call(&at.header, &*at.state, &request, &overrides, options);
    traced.map_err(|error| trace_fault(api, error))
}

fn config(call: &Call<'_>, index: usize) -> Result<TraceConfig, Fault> {
    Ok(call.args.optional(index)?.unwrap_or_default())
}

fn trace_fault(api: &Api, error: TraceError) -> Fault {
    match error {
        TraceError::Call(error) => eth_call::call_fault(api, error),
        TraceError::Local(error) => api.local_fault(&error),
        TraceError::TooLarge => Fault::Limit(error.to_string()),
        TraceError::WrongState(_) => Fault::internal("trace", error),
    }
}
