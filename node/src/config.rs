//! `config/node.toml`: the operator's settings, with defaults, bounds and errors that name the key.
//!
//! Precedence: command-line flag, environment variable, this file, default. Unknown keys are errors.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use causeway_records::paths;
use causeway_rpc::{RpcConfig, RpcLimits};
use causeway_signer::SignerSection;
use serde::{Deserialize, Serialize};

use crate::trust::TrustedCheckpoint;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The node's identity.
    pub node: NodeSection,
    /// The peer-to-peer network.
    pub p2p: P2pSection,
    /// The remote signer, if the validator's keys are not on this node.
    pub signer: SignerSection,
    /// JSON-RPC.
    pub rpc: RpcSection,
    /// Prometheus metrics, health and readiness.
    pub metrics: MetricsSection,
    /// The parent chain's endpoints.
    pub parent: ParentSection,
    /// Submitting checkpoints to the parent.
    pub relayer: RelayerSection,
    /// Consensus time-outs.
    pub consensus: ConsensusSection,
    /// Transaction pool limits.
    pub mempool: MempoolSection,
    /// Storage.
    pub storage: StorageSection,
    /// The trusted history for catch-up.
    pub sync: SyncSection,
}

/// The node's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    /// A name for logs and `web3_clientVersion`; it has no meaning on the chain.
    pub moniker: String,
    /// Path of the genesis file, relative to the data directory.
    pub genesis: PathBuf,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self { moniker: "causeway".into(), genesis: "config/genesis.json".into() }
    }
}

/// The peer-to-peer network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct P2pSection {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses of nodes to start from, each ending in `/p2p/<peer id>`.
    pub bootnodes: Vec<String>,
    /// Gossip heartbeat in milliseconds, 50 to 5,000; below the block interval.
    pub heartbeat_ms: u64,
}

impl Default for P2pSection {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/30303".into(), "/ip4/0.0.0.0/udp/30303/quic-v1".into()],
            bootnodes: Vec::new(),
            heartbeat_ms: 200,
        }
    }
}

/// JSON-RPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcSection {
    /// Address for HTTP and WebSocket.
    pub listen: SocketAddr,
    /// Allowed values of the Host header, in addition to localhost and IP addresses.
    pub allowed_hosts: Vec<String>,
    /// Allowed browser origins; `*` allows all.
    pub cors_origins: Vec<String>,
    /// Limits on the cost of one request, of one connection, and of all of them.
    pub limits: RpcLimits,
}

impl Default for RpcSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8545)),
            allowed_hosts: Vec::new(),
            cors_origins: vec!["*".into()],
            limits: RpcLimits::default(),
        }
    }
}

impl RpcSection {
    /// The settings of the JSON-RPC server.
    pub fn server(&self) -> RpcConfig {
        RpcConfig {
            listen: self.listen,
            cors_origins: self.cors_origins.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            limits: self.limits.clone(),
        }
    }
}

/// Prometheus metrics, health and readiness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Address for `/metrics`, `/health` and `/ready`.
    pub listen: SocketAddr,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

/// The parent chain's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParentSection {
    /// JSON-RPC URLs of the parent chain. None: this node attests no deposits. Two or more: their answers must agree.
    pub endpoints: Vec<String>,
    /// Interval between requests to the endpoints, in milliseconds, 100 to 60,000.
    pub poll_ms: u64,
    /// First parent block to search for deposits, on a node that has imported none. The vault's deployment block avoids reading older blocks.
    pub from_height: u64,
}

impl Default for ParentSection {
    fn default() -> Self {
        Self { endpoints: Vec::new(), poll_ms: 1_000, from_height: 0 }
    }
}

/// Submitting checkpoints to the parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RelayerSection {
    /// File with the hex key of a funded account on the parent, relative to the data directory. None: this node relays nothing.
    pub key_file: Option<PathBuf>,
    /// Seconds that this node waits for other relayers to submit first, so that several relayers do not all pay.
    pub delay_s: u64,
}

/// Consensus time-outs in milliseconds; each round adds `timeout_delta_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsensusSection {
    /// Wait for a proposal, 50 to 60,000.
    pub timeout_propose_ms: u64,
    /// Wait for more prevotes after more than two thirds prevoted without agreement, 50 to 60,000.
    pub timeout_prevote_ms: u64,
    /// Wait for more precommits after more than two thirds precommitted without agreement, 50 to 60,000.
    pub timeout_precommit_ms: u64,
    /// Added to each of the three for every round, 0 to 60,000.
    pub timeout_delta_ms: u64,
    /// Time without progress after which the node sends its votes again, 100 to 60,000.
    pub timeout_rebroadcast_ms: u64,
}

