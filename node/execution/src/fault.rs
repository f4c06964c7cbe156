//! Why a block is invalid ([`BlockFault`]) and why it could not be judged ([`LocalError`]). The two never mix: a validator
//! votes against the first and stays silent on the second.

use alloy_primitives::{Address, B256, Bytes};
use causeway_consensus::{CertificateError, Height};
use causeway_genesis::UnknownRules;
use causeway_trie::TrieError;
use revm::context_interface::result::InvalidTransaction;
use thiserror::Error;

use crate::{state::SourceError, transaction::TransactionError};

/// A rule a block breaks. Every validator finds the same fault from the block, its parent's state and genesis, except
/// [`Self::TimestampAhead`], which depends on the clock and passes with time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockFault {
    /// Does not build on the parent it was judged against.
    #[error("parent hash {actual}, expected {expected}")]
    ParentHash {
        /// The parent's hash.
        expected: B256,
        /// What the header says.
        actual: B256,
    },
    /// Not the parent's number plus one.
    #[error("block number {actual}, expected {expected}")]
    Number {
        /// Parent's number plus one.
        expected: u64,
        /// What the header says.
        actual: u64,
    },
    /// Older than its parent.
    #[error("timestamp {actual} is before the parent's {parent}")]
    TimestampBeforeParent {
        /// The parent's timestamp in seconds.
        parent: u64,
        /// What the header says.
        actual: u64,
    },
    /// Too far ahead of this validator's clock.
    #[error("timestamp {actual} is ahead of the clock, latest acceptable {limit}")]
    TimestampAhead {
        /// Now plus the drift allowed, in seconds.
        limit: u64,
        /// What the header says.
        actual: u64,
    },
    /// The gas limit is not the chain's.
    #[error("gas limit {actual}, expected {expected}")]
    GasLimit {
        /// The rules' gas limit.
        expected: u64,
        /// What the header says.
        actual: u64,
    },
    /// The base fee does not follow from the parent (EIP-1559).
    #[error("base fee {actual:?}, expected {expected}")]
    BaseFee {
        /// Computed from the parent.
        expected: u64,
        /// What the header says.
        actual: Option<u64>,
    },
    /// The beneficiary is not the proposer's operator.
    #[error("beneficiary {0} is no validator's operator")]
    Beneficiary(Address),
    /// `extra_data` is too long.
    #[error("extra data of {length} bytes, limit {limit}")]
    ExtraData {
        /// Its length.
        length: usize,
        /// The rules' limit.
        limit: usize,
    },
    /// A field that has one value on this chain has another.
    #[error("header field {0} does not have its fixed value")]
    FixedField(&'static str),
    /// `mix_hash` does not follow from the parent and its certificate.
    #[error("mix hash {actual}, expected {expected}")]
    MixHash {
        /// Computed from the parent and its certificate.
        expected: B256,
        /// What the header says.
        actual: B256,
    },
    /// `parent_beacon_block_root` is not the hash of the parent's certificate carried along.
    #[error("parent beacon block root {actual:?}, expected the parent certificate's hash {expected}")]
    CertificateHash {
        /// Hash of the certificate carried, zero where none is due.
        expected: B256,
        /// What the header says.
        actual: Option<B256>,
    },
    /// From block 2 on the parent's certificate must be carried.
    #[error("the parent's commit certificate is missing")]
    CertificateMissing,
    /// Block 1 follows genesis, which nobody voted on.
    #[error("block 1 carries a commit certificate of genesis")]
    CertificateUnexpected,
    /// The certificate decides something other than the parent.
    #[error("certificate is for block {hash} at height {height}, not for the parent")]
    CertificateTarget {
        /// Height it names.
        height: Height,
        /// Block it names.
        hash: B256,
    },
    /// The certificate's signatures do not hold.
    #[error("parent certificate: {0}")]
    Certificate(CertificateError),
    /// The encoded block is too long.
    #[error("block of {0} bytes is too large")]
    TooLarge(usize),
    /// The transactions root does not match the transactions.
    #[error("transactions root {actual}, expected {expected}")]
    TransactionsRoot {
        /// Computed from the body.
        expected: B256,
        /// What the header says.
        actual: B256,
    },
    /// A blob transaction.
    #[error("transaction {index} has unsupported type {ty:#04x}")]
    TransactionType {
        /// Position in the block.
        index: usize,
        /// EIP-2718 type.
        ty: u8,
    },
    /// A user's transaction that is too long.
    #[error("transaction {index} of {size} bytes, limit {limit}")]
    TransactionSize {
        /// Position in the block.
        index: usize,
        /// Bytes of its EIP-2718 encoding.
        size: usize,
        /// The rules' limit.
        limit: usize,
    },
    /// A transaction without a recoverable sender.
    #[error("transaction {index}: {error}")]
    Signature {
        /// Position in the block.
        index: usize,
        /// The fault.
        error: TransactionError,
    },
    /// A user's transaction that may not be included: nonce, funds, fee, chain id, intrinsic gas and the like.
    #[error("transaction {index}: {error}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// The rule broken.
        error: InvalidTransaction,
    },
    /// A user's transaction in the name of the system address.
    #[error("transaction {0} is sent from the system address")]
    SystemSender(usize),
    /// The gas limits of the transactions do not fit the block.
    #[error("transaction {index} asks for {gas_limit} gas, {available} left in the block")]
    GasExceeded {
        /// Position in the block.
        index: usize,
        /// Its gas limit.
        gas_limit: u64,
        /// Gas left.
        available: u64,
    },
    /// A system transaction after a user's.
    #[error("system transaction {0} is not at the head of the block")]
    SystemPosition(usize),
    /// A system transaction numbered other than its place.
    #[error("system transaction {0} has the wrong block number or index")]
    SystemNumber(usize),
    /// A system transaction that calls none of the functions the rules allow, or whose gas limit is not the rules'.
    #[error("system transaction {0} is of no known kind")]
    SystemKind(usize),
    /// More than one system transaction of a kind.
    #[error("system transaction {0} repeats a kind already present")]
    SystemRepeated(usize),
    /// A system transaction whose kind belongs before that of the one in front of it.
    #[error("system transaction {0} is out of order")]
    SystemOrder(usize),
    /// A system transaction that fails.
    #[error("system transaction {index} failed: {output}")]
    SystemFailed {
        /// Position in the block.
        index: usize,
        /// Revert data, empty on a halt.
        output: Bytes,
    },
    /// Gas used does not match.
    #[error("gas used {actual}, expected {expected}")]
    GasUsed {
        /// From execution.
        expected: u64,
        /// What the header says.
        actual: u64,
    },
    /// The logs bloom does not match.
    #[error("logs bloom does not match the receipts")]
    LogsBloom,
    /// The receipts root does not match.
    #[error("receipts root {actual}, expected {expected}")]
    ReceiptsRoot {
        /// From execution.
        expected: B256,
        /// What the header says.
        actual: B256,
    },
    /// The state root does not match.
    #[error("state root {actual}, expected {expected}")]
    StateRoot {
        /// From execution.
        expected: B256,
        /// What the header says.
        actual: B256,
    },
}

