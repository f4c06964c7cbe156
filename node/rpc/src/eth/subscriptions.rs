//! `eth_subscribe`: new heads, logs and pending transactions over WebSocket. The subscription of a client that cannot keep up
//! ends with an error that says so. It never slows the node down.

use std::sync::Arc;

use jsonrpsee::core::{RegisterMethodError, SubscriptionError};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::args::Args;
use crate::connection_budget::ConnectionBudget;
use crate::errors::Fault;
use crate::eth::context::EthContext;
use crate::eth::convert;
use crate::eth::log_criteria::{Criteria, HeldCriteria, LogQuery};
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<EthContext>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, eth, extensions| async move {
            let connection = extensions.get::<Arc<ConnectionBudget>>().cloned();
            let parsing = Arc::clone(&eth);
            match eth.api.lanes.run(Cost::Read, move |_| wanted(&params, &parsing)).await {
                Ok(wanted) => serve(wanted, pending, eth, connection).await,
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

fn wanted(params: &Params<'_>, eth: &EthContext) -> Result<Wanted, Fault> {
    let args = Args::parse(params.as_str(), 2, eth.api.limits.params_bytes)?;
    Ok(match args.required::<Topic>(0)? {
        Topic::NewHeads => Wanted::Heads,
        Topic::Logs => {
            let query: LogQuery = args.optional(1)?.unwrap_or_default();
            Wanted::Logs(eth.terms.hold(Criteria::new(query, eth.api.limits.filter_terms_per_position)?)?)
        }
        Topic::NewPendingTransactions => Wanted::Pending { full: args.optional(1)?.unwrap_or(false) },
    })
}

async fn serve(
    wanted: Wanted,
    pending: PendingSubscriptionSink,
    eth: Arc<EthContext>,
    connection: Option<Arc<ConnectionBudget>>,
) -> Result<(), SubscriptionError> {
    // The feed is subscribed to before the answer leaves, so no block that is committed after the answer is missed.
    match wanted {
        Wanted::Heads => {
            let feed = eth.heads.subscribe();
            follow(feed, accept(pending, connection).await?, |event| encode(&event.header).into_iter().collect()).await
        }
        Wanted::Logs(criteria) => {
            let feed = eth.heads.subscribe();
            follow(feed, accept(pending, connection).await?, move |event| {
                if !criteria.may_match(&event.bloom) {
                    return Vec::new();
                }
                event.logs.iter().filter(|log| criteria.matches(&log.inner)).filter_map(encode).collect()
            })
            .await
        }
        Wanted::Pending { full } => {
            let feed = eth.api.ctx.pending.subscribe();
            follow(feed, accept(pending, connection).await?, move |tx| {
                let message = if full { encode(&convert::pending_transaction(tx)) } else { encode(&tx.hash) };
                message.into_iter().collect()
            })
            .await
        }
    }
}

/// The destination of a subscriber's events, and the budget that they use.
struct Outlet {
    sink: SubscriptionSink,
    connection: Option<Arc<ConnectionBudget>>,
}

async fn accept(
    pending: PendingSubscriptionSink,
    connection: Option<Arc<ConnectionBudget>>,
) -> Result<Outlet, SubscriptionError> {
    let sink = pending.accept().await.map_err(|error| SubscriptionError::from(error.to_string()))?;
    Ok(Outlet { sink, connection })
}

/// Sends the messages that `messages` makes of each event. Ends when the client leaves, the node stops, or the client falls too
/// far behind.
async fn follow<T, F>(mut feed: Receiver<Arc<T>>, outlet: Outlet, messages: F) -> Result<(), SubscriptionError>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> Vec<Box<RawValue>> + Send,
{
    let Outlet { sink, connection } = outlet;
    loop {
        let event = tokio::select! {
            () = sink.closed() => return Ok(()),
            event = feed.recv() => event,
        };
        match event {
            Ok(event) => {
                for message in messages(&event) {
                    if let Some(connection) = &connection {
                        connection.queue(message.get().len()).map_err(|exhausted| {
                            format!("subscription dropped: the client is too slow: {exhausted}")
                        })?;
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
