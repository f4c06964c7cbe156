//! `eth_getLogs`: storage's index finds the blocks; the range, the number of logs and the time are bounded.

use alloy_eips::BlockNumberOrTag;
use alloy_rpc_types_eth::Log;
use causeway_storage::{LogCaps, LogFilter, StorageError};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;

use crate::api::{Api, Call, method};
use crate::chain::storage_fault;
use crate::errors::Fault;
use crate::eth::convert;
use crate::eth::log_criteria::{Criteria, LogQuery};
use crate::lanes::Cost;

/// Blocks asked of storage at a time.
const BLOCKS_AT_ONCE: u64 = 4_096;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "eth_getLogs", Cost::Heavy, 1, get_logs)
}

fn get_logs(api: &Api, call: &Call<'_>) -> Result<Vec<Log>, Fault> {
    let query: LogQuery = call.args.required(0)?;
    if let Some(hash) = query.block_hash {
        if query.from_block.is_some() || query.to_block.is_some() {
            return Err(Fault::InvalidParams(
                "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other".to_owned(),
            ));
        }
        let number = api.number_of_hash(hash)?.ok_or_else(|| Fault::Refused("unknown block".to_owned()))?;
        return scan(api, call, &Criteria::new(query)?, number, number);
    }
    let (from, to) = bounds(api, &query);
    let criteria = Criteria::new(query)?;
    between(api, call, &criteria, from, to)
}

/// The bounds of a query; a missing one is the head, as in geth.
fn bounds(api: &Api, query: &LogQuery) -> (u64, u64) {
    (bound(api, query.from_block).unwrap_or_else(|| api.head_number()), bound(api, query.to_block).unwrap_or(u64::MAX))
}

/// The height a bound names; `None` where it is missing or means the head.
pub(crate) fn bound(api: &Api, tag: Option<BlockNumberOrTag>) -> Option<u64> {
    match tag? {
        BlockNumberOrTag::Number(number) => Some(number),
        BlockNumberOrTag::Earliest => Some(api.earliest_number()),
        BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized | BlockNumberOrTag::Pending => {
            Some(api.head_number())
        }
    }
}

/// Matching logs from height `from` to `to`, both included; heights beyond the head hold none.
///
/// # Errors
/// [`Fault::InvalidParams`] for a range that runs backwards, [`Fault::Limit`] beyond the caps, [`Fault::Pruned`],
/// [`Fault::TimedOut`].
pub(crate) fn between(api: &Api, call: &Call<'_>, criteria: &Criteria, from: u64, to: u64) -> Result<Vec<Log>, Fault> {
    if from > to {
        return Err(Fault::InvalidParams("invalid block range params".to_owned()));
    }
    let to = to.min(api.head_number());
    if from > to {
        return Ok(Vec::new());
    }
    if to - from >= api.limits.log_blocks {
        return Err(Fault::Limit(format!("query exceeds max block range {}", api.limits.log_blocks)));
    }
    scan(api, call, criteria, from, to)
}

fn scan(api: &Api, call: &Call<'_>, criteria: &Criteria, from: u64, to: u64) -> Result<Vec<Log>, Fault> {
    let filter = criteria.to_filter();
    let mut found = Vec::new();
    let mut first = from;
    // In pieces, so that a long range ends when nobody waits for it any more.
    while first <= to {
        call.check_deadline(&api.limits)?;
        let last = to.min(first.saturating_add(BLOCKS_AT_ONCE - 1));
        let caps = LogCaps { max_blocks: BLOCKS_AT_ONCE, max_logs: api.limits.logs.saturating_sub(found.len()) };
        match api.ctx.storage.logs(first, last, &filter, &caps) {
            Ok(logs) => found.extend(logs.into_iter().map(convert::stored_log)),
            Err(StorageError::TooManyLogs { .. }) => return Err(too_many(api, call, &filter, from, last)),
            Err(error) => return Err(storage_fault(error)),
        }
        first = last.saturating_add(1);
    }
    Ok(found)
}

/// Names the limit, and a range that fits, in the words that indexers look for.
fn too_many(api: &Api, call: &Call<'_>, filter: &LogFilter, from: u64, to: u64) -> Fault {
    let limit = api.limits.logs;
    let caps = LogCaps { max_blocks: u64::MAX, max_logs: limit };
    let mut fits = to;
    while fits > from {
        fits = from + (fits - from) / 2;
        if call.check_deadline(&api.limits).is_err() || api.ctx.storage.logs(from, fits, filter, &caps).is_ok() {
            break;
        }
    }
    Fault::Limit(format!("query exceeds max results {limit}, retry with the range {from}-{fits}"))
}
