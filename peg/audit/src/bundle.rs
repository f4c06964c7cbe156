//! All data that an audit reads from the two chains, as one JSON file.
//!
//! Evidence has a form that can be verified: headers, transactions and receipts as the bytes under their hashes and
//! roots, state as Merkle proofs. So a change of a bundle can go unnoticed only where the report says *believed*.

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_peg::PegValidator;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// Version of the bundle's JSON.
pub const BUNDLE_FORMAT: u32 = 2;
/// A larger file is refused before it is read.
pub const MAX_BUNDLE_BYTES: u64 = 1 << 30;

/// The data read from both chains for one audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// Hash of the sidechain's genesis block.
    pub genesis_hash: B256,
    /// The sidechain.
    pub sidechain: SidechainEvidence,
    /// The parent chain.
    pub parent: ParentEvidence,
}

/// The data read from the sidechain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidechainEvidence {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Height of the audit.
    pub head: u64,
    /// RLP of headers: the head, every checkpoint height, every block in `blocks`, and the headers that link it to the next
    /// checkpoint height.
    pub headers: Vec<Bytes>,
    /// Every block that minted, burned, acknowledged a validator set, or carries a handover certificate.
    pub blocks: Vec<BlockEvidence>,
    /// Every checkpoint certificate in any other block. Its signatures prove it; the rest of its block is not needed.
    pub records: Vec<RecordEvidence>,
    /// The validator sets of all epochs after genesis's, in order, up to the one announced at the head.
    pub validator_sets: Vec<SetEvidence>,
    /// Proofs of the peg's and the staking module's accounts, at the head and at the latest certified checkpoint's height.
    pub proofs: Vec<AccountEvidence>,
}

/// The validator set of an epoch. The certificate of a checkpoint of the previous epoch proves the commitment, and the
/// commitment proves the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetEvidence {
    /// The epoch in which it signs.
    pub epoch: u64,
    /// Its commitment.
    pub commitment: B256,
    /// Number of the first checkpoint of its epoch; `None` before one is due.
    pub first_checkpoint: Option<u64>,
    /// Members in committed order.
    pub validators: Vec<PegValidator>,
}

/// The content of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockEvidence {
    /// Height.
    pub number: u64,
    /// EIP-2718 encodings, in order.
    pub transactions: Vec<Bytes>,
    /// EIP-2718 encodings of the receipts, in order.
    pub receipts: Vec<Bytes>,
}

/// A recorded checkpoint certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordEvidence {
    /// Height of the block that carries it.
    pub number: u64,
    /// EIP-2718 encoding of the system transaction.
    pub transaction: Bytes,
    /// The digest in the block's `CheckpointRecorded` event.
    pub digest: B256,
}

/// An account and some of its slots after a block (`eth_getProof`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountEvidence {
    /// Height of the block.
    pub height: u64,
    /// The account.
    pub address: Address,
    /// Nonce.
    pub nonce: u64,
    /// Balance, wei.
    pub balance: U256,
    /// Hash of its code.
    pub code_hash: B256,
    /// Root of its storage trie.
    pub storage_root: B256,
    /// Nodes from the state root down.
    pub account_proof: Vec<Bytes>,
    /// Slots.
    pub storage: Vec<SlotEvidence>,
}

/// A storage slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotEvidence {
    /// Its key.
    pub slot: U256,
    /// Its value.
    pub value: U256,
    /// Nodes from the storage root down.
    pub proof: Vec<Bytes>,
}

/// The data read from the parent chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentEvidence {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The finalised block of the audit.
    pub finalized: ParentBlock,
    /// First block whose events were read.
    pub from: u64,
    /// All events of the vault and the registry from there up to the finalised block.
    pub logs: Vec<LogEvidence>,
    /// The results of the contracts' views at that block.
    pub values: ParentValues,
    /// Code at the vault's address.
    pub vault_code: Bytes,
    /// Code at the registry's address.
    pub registry_code: Bytes,
    /// Proofs of the vault's and the registry's accounts at that block; empty when the endpoint provides none.
    pub proofs: Vec<AccountEvidence>,
}

