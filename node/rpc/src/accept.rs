//! Accepting connections: each gets its account and its gate.

use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{Methods, Server, ServerConfig, StopHandle, serve_with_graceful_shutdown};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;

use crate::budget::Budgets;
use crate::config::RpcLimits;
use crate::flow::FlowLayer;
use crate::gate::Gate;
use crate::hosts::HostCheckLayer;
use crate::unread::Unread;
use crate::words::{BatchBounds, Words};

/// Pause after a connection could not be accepted: the system is out of files, most often.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection is served with.
pub(crate) struct Serving {
    pub(crate) config: ServerConfig,
    pub(crate) limits: RpcLimits,
    pub(crate) hosts: HostCheckLayer,
    pub(crate) cors: CorsLayer,
    pub(crate) methods: Methods,
}

/// Accepts until stopped. Connections then end by themselves.
pub(crate) async fn accept(listener: TcpListener, serving: Serving, stop: StopHandle) {
    let Serving { config, limits, hosts, cors, methods } = serving;
    let budgets = Arc::new(Budgets::new(&limits));
    let bounds = BatchBounds {
        response_bytes: usize::try_from(limits.response_bytes).unwrap_or(usize::MAX),
        time_ms: limits.batch_ms,
    };
    // One builder for all: its clones share the count of connections.
    let builder = Server::builder().set_config(config).to_service_builder();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.clone().shutdown() => return,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "a JSON-RPC connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if socket.set_nodelay(true).is_err() {
            continue; // Gone already.
        }
        let unread = Arc::new(Unread::new(limits.websocket_bytes_in_flight, Arc::clone(&budgets)));
        let answers = Arc::clone(&budgets);
        let http = tower::ServiceBuilder::new().layer(hosts.clone()).layer(cors.clone()).layer(FlowLayer::new(
            &limits,
            Arc::clone(&budgets),
            Arc::clone(&unread),
        ));
        let service = builder
            .clone()
            .set_http_middleware(http)
            .set_rpc_middleware(
                RpcServiceBuilder::new().layer_fn(move |service| Words::new(service, bounds, Arc::clone(&answers))),
            )
            .build(methods.clone(), stop.clone());
        let gate = Gate::new(socket, unread, Duration::from_millis(limits.answer_ms));
        let stopped = stop.clone().shutdown();
        tokio::spawn(async move {
            if let Err(error) = serve_with_graceful_shutdown(gate, service, stopped).await {
                tracing::debug!(%error, "a JSON-RPC connection ended");
            }
        });
    }
}
