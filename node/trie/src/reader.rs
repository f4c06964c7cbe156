//! Reads nodes: every node of an operation is read here and checked against the hash in its parent node.
//!
//! The check costs one keccak for each node. It runs in production because otherwise a path-keyed store could
//! answer a lost or stale write with a plausible node, and the wrong root would appear far from its cause.

use crate::{
    error::{NodePlace, TrieError},
    source::NodeSource,
};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{
    Nibbles,
    nodes::{RlpNode, TrieNode},
};

/// Nibbles in a hashed key: every path ends at exactly this depth.
pub(crate) const KEY_NIBBLES: usize = 64;

/// Reads the nodes of one trie.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    source: &'a dyn NodeSource,
    owner: Option<B256>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a dyn NodeSource, owner: Option<B256>) -> Self {
        Self { source, owner }
    }

    /// The stored node at `path`, which must have the hash `expected`.
    pub(crate) fn open_stored(&self, path: &Nibbles, expected: B256) -> Result<(Bytes, TrieNode), TrieError> {
        let rlp = self
            .source
            .node(self.owner, path)
            .map_err(|cause| TrieError::Source(self.place(path), cause))?
            .ok_or_else(|| TrieError::MissingNode { place: self.place(path), expected })?;
        let found = keccak256(&rlp);
        if found != expected {
            return Err(TrieError::HashMismatch { place: self.place(path), expected, found });
        }
        let node = self.decode(path, &rlp)?;
        Ok((rlp, node))
    }

    /// The node of a parent node's `reference`, which is its hash, or the node itself when it is shorter than 32 bytes.
    /// For a stored node the hash is returned too.
    pub(crate) fn open(&self, path: &Nibbles, reference: &RlpNode) -> Result<(Option<B256>, TrieNode), TrieError> {
        match reference.as_hash() {
            Some(hash) => Ok((Some(hash), self.open_stored(path, hash)?.1)),
            None => Ok((None, self.decode(path, reference)?)),
        }
    }

    pub(crate) fn decode(&self, path: &Nibbles, rlp: &[u8]) -> Result<TrieNode, TrieError> {
        let mut rest = rlp;
        let node =
            TrieNode::decode(&mut rest).map_err(|reason| TrieError::Undecodable { place: self.place(path), reason })?;
        let fault = if rest.is_empty() { shape_fault(path, &node) } else { Some("bytes follow the node") };
        match fault {
            None => Ok(node),
            Some(reason) => Err(TrieError::Malformed { place: self.place(path), reason }),
        }
    }

    fn place(&self, path: &Nibbles) -> Box<NodePlace> {
        Box::new(NodePlace { owner: self.owner, path: *path })
    }
}

/// The rule that `node` breaks at `path`, if any. Under these rules, joined paths below never exceed 64 nibbles.
fn shape_fault(path: &Nibbles, node: &TrieNode) -> Option<&'static str> {
    let depth = path.len();
    match node {
        TrieNode::EmptyRoot => Some("an empty node is inside a trie"),
        TrieNode::Leaf(leaf) if depth + leaf.key.len() != KEY_NIBBLES => Some("a leaf's path is not 64 nibbles"),
        TrieNode::Leaf(leaf) if leaf.value.is_empty() => Some("a leaf has no value"),
        TrieNode::Extension(extension) if extension.key.is_empty() => Some("an extension has no nibbles"),
        TrieNode::Extension(extension) if depth + extension.key.len() >= KEY_NIBBLES => {
            Some("an extension leaves no nibble for its branch")
        }
        TrieNode::Branch(_) if depth >= KEY_NIBBLES => Some("a branch is below the last nibble"),
        TrieNode::Branch(branch) if branch.stack.len() < 2 => Some("a branch has fewer than two children"),
        _ => None,
    }
}
