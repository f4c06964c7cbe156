//! Errors of the database.

use crate::tables::TablesError;
use alloy_primitives::B256;
use causeway_records::LockError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a storage operation failed.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The directory cannot be locked. The operator must resolve it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory belongs to a chain with another genesis. The operator must resolve it.
    #[error(
        "{} holds the chain with genesis {found}, but this node was started with genesis {expected}. Use the matching genesis file, or an empty data directory",
        .dir.display()
    )]
    ForeignChain {
        /// The data directory.
        dir: PathBuf,
        /// Genesis hash this node was started with.
        expected: B256,
        /// Genesis hash of the data.
        found: B256,
    },
    /// The data was written by a version with another layout. The operator must resolve it.
    #[error(
        "{} was written by another version of this software ({detail}); this version reads schema version {supported}. Use that version, or an empty data directory",
        .dir.display()
    )]
    UnknownSchema {
        /// The data directory.
        dir: PathBuf,
        /// The difference.
        detail: String,
        /// The schema version this build reads and writes.
        supported: u32,
    },
    /// The tables cannot be read or written. After a failed write the node must stop: see [`StorageError::is_fatal`].
    #[error("database: cannot {action}: {source}")]
    Database {
        /// The attempted action.
        action: &'static str,
        /// The cause.
        source: TablesError,
    },
    /// A stored row does not decode, or rows contradict each other. The disk or an earlier bug is at fault.
    #[error("database: {family} row 0x{key} is corrupt: {reason}")]
    Corrupt {
        /// Column family.
        family: &'static str,
        /// The row's key in hex.
        key: String,
        /// The error.
        reason: String,
    },
    /// An earlier write failed, so the content of the disk is uncertain until the next start. The node must stop.
    #[error("an earlier write to the database failed; restart the node once the disk is healthy")]
    Halted,
    /// The block does not follow the head. A bug of the caller.
    #[error("block {got} cannot be committed: the head is {head}")]
    Gap {
        /// Number of the durable head.
        head: u64,
        /// Number of the block to commit.
        got: u64,
    },
    /// The previous block that the block names is not the head. A bug of the caller, or a failure of consensus.
    #[error("block {number} names the previous block {got}, but block {} is {expected}", .number.saturating_sub(1))]
    WrongPreviousBlock {
        /// Number of the block to commit.
        number: u64,
        /// Hash of the durable head.
        expected: B256,
        /// Previous block's hash in the block to commit.
        got: B256,
    },
    /// The certificate is for another block. A bug of the caller.
    #[error("the certificate of block {number} ({expected}) is for height {height}, block {got}")]
    WrongCertificate {
        /// Number of the block to commit.
        number: u64,
        /// Hash of the block to commit.
        expected: B256,
        /// Height in the certificate.
        height: u64,
        /// Block hash in the certificate.
        got: B256,
    },
    /// Parts of an executed block contradict each other. A bug of the caller.
    #[error("block {number} contradicts itself: {what}")]
    Inconsistent {
        /// Number of the block to commit.
        number: u64,
        /// The contradicting parts.
        what: &'static str,
    },
    /// The state at this height was pruned. The user can use an archive node.
    #[error("the state of block {number} is pruned; the oldest kept state is that of block {oldest}")]
    Pruned {
        /// Requested height.
        number: u64,
        /// Oldest height whose state can be read.
        oldest: u64,
    },
    /// The block is above the head.
    #[error("block {number} is not known; the head is {head}")]
    UnknownBlock {
        /// Requested height.
        number: u64,
        /// Number of the durable head.
        head: u64,
    },
    /// A log query spans more blocks than allowed. The user must narrow it.
    #[error("the range spans {asked} blocks, but at most {limit} may be queried at once")]
    TooManyBlocks {
        /// Blocks in the range.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// A log query matches more logs than allowed. The user must narrow it.
    #[error("the query matches more than {limit} logs; narrow its range or its filter")]
    TooManyLogs {
        /// The limit.
        limit: usize,
    },
}

impl StorageError {
    /// Whether the content of the disk is uncertain, so that the node must stop.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Database { .. } | Self::Corrupt { .. } | Self::Halted | Self::Lock(_))
    }
}
