//! A node's data directory as its operator sees it: where its files are, and what the testnet sets in `config/node.toml`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::ports::NodePorts;

/// File with a node's relayer key, in its `keys` directory.
pub const RELAYER_KEY: &str = "relayer.key";
/// Seconds by which each relayer lets the one before it go first.
const RELAYER_STAGGER_S: u64 = 5;
/// How often a node of the testnet asks the parent, in milliseconds.
const PARENT_POLL_MS: u64 = 500;

/// Paths inside a node's data directory.
#[derive(Clone, Debug)]
pub struct NodeFiles(pub PathBuf);

impl NodeFiles {
    /// The node's settings.
    pub fn config(&self) -> PathBuf {
        self.0.join("config/node.toml")
    }

    /// The node's copy of the genesis file.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("config/genesis.json")
    }

    /// Key files.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The write-ahead log of consensus.
    pub fn wal(&self) -> PathBuf {
        self.0.join("data/consensus.wal")
    }

    /// What the consensus key has signed last.
    pub fn sign_state(&self) -> PathBuf {
        self.0.join("data/sign_state")
    }

    /// Exists while the node serves, and says on which addresses.
    pub fn addresses(&self) -> PathBuf {
        self.0.join("run/node.json")
    }
}

/// What the testnet sets in `config/node.toml`. Every other setting keeps its default; the node refuses what is out of range.
#[derive(Clone, Debug, Serialize)]
pub struct NodeSettings {
    node: NodeSection,
    p2p: P2pSection,
    rpc: Listen,
    metrics: Listen,
    parent: ParentSection,
    relayer: RelayerSection,
}

#[derive(Clone, Debug, Serialize)]
struct NodeSection {
    moniker: String,
}

#[derive(Clone, Debug, Serialize)]
struct P2pSection {
    listen: Vec<String>,
    bootnodes: Vec<String>,
    heartbeat_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Listen {
    listen: SocketAddr,
}

#[derive(Clone, Debug, Default, Serialize)]
struct ParentSection {
    endpoints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct RelayerSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<PathBuf>,
    delay_s: u64,
}

impl NodeSettings {
    /// Settings of a node on this machine's loopback.
    pub fn new(name: &str, ports: NodePorts, bootnodes: Vec<String>, block_interval_ms: u64) -> Self {
        let at = |port| Listen { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        let tcp = format!("/ip4/127.0.0.1/tcp/{}", ports.p2p);
        let quic = format!("/ip4/127.0.0.1/udp/{}/quic-v1", ports.p2p);
        let heartbeat_ms = (block_interval_ms / 4).clamp(50, 200);
        Self {
            node: NodeSection { moniker: name.to_owned() },
            p2p: P2pSection { listen: vec![tcp, quic], bootnodes, heartbeat_ms },
            rpc: at(ports.rpc),
            metrics: at(ports.metrics),
            parent: ParentSection::default(),
            relayer: RelayerSection::default(),
        }
    }

    /// The node's name.
    pub fn moniker(&self) -> &str {
        &self.node.moniker
    }

    /// Leaves out QUIC: the network's faults act on TCP connections.
    pub fn only_tcp(&mut self) {
        self.p2p.listen.retain(|address| address.contains("/tcp/"));
    }

    /// Lets the node watch the parent.
    pub fn watch_parent(&mut self, parent: &str) {
        self.parent = ParentSection { endpoints: vec![parent.to_owned()], poll_ms: Some(PARENT_POLL_MS) };
    }

    /// Lets the node relay checkpoints to the parent, after `position` others had their chance.
    pub fn relay(&mut self, position: usize) -> eyre::Result<()> {
        self.relayer.key_file = Some(Path::new("keys").join(RELAYER_KEY));
        self.relayer.delay_s = u64::try_from(position)?.saturating_mul(RELAYER_STAGGER_S);
        Ok(())
    }

    /// The text of `config/node.toml`.
    pub fn to_toml(&self) -> eyre::Result<String> {
        Ok(toml::to_string(self)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The bounds are those of the settings' reference: 50 to 5,000 ms, and below the block interval.
    #[test]
    fn settings_are_in_range_for_every_block_interval() {
        for interval in [100, 250, 1_000, 60_000] {
            let ports = NodePorts { rpc: 1, p2p: 2, metrics: 3 };
            let mut settings = NodeSettings::new("v", ports, Vec::new(), interval);
            settings.watch_parent("http://127.0.0.1:1");
            settings.relay(3).unwrap();
            let file: toml::Table = settings.to_toml().unwrap().parse().unwrap();
            let heartbeat = file["p2p"]["heartbeat_ms"].as_integer().unwrap();
            assert!((50..=5_000).contains(&heartbeat) && heartbeat < interval.cast_signed(), "{heartbeat}");
            assert_eq!(file["relayer"]["delay_s"].as_integer(), Some(15));
            assert_eq!(file["parent"]["poll_ms"].as_integer(), Some(500));
        }
    }
}
