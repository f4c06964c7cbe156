//! The event loop, the only owner of the swarm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::address_book::AddressBook;
use crate::batch::Batch;
use crate::behaviour::Behaviour;
use crate::config::{NetworkConfig, NetworkLimits};
use crate::event::{NetworkEvent, PeerInfo, PeerToken, RequestId};
use crate::handle::Command;
use crate::limits::{MAX_CONSENSUS_BYTES, READY_DEADLINE};
use crate::message::{GossipMessage, Topics};
use crate::metrics::NetworkMetrics;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::reputation::{PenaltyReason, Reputation};
use crate::sync::{RequestError, SyncRequest};

/// Time between two checks of dials, bans and silent peers.
const TICK: Duration = Duration::from_millis(100);

/// Time between two searches for more peers: with few peers, and with enough.
const SEARCH_LONELY_MS: u64 = 1_000;
const SEARCH_SETTLED_MS: u64 = 20_000;
const FEW_PEERS: usize = 4;

/// Time from the arrival of a peer to a search for more peers.
const SEARCH_AFTER_ARRIVAL_MS: u64 = 200;

/// Time after which a node of another chain is disconnected. Until then it learns the reason, too.
const REFUSAL_PAUSE_MS: u64 = 500;

/// Receivers of the commands of the handles.
pub(crate) struct Inputs {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) transactions: mpsc::Receiver<Vec<Bytes>>,
    pub(crate) overflow: Arc<Mutex<Vec<(RequestId, PeerToken)>>>,
}

/// A sync request of this node that has no answer yet.
pub(crate) struct OpenRequest {
    pub(crate) id: RequestId,
    pub(crate) peer: PeerToken,
    pub(crate) request: SyncRequest,
}

pub(crate) struct Service {
    pub(crate) chain: B256,
    pub(crate) discover: bool,
    pub(crate) limits: NetworkLimits,
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) topics: Topics,
    pub(crate) book: AddressBook,
    pub(crate) peers: Peers,
    pub(crate) reputation: Reputation,
    pub(crate) outbox: Outbox,
    pub(crate) batch: Batch,
    pub(crate) requests: HashMap<OutboundRequestId, OpenRequest>,
    pub(crate) metrics: NetworkMetrics,
    events: mpsc::Sender<NetworkEvent>,
    peers_out: watch::Sender<Arc<[PeerInfo]>>,
    listen_out: watch::Sender<Arc<[Multiaddr]>>,
    started: Instant,
    next_search_ms: u64,
    /// Refused peers, and when to disconnect them. At most as many as are connected.
    refused: Vec<(u64, PeerId)>,
}

impl Service {
    pub(crate) fn new(
        config: &NetworkConfig,
        swarm: Swarm<Behaviour>,
        book: AddressBook,
        events: mpsc::Sender<NetworkEvent>,
        peers_out: watch::Sender<Arc<[PeerInfo]>>,
        listen_out: watch::Sender<Arc<[Multiaddr]>>,
    ) -> Self {
        let ban_ms = u64::try_from(config.limits.ban.as_millis()).unwrap_or(u64::MAX);
        Self {
            chain: config.chain,
            discover: config.discover,
            limits: config.limits.clone(),
            swarm,
            topics: Topics::new(&config.chain),
            book,
            peers: Peers::new(),
            reputation: Reputation::new(ban_ms),
            outbox: Outbox::default(),
            batch: Batch::default(),
            requests: HashMap::new(),
            metrics: config.metrics.clone(),
            events,
            peers_out,
            listen_out,
            started: Instant::now(),
            next_search_ms: 0,
            refused: Vec::new(),
        }
    }

