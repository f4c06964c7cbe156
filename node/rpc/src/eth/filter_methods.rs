//! `eth_newFilter`, `eth_newBlockFilter` and `eth_newPendingTransactionFilter`, and the methods that poll and remove filters.

use std::sync::Arc;

use alloy_primitives::{B256, U64, U256};
use alloy_rpc_types_eth::Log;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::eth::context::EthContext;
use crate::eth::installed_filters::{Kind, LogFilter};
use crate::eth::log_criteria::{Criteria, LogQuery};
use crate::eth::logs;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<EthContext>) -> Result<(), RegisterMethodError> {
    method(module, "eth_newFilter", Cost::Read, 1, new_filter)?;
    method(module, "eth_newBlockFilter", Cost::Memory, 0, new_block_filter)?;
    method(module, "eth_newPendingTransactionFilter", Cost::Memory, 1, new_pending_filter)?;
    method(module, "eth_getFilterChanges", Cost::Heavy, 1, get_filter_changes)?;
    method(module, "eth_getFilterLogs", Cost::Heavy, 1, get_filter_logs)?;
    method(module, "eth_uninstallFilter", Cost::Memory, 1, uninstall_filter)
}

/// The result of a poll.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Changes {
    Hashes(Vec<B256>),
    Logs(Vec<Log>),
}

fn new_filter(eth: &EthContext, call: &Call<'_>) -> Result<U64, Fault> {
    let query: LogQuery = call.args.required(0)?;
    let (from, to) = (logs::bound(&eth.api, query.from_block), logs::bound(&eth.api, query.to_block));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Fault::InvalidParams("invalid block range params".to_owned()));
    }
    let criteria = eth.terms.hold(Criteria::new(query, eth.api.limits.filter_terms_per_position)?)?;
    let filter = Arc::new(LogFilter { criteria, from, to });
    eth.filters.install(Kind::Logs(filter), next_block(&eth.api), call.connection, eth.api.now_ms())
}

fn new_block_filter(eth: &EthContext, call: &Call<'_>) -> Result<U64, Fault> {
    eth.filters.install(Kind::Blocks, next_block(&eth.api), call.connection, eth.api.now_ms())
}

fn new_pending_filter(eth: &EthContext, call: &Call<'_>) -> Result<U64, Fault> {
    if call.args.optional::<bool>(0)? == Some(true) {
        return Err(Fault::InvalidParams(
            "full transactions are not supported by pending transaction filters".to_owned(),
        ));
    }
    eth.filters.install(Kind::Pending, eth.api.ctx.pending.position(), call.connection, eth.api.now_ms())
}

fn get_filter_changes(eth: &EthContext, call: &Call<'_>) -> Result<Changes, Fault> {
    let id = filter_id(call)?;
    let head = eth.api.head_number();
    let admitted = eth.api.ctx.pending.position();
    let (kind, cursor) = eth.filters.poll(id, eth.api.now_ms(), |kind| match kind {
        Kind::Blocks | Kind::Logs(_) => head.saturating_add(1),
        Kind::Pending => admitted,
    })?;
    let changes = match kind {
        Kind::Blocks => {
            (cursor..=head).map(|number| eth.api.existing_hash(number)).collect::<Result<_, _>>().map(Changes::Hashes)
        }
        Kind::Pending => Ok(Changes::Hashes(eth.api.ctx.pending.between(cursor, admitted))),
        Kind::Logs(filter) => {
            let from = filter.from.map_or(cursor, |from| from.max(cursor));
            let to = filter.to.map_or(head, |to| to.min(head));
            if from > to {
                Ok(Changes::Logs(Vec::new()))
            } else {
                logs::between(&eth.api, call, &filter.criteria, from, to).map(Changes::Logs)
            }
        }
    };
    if changes.is_err() {
        eth.filters.rewind(id, cursor);
    }
    changes
}

fn get_filter_logs(eth: &EthContext, call: &Call<'_>) -> Result<Vec<Log>, Fault> {
    let filter = eth.filters.logs(filter_id(call)?, eth.api.now_ms())?;
    let from = filter.from.unwrap_or_else(|| eth.api.head_number());
    logs::between(&eth.api, call, &filter.criteria, from, filter.to.unwrap_or(u64::MAX))
}

fn uninstall_filter(eth: &EthContext, call: &Call<'_>) -> Result<bool, Fault> {
    match filter_id(call) {
        Ok(id) => Ok(eth.filters.uninstall(id)),
        Err(Fault::FilterNotFound) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Ids of other nodes are longer. A client that moved here from one of them learns that the filter is not found.
fn filter_id(call: &Call<'_>) -> Result<U64, Fault> {
    let id: U256 = call.args.required(0)?;
    u64::try_from(id).map(U64::from).map_err(|_| Fault::FilterNotFound)
}

fn next_block(api: &Api) -> u64 {
    api.head_number().saturating_add(1)
}
