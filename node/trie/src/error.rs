//! What can go wrong under a trie operation. None of it is a peer's or a user's fault: keys and values are always
//! acceptable, so every error says that the node's own store is unreadable, incomplete or corrupt, or that a caller
//! broke the contract.

use crate::source::NodeSourceError;
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::fmt;
use thiserror::Error;

/// A trie operation failed; the state it was to read cannot be trusted until the cause is known.
#[derive(Debug, Error)]
pub enum TrieError {
    /// The node source itself failed (disk error, pruned history). Operator's or the store's fault.
    #[error("cannot read {0}: {1}")]
    Source(Box<NodePlace>, #[source] NodeSourceError),
    /// A parent names this node but the source does not hold it. The store is incomplete.
    #[error("{place} is missing (its parent expects hash {expected})")]
    MissingNode {
        /// Where the node should have been.
        place: Box<NodePlace>,
        /// The hash its parent, or the caller for a root, expects.
        expected: B256,
    },
    /// The stored bytes are not those their parent committed to. The store is corrupt.
    #[error("{place} is corrupt: expected hash {expected}, found {found}")]
    HashMismatch {
        /// Which node.
        place: Box<NodePlace>,
        /// The hash its parent, or the caller for a root, expects.
        expected: B256,
        /// The hash of what the source returned.
        found: B256,
    },
    /// The bytes are not the encoding of a node, although their hash is right. Whoever wrote them is at fault.
    #[error("{place} does not decode: {reason}")]
    Undecodable {
        /// Which node.
        place: Box<NodePlace>,
        /// What the decoder said.
        reason: alloy_rlp::Error,
    },
    /// The node decodes but cannot stand where it stands: its path is not 64 nibbles long in the end, a branch has
    /// fewer than two children, an extension is empty.
    #[error("{place} is malformed: {reason}")]
    Malformed {
        /// Which node.
        place: Box<NodePlace>,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The caller changed the storage of an account without naming the account. The caller's bug.
    #[error("storage of {0} changed, but the account is not among the changed accounts")]
    StorageWithoutAccount(B256),
}

/// Where a node stands: which trie, and the path from its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePlace {
    /// `None`: the account trie. `Some(keccak256(address))`: that account's storage trie.
    pub owner: Option<B256>,
    /// Nibbles from the root to the node; empty for the root itself.
    pub path: Nibbles,
}

impl fmt::Display for NodePlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            None => write!(out, "the account trie's node at path 0x")?,
            Some(owner) => write!(out, "the node of storage trie {owner} at path 0x")?,
        }
        for nibble in self.path.iter() {
            write!(out, "{nibble:x}")?;
        }
        Ok(())
    }
}