/// Why execution could not finish on this machine. Says nothing about the block.
#[derive(Debug, Error)]
pub enum LocalError {
    /// State could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The trie could not be read or is corrupt.
    #[error("state trie: {0}")]
    Trie(Box<TrieError>),
    /// The block follows rules that this build does not know.
    #[error(transparent)]
    UnknownRules(#[from] UnknownRules),
    /// Something that cannot happen happened.
    #[error("bug in execution: {0}")]
    Bug(String),
}

/// Outcome of executing a block that is not a success.
#[derive(Debug, Error)]
pub enum ExecutionError {
    /// The block breaks a rule; its proposer is at fault.
    #[error("invalid block: {0}")]
    Invalid(Box<BlockFault>),
    /// Local trouble; no verdict.
    #[error("cannot execute: {0}")]
    Local(#[from] LocalError),
}

impl ExecutionError {
    /// The block's fault, if the block is at fault.
    pub fn fault(&self) -> Option<&BlockFault> {
        match self {
            Self::Invalid(fault) => Some(fault),
            Self::Local(_) => None,
        }
    }
}

impl From<BlockFault> for ExecutionError {
    fn from(fault: BlockFault) -> Self {
        Self::Invalid(Box::new(fault))
    }
}

impl From<SourceError> for ExecutionError {
    fn from(error: SourceError) -> Self {
        Self::Local(error.into())
    }
}

impl From<TrieError> for LocalError {
    fn from(error: TrieError) -> Self {
        Self::Trie(Box::new(error))
    }
}

impl From<TrieError> for ExecutionError {
    fn from(error: TrieError) -> Self {
        Self::Local(error.into())
    }
}