/// A block of the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentBlock {
    /// Height.
    pub height: u64,
    /// Hash.
    pub hash: B256,
    /// State root.
    pub state_root: B256,
    /// RLP of the header; `None` when the parent's headers have fields that this release does not know.
    pub header: Option<Bytes>,
}

/// An event on the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogEvidence {
    /// Emitter.
    pub address: Address,
    /// Topics.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
    /// Block height.
    pub height: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Position in the block.
    pub log_index: u64,
}

/// Results of the parent contracts' views.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentValues {
    /// The vault's balance, wei.
    pub vault_balance: U256,
    /// `locked(0)`: the native coin that the vault owes, wei.
    pub locked: U256,
    /// `depositNonce()`.
    pub deposit_nonce: u64,
    /// `depositAcc()`.
    pub deposit_acc: B256,
    /// `claimDelay()`, seconds.
    pub claim_delay_s: u64,
    /// `latest()`: number.
    pub checkpoint: u64,
    /// `latestDigest()`.
    pub checkpoint_digest: B256,
    /// `latest()`: epoch. Its set is in force at the registry, which accepts no earlier set any more.
    pub epoch: u64,
    /// `validatorSetOf(epoch)` of every epoch up to the one after `epoch`; epochs unknown to the registry are omitted.
    pub validator_sets: Vec<CommittedSet>,
}

/// The registry's result for an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommittedSet {
    /// The epoch.
    pub epoch: u64,
    /// `validatorSetOf(epoch)`.
    pub commitment: B256,
}

/// Why a bundle cannot be used. The operator or the author of the bundle is at fault.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_BUNDLE_BYTES`].
    #[error("{path} is larger than {MAX_BUNDLE_BYTES} bytes: not a bundle")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The content is not JSON, or not the JSON of a bundle.
    #[error("not a peg-audit bundle: {0}")]
    Json(#[from] serde_json::Error),
    /// The format is older than this release's.
    #[error(
        "the bundle has the old format {found}, without changes of validator sets; this release reads format {BUNDLE_FORMAT}: \
         collect the evidence again, or use the release that wrote the bundle"
    )]
    Old {
        /// The format found.
        found: u32,
    },
    /// The format is newer than this release's.
    #[error(
        "the bundle has format {found}, but this release reads {BUNDLE_FORMAT}: use the release that made the bundle, or a newer one"
    )]
    New {
        /// The format found.
        found: u32,
    },
}

/// The only key that every format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl Bundle {
    /// Parses a bundle.
    ///
    /// # Errors
    /// `Json`, `Old`, `New`.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        // The format first, because other formats may have other keys.
        let Version { format } = serde_json::from_slice(json)?;
        match format.cmp(&BUNDLE_FORMAT) {
            Ordering::Less => Err(BundleError::Old { found: format }),
            Ordering::Greater => Err(BundleError::New { found: format }),
            Ordering::Equal => Ok(serde_json::from_slice(json)?),
        }
    }

    /// Reads a bundle's file.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let io = |source| BundleError::Io { path: path.to_owned(), source };
        let mut json = Vec::new();
        File::open(path).map_err(io)?.take(MAX_BUNDLE_BYTES + 1).read_to_end(&mut json).map_err(io)?;
        if u64::try_from(json.len()).is_ok_and(|length| length <= MAX_BUNDLE_BYTES) {
            Self::from_json(&json)
        } else {
            Err(BundleError::TooLarge { path: path.to_owned() })
        }
    }

    /// Writes the bundle's file.
    ///
    /// # Errors
    /// `Io`.
    pub fn save(&self, path: &Path) -> Result<(), BundleError> {
        let io = |source| BundleError::Io { path: path.to_owned(), source };
        let json = serde_json::to_vec(self)?;
        let mut file = File::create(path).map_err(io)?;
        file.write_all(&json).map_err(io)?;
        file.sync_all().map_err(io)
    }
}
