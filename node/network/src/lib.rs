//! The peer-to-peer network: one libp2p swarm over TCP and QUIC.
//!
//! The crate owns connections, discovery, gossip, one-way messages and sync requests between peers, and the
//! defence against hostile ones: limits, penalties and bans. Bytes become types here, each within a limit
//! that is checked before memory is taken for it; what cannot be decoded never reaches the node.
//!
//! It knows nothing of what messages mean: gossip is passed on only after the node's verdict, and whether an
//! answer is true is for the node to find out.
//!
//! Nodes of different chains have no protocol in common but identify, by which they notice and part. All
//! queues are bounded by the constants in [`limits`]; when the node does not keep up, transactions are
//! dropped before consensus messages.
//!
//! Start at [`start`], [`NetworkHandle`] and [`NetworkEvent`]; the event loop is in `service`.

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
