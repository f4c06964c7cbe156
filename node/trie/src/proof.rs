//! Reads and proves one key under a root (`eth_getProof`, EIP-1186).

use crate::{error::TrieError, reader::Reader, source::NodeSource};
use alloy_primitives::{B256, Bytes};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::TrieNode};

/// The proof of `key` (already hashed) under `root`: the stored nodes from the root to the leaf, or, when the key
/// is absent, to the node that shows its absence. Embedded nodes are inside their parent nodes and are not repeated; the
/// proof of an empty trie is empty. `eth_getProof` returns this list.
///
/// # Errors
/// [`TrieError`] when the store lacks a node on the path or holds a wrong one.
pub fn prove(src: &dyn NodeSource, owner: Option<B256>, root: B256, key: B256) -> Result<Vec<Bytes>, TrieError> {
    walk(src, owner, root, key).map(|(nodes, _)| nodes)
}

/// The RLP value of `key` (already hashed) under `root`, or `None` when the trie does not contain it.
///
/// # Errors
/// [`TrieError`] when the store lacks a node on the path or holds a wrong one.
pub fn get(src: &dyn NodeSource, owner: Option<B256>, root: B256, key: B256) -> Result<Option<Vec<u8>>, TrieError> {
    walk(src, owner, root, key).map(|(_, value)| value)
}

/// The stored nodes on the path to `key`, and its value.
fn walk(
    src: &dyn NodeSource,
    owner: Option<B256>,
    root: B256,
    key: B256,
) -> Result<(Vec<Bytes>, Option<Vec<u8>>), TrieError> {
    let mut nodes = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok((nodes, None));
    }
    let reader = Reader::new(src, owner);
    let key = Nibbles::unpack(key);
    let mut path = Nibbles::new();
    let (rlp, mut node) = reader.open_stored(&path, root)?;
    nodes.push(rlp);
    loop {
        let reference = match node {
            TrieNode::EmptyRoot => return Ok((nodes, None)),
            TrieNode::Leaf(leaf) => {
                let found = path.join(&leaf.key) == key;
                return Ok((nodes, found.then_some(leaf.value)));
            }
            TrieNode::Extension(extension) => {
                path = path.join(&extension.key);
                if !key.starts_with(&path) {
                    return Ok((nodes, None));
                }
                extension.child
            }
            TrieNode::Branch(branch) => {
                let nibble = key.get(path.len()).expect("the reader admits branches above the 64th nibble only");
                let child = branch.state_mask.iter().position(|index| index == nibble);
                let Some(child) = child.and_then(|index| branch.stack.get(index)) else { return Ok((nodes, None)) };
                path.push(nibble);
                child.clone()
            }
        };
        node = match reference.as_hash() {
            Some(hash) => {
                let (rlp, node) = reader.open_stored(&path, hash)?;
                nodes.push(rlp);
                node
            }
            None => reader.decode(&path, &reference)?,
        };
    }
}
