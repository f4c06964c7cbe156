//! How the node commands the network task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Bytes;
use causeway_consensus::ConsensusMessage;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, watch};

use crate::event::{MessageRef, PeerInfo, PeerToken, RequestId, ResponseToken, Verdict};
use crate::limits::MAX_COMMANDS;
use crate::message::GossipMessage;
use crate::metrics::NetworkMetrics;
use crate::reputation::PenaltyReason;
use crate::sync::{SyncRequest, SyncResponse};

/// A command for the network task.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(GossipMessage),
    Send { peer: PeerToken, message: ConsensusMessage },
    Request { id: RequestId, peer: PeerToken, request: SyncRequest },
    Respond { token: ResponseToken, response: SyncResponse },
    Validate { message: MessageRef, verdict: Verdict },
    Penalize { peer: PeerToken, reason: PenaltyReason },
}

/// The node's access to the network task. It is cheap to clone, and no method waits. The task ends when all
/// handles are dropped.
///
/// When the task does not keep up, commands are dropped and counted ([`NetworkMetrics::commands_dropped`]).
/// Transactions have a queue of their own, so they never displace consensus messages.
#[derive(Debug, Clone)]
pub struct NetworkHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) transactions: mpsc::Sender<Vec<Bytes>>,
    pub(crate) peers: watch::Receiver<Arc<[PeerInfo]>>,
    pub(crate) listen: watch::Receiver<Arc<[Multiaddr]>>,
    pub(crate) local: PeerId,
    pub(crate) next_request: Arc<AtomicU64>,
    /// Requests for which the queue had no room. The task reports them as failed. At most
    /// [`MAX_COMMANDS`].
    pub(crate) overflow: Arc<Mutex<Vec<(RequestId, PeerToken)>>>,
    pub(crate) metrics: NetworkMetrics,
}

impl NetworkHandle {
    /// Gossips a message of this node. Transactions are collected for a few milliseconds and share a gossip message.
    pub fn publish(&self, message: GossipMessage) {
        match message {
            GossipMessage::Transactions(batch) => {
                if self.transactions.try_send(batch).is_err() {
                    self.metrics.commands_dropped.inc();
                }
            }
            other => self.command(Command::Publish(other)),
        }
    }

    /// Sends a consensus message to one peer. There is no answer. It is lost if the peer is not connected.
    pub fn send(&self, peer: PeerToken, message: ConsensusMessage) {
        self.command(Command::Send { peer, message });
    }

    /// Sends a request to a peer. Exactly one [`crate::NetworkEvent::Response`] with the returned id follows.
    pub fn request(&self, peer: PeerToken, request: SyncRequest) -> RequestId {
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        if self.commands.try_send(Command::Request { id, peer, request }).is_err() {
            self.metrics.commands_dropped.inc();
            let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
            if overflow.len() < MAX_COMMANDS {
                overflow.push((id, peer));
            }
        }
        id
    }

    /// Answers a peer's request. A list of blocks is cut to the size of a response.
    pub fn respond(&self, token: ResponseToken, response: SyncResponse) {
        self.command(Command::Respond { token, response });
    }

    /// Gives the node's verdict on a gossip message. Only accepted messages are forwarded, and only if the verdict
    /// comes within [`crate::limits::GOSSIP_HISTORY`].
    pub fn validate(&self, message: MessageRef, verdict: Verdict) {
        self.command(Command::Validate { message, verdict });
    }

    /// Reports a peer's fault that the node found. Several faults ban the peer for a while.
    pub fn penalize(&self, peer: PeerToken, reason: PenaltyReason) {
        self.command(Command::Penalize { peer, reason });
    }

    /// The connected and identified peers, by number.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.peers.borrow().to_vec()
    }

    /// The same, as a channel that reports changes.
    #[must_use]
    pub fn watch_peers(&self) -> watch::Receiver<Arc<[PeerInfo]>> {
        self.peers.clone()
    }

    /// This node's public identity.
    #[must_use]
    pub fn local_peer_id(&self) -> PeerId {
        self.local
    }

    /// The addresses that this node listens on, with the actual ports. Each ends in `/p2p/<its id>`, so it can be
    /// a bootnode address for other nodes.
    #[must_use]
    pub fn listen_addrs(&self) -> Vec<Multiaddr> {
        self.listen.borrow().to_vec()
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &NetworkMetrics {
        &self.metrics
    }

    fn command(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            self.metrics.commands_dropped.inc();
        }
    }
}
