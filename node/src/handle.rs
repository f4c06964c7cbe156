//! The node's decisions: `handle(now, event) -> effects`. Pure: no clock, no disk, no network, no threads.
//!
//! The [performer](crate::perform) performs the effects strictly in order; persisting effects (`PersistSignState`,
//! `AppendWal`, `PersistPegSigns`) come before the messages that depend on them. A height starts only after the previous block
//! is durable, so the write-ahead log never covers more than one height.
//!
//! Reading order: `events` (inputs and outputs), this file, `blocks` (a block from its body until it is durable), `held` (a node
//! that only listens and catches up).

mod blocks;
mod events;
mod federation;
mod held;
mod sizes;

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{
    CommitCertificate, ConsensusMessage, Evidence, Height, Host, HostStatus, Input, MessageVerdict, Misbehaviour,
    Output, PeerToken, ValidatorId, ValidatorSet,
};
use causeway_execution::{ExecutedBlock, Schedule};
use causeway_federation::Federation;
use causeway_network::{PenaltyReason, Verdict};

use self::federation::seen;
pub use self::{
    events::{BodyFault, Effect, Event},
    federation::watch_from,
};
use crate::{
    hold::Hold,
    sets::{Epoch, NextHeight},
    sync::{Ask, OfferedBlock, Sync},
    trust::Trust,
};

/// Wait before a failed local execution is tried again, in milliseconds.
pub const RETRY_MS: u64 = 1_000;
/// Most executed blocks kept for the height in progress; rarely more than one round has its own block.
pub const MAX_EXECUTED: usize = 16;

/// A body that is being executed, kept for a retry.
#[derive(Debug, Clone)]
struct Executing {
    block_hash: B256,
    certified: bool,
    body: Bytes,
}

/// The node's settings, fixed at start.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The genesis hash.
    pub chain: B256,
    /// The id of this node's consensus key, if it has one; it need not be a member of the set.
    pub validator: Option<ValidatorId>,
    /// The rules by height.
    pub schedule: Arc<Schedule>,
    /// The trusted history.
    pub trust: Trust,
}

/// The durable head at the start of the node.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Its height.
    pub number: u64,
    /// Its timestamp, Unix seconds.
    pub timestamp: u64,
}

/// The node's state between events.
pub struct Node {
    host: Host,
    settings: NodeSettings,
    /// The data of the height being decided, from the state of the head.
    next: NextHeight,
    height: Height,
    head_timestamp: u64,
    /// Set while a node with a key only listens and catches up; consensus does not run then.
    hold: Option<Hold>,
    /// The sender of the block being executed, while this node only catches up.
    fetched_from: Option<PeerToken>,
    started_ms: u64,
    running: bool,
    start_at_ms: Option<u64>,
    valid: BTreeMap<B256, Arc<ExecutedBlock>>,
    executing: BTreeMap<u64, Executing>,
    next_job: u64,
    /// The block whose valid certificate came with the event being handled.
    certified: Option<B256>,
    decided: Option<(CommitCertificate, Bytes)>,
    committing: bool,
    retry_at_ms: Option<u64>,
    sync: Sync,
    federation: Option<Federation>,
}

impl Node {
    /// A node whose durable head is `head`; `next` is the data of the next height from the head's state.
    pub fn new(
        host: Host,
        settings: NodeSettings,
        head: Head,
        next: NextHeight,
        federation: Option<Federation>,
    ) -> Self {
        Self {
            host,
            settings,
            next,
            height: Height(head.number.saturating_add(1)),
            head_timestamp: head.timestamp,
            hold: None,
            fetched_from: None,
            started_ms: 0,
            running: false,
            start_at_ms: None,
            valid: BTreeMap::new(),
            executing: BTreeMap::new(),
            next_job: 0,
            certified: None,
            decided: None,
            committing: false,
            retry_at_ms: None,
            sync: Sync::default(),
            federation,
        }
    }

