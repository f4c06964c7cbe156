//! The chain on disk: blocks, state and its history.
//!
//! This crate owns what is durable, and in which order. A decided block becomes durable in one synced batch
//! ([`Storage::commit`]); after any crash the database is a prefix of the decided blocks. It must never know consensus
//! rules, peers, or how a block is executed: it stores what execution hands it and answers for any kept block.
//!
//! Reading a state: the latest value of each account, slot and trie node is in a flat family, and each block that changed
//! one left the value before in a history family under (key, block). The value as of block `n` is therefore that of the
//! first history entry after `n`, or else the latest.
//!
//! The database below is behind one trait, [`Tables`] (RocksDB in production). The write-ahead log and the sign states are in
//! `causeway-records`.
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
