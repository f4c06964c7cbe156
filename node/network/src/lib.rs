//! The peer-to-peer network: one libp2p swarm over TCP and QUIC.
//!
//! The crate owns connections, discovery, gossip, one-way messages and sync requests between peers, and the
//! defence against hostile peers: limits, penalties and bans. Bytes become types here. Each decoder checks its
//! limit before it allocates memory. Bytes that cannot be decoded never reach the node.
//!
//! The crate does not know the meaning of messages. It forwards gossip only after the verdict of the node, and the
//! node checks whether an answer is true.
//!
//! Nodes of different chains share only the identify protocol. It tells them so, and they disconnect. The constants
//! in [`limits`] bound all queues. When the node does not keep up, transactions are dropped before consensus
//! messages.
//!
//! Start at [`start`], [`NetworkHandle`] and [`NetworkEvent`]. The event loop is in `service`.

mod address_book;
mod batch;
mod behaviour;
mod codec;
mod config;
mod error;
mod event;
mod handle;
mod lane;
pub mod limits;
mod message;
mod metrics;
mod outbox;
mod peers;
mod protocols;
mod reputation;
mod service;
mod start;
mod sync;

pub use config::{NetworkConfig, NetworkLimits};
pub use error::NetworkError;
pub use event::{Direction, MessageRef, NetworkEvent, PeerInfo, PeerToken, RequestId, ResponseToken, Verdict};
pub use handle::NetworkHandle;
pub use libp2p::{Multiaddr, PeerId};
pub use message::{DecodeError, GossipMessage, Topic};
pub use metrics::NetworkMetrics;
pub use reputation::PenaltyReason;
pub use start::{peer_id, start};
pub use sync::{RequestError, SyncRequest, SyncResponse};
