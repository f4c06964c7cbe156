//! Incremental Merkle-Patricia trie over path-keyed nodes.
//!
//! The crate owns how a batch of changed keys turns one trie root into the next, which stored nodes that touches, and
//! how a key is proved under a root. It must never know where nodes are kept (RocksDB, memory, an undecided block's
//! overlay): they come through [`NodeSource`] and leave as [`TrieUpdates`]. It has no clock, no threads and no IO.
//!
//! A node is stored under the path that leads to it, not under its hash, so an update replaces a node in place and a
//! trie holds exactly its live nodes. Every node whose encoding is 32 bytes or longer is stored; a shorter one is
//! embedded in its parent, as the Yellow Paper (appendix D) says; the root is stored whatever its length.
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
