//! The node's status for JSON-RPC and the readiness probe, from memory.

use std::sync::Arc;

use causeway_consensus::{HostStep, ValidatorId};
use causeway_federation::Alarm;
use causeway_genesis::Genesis;
use causeway_parent::Claims;
use causeway_rpc::{ConsensusProgress, NodeStatus, PegProgress, SyncProgress};
use causeway_storage::Storage;
use parking_lot::RwLock;

use crate::{
    clocks::now_ms,
    handle::Node,
    metrics::{Metrics, Readiness, gauge},
};

/// A node this many blocks behind the best peer is not ready.
pub const READY_LAG: u64 = 2;
/// Without a block for this many block intervals a node is not ready.
pub const READY_INTERVALS: u64 = 30;

#[derive(Debug, Default)]
struct Snapshot {
    peers: u64,
    best_peer_head: u64,
    starting: u64,
    consensus: Option<ConsensusProgress>,
    peg: Option<PegProgress>,
}

/// Shared between the driver, which writes, and the servers, which read.
pub struct SharedStatus {
    genesis: Arc<Genesis>,
    storage: Arc<Storage>,
    metrics: Metrics,
    started_ms: u64,
    validator: Option<ValidatorId>,
    claims: Option<Claims>,
    snapshot: RwLock<Snapshot>,
}

impl SharedStatus {
    /// A status for a node that starts now. `claims` are the claims read from the vault, on a node that reads them.
    pub fn new(
        genesis: Arc<Genesis>,
        storage: Arc<Storage>,
        metrics: Metrics,
        validator: Option<ValidatorId>,
        claims: Option<Claims>,
    ) -> Self {
        let starting = storage.head().number;
        let snapshot = RwLock::new(Snapshot { starting, ..Snapshot::default() });
        Self { genesis, storage, metrics, started_ms: now_ms(), validator, claims, snapshot }
    }

    /// Copies the node's current state.
    pub fn update(&self, node: &Node, peers: usize) {
        let consensus = node.consensus_status();
        let peg = node.federation().map(|federation| {
            let progress = federation.progress();
            let seen = federation.waiting().keys().next_back().copied().unwrap_or(progress.imported);
            let alarms = federation.alarms();
            self.metrics.acknowledgement_lag.set(gauge(federation.acknowledgement_lag()));
            self.metrics.parent_height.set(gauge(federation.parent_height()));
            self.metrics.parent_conflict.set(i64::from(matches!(federation.alarm(), Some(Alarm::Conflict(_)))));
            self.metrics
                .parent_unreachable
                .set(i64::from(matches!(federation.alarm(), Some(Alarm::Unreachable { .. }))));
            self.metrics.deposits_imported.set(gauge(progress.imported));
            self.metrics.deposits_waiting.set(gauge(federation.waiting().len() as u64));
            self.metrics.checkpoint_recorded.set(gauge(progress.recorded));
            self.metrics.checkpoint_accepted.set(gauge(federation.accepted_checkpoint()));
            let watched = federation.parent_height() > 0;
            PegProgress {
                parent_height: watched.then_some(federation.parent_height()),
                parent_timestamp: federation.parent_timestamp(),
                deposits_seen: seen,
                deposits_attested: federation.attested(),
                checkpoint_accepted: watched.then_some(federation.accepted_checkpoint()),
                checkpoint_signed: federation.certified_checkpoint(),
                alarms,
            }
        });
        let epoch = node.epoch();
        self.metrics.epoch.set(gauge(epoch.number));
        self.metrics.epoch_extended.set(gauge(epoch.extended));
        self.metrics.validating.set(i64::from(node.is_member()));
        self.metrics.round.set(i64::from(consensus.round.0));
        self.metrics.best_peer_head.set(gauge(node.best_peer_head()));
        let mut snapshot = self.snapshot.write();
        snapshot.peers = peers as u64;
        snapshot.best_peer_head = node.best_peer_head();
        snapshot.peg = peg;
        snapshot.consensus = Some(ConsensusProgress {
            height: node.height().0,
            round: consensus.round.0,
            step: if node.is_held() { "listening" } else { step_name(consensus.step) }.into(),
            proposer: consensus.proposer,
            validator: self.validator,
        });
    }
}

impl NodeStatus for SharedStatus {
    fn peer_count(&self) -> u64 {
        self.snapshot.read().peers
    }

    fn is_listening(&self) -> bool {
        true
    }

    fn syncing(&self) -> Option<SyncProgress> {
        let current = self.storage.head().number;
        let snapshot = self.snapshot.read();
        (snapshot.best_peer_head > current.saturating_add(READY_LAG)).then_some(SyncProgress {
            starting: snapshot.starting,
            current,
            highest: snapshot.best_peer_head,
        })
    }

    fn consensus(&self) -> Option<ConsensusProgress> {
        self.snapshot.read().consensus.clone()
    }

    fn peg(&self) -> Option<PegProgress> {
        self.snapshot.read().peg.clone()
    }

    fn is_claimed(&self, index: u64) -> Option<bool> {
        self.claims.as_ref()?.is_paid(index)
    }
}

impl Readiness for SharedStatus {
    fn ready(&self) -> Result<(), String> {
        if let Some(sync) = self.syncing() {
            return Err(format!("catching up: block {} of {}", sync.current, sync.highest));
        }
        let last_ms =
            u64::try_from(self.metrics.last_commit_s.get()).unwrap_or(0).saturating_mul(1_000).max(self.started_ms);
        let silence = now_ms().saturating_sub(last_ms);
        let schedule = &self.genesis.schedule;
        let rules = schedule.at(self.storage.head_number()).unwrap_or(schedule.first());
        if silence > READY_INTERVALS.saturating_mul(rules.block.interval_ms).max(10_000) {
            return Err(format!(
                "no block for {} s: see consensus_status for the height, round and proposer it waits for",
                silence / 1_000
            ));
        }
        Ok(())
    }
}

/// The name of the step in the paper.
fn step_name(step: Option<HostStep>) -> &'static str {
    match step {
        None => "waiting",
        Some(HostStep::Propose) => "propose",
        Some(HostStep::Prevote) => "prevote",
        Some(HostStep::Precommit) => "precommit",
        Some(HostStep::Decided) => "decided",
    }
}