    /// Runs until the node drops its handles or its receiver.
    pub(crate) async fn run(mut self, mut inputs: Inputs) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let events = self.events.clone();
            let batch_at = self.batch.due_ms().map(|due| self.started + Duration::from_millis(due));
            tokio::select! {
                permit = events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.outbox.pop() {
                            permit.send(event);
                        }
                    }
                    Err(_) => break,
                },
                event = self.swarm.select_next_some(), if !self.outbox.is_clogged() => self.on_swarm_event(event),
                command = inputs.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some(transactions) = inputs.transactions.recv() => {
                    let now_ms = self.now_ms();
                    for transaction in transactions {
                        if let Some(full) = self.batch.push(transaction, now_ms) {
                            self.publish(&GossipMessage::Transactions(full));
                        }
                    }
                }
                () = sleep_until(batch_at), if batch_at.is_some() => {
                    if let Some(batch) = self.batch.take() {
                        self.publish(&GossipMessage::Transactions(batch));
                    }
                }
                _ = tick.tick() => {
                    let lost = std::mem::take(&mut *inputs.overflow.lock().unwrap_or_else(PoisonError::into_inner));
                    for (id, peer) in lost {
                        self.answer(id, peer, Err(RequestError::Busy));
                    }
                    self.on_tick();
                }
            }
        }
        tracing::info!("network task stops");
    }

    /// Milliseconds since the task started. This is the clock of the whole crate.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish(message) => self.publish(&message),
            Command::Send { peer, message } => self.send(peer, message),
            Command::Request { id, peer, request } => self.request(id, peer, request),
            Command::Respond { token, response } => self.respond(token, response),
            Command::Validate { message, verdict } => self.validate(&message, verdict),
            Command::Penalize { peer, reason } => {
                if let Some(id) = self.peers.id(peer) {
                    self.penalize(id, reason, "reported by the node");
                }
            }
        }
    }

    fn publish(&mut self, message: &GossipMessage) {
        let topic = message.topic();
        let data = message.encode();
        if data.len() > topic.max_bytes() {
            tracing::warn!(?topic, bytes = data.len(), limit = topic.max_bytes(), "message is too large to gossip");
            self.metrics.publish_failures.inc();
            return;
        }
        match self.swarm.behaviour_mut().gossip.publish(topic.ident(&self.chain), data) {
            Ok(_) => {
                self.metrics.messages_published.inc();
            }
            // All peers have it already.
            Err(gossipsub::PublishError::Duplicate) => {}
            Err(error) => {
                self.metrics.publish_failures.inc();
                tracing::debug!(?topic, %error, "message reached no peer");
            }
        }
    }

    fn on_tick(&mut self) {
        let now_ms = self.now_ms();
        self.disconnect_refused();
        for peer in self.reputation.pardon(now_ms) {
            self.swarm.behaviour_mut().bans.unblock_peer(peer);
        }
        let deadline_ms = u64::try_from(READY_DEADLINE.as_millis()).unwrap_or(u64::MAX);
        for peer in self.peers.silent(now_ms.saturating_sub(deadline_ms)) {
            tracing::debug!(%peer, "peer did not identify itself and join the topics in time");
            self.disconnect(peer);
        }
        let wanted = if self.discover { self.limits.target_peers } else { 0 };
        let strangers = wanted.saturating_sub(self.peers.len());
        for (peer, addresses) in self.book.due(now_ms, strangers) {
            if !self.reputation.is_banned(&peer) {
                self.dial(peer, addresses);
            }
        }
        if self.discover && now_ms >= self.next_search_ms && self.peers.len() > 0 {
            let pause = if self.peers.len() < FEW_PEERS { SEARCH_LONELY_MS } else { SEARCH_SETTLED_MS };
            self.next_search_ms = now_ms.saturating_add(pause);
            let local = *self.swarm.local_peer_id();
            self.swarm.behaviour_mut().kad.get_closest_peers(local);
        }
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let options =
            DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::DisconnectedAndNotDialing).build();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.metrics.dials.inc();
            }
            Err(error) => tracing::trace!(%peer, %error, "not dialled"),
        }
    }

    /// Counts a fault of a peer, and bans the peer at too many points.
    pub(crate) fn penalize(&mut self, peer: PeerId, reason: PenaltyReason, detail: &str) {
        let (points, bans) = self.reputation.penalize(peer, reason, self.now_ms());
        tracing::debug!(%peer, ?reason, points, detail, "peer penalised");
        // Points are small integers, which floats represent exactly.
        let score = -f64::from(u32::try_from(points).unwrap_or(u32::MAX));
        self.swarm.behaviour_mut().gossip.set_application_score(&peer, score);
        if bans {
            self.metrics.bans.inc();
            tracing::warn!(%peer, ?reason, detail, "peer banned");
            self.outbox.push_lifecycle(NetworkEvent::PeerRefused { id: peer, reason: format!("{reason:?}: {detail}") });
            self.book.forget(&peer);
            let pause = if reason == PenaltyReason::WrongChain { REFUSAL_PAUSE_MS } else { 0 };
            self.refused.push((self.now_ms().saturating_add(pause), peer));
            self.disconnect_refused();
        }
    }

    fn disconnect_refused(&mut self) {
        let now_ms = self.now_ms();
        let (due, later) = std::mem::take(&mut self.refused).into_iter().partition(|(at, _)| *at <= now_ms);
        self.refused = later;
        let due: Vec<(u64, PeerId)> = due;
        for (_, peer) in due {
            self.swarm.behaviour_mut().bans.block_peer(peer);
            self.disconnect(peer);
        }
    }

    pub(crate) fn disconnect(&mut self, peer: PeerId) {
        if self.swarm.disconnect_peer_id(peer).is_err() {
            tracing::trace!(%peer, "was not connected");
        }
    }

    pub(crate) fn publish_peers(&mut self) {
        let list = self.peers.list();
        self.metrics.peers.set(i64::try_from(list.len()).unwrap_or(i64::MAX));
        self.peers_out.send_replace(list);
    }

    pub(crate) fn search_soon(&mut self) {
        self.next_search_ms = self.next_search_ms.min(self.now_ms().saturating_add(SEARCH_AFTER_ARRIVAL_MS));
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<crate::behaviour::BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                let now_ms = self.now_ms();
                self.book.connected(peer_id);
                if endpoint.is_dialer() {
                    let mut address = endpoint.get_remote_address().clone();
                    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
                        address.pop();
                    }
                    self.book.confirm(peer_id, address);
                }
                self.peers.connect(peer_id, &endpoint, now_ms);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                self.book.disconnected(&peer_id, self.now_ms());
                if let Some(peer) = self.peers.disconnect(&peer_id)
                    && peer.is_ready()
                {
                    tracing::debug!(%peer_id, ?cause, "peer left");
                    self.outbox.push_lifecycle(NetworkEvent::PeerDisconnected { peer: peer.info.peer });
                    self.publish_peers();
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                use libp2p::swarm::DialError;
                if matches!(error, DialError::DialPeerConditionFalse(_)) {
                    return;
                }
                self.metrics.dial_failures.inc();
                tracing::debug!(%peer, %error, "dial failed");
                if let DialError::WrongPeerId { address, .. } = &error {
                    self.book.remove_address(&peer, address);
                }
                self.book.failed(&peer, self.now_ms());
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                tracing::debug!(%error, from = %send_back_addr, "incoming connection failed");
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                let address = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
                self.listen_out.send_if_modified(|known| {
                    let is_new = !known.contains(&address);
                    if is_new {
                        *known = known.iter().cloned().chain([address.clone()]).collect();
                    }
                    is_new
                });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let address = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
                self.listen_out
                    .send_modify(|known| *known = known.iter().filter(|a| **a != address).cloned().collect());
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listening socket failed"),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "a listening socket closed");
            }
            _ => {}
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether a consensus message belongs in the bulk lane.
pub(crate) fn is_bulk(encoded_bytes: usize) -> bool {
    encoded_bytes > MAX_CONSENSUS_BYTES
}
