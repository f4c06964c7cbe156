//! The node's loop: takes events from the network, jobs, the parent watcher and the clock, lets [`Node::handle`] decide, and
//! performs the effects in order. All IO that ordering depends on (sign state, write-ahead log) is done here, synced, before the
//! next effect.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Bytes;
use causeway_consensus::{Evidence, ValidatorId};
use causeway_network::{
    GossipMessage, MessageRef, NetworkEvent, NetworkHandle, PeerInfo, RequestId, ResponseToken, SyncRequest,
    SyncResponse, Verdict,
};
use causeway_parent::ParentUpdate;
use causeway_storage::{PegSignStateFile, SignStateFile, Storage, Wal};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::{
    chain::Chain,
    evidence::{self, Kept},
    handle::{Effect, Event, Node},
    status::SharedStatus,
    sync::Ask,
    transactions::Admission,
};

/// Answers of jobs that may wait for the driver.
pub const EVENT_QUEUE: usize = 1_024;
/// Bytes of blocks in one answer to a peer that catches up.
pub const SYNC_ANSWER_BYTES: usize = 6 << 20;
/// Blocks in one answer to a peer that catches up.
pub const SYNC_ANSWER_BLOCKS: u32 = 64;
/// Answers to peers that are read from the database at once.
pub const SYNC_SERVERS: usize = 4;
/// Batches of gossiped transactions whose senders are recovered at once.
pub const RECOVERIES: usize = 2;
/// Batches that wait for that; a further one is ignored.
pub const RECOVERY_QUEUE: usize = 64;
/// Transactions in one gossip message.
pub const GOSSIP_BATCH: usize = 512;
/// Bytes of transactions in one gossip message.
pub const GOSSIP_BATCH_BYTES: usize = 256 << 10;
/// How long transactions are collected for one gossip message.
pub const GOSSIP_COLLECT: Duration = Duration::from_millis(10);
/// The longest the gossip of transactions sleeps.
const IDLE_ANNOUNCE: Duration = Duration::from_secs(5);

/// The loop's parts.
pub struct Driver {
    /// The decisions.
    pub node: Node,
    /// The chain's jobs.
    pub chain: Chain,
    /// The id of this node's consensus key, if it has one.
    pub validator: Option<ValidatorId>,
    /// The network.
    pub network: NetworkHandle,
    /// Its connected peers.
    pub peers: watch::Receiver<Arc<[PeerInfo]>>,
    /// The consensus write-ahead log.
    pub wal: Wal,
    /// The consensus key's sign state.
    pub sign_state: SignStateFile,
    /// The peg key's sign state.
    pub peg_signs: PegSignStateFile,
    /// Admission of gossiped transactions.
    pub admission: Admission,
    /// What servers show.
    pub status: Arc<SharedStatus>,
    /// Where the loop learns of a failure that must stop the process.
    pub fatal: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

/// The channels the loop reads.
pub struct Inputs {
    /// From the network.
    pub network: mpsc::Receiver<NetworkEvent>,
    /// From jobs.
    pub jobs: mpsc::Receiver<Event>,
    /// From the parent watcher; none on a node that does not watch.
    pub parent: Option<mpsc::Receiver<ParentUpdate>>,
}

struct Running {
    driver: Driver,
    wal_dirty: bool,
    servers: Arc<Semaphore>,
    recoveries: Arc<Semaphore>,
    waiting_recoveries: Arc<Semaphore>,
}

impl Driver {
    fn now_ms(&self) -> u64 {
        now(&self.chain)
    }

    /// Runs until `shutdown` resolves or something makes going on unsafe.
    ///
    /// # Errors
    /// The reason for a stop that nobody asked for.
    pub async fn run(
        self,
        mut inputs: Inputs,
        wal_entries: Vec<Vec<u8>>,
        shutdown: impl Future<Output = ()>,
    ) -> eyre::Result<()> {
        let mut running = Running {
            driver: self,
            wal_dirty: false,
            servers: Arc::new(Semaphore::new(SYNC_SERVERS)),
            recoveries: Arc::new(Semaphore::new(RECOVERIES)),
            waiting_recoveries: Arc::new(Semaphore::new(RECOVERY_QUEUE)),
        };
        tokio::pin!(shutdown);
        let announce = running.driver.admission.announce.clone();
        let gossip =
            tokio::spawn(gossip_transactions(announce, running.driver.chain.clone(), running.driver.network.clone()));
        running.take(Event::Start { wal: wal_entries }, None)?;
        let stopped = loop {
            let full = running.driver.node.desk().is_none_or(crate::peg_desk::PegDesk::is_full);
            let parent = async {
                match &mut inputs.parent {
                    Some(updates) if !full => match updates.recv().await {
                        Some(update) => update,
                        None => std::future::pending().await,
                    },
                    _ => std::future::pending().await,
                }
            };
            let deadline = running
                .driver
                .node
                .next_deadline_ms()
                .map(|at| Duration::from_millis(at.saturating_sub(running.driver.now_ms())));
            let timer = async {
                match deadline {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break Ok(()),
                Some(reason) = running.driver.fatal.1.recv() => break Err(eyre::eyre!(reason)),
                Some(event) = inputs.jobs.recv() => running.take(event, None)?,
                event = inputs.network.recv() => match event {
                    Some(event) => running.network(event)?,
                    None => break Err(eyre::eyre!("the network task ended; see the log above for its reason")),
                },
                update = parent => running.take(Event::Parent(update), None)?,
                () = timer => running.take(Event::Tick, None)?,
            }
        };
        gossip.abort();
        stopped
    }
}

impl Running {
    /// Lets the node decide and performs what follows. `gossip` names the message that a verdict is about.
    fn take(&mut self, event: Event, mut gossip: Option<MessageRef>) -> eyre::Result<()> {
        let effects = self.driver.node.handle(self.driver.now_ms(), event);
        for effect in effects {
            self.perform(effect, &mut gossip)?;
        }
        let peers = self.driver.peers.borrow().len();
        self.driver.status.update(&self.driver.node, peers);
        Ok(())
    }

