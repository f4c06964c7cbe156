//! `eth_getLogs`. The index of storage finds the logs. The range of blocks, the number of logs and the time are limited.

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

/// Blocks in one question to storage.
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
        return scan(api, call, &Criteria::new(query, api.limits.filter_terms_per_position)?, number, number);
    }
    let (from, to) = bounds(api, &query);
    let criteria = Criteria::new(query, api.limits.filter_terms_per_position)?;
    between(api, call, &criteria, from, to)
}

/// The first and the last block of a query. As in geth, a missing one is the head.
fn bounds(api: &Api, query: &LogQuery) -> (u64, u64) {
    (bound(api, query.from_block).unwrap_or_else(|| api.head_number()), bound(api, query.to_block).unwrap_or(u64::MAX))
}

/// The height that a bound names; `None` if it is missing.
pub(crate) fn bound(api: &Api, tag: Option<BlockNumberOrTag>) -> Option<u64> {
    match tag? {
        BlockNumberOrTag::Number(number) => Some(number),
        BlockNumberOrTag::Earliest => Some(api.earliest_number()),
        BlockNumberOrTag::Latest | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized | BlockNumberOrTag::Pending => {
            Some(api.head_number())
        }
    }
}

/// The matching logs of blocks `from` to `to`, both included. Blocks beyond the head have none.
///
/// # Errors
/// [`Fault::InvalidParams`] if `from` is above `to`; [`Fault::Limit`] for too many blocks or logs; [`Fault::Pruned`];
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
    // In pieces, so that a long query stops soon after its deadline.
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

/// Names the limit and a range that fits, with the text that indexers parse.
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
