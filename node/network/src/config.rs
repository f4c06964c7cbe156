//! The operator's settings.

use std::time::Duration;

use alloy_primitives::B256;
use libp2p::Multiaddr;

use crate::metrics::NetworkMetrics;

/// A node's part in the network.
#[derive(Clone)]
pub struct NetworkConfig {
    /// Hash of the genesis block. Nodes of other chains are refused.
    pub chain: B256,
    /// Addresses to listen on: TCP (`/ip4/../tcp/..`) and QUIC (`/ip4/../udp/../quic-v1`). Port 0 takes a free port.
    pub listen: Vec<Multiaddr>,
    /// Nodes to connect to first. Each address ends in `/p2p/<peer id>`.
    pub bootnodes: Vec<Multiaddr>,
    /// Whether to search for more peers than the configured ones. Others may connect to this node in any case.
    pub discover: bool,
    /// Addresses at which others reach this node, if they differ from those it listens on.
    pub advertise: Vec<Multiaddr>,
    /// The ed25519 secret of this node's identity among its peers.
    pub key: [u8; 32],
    /// Gossip heartbeat in milliseconds, shorter than the block interval. Its range is [`crate::limits::HEARTBEAT_MS`].
    pub heartbeat_ms: u64,
    /// Name and version of the software, as told to peers.
    pub agent: String,
    /// Limits that depend on the machine.
    pub limits: NetworkLimits,
    /// Counters. The node may register them with its registry.
    pub metrics: NetworkMetrics,
}

impl NetworkConfig {
    /// A configuration that listens on free loopback ports and has no bootnodes.
    #[must_use]
    pub fn new(chain: B256, key: [u8; 32]) -> Self {
        Self {
            chain,
            listen: ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]
                .iter()
                .filter_map(|address| address.parse().ok())
                .collect(),
            bootnodes: Vec::new(),
            discover: true,
            advertise: Vec::new(),
            key,
            heartbeat_ms: 250,
            agent: concat!("causeway/", env!("CARGO_PKG_VERSION")).into(),
            limits: NetworkLimits::default(),
            metrics: NetworkMetrics::default(),
        }
    }
}

impl std::fmt::Debug for NetworkConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkConfig")
            .field("chain", &self.chain)
            .field("listen", &self.listen)
            .field("bootnodes", &self.bootnodes)
            .field("heartbeat_ms", &self.heartbeat_ms)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Limits that depend on the machine, and deadlines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkLimits {
    /// Most connections at the same time.
    pub max_connections: u32,
    /// Most of these that peers opened. The others remain for peers that this node chooses.
    pub max_inbound_connections: u32,
    /// Most connections in their handshakes, in each direction.
    pub max_pending_connections: u32,
    /// Most connections to one peer. Two nodes that dial each other at the same time have two.
    pub max_connections_per_peer: u32,
    /// New connections are refused while the process uses more memory than this, in bytes.
    pub max_memory_bytes: usize,
    /// Number of peers to look for. With this many, the node dials no new ones.
    pub target_peers: usize,
    /// Deadline of a sync request.
    pub request_timeout: Duration,
    /// How long a ban lasts.
    pub ban: Duration,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            max_connections: 128,
            max_inbound_connections: 96,
            max_pending_connections: 64,
            max_connections_per_peer: 3,
            max_memory_bytes: 4 * 1024 * 1024 * 1024,
            target_peers: 48,
            request_timeout: Duration::from_secs(15),
            ban: Duration::from_secs(10 * 60),
        }
    }
}
