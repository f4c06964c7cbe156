//! What the database can refuse or fail at.

use crate::tables::TablesError;
use alloy_primitives::B256;
use causeway_records::LockError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a storage operation gave no answer.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The directory cannot be locked. Operator's to resolve.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory belongs to a chain with another genesis. Operator's to resolve.
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
    /// The data was written by a version with another layout. Operator's to resolve.
    #[error(
        "{} was written by another version of this software ({detail}); this one reads schema version {supported}. Use that version, or an empty data directory",
        .dir.display()
    )]
    UnknownSchema {
        /// The data directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
        /// The schema version this build reads and writes.
        supported: u32,
    },
    /// The tables cannot be read or written. After a failed write the node must stop: see [`StorageError::is_fatal`].
    #[error("database: cannot {action}: {source}")]
    Database {
        /// What was tried.
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
        /// What is wrong.
        reason: String,
    },
    /// An earlier write failed, so what is on disk is uncertain until the next start. The node must stop.
    #[error("an earlier write to the database failed; restart the node once the disk is healthy")]
    Halted,
    /// The block does not follow the head. The caller's bug.
    #[error("block {got} cannot be committed: the head is {head}")]
    Gap {
        /// Number of the durable head.
        head: u64,
        /// Number of the block offered.
        got: u64,
    },
    /// The block's parent is not the head. The caller's bug, or a broken agreement.
    #[error("block {number} names parent {got}, but block {} is {expected}", .number.saturating_sub(1))]
    WrongParent {
        /// Number of the block offered.
        number: u64,
        /// Hash of the durable head.
        expected: B256,
        /// Parent hash of the block offered.
        got: B256,
    },
    /// The certificate is for another block. The caller's bug.
    #[error("the certificate of block {number} ({expected}) is for height {height}, block {got}")]
    WrongCertificate {
        /// Number of the block offered.
        number: u64,
        /// Hash of the block offered.
        expected: B256,
        /// Height in the certificate.
        height: u64,
        /// Block hash in the certificate.
        got: B256,
    },
    /// Parts of an executed block contradict each other. The caller's bug.
    #[error("block {number} contradicts itself: {what}")]
    Inconsistent {
        /// Number of the block offered.
        number: u64,
        /// Which parts disagree.
        what: &'static str,
    },
    /// The state at this height was pruned. The user may ask an archive node.
    #[error("the state of block {number} is pruned; the oldest kept is that of block {oldest}")]
    Pruned {
        /// Height asked for.
        number: u64,
        /// Oldest height whose state can be read.
        oldest: u64,
    },
    /// The chain is not that long yet.
    #[error("block {number} is not known; the head is {head}")]
    UnknownBlock {
        /// Height asked for.
        number: u64,
        /// Number of the durable head.
        head: u64,
    },
    /// A log query spans more blocks than allowed. The user's to narrow.
    #[error("the range spans {asked} blocks; at most {limit} may be queried at once")]
    TooManyBlocks {
        /// Blocks in the range.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// A log query matches more logs than allowed. The user's to narrow.
    #[error("the query matches more than {limit} logs; narrow its range or its filter")]
    TooManyLogs {
        /// The limit.
        limit: usize,
    },
}

impl StorageError {
    /// Whether what is on disk is uncertain, so that the node must stop rather than go on.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Database { .. } | Self::Corrupt { .. } | Self::Halted | Self::Lock(_))
    }
}
