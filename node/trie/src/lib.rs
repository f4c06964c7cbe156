//! Incremental Merkle-Patricia trie over path-keyed nodes.
//!
//! The crate computes the next trie root from a root and a batch of changed keys, determines the stored nodes that change, and
//! proves a key under a root. It must never know where nodes are stored (RocksDB, memory, an undecided block's
//! overlay): [`NodeSource`] supplies them and [`TrieUpdates`] returns changes. It has no clock, no threads and no IO.
//!
//! A node is stored under its path, not under its hash, so an update replaces a node in place and a
//! trie contains exactly its live nodes. Every node whose encoding is 32 bytes or longer is stored. A shorter node is
//! embedded in its parent node (Yellow Paper, appendix D). The root is stored whatever its length.
//!
//! Start reading at [`update_trie`], then [`state_root_after`] and [`prove`].

mod error;
mod proof;
mod reader;
mod source;
mod state;
mod update;

pub use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
pub use error::{NodePlace, TrieError};
pub use proof::{get, prove};
pub use source::{MemoryNodes, NodeSource, NodeSourceError, TrieUpdates};
pub use state::{StateChanges, StateRoot, state_root_after};
pub use update::update_trie;
