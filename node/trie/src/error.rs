//! Errors of trie operations. None is a peer's or a user's fault: all keys and values are
//! allowed, so every error means that the node's own store is unreadable, incomplete or corrupt, or that a caller
//! broke the contract.

use crate::source::NodeSourceError;
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::fmt;
use thiserror::Error;

/// A trie operation failed; the state cannot be trusted until the cause is known.
#[derive(Debug, Error)]
pub enum TrieError {
    /// The node source itself failed (disk error, pruned history). Operator's or the store's fault.
    #[error("cannot read {0}: {1}")]
    Source(Box<NodePlace>, #[source] NodeSourceError),
    /// A parent node refers to this node but the source does not have it. The store is incomplete.
    #[error("{place} is missing (its parent node expects hash {expected})")]
    MissingNode {
        /// The position of the missing node.
        place: Box<NodePlace>,
        /// The hash in its parent node, or given by the caller for a root.
        expected: B256,
    },
    /// The hash of the stored bytes differs from the parent node's. The store is corrupt.
    #[error("{place} is corrupt: expected hash {expected}, found {found}")]
    HashMismatch {
        /// The position of the node.
        place: Box<NodePlace>,
        /// The hash in its parent node, or given by the caller for a root.
        expected: B256,
        /// The hash of the bytes from the source.
        found: B256,
    },
    /// The bytes are not the encoding of a node, although their hash is right. The author of the bytes is at fault.
    #[error("{place} does not decode: {reason}")]
    Undecodable {
        /// The position of the node.
        place: Box<NodePlace>,
        /// The decoder's error.
        reason: alloy_rlp::Error,
    },
    /// The node decodes but is not allowed at its position: its path does not end at 64 nibbles, a branch has
    /// fewer than two children, or an extension is empty.
    #[error("{place} is malformed: {reason}")]
    Malformed {
        /// The position of the node.
        place: Box<NodePlace>,
        /// The broken rule.
        reason: &'static str,
    },
    /// The caller changed the storage of an account without listing the account. A bug of the caller.
    #[error("storage of {0} changed, but the account is not among the changed accounts")]
    StorageWithoutAccount(B256),
}

/// The position of a node: its trie, and the path from the root.
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
