//! The source of nodes, and the changes that an update produces.

use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;
use std::collections::BTreeMap;
use thiserror::Error;

/// A store of trie nodes keyed by trie and path.
///
/// Implementations read one unchanging state: during one operation the same query gets the same answer.
pub trait NodeSource {
    /// The RLP of the node at `path` of the account trie (`owner` = `None`) or of the storage trie of the account whose
    /// hashed address is `owner`; `None` when nothing is stored there.
    ///
    /// # Errors
    /// The store's error; the caller gets it as [`crate::TrieError::Source`].
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError>;
}

/// A store's own error, carried through the trie unchanged.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct NodeSourceError(Box<dyn std::error::Error + Send + Sync>);

impl NodeSourceError {
    /// Wraps the store's error.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }

    /// The store's error, for a caller that distinguishes causes by downcasting.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}

/// The nodes an update wrote or removed; nodes it only read are not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrieUpdates {
    /// (trie, path) to the node's RLP, or `None` when nothing is stored there any more.
    pub nodes: BTreeMap<(Option<B256>, Nibbles), Option<Bytes>>,
}

impl TrieUpdates {
    /// Adds `later`, which was computed on top of `self`; where both name a node, `later` wins.
    pub fn extend(&mut self, later: Self) {
        self.nodes.extend(later.nodes);
    }

    /// Whether no node changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of written or removed nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// Nodes in memory: the empty state on which genesis is built, and the store for tests and benchmarks.
#[derive(Debug, Clone, Default)]
pub struct MemoryNodes {
    nodes: BTreeMap<(Option<B256>, Nibbles), Bytes>,
}

impl MemoryNodes {
    /// A store without any node: every trie in it is empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies the result of an update over this store.
    pub fn apply(&mut self, updates: TrieUpdates) {
        for (key, node) in updates.nodes {
            match node {
                Some(rlp) => self.nodes.insert(key, rlp),
                None => self.nodes.remove(&key),
            };
        }
    }

    /// Every stored node, ordered by trie and path.
    pub fn iter(&self) -> impl Iterator<Item = (&(Option<B256>, Nibbles), &Bytes)> {
        self.nodes.iter()
    }

    /// Number of stored nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl NodeSource for MemoryNodes {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        Ok(self.nodes.get(&(owner, *path)).cloned())
    }
}
