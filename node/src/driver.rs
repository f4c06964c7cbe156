//! The node's loop: passes events from the network, jobs, the parent watcher and the clock to the [`Performer`]. Its
//! [`Outside`] consists of the network and the runtime's blocking threads.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Bytes;
use causeway_consensus::{ConsensusMessage, PeerToken};
use causeway_network::{
    GossipMessage, MessageRef, NetworkEvent, NetworkHandle, PeerInfo, PenaltyReason, RequestId, ResponseToken,
    SyncRequest, Verdict,
};
use causeway_parent::ParentUpdate;
use eyre::eyre;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::{
    chain::Chain,
    handle::Event,
    jobs::{Job, JobEnd},
    perform::{Outside, Performer},
    serve::answer,
    status::SharedStatus,
    transactions::{Admission, to_announce},
};

/// Most finished jobs that wait for the driver.
pub const JOB_QUEUE: usize = 1_024;
/// Most answers to peers that are read from the database at the same time.
pub const SYNC_SERVERS: usize = 4;
/// Most batches of gossiped transactions whose senders are recovered at the same time.
pub const RECOVERIES: usize = 2;
/// Most batches that wait for recovery; further ones are ignored.
pub const RECOVERY_QUEUE: usize = 64;
/// How long transactions are collected before one gossip message is sent.
pub const GOSSIP_COLLECT: Duration = Duration::from_millis(10);
/// Longest sleep of the task that gossips transactions.
const IDLE_ANNOUNCE: Duration = Duration::from_secs(5);

/// The loop's parts.
pub struct Driver {
    /// The node and its disk.
    pub performer: Performer,
    /// Admission of gossiped transactions.
    pub admission: Admission,
    /// The network.
    pub network: NetworkHandle,
    /// The status that the servers show.
    pub status: Arc<SharedStatus>,
}

/// The channels the loop reads.
pub struct Inputs {
    /// From the network.
    pub network: mpsc::Receiver<NetworkEvent>,
    /// From the parent watcher; `None` on a node that does not watch the parent.
    pub parent: Option<mpsc::Receiver<ParentUpdate>>,
}

impl Driver {
    /// Runs until `shutdown` resolves or the node cannot continue safely.
    ///
    /// # Errors
    /// The reason for an unrequested stop.
    pub async fn run(
        self,
        mut inputs: Inputs,
        wal_entries: Vec<Vec<u8>>,
        shutdown: impl Future<Output = ()>,
    ) -> eyre::Result<()> {
        let Self { performer, admission, network, status } = self;
        let (ends, mut jobs) = mpsc::channel(JOB_QUEUE);
        let gossip =
            tokio::spawn(gossip_transactions(admission.announce.clone(), performer.chain.clone(), network.clone()));
        let mut running = Running {
            peers: network.watch_peers(),
            surroundings: Surroundings { network, chain: performer.chain.clone(), ends, gossip: None },
            performer,
            admission,
            status,
            servers: Arc::new(Semaphore::new(SYNC_SERVERS)),
            recoveries: Arc::new(Semaphore::new(RECOVERIES)),
            waiting_recoveries: Arc::new(Semaphore::new(RECOVERY_QUEUE)),
        };
        tokio::pin!(shutdown);
        running.take(Event::Start { wal: wal_entries }, None)?;
        let stopped = loop {
            let takes_updates = running.performer.takes_parent_updates();
            let parent = async {
                match &mut inputs.parent {
                    Some(updates) if takes_updates => match updates.recv().await {
                        Some(update) => update,
                        None => std::future::pending().await,
                    },
                    _ => std::future::pending().await,
                }
            };
            let now_ms = running.performer.chain.clocks.steady_ms();
            let deadline =
                running.performer.next_deadline_ms().map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
            let timer = async {
                match deadline {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break Ok(()),
                Some(end) = jobs.recv() => running.finish(end)?,
                event = inputs.network.recv() => match event {
                    Some(event) => running.network(event)?,
                    None => break Err(eyre!("the network task ended; see the log above for its reason")),
                },
                update = parent => running.take(Event::Parent(update), None)?,
                () = timer => running.take(Event::Tick, None)?,
            }
        };
        gossip.abort();
        stopped
    }
}

struct Running {
    performer: Performer,
    surroundings: Surroundings,
    admission: Admission,
    status: Arc<SharedStatus>,
    peers: watch::Receiver<Arc<[PeerInfo]>>,
    servers: Arc<Semaphore>,
    recoveries: Arc<Semaphore>,
    waiting_recoveries: Arc<Semaphore>,
}

/// The performer's environment.
struct Surroundings {
    network: NetworkHandle,
    chain: Chain,
    ends: mpsc::Sender<JobEnd>,
    /// The gossiped message whose event is being handled.
    gossip: Option<MessageRef>,
}

impl Outside for Surroundings {
    fn publish(&mut self, message: GossipMessage) {
        self.network.publish(message);
    }

