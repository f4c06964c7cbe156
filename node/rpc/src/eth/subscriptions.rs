//! `eth_subscribe`: new heads, logs and pending transactions over WebSocket. A subscriber that cannot keep up is dropped with
//! an error that says so; it never slows the node down.

use std::sync::Arc;

use jsonrpsee::core::{RegisterMethodError, SubscriptionError};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::api::Api;
use crate::args::Args;
use crate::connection_budget::Unread;
use crate::errors::Fault;
use crate::eth::convert;
use crate::eth::log_criteria::{Criteria, HeldCriteria, LogQuery};
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, api, extensions| async move {
            let unread = extensions.get::<Arc<Unread>>().cloned();
            let parsing = Arc::clone(&api);
            match api.workers.run(Cost::Read, move |_| wanted(&params, &parsing)).await {
                Ok(wanted) => serve(wanted, pending, api, unread).await,
                Err(fault) => {
                    pending.reject(ErrorObjectOwned::from(fault)).await;
                    Ok(())
                }
            }
        },
    )?;
    Ok(())
}

/// The first parameter.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Topic {
    NewHeads,
    Logs,
    NewPendingTransactions,
}

enum Wanted {
    Heads,
    Logs(HeldCriteria),
    Pending { full: bool },
}

fn wanted(params: &Params<'_>, api: &Api) -> Result<Wanted, Fault> {
    let args = Args::parse(params.as_str(), 2, api.limits.params_bytes)?;
    Ok(match args.required::<Topic>(0)? {
        Topic::NewHeads => Wanted::Heads,
        Topic::Logs => {
            let query: LogQuery = args.optional(1)?.unwrap_or_default();
            Wanted::Logs(api.terms.hold(Criteria::new(query)?)?)
        }
        Topic::NewPendingTransactions => Wanted::Pending { full: args.optional(1)?.unwrap_or(false) },
    })
}

async fn serve(
    wanted: Wanted,
    pending: PendingSubscriptionSink,
    api: Arc<Api>,
    unread: Option<Arc<Unread>>,
) -> Result<(), SubscriptionError> {
    // Subscribed before the answer leaves: nothing that is committed after the answer can be missed.
    match wanted {
        Wanted::Heads => {
            let feed = api.heads.subscribe();
            follow(feed, accept(pending, unread).await?, |event| encode(&event.header).into_iter().collect()).await
        }
        Wanted::Logs(criteria) => {
            let feed = api.heads.subscribe();
            follow(feed, accept(pending, unread).await?, move |event| {
                if !criteria.may_match(&event.bloom) {
                    return Vec::new();
                }
                event.logs.iter().filter(|log| criteria.matches(&log.inner)).filter_map(encode).collect()
            })
            .await
        }
        Wanted::Pending { full } => {
            let feed = api.ctx.pending.subscribe();
            follow(feed, accept(pending, unread).await?, move |tx| {
                let message = if full { encode(&convert::pending_transaction(tx)) } else { encode(&tx.hash) };
                message.into_iter().collect()
            })
            .await
        }
    }
}

/// Where a subscriber's events go, and the account they are on.
struct Outlet {
    sink: SubscriptionSink,
    unread: Option<Arc<Unread>>,
}

async fn accept(pending: PendingSubscriptionSink, unread: Option<Arc<Unread>>) -> Result<Outlet, SubscriptionError> {
    let sink = pending.accept().await.map_err(|error| SubscriptionError::from(error.to_string()))?;
    Ok(Outlet { sink, unread })
}

/// Passes on what `messages` makes of each event until the client leaves, the node stops, or the client lags too far behind.
async fn follow<T, F>(mut feed: Receiver<Arc<T>>, outlet: Outlet, messages: F) -> Result<(), SubscriptionError>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> Vec<Box<RawValue>> + Send,
{
    let Outlet { sink, unread } = outlet;
    loop {
        let event = tokio::select! {
            () = sink.closed() => return Ok(()),
            event = feed.recv() => event,
        };
        match event {
            Ok(event) => {
                for message in messages(&event) {
                    if let Some(unread) = &unread {
                        unread
                            .queue(message.get().len())
                            .map_err(|full| format!("subscription dropped: the client is too slow: {full}"))?;
                    }
                    if sink.send(message).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Err(RecvError::Closed) => return Ok(()),
            Err(RecvError::Lagged(missed)) => {
                return Err(SubscriptionError::from(format!(
                    "subscription dropped: the client is too slow and has missed {missed} events"
                )));
            }
        }
    }
}

fn encode<T: Serialize>(event: &T) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(event)
        .inspect_err(|error| tracing::error!(%error, "cannot encode a subscription event"))
        .ok()
}