impl Default for ConsensusSection {
    fn default() -> Self {
        Self {
            timeout_propose_ms: 1_500,
            timeout_prevote_ms: 500,
            timeout_precommit_ms: 500,
            timeout_delta_ms: 250,
            timeout_rebroadcast_ms: 1_000,
        }
    }
}

/// Transaction pool limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MempoolSection {
    /// Most transactions in the pool.
    pub max_transactions: usize,
    /// Most bytes of encoded transactions in the pool.
    pub max_bytes: usize,
    /// Most transactions of one sender.
    pub per_sender: usize,
}

impl Default for MempoolSection {
    fn default() -> Self {
        Self { max_transactions: 50_000, max_bytes: 64 << 20, per_sender: 4_096 }
    }
}

/// Storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    /// Blocks of state history to keep; `None` keeps all (an archive node).
    pub history_blocks: Option<u64>,
}

/// The trusted history for catch-up. A node whose head is older than the unbonding period needs one of the two settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SyncSection {
    /// A recent block that must be in the history, as `HEIGHT:HASH`, from a source the operator trusts.
    pub trusted_checkpoint: Option<String>,
    /// Whether to trust the peers' history, however old this node's head is.
    pub trust_history: bool,
}

impl SyncSection {
    /// The parsed trusted checkpoint.
    ///
    /// # Errors
    /// [`ConfigError::Range`] when it is not `HEIGHT:HASH`.
    pub fn trusted_checkpoint(&self) -> Result<Option<TrustedCheckpoint>, ConfigError> {
        let Some(text) = &self.trusted_checkpoint else { return Ok(None) };
        let checkpoint = text.parse().map_err(|_| ConfigError::Range {
            key: "sync.trusted_checkpoint",
            value: format!("{text:?}"),
            range: "HEIGHT:HASH, such as 12345:0x0123...ef with 64 hex digits",
        })?;
        Ok(Some(checkpoint))
    }
}

/// Why a configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}. Create a data directory with `causeway init --dir DIR --genesis FILE`.")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or has an unknown key or a wrong type.
    #[error("{path} is not a valid configuration: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause, with line and column.
        source: Box<toml::de::Error>,
    },
    /// A value is out of its range.
    #[error("{key} is {value}, it must be {range}")]
    Range {
        /// The key, dotted.
        key: &'static str,
        /// The value found.
        value: String,
        /// The range allowed.
        range: &'static str,
    },
    /// A limit of the JSON-RPC server is zero.
    #[error("in the section rpc.limits: {0}")]
    RpcLimits(#[from] causeway_rpc::ZeroLimit),
}

impl NodeConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the key, and what is allowed.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source: Box::new(source) })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`ConfigError::Range`] with the first key out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |key, value: u64, low, high, range| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Range { key, value: value.to_string(), range })
            }
        };
        range("p2p.heartbeat_ms", self.p2p.heartbeat_ms, 50, 5_000, "50 to 5000 milliseconds")?;
        range("signer.timeout_ms", self.signer.timeout_ms, 50, 5_000, "50 to 5000 milliseconds")?;
        range("parent.poll_ms", self.parent.poll_ms, 100, 60_000, "100 to 60000 milliseconds")?;
        range(
            "consensus.timeout_propose_ms",
            self.consensus.timeout_propose_ms,
            50,
            60_000,
            "50 to 60000 milliseconds",
        )?;
        range(
            "consensus.timeout_prevote_ms",
            self.consensus.timeout_prevote_ms,
            50,
            60_000,
            "50 to 60000 milliseconds",
        )?;
        range(
            "consensus.timeout_precommit_ms",
            self.consensus.timeout_precommit_ms,
            50,
            60_000,
            "50 to 60000 milliseconds",
        )?;
        range("consensus.timeout_delta_ms", self.consensus.timeout_delta_ms, 0, 60_000, "0 to 60000 milliseconds")?;
        range(
            "consensus.timeout_rebroadcast_ms",
            self.consensus.timeout_rebroadcast_ms,
            100,
            60_000,
            "100 to 60000 milliseconds",
        )?;
        range("mempool.max_transactions", self.mempool.max_transactions as u64, 16, 1_000_000, "16 to 1000000")?;
        range("mempool.max_bytes", self.mempool.max_bytes as u64, 1 << 20, 4 << 30, "1 MiB to 4 GiB")?;
        range("mempool.per_sender", self.mempool.per_sender as u64, 1, 100_000, "1 to 100000")?;
        range("relayer.delay_s", self.relayer.delay_s, 0, 86_400, "0 to 86400 seconds")?;
        if let Some(blocks) = self.storage.history_blocks {
            range("storage.history_blocks", blocks, 128, u64::MAX, "at least 128 (leave it out to keep all)")?;
        }
        self.rpc.limits.check()?;
        self.sync.trusted_checkpoint()?;
        if self.p2p.listen.is_empty() {
            return Err(ConfigError::Range {
                key: "p2p.listen",
                value: "empty".into(),
                range: "one multiaddress or more",
            });
        }
        if self.parent.endpoints.len() > 8 {
            return Err(ConfigError::Range {
                key: "parent.endpoints",
                value: self.parent.endpoints.len().to_string(),
                range: "8 endpoints or fewer",
            });
        }
        Ok(())
    }

    /// The content of the file, for `causeway init` and the testnet launcher.
    ///
    /// # Errors
    /// Never for a configuration built in code; the serialiser's error otherwise.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

