//! `txpool_*`: the transactions of the pool, by sender and nonce.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U64};
use causeway_execution::RecoveredTx;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::eth::convert::{self, RpcTransaction};
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "txpool_status", Cost::Read, 0, |api, _| {
        let status = api.ctx.pool.lock().status();
        Ok(Parts { pending: U64::from(status.pending), queued: U64::from(status.queued) })
    })?;
    method(module, "txpool_content", Cost::Heavy, 0, |api, _| Ok(content(api, convert::pending_transaction)))?;
    method(module, "txpool_contentFrom", Cost::Heavy, 1, content_from)?;
    method(module, "txpool_inspect", Cost::Heavy, 0, |api, _| Ok(content(api, summary)))
}

#[derive(Debug, Default, Serialize)]
struct Parts<T> {
    pending: T,
    queued: T,
}

/// Transactions by decimal nonce, as in geth.
type ByNonce<T> = BTreeMap<String, T>;
/// The same by checksummed sender address.
type BySender<T> = BTreeMap<String, ByNonce<T>>;

fn content<T>(api: &Api, show: impl Fn(&RecoveredTx) -> T) -> Parts<BySender<T>> {
    let all = api.ctx.pool.lock().content();
    let mut parts = Parts { pending: BTreeMap::new(), queued: BTreeMap::new() };
    for (sender, of_sender) in all {
        let key = sender.to_checksum(None);
        for (part, transactions) in [(&mut parts.pending, of_sender.pending), (&mut parts.queued, of_sender.queued)] {
            if !transactions.is_empty() {
                part.insert(key.clone(), by_nonce(&transactions, &show));
            }
        }
    }
    parts
}

fn content_from(api: &Api, call: &Call<'_>) -> Result<Parts<ByNonce<RpcTransaction>>, Fault> {
    let sender: Address = call.args.required(0)?;
    let of_sender = api.ctx.pool.lock().content_of(&sender);
    let show = convert::pending_transaction;
    Ok(Parts { pending: by_nonce(&of_sender.pending, &show), queued: by_nonce(&of_sender.queued, &show) })
}

fn by_nonce<T>(transactions: &[Arc<RecoveredTx>], show: &impl Fn(&RecoveredTx) -> T) -> ByNonce<T> {
    transactions.iter().map(|tx| (tx.tx.nonce().to_string(), show(tx))).collect()
}

/// geth's one-line summary.
fn summary(tx: &RecoveredTx) -> String {
    let to = tx.tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
    format!("{to}: {} wei + {} gas × {} wei", tx.tx.value(), tx.tx.gas_limit(), tx.tx.max_fee_per_gas())
}
