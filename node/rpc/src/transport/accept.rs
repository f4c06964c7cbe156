//! Accepting connections. Each gets its budget and its guards.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{Methods, Server, ServerConfig, StopHandle, TowerServiceBuilder, serve_with_graceful_shutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower::layer::util::Identity;
use tower_http::cors::CorsLayer;

use crate::budget::Budgets;
use crate::config::RpcLimits;
use crate::connection_budget::ConnectionBudget;
use crate::transport::hosts::HostCheckLayer;
use crate::transport::http_budget::HttpBudgetLayer;
use crate::transport::rpc_middleware::{BatchBounds, RpcMiddleware};
use crate::transport::slow_client::SlowClientGuard;
use crate::transport::websocket_frames::WebSocketFrames;

/// Pause after a failed accept. Most often the system has no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The settings and methods that every connection is served with.
pub(crate) struct Serving {
    pub(crate) config: ServerConfig,
    pub(crate) limits: RpcLimits,
    pub(crate) hosts: HostCheckLayer,
    pub(crate) cors: CorsLayer,
    pub(crate) methods: Methods,
}

/// The state that all connections share.
pub(crate) struct Shared {
    serving: Serving,
    budgets: Arc<Budgets>,
    bounds: BatchBounds,
    /// The clones of this builder share the count of connections.
    builder: TowerServiceBuilder<Identity, Identity>,
    stop: StopHandle,
}

impl Shared {
    pub(crate) fn new(serving: Serving, stop: StopHandle) -> Self {
        let limits = &serving.limits;
        let bounds = BatchBounds {
            response_bytes: usize::try_from(limits.response_bytes).unwrap_or(usize::MAX),
            time_ms: limits.batch_ms,
        };
        let builder = Server::builder().set_config(serving.config.clone()).to_service_builder();
        Self { budgets: Arc::new(Budgets::new(limits)), bounds, builder, stop, serving }
    }

    /// Serves one connection until it ends.
    pub(crate) fn serve<I>(&self, socket: I) -> impl Future<Output = ()> + Send + use<I>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Serving { limits, hosts, cors, methods, .. } = &self.serving;
        let connection = Arc::new(ConnectionBudget::new(limits.websocket_bytes_in_flight, Arc::clone(&self.budgets)));
        let answers = Arc::clone(&self.budgets);
        let is_websocket = Arc::new(AtomicBool::new(false));
        let http = tower::ServiceBuilder::new().layer(hosts.clone()).layer(cors.clone()).layer(HttpBudgetLayer::new(
            limits,
            Arc::clone(&self.budgets),
            Arc::clone(&connection),
            Arc::clone(&is_websocket),
        ));
        let bounds = self.bounds;
        let service = self
            .builder
            .clone()
            .set_http_middleware(http)
            .set_rpc_middleware(
                RpcServiceBuilder::new()
                    .layer_fn(move |service| RpcMiddleware::new(service, bounds, Arc::clone(&answers))),
            )
            .build(methods.clone(), self.stop.clone());
        let guarded = SlowClientGuard::new(socket, connection, Duration::from_millis(limits.answer_ms));
        let max_batch = usize::try_from(limits.batch).unwrap_or(usize::MAX);
        let socket = WebSocketFrames::new(guarded, is_websocket, max_batch);
        let stopped = self.stop.clone().shutdown();
        async move {
            if let Err(error) = serve_with_graceful_shutdown(socket, service, stopped).await {
                tracing::debug!(%error, "a JSON-RPC connection ended");
            }
        }
    }
}

/// Accepts connections until stopped. Connections end themselves then.
pub(crate) async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.clone().shutdown() => return,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a JSON-RPC connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if socket.set_nodelay(true).is_err() {
            continue; // Gone already.
        }
        tokio::spawn(shared.serve(socket));
    }
}