/// The paths in a data directory.
#[derive(Debug, Clone)]
pub struct DataDir(pub PathBuf);

impl DataDir {
    /// `config/node.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.0.join("config/node.toml")
    }

    /// `config/genesis.json`.
    pub fn genesis_file(&self) -> PathBuf {
        self.0.join("config/genesis.json")
    }

    /// `keys/`.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// `data/chain`: the database.
    pub fn chain(&self) -> PathBuf {
        self.0.join("data/chain")
    }

    /// `data/consensus.wal`: the write-ahead log.
    pub fn wal(&self) -> PathBuf {
        paths::wal(&self.0)
    }

    /// `data/sign_state`: the last signatures of the consensus key.
    pub fn sign_state(&self) -> PathBuf {
        paths::sign_state(&self.0)
    }

    /// `data/peg_sign_state`: the last signatures of the peg key.
    pub fn peg_sign_state(&self) -> PathBuf {
        paths::peg_sign_state(&self.0)
    }

    /// `run/`: process id and addresses in use.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use causeway_signer::SignerAddress;

    use super::*;

    fn parse(text: &str) -> Result<NodeConfig, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::load(&path)
    }

    #[test]
    fn an_empty_file_is_the_defaults_and_they_round_trip() {
        let config = parse("").unwrap();
        assert_eq!(config, NodeConfig::default());
        assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = parse("[rpc]\nlistn = \"127.0.0.1:1\"\n").unwrap_err().to_string();
        assert!(error.contains("listn"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let error = parse("[parent]\npoll_ms = 1\n").unwrap_err().to_string();
        assert_eq!(error, "parent.poll_ms is 1, it must be 100 to 60000 milliseconds");
    }

    #[test]
    fn every_rpc_limit_of_the_file_reaches_the_server() {
        let defaults = serde_json::to_value(RpcLimits::default()).unwrap();
        let text: String = defaults
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name} = {}\n", value.as_u64().unwrap() + 1))
            .collect();
        let server = parse(&format!("[rpc.limits]\n{text}")).unwrap().rpc.server();
        let changed = serde_json::to_value(&server.limits).unwrap();
        for (name, value) in defaults.as_object().unwrap() {
            assert_eq!(changed[name].as_u64().unwrap(), value.as_u64().unwrap() + 1, "{name}");
        }
    }

    #[test]
    fn an_rpc_limit_of_zero_is_named() {
        let error = parse("[rpc.limits]\nlogs = 0\n").unwrap_err().to_string();
        assert_eq!(error, "in the section rpc.limits: the JSON-RPC limit logs is 0: set it to 1 or more");
    }

    #[test]
    fn a_remote_signer_is_named_by_its_address() {
        let config = parse("[signer]\naddress = \"unix:run/signer.sock\"\n").unwrap();
        assert_eq!(config.signer.address, Some(SignerAddress::Unix("run/signer.sock".into())));
        assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
        let error = parse("[signer]\naddress = \"localhost\"\n").unwrap_err().to_string();
        assert!(error.contains("unix:PATH or IP:PORT"), "{error}");
    }

    #[test]
    fn a_trusted_checkpoint_that_is_none_is_named() {
        let text = format!("[sync]\ntrusted_checkpoint = \"7:0x{}\"\n", "ab".repeat(32));
        assert_eq!(parse(&text).unwrap().sync.trusted_checkpoint().unwrap().unwrap().height, 7);
        let error = parse("[sync]\ntrusted_checkpoint = \"7\"\n").unwrap_err().to_string();
        assert!(error.starts_with("sync.trusted_checkpoint is \"7\", it must be HEIGHT:HASH"), "{error}");
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let error = NodeConfig::load(Path::new("/nonexistent/node.toml")).unwrap_err().to_string();
        assert!(error.contains("causeway init"), "{error}");
    }
}
