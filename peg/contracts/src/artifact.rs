//! The committed compiler output.

use std::{collections::BTreeMap, sync::LazyLock};

use alloy_primitives::Bytes;
use serde::Deserialize;

/// One contract, as written by `compile.mjs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// Name in the source.
    pub contract_name: String,
    /// Compiler version.
    pub compiler: String,
    /// Solidity's JSON ABI.
    pub abi: serde_json::Value,
    /// Creation code, without constructor arguments.
    pub bytecode: Bytes,
    /// Code as deployed, with immutables zero.
    pub deployed_bytecode: Bytes,
    /// The positions of each immutable's word in the deployed code, by name.
    pub immutable_references: BTreeMap<String, Vec<Place>>,
}

/// A range of the deployed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub length: usize,
}

macro_rules! artifact {
    ($path:literal) => {
        LazyLock::new(|| {
            serde_json::from_str(include_str!(concat!("../artifacts/", $path)))
                .expect("the committed artifacts were written by compile.mjs")
        })
    };
}

/// `CheckpointRegistry`.
pub static REGISTRY: LazyLock<Artifact> = artifact!("CheckpointRegistry.json");
/// `PegVault`.
pub static VAULT: LazyLock<Artifact> = artifact!("PegVault.json");

/// Contracts that only tests and the load tool deploy.
pub mod test_contracts {
    use super::{Artifact, LazyLock};

    /// An ERC-20.
    pub static TOKEN: LazyLock<Artifact> = artifact!("test/TestToken.json");
    /// Storage, events and failures.
    pub static PROBE: LazyLock<Artifact> = artifact!("test/TestProbe.json");
    /// A hostile recipient of claims.
    pub static RECIPIENT: LazyLock<Artifact> = artifact!("test/TestRecipient.json");
}