    fn perform(&mut self, effect: Effect, gossip: &mut Option<MessageRef>) -> eyre::Result<()> {
        let driver = &mut self.driver;
        match effect {
            Effect::PersistSignState(state) => {
                // The log first: a sign state must never name a block whose body a crash can still take away.
                self.sync_wal()?;
                tokio::task::block_in_place(|| self.driver.sign_state.store(&state))?;
            }
            Effect::AppendWal(entry) => {
                driver.wal.append(&entry)?;
                self.wal_dirty = true;
            }
            Effect::ResetWal(height) => {
                tokio::task::block_in_place(|| driver.wal.reset(height.0))?;
                self.wal_dirty = false;
            }
            Effect::PersistPegSigns(signs) => tokio::task::block_in_place(|| driver.peg_signs.store(&signs))?,
            Effect::GossipConsensus(message) => {
                self.sync_wal()?;
                self.driver.network.publish(GossipMessage::Consensus(message));
            }
            Effect::GossipPeg(message) => driver.network.publish(GossipMessage::Peg(message)),
            Effect::Send { to, message } => {
                self.sync_wal()?;
                self.driver.network.send(to, message);
            }
            Effect::Verdict(verdict) => {
                if let Some(id) = gossip.take() {
                    driver.network.validate(id, verdict);
                }
            }
            Effect::Penalize { peer, reason } => {
                driver.chain.metrics.peer_faults.inc();
                driver.network.penalize(peer, reason);
            }
            Effect::Ask(ask) => self.ask(ask),
            Effect::Build { height, round, deadline_ms, system } => {
                if let Some(validator) = driver.validator {
                    driver.chain.build(height, round, deadline_ms, validator, system);
                }
            }
            Effect::Execute { job, height, block_hash, certified, body } => {
                driver.chain.execute(job, height, block_hash, certified, body);
            }
            Effect::Commit { executed, certificate, missed } => {
                self.sync_wal()?;
                if missed {
                    self.driver.chain.metrics.missed.inc();
                }
                self.driver.chain.commit(executed, certificate, self.driver.fatal.0.clone());
            }
            Effect::Evidence(evidence) => tokio::task::block_in_place(|| keep_evidence(&driver.chain, &evidence)),
            Effect::Compare(vote) => driver.chain.compare(vote),
            Effect::InvalidBlock => {
                driver.chain.metrics.invalid_blocks.inc();
            }
            Effect::Halt(reason) => return Err(eyre::eyre!(reason)),
        }
        Ok(())
    }

    fn sync_wal(&mut self) -> eyre::Result<()> {
        if self.wal_dirty {
            tokio::task::block_in_place(|| self.driver.wal.sync())?;
            self.wal_dirty = false;
        }
        Ok(())
    }

    fn ask(&mut self, ask: Ask) {
        let (peer, request) = match ask {
            Ask::Status { peer } => (peer, SyncRequest::Status),
            Ask::Blocks { peer, from, max } => (peer, SyncRequest::Blocks { from, max }),
        };
        // Answers name the peer, and at most one request for blocks is in flight: the request's number is not needed.
        let _: RequestId = self.driver.network.request(peer, request);
    }

    fn network(&mut self, event: NetworkEvent) -> eyre::Result<()> {
        match event {
            NetworkEvent::PeerConnected { peer, .. } => {
                self.take(Event::PeerConnected(peer), None)?;
                self.ask(Ask::Status { peer });
                Ok(())
            }
            NetworkEvent::PeerDisconnected { peer } => self.take(Event::PeerDisconnected(peer), None),
            NetworkEvent::Message { from, id, message } => match message {
                GossipMessage::Consensus(message) => self.take(Event::Consensus { from, message }, Some(id)),
                GossipMessage::Peg(message) => self.take(Event::Peg { from, message }, Some(id)),
                GossipMessage::Transactions(batch) => {
                    self.recover(id, batch);
                    Ok(())
                }
            },
            NetworkEvent::PeerRefused { id, reason } => {
                tracing::warn!(peer = %id, reason, "a peer was refused");
                Ok(())
            }
            NetworkEvent::Request { channel, request, .. } => {
                self.serve(channel, request);
                Ok(())
            }
            NetworkEvent::Response { from, result, .. } => match result {
                Ok(SyncResponse::Status { head, .. }) => self.take(Event::PeerHead { from, head }, None),
                Ok(SyncResponse::Blocks(blocks)) => self.take(Event::Blocks { from, blocks }, None),
                Err(error) => {
                    tracing::debug!(peer = from, %error, "a request to a peer failed");
                    self.take(Event::RequestFailed { from }, None)
                }
            },
        }
    }

