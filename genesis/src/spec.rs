//! The chain spec: the one JSON file that defines a chain.
//!
//! Keys are camelCase, unknown keys are refused at every level, and errors name the path of the key. Amounts are in wei and may be
//! written as hexadecimal (`"0xde0b6b3a7640000"`) or decimal (`"1000000000000000000"`) strings; they are written as hexadecimal.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, B256, Bytes, U256};
use borsh::BorshSerialize;
use serde::{Deserialize, Serialize};

use crate::{
    rules::{RulesEntry, write_entries},
    staking::StakingSpec,
    validity::SpecFault,
};

/// A spec file larger than this is refused unread.
pub const MAX_SPEC_BYTES: u64 = 16 * 1024 * 1024;

/// Everything that defines a chain. Two specs that differ in any field have different genesis hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainSpec {
    /// EIP-155 chain id, 1 to 2^53 - 1 (JavaScript wallets hold it in a double).
    pub chain_id: u64,
    /// Human name of the chain, 1 to 64 printable ASCII characters. Shown to wallets, signed by nobody.
    pub name: String,
    /// Time of block 0 in seconds since the Unix epoch.
    pub timestamp: u64,
    /// Aimed time between blocks in milliseconds, 10 to 60 000.
    pub block_interval_ms: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// EIP-1559 base fee of block 0 in wei.
    pub base_fee_initial: u64,
    /// Blocks per epoch: the validator set can change only at epoch boundaries.
    pub epoch_length: u64,
    /// A checkpoint for the parent is due at each height that is a multiple of this.
    pub checkpoint_interval: u64,
    /// The first validators.
    pub validators: Vec<GenesisValidator>,
    /// Figures of proof of stake.
    #[serde(default)]
    pub staking: StakingSpec,
    /// Where the chain is pegged; absent for a standalone development chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peg: Option<PegSpec>,
    /// Accounts that exist from the start. On a pegged chain none of them may hold coin.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alloc: BTreeMap<Address, AllocAccount>,
    /// Changes of the [rules](crate::rules) by height, ascending. Last, since only so its encoding needs no length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[borsh(serialize_with = "write_entries")]
    pub rules: Vec<RulesEntry>,
}

/// A validator of the first set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisValidator {
    /// Unique name: 1 to 32 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// Account that owns the stake; the `beneficiary` of the blocks it proposes.
    pub operator: Address,
    /// Ed25519 public key that signs consensus messages.
    pub consensus_key: B256,
    /// Address of the secp256k1 key that signs checkpoints and parent views.
    pub peg_address: Address,
    /// Stake in units of 10^-18 of the staking token, bonded by the operator itself.
    pub stake: U256,
    /// Part of the rewards that the operator keeps before they are shared, in hundredths of a percent, at most 10 000.
    #[serde(default, skip_serializing_if = "is_zero_bps")]
    pub commission_bps: u16,
}

/// The deployment on the parent chain. Its addresses follow from deployer and nonce, so genesis can name contracts that will
/// commit to genesis: the registry is created at `deployer_nonce` and the vault at the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PegSpec {
    /// Chain id of the parent.
    pub parent_chain_id: u64,
    /// The contract that holds the locked coin.
    pub vault: Address,
    /// The contract that verifies checkpoints.
    pub registry: Address,
    /// Account that deploys both.
    pub deployer: Address,
    /// Nonce of the registry's deployment transaction.
    pub deployer_nonce: u64,
}

/// An account of the initial state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, BorshSerialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllocAccount {
    /// Coin in wei; must be zero on a pegged chain.
    #[serde(default, skip_serializing_if = "U256::is_zero")]
    pub balance: U256,
    /// Transaction count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nonce: u64,
    /// Runtime code.
    #[serde(default, skip_serializing_if = "has_no_code")]
    pub code: Bytes,
    /// Storage slots; zero values are refused because they would not exist in the state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub storage: BTreeMap<U256, U256>,
}

fn has_no_code(code: &Bytes) -> bool {
    code.is_empty()
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_zero_bps(value: &u16) -> bool {
    *value == 0
}

/// Why a spec could not be read. All of these are the operator's to fix.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_SPEC_BYTES`].
    #[error("{path} is larger than {MAX_SPEC_BYTES} bytes: not a chain spec")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not JSON, or not this JSON.
    #[error("chain spec, at {at}: {reason}")]
    Json {
        /// Path of the key, such as `validators[2].stake`.
        at: String,
        /// What is wrong there.
        reason: String,
    },
    /// Well-formed, but no valid chain.
    #[error("chain spec is invalid: {0}")]
    Invalid(#[from] SpecFault),
}

impl ChainSpec {
    /// Parses and validates a spec.
    pub fn from_json(json: &str) -> Result<Self, SpecError> {
        let spec = Self::draft_from_json(json)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Parses a spec without validating it: during the ceremony a spec has too few validators for a while.
    pub fn draft_from_json(json: &str) -> Result<Self, SpecError> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let spec = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let at = error.path().to_string();
            SpecError::Json {
                at: if at == "." { "the top level".into() } else { at },
                reason: error.into_inner().to_string(),
            }
        })?;
        deserializer.end().map_err(|error| SpecError::Json { at: "the end".into(), reason: error.to_string() })?;
        Ok(spec)
    }

    /// Reads and validates a spec file.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        Self::from_json(&read_bounded(path)?)
    }

    /// Reads a spec file that may be unfinished.
    pub fn load_draft(path: &Path) -> Result<Self, SpecError> {
        Self::draft_from_json(&read_bounded(path)?)
    }

    /// The spec as indented JSON with a final newline. Parsing it gives an equal spec.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a spec has only string keys, so it always serialises");
        json.push('\n');
        json
    }

    /// Writes the spec as JSON.
    pub fn save(&self, path: &Path) -> Result<(), SpecError> {
        std::fs::write(path, self.to_json()).map_err(|source| SpecError::Write { path: path.into(), source })
    }

    /// Checks every rule of [`crate::validity`] and returns the first that is broken.
    pub fn validate(&self) -> Result<(), SpecFault> {
        crate::validity::check(self)
    }
}

fn read_bounded(path: &Path) -> Result<String, SpecError> {
    let read = |source| SpecError::Read { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(read)?;
    let mut text = String::new();
    let limit = MAX_SPEC_BYTES.checked_add(1).expect("the limit is far below 2^64");
    let length = file.take(limit).read_to_string(&mut text).map_err(read)?;
    if u64::try_from(length).is_ok_and(|length| length > MAX_SPEC_BYTES) {
        return Err(SpecError::TooLarge { path: path.into() });
    }
    Ok(text)
}
