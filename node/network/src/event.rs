//! What the network reports to the node.

use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use libp2p::{Multiaddr, PeerId};

use crate::message::GossipMessage;
use crate::sync::{RequestError, SyncRequest, SyncResponse};

/// The number under which the node knows a peer. A peer keeps its number when it reconnects. No two peers ever
/// have the same number.
pub type PeerToken = u64;

/// A sync request of this node. Exactly one [`NetworkEvent::Response`] follows each.
pub type RequestId = u64;

/// A message that waits for the verdict of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRef {
    /// `None`: the message was sent to this node only, so nothing has to be forwarded.
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
    /// Useful: forward it.
    Accept,
    /// Neither useful nor a fault, such as a message of a past height: do not forward it.
    Ignore,
    /// No honest node makes or forwards this message: do not forward it, and penalise the peer that sent it.
    Reject,
}

/// Which side opened a connection.
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
    /// The remote address of its first connection.
    pub address: Multiaddr,
    /// The software that it claims to run, cut to 64 characters.
    pub agent: String,
    /// Which side opened its first connection.
    pub direction: Direction,
}

/// An event of the network. Arrivals, departures and responses are never lost. When the node does not keep up,
/// other events are dropped and counted, transactions first.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "messages are the common case; boxing them would cost an allocation each"
)]
pub enum NetworkEvent {
    /// A peer of this chain is connected and receives gossip. A message from it may come just before.
    PeerConnected {
        /// Its number.
        peer: PeerToken,
        /// Its description.
        info: PeerInfo,
    },
    /// The last connection to a peer is closed.
    PeerDisconnected {
        /// Its number.
        peer: PeerToken,
    },
    /// A peer was refused and is banned for a while.
    PeerRefused {
        /// Its public identity.
        id: PeerId,
        /// The reason, for the log.
        reason: String,
    },
    /// A message. Gossip is forwarded only after [`crate::NetworkHandle::validate`] accepts it.
    Message {
        /// The peer that sent it, which may not be its author.
        from: PeerToken,
        /// The reference for the verdict.
        id: MessageRef,
        /// The message.
        message: GossipMessage,
    },
    /// A request from a peer.
    Request {
        /// The peer.
        from: PeerToken,
        /// The argument for [`crate::NetworkHandle::respond`].
        channel: ResponseToken,
        /// Its request.
        request: SyncRequest,
    },
    /// The outcome of a request of this node.
    Response {
        /// The request.
        request_id: RequestId,
        /// The peer that was asked.
        from: PeerToken,
        /// The answer. Its kind fits the request; nothing else is verified.
        result: Result<SyncResponse, RequestError>,
    },
}
