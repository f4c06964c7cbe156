//! Nodes on free loopback ports, and waiting for their events.

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{ConsensusMessage, Height, PartRequest};
use causeway_network::{
    GossipMessage, Multiaddr, NetworkConfig, NetworkEvent, NetworkHandle, PeerId, PeerToken, Verdict, start,
};
use tokio::sync::mpsc;

/// Nothing in these tests takes seconds. The time is for machines under load.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const CHAIN: B256 = B256::repeat_byte(0xc0);

pub(crate) struct Node {
    pub(crate) handle: NetworkHandle,
    pub(crate) events: mpsc::Receiver<NetworkEvent>,
}

pub(crate) fn config(seed: u8, bootnodes: &[Multiaddr]) -> NetworkConfig {
    let mut config = NetworkConfig::new(CHAIN, [seed; 32]);
    config.bootnodes = bootnodes.to_vec();
    config.heartbeat_ms = 100;
    config
}

pub(crate) async fn node(config: NetworkConfig) -> Node {
    let (handle, events) = start(config).await.unwrap();
    Node { handle, events }
}

/// `count` nodes. All but the first have the first as their bootnode.
pub(crate) async fn network(count: u8) -> Vec<Node> {
    let mut nodes = vec![node(config(1, &[])).await];
    let bootnodes = nodes[0].handle.listen_addrs();
    for seed in 2..=count {
        nodes.push(node(config(seed, &bootnodes)).await);
    }
    nodes
}

/// A row of `count` nodes, each connected to its neighbours only.
pub(crate) async fn line(count: u8) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for seed in 1..=count {
        let bootnodes = nodes.last().map(|node| node.handle.listen_addrs()).unwrap_or_default();
        let mut config = config(seed, &bootnodes);
        config.discover = false;
        nodes.push(node(config).await);
    }
    for (place, node) in nodes.iter().enumerate() {
        let neighbours = if place == 0 || place + 1 == nodes.len() { 1 } else { 2 };
        node.wait_for_peers(neighbours).await;
    }
    nodes
}

/// A consensus message with this height, which tells it from others.
pub(crate) fn message(height: u64) -> ConsensusMessage {
    ConsensusMessage::PartRequest(PartRequest { height: Height(height), root: B256::ZERO, indices: vec![0] })
}

pub(crate) fn gossip(height: u64) -> GossipMessage {
    GossipMessage::Consensus(message(height))
}

pub(crate) fn transaction(tag: u8, length: usize) -> Bytes {
    Bytes::from(vec![tag; length])
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out: {what}"),
    }
}

impl Node {
    pub(crate) async fn wait_for_peers(&self, count: usize) {
        let mut peers = self.handle.watch_peers();
        let met = peers.wait_for(|peers| peers.len() == count);
        let len = self.handle.peers().len();
        within(&format!("{count} peers, {len} now"), met).await.unwrap();
    }

    pub(crate) fn token(&self, id: PeerId) -> PeerToken {
        self.handle.peers().into_iter().find(|peer| peer.id == id).unwrap().peer
    }

    /// The next event for which `wanted` gives a value. Other events are skipped.
    pub(crate) async fn next<T>(&mut self, what: &str, mut wanted: impl FnMut(NetworkEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.expect("the network task ended");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
    }

    /// The next message. The verdict on it is given.
    pub(crate) async fn next_message(&mut self, verdict: Option<Verdict>) -> (PeerToken, GossipMessage) {
        let handle = self.handle.clone();
        self.next("a message", |event| match event {
            NetworkEvent::Message { from, id, message } => {
                if let Some(verdict) = verdict {
                    handle.validate(id, verdict);
                }
                Some((from, message))
            }
            _ => None,
        })
        .await
    }
}
