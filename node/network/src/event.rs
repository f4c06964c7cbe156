//! What the network tells the node.

use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use libp2p::{Multiaddr, PeerId};

use crate::message::GossipMessage;
use crate::sync::{RequestError, SyncRequest, SyncResponse};

/// A peer, as the node names it. The same peer keeps its number when it reconnects; no two peers ever
/// share one.
pub type PeerToken = u64;

/// A sync request of this node. Each is answered by exactly one [`NetworkEvent::Response`].
pub type RequestId = u64;

/// A message on which the node has yet to give its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRef {
    /// `None`: the message was sent to this node alone, and there is nothing to pass on.
    pub(crate) gossip: Option<MessageId>,
    pub(crate) source: PeerId,
}

/// The right to answer one request. Dropping it refuses the request.
#[derive(Debug)]
pub struct ResponseToken {
    pub(crate) channel: ResponseChannel<SyncResponse>,
}

/// The node's verdict on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Useful: pass it on.
    Accept,
    /// Neither useful nor a fault, such as a message of a past height: do not pass it on.
    Ignore,
    /// No honest node could have made or passed on this message: do not, and penalise who did.
    Reject,
}

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// This node.
    Outbound,
}

/// A connected peer of this chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its number in events and commands.
    pub peer: PeerToken,
    /// Its public identity.
    pub id: PeerId,
    /// The far end of its first connection.
    pub address: Multiaddr,
    /// The software it claims to run, cut to 64 characters.
    pub agent: String,
    /// Who opened its first connection.
    pub direction: Direction,
}

/// What happened on the network. Arrivals, departures and responses are never lost; other events are dropped
/// and counted when the node does not keep up, transactions first.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "messages are the common case; boxing them would cost an allocation each"
)]
pub enum NetworkEvent {
    /// A peer of this chain is connected and hears what is published. A message of its may come just before.
    PeerConnected {
        /// Its number.
        peer: PeerToken,
        /// Who it is.
        info: PeerInfo,
    },
    /// Its last connection is closed.
    PeerDisconnected {
        /// Who.
        peer: PeerToken,
    },
    /// A peer was refused; it is banned for a while.
    PeerRefused {
        /// Its public identity.
        id: PeerId,
        /// Why, for the log.
        reason: String,
    },
    /// A message. Gossip goes no further until [`crate::NetworkHandle::validate`] accepts it.
    Message {
        /// Who passed it on, not necessarily who made it.
        from: PeerToken,
        /// For the verdict.
        id: MessageRef,
        /// The message.
        message: GossipMessage,
    },
    /// A peer asks.
    Request {
        /// Who asks.
        from: PeerToken,
        /// For [`crate::NetworkHandle::respond`].
        channel: ResponseToken,
        /// What it asks.
        request: SyncRequest,
    },
    /// The outcome of a request of this node.
    Response {
        /// The request.
        request_id: RequestId,
        /// Who was asked.
        from: PeerToken,
        /// The answer, of the kind asked for but otherwise unverified.
        result: Result<SyncResponse, RequestError>,
    },
}