    fn send(&mut self, to: PeerToken, message: ConsensusMessage) {
        self.network.send(to, message);
    }

    fn verdict(&mut self, verdict: Verdict) {
        if let Some(id) = self.gossip.take() {
            self.network.validate(id, verdict);
        }
    }

    fn penalize(&mut self, peer: PeerToken, reason: PenaltyReason) {
        self.network.penalize(peer, reason);
    }

    fn request(&mut self, peer: PeerToken, request: SyncRequest) {
        // Answers name the peer, and at most one block request is in flight, so the request's number is not needed.
        let _: RequestId = self.network.request(peer, request);
    }

    fn run(&mut self, job: Job) {
        let (chain, ends) = (self.chain.clone(), self.ends.clone());
        tokio::task::spawn_blocking(move || {
            let end = job.run(&chain);
            if !matches!(end, JobEnd::Nothing) && ends.blocking_send(end).is_err() {
                tracing::debug!("the driver has stopped; a result is dropped");
            }
        });
    }

    fn blocking(&mut self, write: &mut dyn FnMut()) {
        tokio::task::block_in_place(write);
    }
}

impl Running {
    /// Handles an event; `gossip` names the message that a verdict refers to.
    fn take(&mut self, event: Event, gossip: Option<MessageRef>) -> eyre::Result<()> {
        self.surroundings.gossip = gossip;
        self.performer.take(event, &mut self.surroundings)?;
        self.show();
        Ok(())
    }

    fn finish(&mut self, end: JobEnd) -> eyre::Result<()> {
        self.surroundings.gossip = None;
        self.performer.finish(end, &mut self.surroundings)?;
        self.show();
        Ok(())
    }

    fn show(&self) {
        let peers = self.peers.borrow().len();
        self.status.update(&self.performer.node, peers);
    }

    fn network(&mut self, event: NetworkEvent) -> eyre::Result<()> {
        match event {
            NetworkEvent::PeerConnected { peer, .. } => self.take(Event::PeerConnected(peer), None),
            NetworkEvent::PeerDisconnected { peer } => self.take(Event::PeerDisconnected(peer), None),
            NetworkEvent::Message { from, id, message } => match Event::gossiped(from, message) {
                Ok(event) => self.take(event, Some(id)),
                Err(batch) => {
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
                Ok(response) => self.take(Event::answered(from, response), None),
                Err(error) => {
                    tracing::debug!(peer = from, %error, "a request to a peer failed");
                    self.take(Event::RequestFailed { from }, None)
                }
            },
        }
    }

    /// Recovers and admits gossiped transactions off the loop. When too many batches wait, this one is ignored, without blame for the peer.
    fn recover(&self, id: MessageRef, batch: Vec<Bytes>) {
        let network = self.surroundings.network.clone();
        let Ok(place) = self.waiting_recoveries.clone().try_acquire_owned() else {
            network.validate(id, Verdict::Ignore);
            return;
        };
        let admission = self.admission.clone();
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
        let network = self.surroundings.network.clone();
        let storage = self.performer.chain.storage.clone();
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

/// Gossips the pool's local transactions in batches, when woken and when the pool wants one repeated.
async fn gossip_transactions(announce: Arc<Notify>, chain: Chain, network: NetworkHandle) {
    loop {
        let (due, now_ms) = (chain.pool.lock().next_announcement_ms(), chain.clocks.steady_ms());
        let wait = due.map_or(IDLE_ANNOUNCE, |at| Duration::from_millis(at.saturating_sub(now_ms)).min(IDLE_ANNOUNCE));
        tokio::select! {
            () = announce.notified() => tokio::time::sleep(GOSSIP_COLLECT).await,
            () = tokio::time::sleep(wait) => {}
        }
        for batch in to_announce(&chain) {
            network.publish(GossipMessage::Transactions(batch));
        }
    }
}
