//! What the operator decides.

use std::time::Duration;

use alloy_primitives::B256;
use libp2p::Multiaddr;

use crate::metrics::NetworkMetrics;

/// How to take part in the network.
#[derive(Clone)]
pub struct NetworkConfig {
    /// Hash of the genesis block. Nodes of another chain are refused.
    pub chain: B256,
    /// Where to listen: TCP (`/ip4/../tcp/..`) and QUIC (`/ip4/../udp/../quic-v1`). Port 0 takes a free one.
    pub listen: Vec<Multiaddr>,
    /// Nodes to start from, each ending in `/p2p/<peer id>`.
    pub bootnodes: Vec<Multiaddr>,
    /// Whether to look for more peers than those configured. Others may still connect to this node.
    pub discover: bool,
    /// Addresses under which others reach this node, when they differ from the ones it listens on.
    pub advertise: Vec<Multiaddr>,
    /// The ed25519 secret that is this node's identity among its peers.
    pub key: [u8; 32],
    /// Gossip heartbeat in milliseconds; below the block interval. Bounded by [`crate::limits::HEARTBEAT_MS`].
    pub heartbeat_ms: u64,
    /// Software name and version told to peers.
    pub agent: String,
    /// Bounds that depend on the machine.
    pub limits: NetworkLimits,
    /// Counters, possibly registered with the node's registry.
    pub metrics: NetworkMetrics,
}

impl NetworkConfig {
    /// A configuration that listens on free loopback ports and knows nobody.
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

/// Bounds that depend on the machine and on how long to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkLimits {
    /// Connections at once.
    pub max_connections: u32,
    /// Of those, connections others opened, so that some remain for the nodes this one chooses.
    pub max_inbound_connections: u32,
    /// Connections still in their handshakes, in each direction.
    pub max_pending_connections: u32,
    /// Connections to one peer. Two nodes that dial each other at once end up with two.
    pub max_connections_per_peer: u32,
    /// New connections are refused while the process uses more memory than this, in bytes.
    pub max_memory_bytes: usize,
    /// Peers to look for; beyond it the node stops dialling new ones.
    pub target_peers: usize,
    /// Deadline of a sync request.
    pub request_timeout: Duration,
    /// How long a banned peer stays so.
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