    /// Handles one event and returns the effects.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Start { wal } => self.start(now_ms, wal, &mut effects),
            Event::PeerConnected(peer) => {
                self.sync.connected(peer);
                effects.push(Effect::Ask(Ask::Status { peer }));
            }
            Event::PeerDisconnected(peer) => self.sync.disconnected(peer),
            Event::Consensus { from, message } => self.consensus(now_ms, from, message, &mut effects),
            Event::Peg { from, message } => self.peg(from, message, &mut effects),
            Event::PeerHead { from, head } => {
                self.sync.saw_head(from, head);
                if let Some(hold) = &mut self.hold {
                    hold.met_peer(now_ms);
                }
            }
            Event::Blocks { from, blocks } => {
                let blocks =
                    blocks.into_iter().map(|(body, certificate)| OfferedBlock { from, certificate, body }).collect();
                self.sync.received(from, self.height.0, blocks);
            }
            Event::RequestFailed { from } => self.sync.failed(from, self.height.0),
            Event::Built { height, round, executed } => self.built(now_ms, height, round, executed, &mut effects),
            Event::Executed { job, executed } => self.executed(now_ms, job, executed, &mut effects),
            Event::Refused { job, fault } => self.refused(now_ms, job, &fault, &mut effects),
            Event::ExecutionFailed { job } => {
                if self.executing.contains_key(&job) {
                    self.retry_at_ms = Some(now_ms.saturating_add(RETRY_MS));
                }
            }
            Event::Committed { executed, next } => self.committed(now_ms, &executed, *next, &mut effects),
            Event::Conflict(evidence) => self.equivocation(evidence, &mut effects),
            Event::Parent(update) => {
                self.federate(&mut effects, |federation, outputs| federation.parent(seen(update), outputs));
            }
            Event::Tick => {}
        }
        self.due(now_ms, &mut effects);
        effects
    }

    /// When the driver must send [`Event::Tick`] if nothing else happens, Unix milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let federation = self.federation.as_ref().and_then(Federation::next_deadline_ms);
        let host = if self.is_deciding() { self.host.next_deadline_ms() } else { None };
        let idle = !self.committing && self.decided.is_none();
        let hold = self.hold.as_ref().filter(|_| idle).and_then(Hold::next_deadline_ms);
        [host, hold, self.start_at_ms, self.retry_at_ms, self.sync.next_deadline_ms(), federation]
            .into_iter()
            .flatten()
            .min()
    }

    /// The settings fixed at start.
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// The state of consensus.
    pub fn consensus_status(&self) -> HostStatus {
        self.host.status()
    }

    /// The height being decided.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The greatest head a connected peer claims.
    pub fn best_peer_head(&self) -> u64 {
        self.sync.best_head()
    }

    /// The validators of the height being decided.
    pub fn validators(&self) -> &ValidatorSet {
        &self.next.validators.set
    }

    /// The epoch of the height being decided.
    pub fn epoch(&self) -> Epoch {
        self.next.epoch
    }

    /// Whether this node's validator is a member at the current height.
    pub fn is_member(&self) -> bool {
        self.settings.validator.is_some_and(|id| self.validators().get(&id).is_some())
    }

    /// Whether this node only listens and catches up, and does not sign yet.
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// The federation's state, on a pegged chain.
    pub fn federation(&self) -> Option<&Federation> {
        self.federation.as_ref()
    }

    fn start(&mut self, now_ms: u64, wal: Vec<Vec<u8>>, effects: &mut Vec<Effect>) {
        self.running = true;
        self.started_ms = now_ms;
        self.federate(effects, Federation::resume);
        self.host.note_set(self.height, &self.next.validators.set);
        if self.must_listen() {
            tracing::info!(
                height = self.height.0,
                "listening before this node signs: what its key signed before, and how far its peers are"
            );
            self.hold = Some(Hold::new(now_ms, self.interval_ms(), wal, !self.decides_alone()));
            return;
        }
        self.begin(now_ms, wal, effects);
    }

    /// Aimed time from the block before to the one being decided, in milliseconds. 0 before rules that this build does not know:
    /// the node stops there, and has nothing to wait for.
    fn interval_ms(&self) -> u64 {
        self.settings.schedule.at(self.height.0).map_or(0, |rules| rules.block.interval_ms)
    }

    /// Whether to listen before signing. Nothing was signed before the first height, and a single validator has no peer to
    /// listen to.
    fn must_listen(&self) -> bool {
        let alone = self.is_member() && self.validators().len() == 1;
        self.settings.validator.is_some() && self.height.0 > 1 && !alone
    }

    /// Whether this node's validator has more than two thirds of the power.
    fn decides_alone(&self) -> bool {
        let own = self.settings.validator.and_then(|id| self.validators().get(&id));
        own.is_some_and(|own| self.validators().is_quorum(own.power))
    }

    /// Starts the current height, or recovers it from its log.
    fn begin(&mut self, now_ms: u64, wal: Vec<Vec<u8>>, effects: &mut Vec<Effect>) {
        self.host.note_upcoming(self.next.upcoming.clone());
        let validators = self.validators().clone();
        if wal.is_empty() {
            effects.push(Effect::ResetWal(self.height));
            let outputs = self.host.step(now_ms, Input::StartHeight { height: self.height, validators });
            self.outputs(now_ms, outputs, effects);
            return;
        }
        match self.host.recover(now_ms, self.height, validators, wal) {
            Ok(outputs) => self.outputs(now_ms, outputs, effects),
            Err(error) => effects.push(Effect::Halt(format!(
                "the write-ahead log of height {} cannot be replayed: {error}. Nothing was signed. Restore the data directory from a backup, or remove \
                 the key from this machine before you let another sign with it.",
                self.height.0
            ))),
        }
    }

    fn consensus(&mut self, now_ms: u64, from: PeerToken, message: ConsensusMessage, effects: &mut Vec<Effect>) {
        if self.hold.is_some() {
            self.overhear(now_ms, from, message, effects);
            return;
        }
        let head = self.height.0.saturating_sub(1);
        if let ConsensusMessage::Decision(notice) = &message
            && notice.certificate.height == self.height
            && let Err(reason) = self.settings.trust.catch_up(now_ms, head, self.head_timestamp)
            && notice.certificate.verify(self.settings.chain, self.validators()).is_ok()
        {
            effects.push(Effect::Halt(reason));
            return;
        }
        let outputs = self.host.step(now_ms, Input::Message { from, message });
        effects.push(Effect::Verdict(match self.host.verdict() {
            MessageVerdict::Accept => Verdict::Accept,
            MessageVerdict::Ignore => Verdict::Ignore,
            MessageVerdict::Reject => Verdict::Reject,
        }));
        self.outputs(now_ms, outputs, effects);
    }

    /// Whether a height is in progress; the host's deadlines apply only then.
    fn is_deciding(&self) -> bool {
        self.running && self.hold.is_none() && self.start_at_ms.is_none() && !self.committing
    }

    /// Whether to start a planned height early because others have started or decided it: validators with more than a third of
    /// the power sent messages of it, or its block is here with a valid certificate. An unproven claim never starts a height
    /// early: otherwise blocks would follow each other faster than their interval.
    fn is_late(&mut self, effects: &mut Vec<Effect>) -> bool {
        while let Some(OfferedBlock { from, certificate, .. }) = self.sync.waiting(self.height.0) {
            if certificate.verify(self.settings.chain, self.validators()).is_ok() {
                return true;
            }
            let peer = *from;
            tracing::debug!(peer, height = self.height.0, "a peer sent a block that was not decided");
            self.sync.distrust(peer);
            effects.push(Effect::Penalize { peer, reason: PenaltyReason::BadResponse });
        }
        self.host.is_begun_elsewhere(self.height, self.validators())
    }

    /// Performs actions that are due by time or by earlier effects.
    fn due(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if let Some(at) = self.start_at_ms
            && (now_ms >= at || self.is_late(effects))
        {
            self.start_at_ms = None;
            // Keeps the planned rhythm unless this node is late by more than an interval.
            let lateness = now_ms.saturating_sub(at);
            self.started_ms = if lateness > self.interval_ms() { now_ms } else { at.min(now_ms) };
            self.sync.height_started();
            self.begin(now_ms, Vec::new(), effects);
        }
        if self.running && self.hold.is_some() {
            self.held(now_ms, effects);
        }
        if self.retry_at_ms.is_some_and(|at| now_ms >= at) {
            self.retry_at_ms = None;
            for (job, Executing { block_hash, certified, body }) in &self.executing {
                effects.push(Effect::Execute {
                    job: *job,
                    height: self.height,
                    block_hash: *block_hash,
                    certified: *certified,
                    body: body.clone(),
                });
            }
        }
        let deciding = self.is_deciding();
        if deciding && self.host.next_deadline_ms().is_some_and(|at| now_ms >= at) {
            let outputs = self.host.step(now_ms, Input::Tick);
            self.outputs(now_ms, outputs, effects);
        }
        let offered = if deciding && self.decided.is_none() { self.sync.take(now_ms, self.height.0) } else { None };
        if let Some(OfferedBlock { from, certificate, body }) = offered {
            if certificate.verify(self.settings.chain, self.validators()).is_ok() {
                if !self.may_catch_up(now_ms, effects) {
                    return;
                }
                self.certify(certificate.block_hash, &body);
            }
            let outputs = self.host.step(now_ms, Input::SyncedBlock { from, certificate, body });
            self.outputs(now_ms, outputs, effects);
            self.certified = None;
        }
        if self.running {
            effects.extend(self.sync.poll(now_ms, self.height.0).into_iter().map(Effect::Ask));
        }
        self.federate(effects, |federation, outputs| federation.tick(now_ms, outputs));
    }

    /// Converts the host's outputs to effects, in order.
    fn outputs(&mut self, now_ms: u64, outputs: Vec<Output>, effects: &mut Vec<Effect>) {
        for output in outputs {
            match output {
                Output::PersistSignState(state) => effects.push(Effect::PersistSignState(state)),
                Output::AppendWal(entry) => effects.push(Effect::AppendWal(entry)),
                Output::ResetWal { height } => effects.push(Effect::ResetWal(height)),
                Output::Broadcast(message) => effects.push(Effect::GossipConsensus(message)),
                Output::Send { to, message } => effects.push(Effect::Send { to, message }),
                Output::BuildBlock { height, round, deadline_ms } => {
                    let system = self.system_calls();
                    effects.push(Effect::Build { height, round, deadline_ms, system });
                }
                Output::ValidateBlock { height, block_hash, body, .. } => {
                    self.validate(now_ms, height, block_hash, body, effects)
                }
                Output::Decided { certificate, body } => self.decide(now_ms, certificate, body, effects),
                Output::Equivocation(evidence) => self.equivocation(evidence, effects),
                Output::LatePrecommit(vote) => effects.push(Effect::Compare(vote)),
                Output::Behind { peer, height } => self.sync.saw_head(peer, height.0.saturating_sub(1)),
                Output::Misbehaved { peer, reason } => self.misbehaved(peer, &reason, effects),
            }
        }
    }

    /// Handles conflicting signatures. If they are by this node's own key, another process signs with it. Each further signature of
    /// either process could be slashed, so this process stops.
    fn equivocation(&self, evidence: Evidence, effects: &mut Vec<Effect>) {
        let (validator, height) = (evidence.validator(), evidence.height());
        effects.push(Effect::Evidence(evidence));
        if self.settings.validator == Some(validator) {
            effects.push(Effect::Halt(format!(
                "another process signs with this node's consensus key {validator}: conflicting messages at height {height} are signed by it. Find that \
                 process and stop it, or leave the key to it and take it out of this node's keys/ before you start again."
            )));
        }
    }

    /// Penalizes faulty answers to this node's requests. The network itself counts rejected gossip.
    fn misbehaved(&mut self, peer: PeerToken, reason: &Misbehaviour, effects: &mut Vec<Effect>) {
        tracing::debug!(peer, %reason, "a peer misbehaves");
        if self.sync.distrust(peer) {
            effects.push(Effect::Penalize { peer, reason: PenaltyReason::BadResponse });
        }
    }
}
