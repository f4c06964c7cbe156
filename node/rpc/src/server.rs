//! Starting the server: methods, limits, CORS, host checks, one listener for HTTP and WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::{BatchRequestConfig, Methods, PingConfig, ServerConfig, ServerHandle, stop_channel};
use jsonrpsee::types::SubscriptionId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::api::{Api, Clock, system_clock};
use crate::config::{RpcConfig, RpcLimits};
use crate::context::RpcContext;
use crate::eth::fees::TipCache;
use crate::eth::head_feed::HeadFeed;
use crate::eth::installed_filters::{Filters, random_id};
use crate::eth::log_criteria::TermBudget;
use crate::lanes::Workers;
use crate::peg::summary::BurnedCache;
use crate::peg::withdrawal_proofs::Subtrees;
use crate::transport::accept::{Serving, Shared, accept};
use crate::transport::hosts::HostCheckLayer;
use crate::{debug, eth, peg, staking};

/// How often an idle WebSocket is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A WebSocket that gives none for this long is closed.
const PING_TIMEOUT: Duration = Duration::from_secs(75);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The address cannot be listened on: in use, or not of this machine. The operator's to mend.
    #[error("cannot listen for JSON-RPC on {address}: {source}")]
    Listen {
        /// The address from the configuration.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A configured origin is no header value. The operator's to mend.
    #[error("{0:?} is not an origin that can be allowed")]
    Origin(String),
    /// A method was registered twice: a bug.
    #[error(transparent)]
    Method(#[from] RegisterMethodError),
}

/// Serves `ctx` until the handle is stopped or dropped by all its holders. Answers the address that was bound.
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

/// The server without a listener: for whoever brings the connections.
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
    /// As [`start`], under a clock of Unix milliseconds. It serves until the handle is stopped or dropped.
    ///
    /// # Errors
    /// [`RpcError`], but for those of listening.
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

    /// Serves one connection of HTTP or WebSocket, until its end.
    pub fn serve<I>(&self, connection: I) -> impl Future<Output = ()> + Send + use<I>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.serve(connection)
    }

    /// The methods, without a connection and its limits.
    pub fn methods(&self) -> &Methods {
        &self.methods
    }
}

fn serving(config: &RpcConfig, ctx: RpcContext, clock: Clock) -> Result<Serving, RpcError> {
    Ok(Serving {
        config: server_config(&config.limits),
        hosts: HostCheckLayer::new(&config.allowed_hosts, &config.cors_origins),
        cors: cors(&config.cors_origins)?,
        methods: methods(&config.limits, ctx, clock)?.into(),
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
        .set_message_buffer_capacity(limits.queued_messages.max(1))
        .set_id_provider(HexIds)
        .enable_ws_ping(PingConfig::new().ping_interval(PING_EVERY).inactive_limit(PING_TIMEOUT))
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

pub(crate) fn methods(
    limits: &RpcLimits,
    ctx: RpcContext,
    clock: Clock,
) -> Result<RpcModule<Api>, RegisterMethodError> {
    let heads = HeadFeed::new(limits.subscriber_lag);
    let feed = heads.clone();
    ctx.storage.on_commit(Box::new(move |executed| feed.committed(executed)));
    let mut module = RpcModule::from_arc(Arc::new(Api {
        filters: Filters::new(limits),
        workers: Workers::new(limits),
        limits: limits.clone(),
        terms: TermBudget::default(),
        tip: TipCache::default(),
        subtrees: Subtrees::default(),
        burned: BurnedCache::default(),
        heads,
        clock,
        ctx,
    }));
    for register in [
        eth::net::register,
        eth::blocks::register,
        eth::state::register,
        eth::call::register,
        eth::send::register,
        eth::send_sync::register,
        eth::fees::register,
        eth::logs::register,
        eth::filter_methods::register,
        eth::subscriptions::register,
        eth::txpool::register,
        debug::raw::register,
        debug::trace::register,
        peg::checkpoints::register,
        peg::status::register,
        peg::summary::register,
        peg::validator_sets::register,
        staking::totals::register,
        staking::validators::register,
        staking::accounts::register,
        staking::consensus::register,
    ] {
        register(&mut module)?;
    }
    Ok(module)
}
