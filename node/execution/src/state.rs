//! What execution reads (a [`StateSource`]) and what it leaves behind (a [`StateDiff`]).

use std::{collections::BTreeMap, error::Error as StdError, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_trie::{NodeSource, TrieUpdates};
use thiserror::Error;

/// An account as the state trie holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Number of transactions sent (for contracts: of contracts created).
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Keccak-256 of the code; that of the empty string for an account without code.
    pub code_hash: B256,
    /// Root of the account's storage trie.
    pub storage_root: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY, storage_root: EMPTY_ROOT_HASH }
    }
}

impl Account {
    /// Whether the account has code (a contract or an EIP-7702 delegation).
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }
}

/// Why local state could not be read. Always the operator's disk or a bug, never a block's or a peer's fault.
#[derive(Debug, Clone, Error)]
pub enum SourceError {
    /// Reading failed.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was being read.
        what: &'static str,
        /// The cause.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// An account names code that is not stored.
    #[error("code {0} is missing")]
    MissingCode(B256),
    /// The bytes stored as code do not have the hash they are stored under.
    #[error("code {0} is corrupt")]
    CorruptCode(B256),
    /// A block hash within reach of BLOCKHASH is not stored.
    #[error("hash of block {0} is missing")]
    MissingBlockHash(u64),
    /// The state at this height was pruned.
    #[error("state of block {0} is pruned")]
    Pruned(u64),
}

impl SourceError {
    /// Wraps the cause of a failed read.
    pub fn read(what: &'static str, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Read { what, source: Arc::new(source) }
    }
}

impl revm::database_interface::DBErrorMarker for SourceError {}

/// One consistent state: accounts, storage, code, recent block hashes and trie nodes after some block.
pub trait StateSource: NodeSource + Send + Sync {
    /// The account at `address`, `None` when there is none.
    ///
    /// # Errors
    /// [`SourceError`] when local state cannot be read.
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError>;
    /// The value of a storage slot, zero when unset.
    ///
    /// # Errors
    /// [`SourceError`] when local state cannot be read.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError>;
    /// The code with this hash.
    ///
    /// # Errors
    /// [`SourceError::MissingCode`] when it is not stored.
    fn code(&self, hash: B256) -> Result<Bytes, SourceError>;
    /// The hash of the block at `number`, which is at most this state's block.
    ///
    /// # Errors
    /// [`SourceError::MissingBlockHash`] when it is not stored.
    fn block_hash(&self, number: u64) -> Result<B256, SourceError>;
}

/// Everything one block changed, with the values before and after, in key order.
#[derive(Debug, Clone, Default)]
pub struct StateDiff {
    /// Changed accounts: (before, after); `None` where the account does not exist.
    pub accounts: BTreeMap<Address, (Option<Account>, Option<Account>)>,
    /// Changed slots: (before, after).
    pub storage: BTreeMap<(Address, U256), (U256, U256)>,
    /// Code deployed in this block by its hash.
    pub code: BTreeMap<B256, Bytes>,
    /// Changed trie nodes.
    pub trie: TrieUpdates,
}
