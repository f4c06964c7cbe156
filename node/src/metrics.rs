//! Prometheus metrics, `/health` and `/ready`, on their own listener.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The node's metrics. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Durable height.
    pub height: Gauge<i64, AtomicI64>,
    /// Greatest head that a peer claims.
    pub round: Gauge<i64, AtomicI64>,
    /// Greatest head a peer claims.
    pub best_peer_head: Gauge<i64, AtomicI64>,
    /// Transactions ready to be included.
    pub pool_pending: Gauge<i64, AtomicI64>,
    /// Transactions waiting for an earlier nonce.
    pub pool_queued: Gauge<i64, AtomicI64>,
    /// Gas used by the last block.
    pub block_gas: Gauge<i64, AtomicI64>,
    /// Transactions in the last block.
    pub block_transactions: Gauge<i64, AtomicI64>,
    /// Unix seconds of the last commit.
    pub last_commit_s: Gauge<i64, AtomicI64>,
    /// Milliseconds until the last commit was durable.
    pub commit_ms: Gauge<i64, AtomicI64>,
    /// Milliseconds the last block took to execute.
    pub execute_ms: Gauge<i64, AtomicI64>,
    /// Transactions committed since start.
    pub transactions: Counter<u64, AtomicU64>,
    /// Proposed blocks found invalid since start.
    pub invalid_blocks: Counter<u64, AtomicU64>,
    /// Faults counted against peers since start.
    pub peer_faults: Counter<u64, AtomicU64>,
    /// Conflicting signatures of a validator seen since start.
    pub equivocations: Counter<u64, AtomicU64>,
    /// Pieces of evidence that wait for a block.
    pub evidence_pending: Gauge<i64, AtomicI64>,
    /// Epoch of the height in progress.
    pub epoch: Gauge<i64, AtomicI64>,
    /// Blocks by which the epoch is longer than planned; a value above 0 is an alarm.
    pub epoch_extended: Gauge<i64, AtomicI64>,
    /// 1 while this node's validator is in the set, else 0.
    pub validating: Gauge<i64, AtomicI64>,
    /// Epochs that have begun here and whose set is not certified to be in force on the parent; a value above 1 is an alarm.
    pub acknowledgement_lag: Gauge<i64, AtomicI64>,
    /// Blocks since start whose certificate lacks this validator's signature.
    pub missed: Counter<u64, AtomicU64>,
    /// Latest finalised height of the parent that this node has seen.
    pub parent_height: Gauge<i64, AtomicI64>,
    /// 1 while no endpoint of the parent answers, else 0.
    pub parent_unreachable: Gauge<i64, AtomicI64>,
    /// 1 while endpoints of the parent contradict each other, else 0; this node attests no deposits then.
    pub parent_conflict: Gauge<i64, AtomicI64>,
    /// Nonce of the last minted deposit.
    pub deposits_imported: Gauge<i64, AtomicI64>,
    /// Deposits that are final on the parent and not yet minted.
    pub deposits_waiting: Gauge<i64, AtomicI64>,
    /// Latest checkpoint recorded in a block.
    pub checkpoint_recorded: Gauge<i64, AtomicI64>,
    /// Latest checkpoint accepted by the registry on the parent.
    pub checkpoint_accepted: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Registers every metric under `causeway_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("causeway");
        registry.register("consensus_height", "Durable height", self.height.clone());
        registry.register("consensus_round", "Round of the height in progress", self.round.clone());
        registry.register(
            "consensus_missed_blocks",
            "Certificates without this validator's signature",
            self.missed.clone(),
        );
        registry.register("consensus_invalid_blocks", "Proposed blocks found invalid", self.invalid_blocks.clone());
        registry.register("consensus_equivocations", "Conflicting signatures seen", self.equivocations.clone());
        registry.register(
            "consensus_evidence_pending",
            "Evidence of conflicting signatures that waits for a block",
            self.evidence_pending.clone(),
        );
        registry.register("consensus_validating", "1 while this validator is in the set", self.validating.clone());
        registry.register("staking_epoch", "Epoch of the height in progress", self.epoch.clone());
        registry.register(
            "staking_epoch_extended_blocks",
            "Blocks the epoch is extended by, as its handover is missing",
            self.epoch_extended.clone(),
        );
        registry.register(
            "peg_acknowledgement_lag",
            "Epochs begun and not acknowledged by the parent",
            self.acknowledgement_lag.clone(),
        );
        registry.register("p2p_best_peer_head", "Greatest head a peer claims", self.best_peer_head.clone());
        registry.register("p2p_peer_faults", "Faults counted against peers", self.peer_faults.clone());
        registry.register("mempool_pending", "Transactions ready to be included", self.pool_pending.clone());
        registry.register("mempool_queued", "Transactions waiting for an earlier nonce", self.pool_queued.clone());
        registry.register("block_gas_used", "Gas used by the last block", self.block_gas.clone());
        registry.register("block_transactions", "Transactions in the last block", self.block_transactions.clone());
        registry.register("block_last_commit_seconds", "Unix time of the last commit", self.last_commit_s.clone());
        registry.register("block_commit_milliseconds", "Time the last commit took", self.commit_ms.clone());
        registry.register("block_execute_milliseconds", "Time the last execution took", self.execute_ms.clone());
        registry.register("transactions", "Transactions committed since start", self.transactions.clone());
        registry.register("peg_parent_height", "Latest finalised parent height seen", self.parent_height.clone());
        registry.register(
            "peg_parent_unreachable",
            "1 while no parent endpoint answers",
            self.parent_unreachable.clone(),
        );
        registry.register(
            "peg_parent_conflict",
            "1 while parent endpoints contradict each other",
            self.parent_conflict.clone(),
        );
        registry.register("peg_deposits_imported", "Deposits minted, as a nonce", self.deposits_imported.clone());
        registry.register(
            "peg_deposits_waiting",
            "Deposits final on the parent, not yet minted",
            self.deposits_waiting.clone(),
        );
        registry.register(
            "peg_checkpoint_recorded",
            "Latest checkpoint recorded in a block",
            self.checkpoint_recorded.clone(),
        );
        registry.register(
            "peg_checkpoint_accepted",
            "Latest checkpoint the registry accepted",
            self.checkpoint_accepted.clone(),
        );
    }
}

/// Converts a count for a gauge, whose values are signed; larger counts are clamped.
pub fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Whether the node is up to date, for `/ready`.
pub trait Readiness: Send + Sync {
    /// `Ok` when the node follows the head; otherwise the reason why not.
    ///
    /// # Errors
    /// The reason, as text for people.
    fn ready(&self) -> Result<(), String>;
}

struct Shared {
    registry: Mutex<Registry>,
    readiness: Arc<dyn Readiness>,
}

/// Serves `/metrics`, `/health` and `/ready`; returns the bound address.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    listen: SocketAddr,
    registry: Registry,
    readiness: Arc<dyn Readiness>,
) -> std::io::Result<SocketAddr> {
    let shared = Arc::new(Shared { registry: Mutex::new(registry), readiness });
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .with_state(shared);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the metrics listener stopped");
        }
    });
    Ok(bound)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let mut text = String::new();
    let kind = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match encode(&mut text, &shared.registry.lock()) {
        Ok(()) => (StatusCode::OK, kind, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, kind, error.to_string()),
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match shared.readiness.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
