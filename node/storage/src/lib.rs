//! The chain on disk: blocks, state and its history.
//!
//! This crate owns the durable data and the order in which it becomes durable. A decided block becomes durable in one synced
//! batch ([`Storage::commit`]); after any crash the database contains a prefix of the decided blocks. It must never know
//! consensus rules, peers, or how a block is executed: it stores the results of execution and reads any kept block.
//!
//! State: a flat family holds the latest value of each account, slot and trie node. Each block that changed a value stored
//! the old value in a history family under (key, block). So the value as of block `n` is in the first history entry after
//! `n`, or else it is the latest value.
//!
//! One trait separates the storage from the database: [`Tables`] (RocksDB in production). The write-ahead log and the sign
//! states are in `causeway-records`.
//!
//! Start reading at [`storage`], then `view` and `schema`.

mod blocks;
mod cache;
mod codec;
mod commit;
mod engine;
mod error;
mod logs;
mod offences;
mod options;
mod peg;
mod rocks;
mod scan;
mod schema;
pub mod storage;
pub mod tables;
mod view;

pub use error::StorageError;
pub use logs::{LogCaps, LogFilter, StoredLog};
pub use offences::{MAX_EVIDENCE_OF_ONE, MAX_PENDING_EVIDENCE};
pub use options::{HistoryDepth, StorageOptions};
pub use peg::{CheckpointRecord, DepositRecord, MAX_PEG_RANGE, WithdrawalRecord};
pub use storage::Storage;
pub use tables::{Family, RawRow, Tables, TablesError, Write};
pub use view::StateView;
