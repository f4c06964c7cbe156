//! The records that keep a validator consistent across crashes: the consensus write-ahead log and the sign states.
//!
//! This crate owns three kinds of files and the order in which they become durable: the log of the height in progress
//! ([`Wal`]), the last message that the consensus key signed ([`SignStateFile`]), and what the peg key signed
//! ([`PegSignStateFile`]). It must never know the database, peers, or when a message is sent. It does not link RocksDB, so
//! that the remote signer can use it.
//!
//! The file system is behind one trait, [`Disk`], so that a simulated disk can lose what was not synced.
//!
//! Start reading at [`wal`], then [`sign_state`] and [`paths`].

pub mod disk;
mod durable;
pub mod lock;
pub mod paths;
pub mod sign_state;
pub mod wal;

pub use disk::{Disk, DiskFile, OsDisk};
pub use lock::{DirLock, LockError};
pub use sign_state::{PegSignStateFile, SignStateError, SignStateFile};
pub use wal::{Wal, WalError};
