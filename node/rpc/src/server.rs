//! The server: its methods, limits, CORS and host checks, and one listener for HTTP and WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::{BatchRequestConfig, Methods, PingConfig, ServerConfig, ServerHandle, stop_channel};
use jsonrpsee::types::SubscriptionId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::api::{Api, Clock, system_clock};
use crate::config::{RpcConfig, RpcLimits, ZeroLimit};
use crate::context::RpcContext;
use crate::eth::random_id;
use crate::transport::accept::{Serving, Shared, accept};
use crate::transport::hosts::HostCheckLayer;
use crate::{debug, eth, peg, staking};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The server cannot listen on the address: it is in use, or not of this machine. The operator has to change it.
    #[error("cannot listen for JSON-RPC on {address}: {source}")]
    Listen {
        /// The address from the configuration.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A configured origin is no valid header value. The operator has to change it.
    #[error("the allowed origin {0:?} is not a valid header value")]
    Origin(String),
    /// A limit that must not be zero is zero. The operator has to change it.
    #[error(transparent)]
    Limit(#[from] ZeroLimit),
    /// A method was registered twice: a bug.
    #[error(transparent)]
    Method(#[from] RegisterMethodError),
}

/// Starts the server. It runs until the handle is stopped or all its clones are dropped. Returns the handle and the bound address.
///
/// # Errors
/// [`RpcError`].
pub async fn start(config: RpcConfig, ctx: RpcContext) -> Result<(ServerHandle, SocketAddr), RpcError> {
    start_at(config, ctx, system_clock()).await
}

pub(crate) async fn start_at(
    config: RpcConfig,
    ctx: RpcContext,
    clock: Clock,
) -> Result<(ServerHandle, SocketAddr), RpcError> {
    let serving = serving(&config, ctx, clock)?;
    let listen = |source| RpcError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    tracing::info!(%address, "JSON-RPC listens");
    let (stop, handle) = stop_channel();
    tokio::spawn(accept(listener, Shared::new(serving, stop)));
    Ok((handle, address))
}

/// The server without a listener. The caller brings the connections.
pub struct Unlistened {
    shared: Shared,
    methods: Methods,
}

impl std::fmt::Debug for Unlistened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unlistened").finish_non_exhaustive()
    }
}

impl Unlistened {
    /// Like [`start`], with a clock of Unix milliseconds. It serves until the handle is stopped or dropped.
    ///
    /// # Errors
    /// [`RpcError`], except [`RpcError::Listen`].
    pub fn new(
        config: &RpcConfig,
        ctx: RpcContext,
        now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<(Self, ServerHandle), RpcError> {
        let serving = serving(config, ctx, now_ms)?;
        let methods = serving.methods.clone();
        let (stop, handle) = stop_channel();
        Ok((Self { shared: Shared::new(serving, stop), methods }, handle))
    }

    /// Serves one connection of HTTP or WebSocket until it ends.
    pub fn serve<I>(&self, connection: I) -> impl Future<Output = ()> + Send + use<I>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.serve(connection)
    }

    /// The methods, without connections and their limits.
    pub fn methods(&self) -> &Methods {
        &self.methods
    }
}

fn serving(config: &RpcConfig, ctx: RpcContext, clock: Clock) -> Result<Serving, RpcError> {
    config.limits.check()?;
    Ok(Serving {
        config: server_config(&config.limits),
        hosts: HostCheckLayer::new(&config.allowed_hosts, &config.cors_origins),
        cors: cors(&config.cors_origins)?,
        methods: methods(&config.limits, ctx, clock)?,
        limits: config.limits.clone(),
    })
}

fn server_config(limits: &RpcLimits) -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(limits.request_bytes)
        .max_response_body_size(limits.response_bytes)
        .max_connections(limits.connections)
        .max_subscriptions_per_connection(limits.subscriptions_per_connection)
        .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
        .set_message_buffer_capacity(limits.queued_messages)
        .set_id_provider(HexIds)
        .enable_ws_ping(
            PingConfig::new()
                .ping_interval(Duration::from_millis(limits.websocket_ping_ms))
                .inactive_limit(Duration::from_millis(limits.websocket_silence_ms)),
        )
        .build()
}

fn cors(origins: &[String]) -> Result<CorsLayer, RpcError> {
    let layer = CorsLayer::new().allow_methods(Any).allow_headers(Any);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(AllowOrigin::any()));
    }
    let values = origins
        .iter()
        .map(|origin| origin.parse().map_err(|_| RpcError::Origin(origin.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(layer.allow_origin(AllowOrigin::list(values)))
}

/// Subscription ids as geth writes them: hex strings.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("{:#x}", random_id()).into())
    }
}

/// Every method that the server has.
pub(crate) fn methods(limits: &RpcLimits, ctx: RpcContext, clock: Clock) -> Result<Methods, RegisterMethodError> {
    let api = Arc::new(Api::new(ctx, limits, clock));
    let mut methods = Methods::new();
    for namespace in [eth::methods, debug::methods, peg::methods, staking::methods] {
        methods.merge(namespace(&api)?)?;
    }
    Ok(methods)
}
