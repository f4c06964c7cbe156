//! `testnet.json`: the description of a running testnet for scripts, tests and people.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256};
use eyre::WrapErr as _;
use serde::{Deserialize, Serialize};

/// The whole record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestnetRecord {
    /// EIP-155 chain id of the sidechain.
    pub chain_id: u64,
    /// Hash of block 0: the chain's identity.
    pub genesis_hash: B256,
    /// HTTP JSON-RPC, one URL for each of `validators`.
    pub rpc: Vec<String>,
    /// WebSocket JSON-RPC, one URL for each of `validators`.
    pub ws: Vec<String>,
    /// The parent chain.
    pub parent: ParentRecord,
    /// The ten development accounts. Their keys are public.
    pub accounts: Vec<AccountRecord>,
    /// The validators of genesis, then the nodes that `testnet/node add` made, also those that do not validate yet.
    pub validators: Vec<ValidatorRecord>,
    /// The genesis file.
    pub genesis: PathBuf,
    /// Process id of the launcher.
    pub launcher_pid: u32,
}

/// The parent chain and the contracts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentRecord {
    /// HTTP JSON-RPC.
    pub rpc: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The contract that holds the locked coin.
    pub vault: Address,
    /// The contract that verifies checkpoints.
    pub registry: Address,
    /// Process id of the embedded parent; absent when the parent is not the embedded one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Data directory of the embedded parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// A development account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountRecord {
    /// Its address.
    pub address: Address,
    /// Its key, which is public.
    pub private_key: B256,
}

/// A process of the sidechain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatorRecord {
    /// Name for `testnet/fault`, and in genesis.
    pub name: String,
    /// Address of its operator key (`keys/operator.key`): beneficiary of the blocks it proposes, once that account registered it.
    pub address: Address,
    /// HTTP and WebSocket JSON-RPC.
    pub rpc: String,
    /// Multiaddress other nodes can boot from.
    pub p2p: String,
    /// Prometheus metrics.
    pub metrics: String,
    /// Process id; absent while the process is stopped.
    pub pid: Option<u32>,
    /// Data directory.
    pub dir: PathBuf,
}

impl TestnetRecord {
    /// Reads the record of the testnet in `directory`.
    pub fn load(directory: &Path) -> eyre::Result<Self> {
        let path = path(directory);
        let text = std::fs::read_to_string(&path)
            .wrap_err_with(|| format!("no testnet in {}: start one with testnet/up", directory.display()))?;
        serde_json::from_str(&text).wrap_err_with(|| format!("{} is damaged", path.display()))
    }

    /// Replaces the record, so that a reader sees either the old or the new one.
    pub fn save(&self, directory: &Path) -> eyre::Result<()> {
        let path = path(directory);
        let new = path.with_extension("json.new");
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&new, text).wrap_err_with(|| format!("cannot write {}", new.display()))?;
        std::fs::rename(&new, &path).wrap_err_with(|| format!("cannot replace {}", path.display()))
    }
}

/// Path of the record.
pub fn path(directory: &Path) -> PathBuf {
    directory.join("testnet.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record() -> TestnetRecord {
        TestnetRecord {
            chain_id: 7,
            genesis_hash: B256::repeat_byte(1),
            rpc: vec!["http://127.0.0.1:1".into()],
            ws: vec!["ws://127.0.0.1:1".into()],
            parent: ParentRecord {
                rpc: "http://127.0.0.1:2".into(),
                chain_id: 8,
                vault: Address::repeat_byte(2),
                registry: Address::repeat_byte(3),
                pid: None,
                dir: None,
            },
            accounts: vec![AccountRecord { address: Address::repeat_byte(4), private_key: B256::repeat_byte(5) }],
            validators: Vec::new(),
            genesis: "genesis.json".into(),
            launcher_pid: 9,
        }
    }

    #[test]
    fn a_record_survives_a_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        record().save(directory.path()).unwrap();
        assert_eq!(TestnetRecord::load(directory.path()).unwrap(), record());
    }

    #[test]
    fn keys_are_the_documented_ones() {
        let json = serde_json::to_value(record()).unwrap();
        for key in ["chainId", "genesisHash", "rpc", "ws", "parent", "accounts", "validators"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert!(json["parent"].get("vault").is_some() && json["accounts"][0].get("privateKey").is_some());
    }

    #[test]
    fn a_missing_record_says_how_to_get_one() {
        let directory = tempfile::tempdir().unwrap();
        let error = TestnetRecord::load(directory.path()).unwrap_err();
        assert!(error.to_string().contains("testnet/up"));
    }
}