    /// Recovers and admits gossiped transactions off the loop; when too many wait, the batch is ignored and peers lose nothing.
    fn recover(&self, id: MessageRef, batch: Vec<Bytes>) {
        let network = self.driver.network.clone();
        let Ok(place) = self.waiting_recoveries.clone().try_acquire_owned() else {
            network.validate(id, Verdict::Ignore);
            return;
        };
        let admission = self.driver.admission.clone();
        let recoveries = self.recoveries.clone();
        tokio::spawn(async move {
            let Ok(_turn) = recoveries.acquire_owned().await else { return };
            drop(place);
            let verdict =
                tokio::task::spawn_blocking(move || admission.gossiped(&batch)).await.unwrap_or(Verdict::Ignore);
            network.validate(id, verdict);
        });
    }

    /// Answers a peer from the database, off the loop.
    fn serve(&self, channel: ResponseToken, request: SyncRequest) {
        let network = self.driver.network.clone();
        let storage = self.driver.chain.storage.clone();
        let servers = self.servers.clone();
        tokio::spawn(async move {
            let Ok(_turn) = servers.acquire_owned().await else { return };
            let answer = tokio::task::spawn_blocking(move || answer(&storage, &request)).await;
            match answer {
                Ok(Ok(response)) => network.respond(channel, response),
                Ok(Err(error)) => tracing::error!(%error, "cannot read blocks for a peer"),
                Err(error) => tracing::error!(%error, "answering a peer failed"),
            }
        });
    }
}

/// Counts an offence, tells the operator, and keeps the proof until a block carries it.
fn keep_evidence(chain: &Chain, evidence: &Evidence) {
    chain.metrics.equivocations.inc();
    match evidence::keep(&chain.genesis, &chain.storage, evidence) {
        Ok(Kept::New) => tracing::error!(hash = %evidence.hash(), "{evidence}; the evidence is kept for a block"),
        Ok(Kept::Enough) => tracing::warn!(hash = %evidence.hash(), "{evidence}; enough evidence against it is kept"),
        // Whoever is out for ever must not be able to fill the log.
        Ok(Kept::Settled) => tracing::debug!(hash = %evidence.hash(), "{evidence}; that is settled already"),
        Err(error) => tracing::error!(%error, "{evidence}; but the evidence cannot be kept"),
    }
}

fn answer(storage: &Storage, request: &SyncRequest) -> Result<SyncResponse, causeway_storage::StorageError> {
    let head = storage.head();
    match request {
        SyncRequest::Status => Ok(SyncResponse::Status { head: head.number, hash: storage.head_hash() }),
        SyncRequest::Blocks { from, max } => {
            let mut blocks = Vec::new();
            let mut bytes = 0_usize;
            let last =
                from.saturating_add(u64::from((*max).min(SYNC_ANSWER_BLOCKS))).min(head.number.saturating_add(1));
            for number in (*from).max(1)..last {
                let (Some(body), Some(certificate)) = (storage.body(number)?, storage.certificate(number)?) else {
                    break;
                };
                bytes = bytes.saturating_add(body.len());
                if bytes > SYNC_ANSWER_BYTES && !blocks.is_empty() {
                    break;
                }
                blocks.push((body, certificate));
            }
            Ok(SyncResponse::Blocks(blocks))
        }
    }
}

/// Gossips the pool's local transactions, several together, when woken and when the pool wants one repeated.
async fn gossip_transactions(announce: Arc<Notify>, chain: Chain, network: NetworkHandle) {
    loop {
        let due = chain.pool.lock().next_announcement_ms();
        let wait =
            due.map_or(IDLE_ANNOUNCE, |at| Duration::from_millis(at.saturating_sub(now(&chain))).min(IDLE_ANNOUNCE));
        tokio::select! {
            () = announce.notified() => tokio::time::sleep(GOSSIP_COLLECT).await,
            () = tokio::time::sleep(wait) => {}
        }
        loop {
            let batch = chain.pool.lock().announce(now(&chain), GOSSIP_BATCH, GOSSIP_BATCH_BYTES);
            if batch.is_empty() {
                break;
            }
            network
                .publish(GossipMessage::Transactions(batch.iter().map(|transaction| transaction.encoded()).collect()));
        }
    }
}

fn now(chain: &Chain) -> u64 {
    (chain.clocks.steady)()
}
