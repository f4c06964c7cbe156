//! Applies a batch of changed keys in one pass: computes the new root and the changed nodes.
//!
//! The changes are sorted, so the keys below any node are one slice of them. The pass descends only where that slice is
//! not empty and opens each node on the way once. On the way back it passes the new subtree to the parent node *unsealed*, that
//! is not yet encoded, because a parent node with a single remaining child must still merge with it (Yellow Paper, appendix D:
//! no branch with one child, no extension below an extension, no extension above a leaf). A subtree is sealed (encoded,
//! hashed, noted for storage) only when its position is final, so exactly once.

use crate::{
    error::TrieError,
    reader::{KEY_NIBBLES, Reader},
    source::{NodeSource, TrieUpdates},
};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNode, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode},
};
use std::collections::BTreeMap;

/// Applies `changes` (hashed key to the new RLP value, or `None` to remove it) to the trie under `root`, and returns the
/// new root with every written or removed node. An empty value removes the key, because a trie cannot contain one. Removing
/// an absent key or writing the current value changes nothing.
///
/// # Errors
/// [`TrieError`] when the store lacks a node on a changed path or holds a wrong one.
pub fn update_trie(
    src: &dyn NodeSource,
    owner: Option<B256>,
    root: B256,
    changes: &BTreeMap<B256, Option<Vec<u8>>>,
) -> Result<(B256, TrieUpdates), TrieError> {
    if changes.is_empty() {
        return Ok((root, TrieUpdates::default()));
    }
    let changes: Vec<Change<'_>> = changes
        .iter()
        .map(|(key, value)| Change {
            key: Nibbles::unpack(key),
            value: value.as_deref().filter(|value| !value.is_empty()),
        })
        .collect();
    let mut pass = Pass { reader: Reader::new(src, owner), nodes: BTreeMap::new() };
    let top = Nibbles::new();
    let old = if root == EMPTY_ROOT_HASH { None } else { Some(pass.open(&top, &RlpNode::word_rlp(&root))?) };
    let new_root = match pass.update(top, old, &changes)? {
        Some(subtree) => pass.seal_root(&subtree),
        None => EMPTY_ROOT_HASH,
    };
    Ok((new_root, pass.into_updates(owner)))
}

/// One changed key; `None` removes it.
#[derive(Clone, Copy)]
struct Change<'a> {
    key: Nibbles,
    value: Option<&'a [u8]>,
}

/// A non-empty subtree whose top node is not encoded yet; everything below the top node is sealed.
enum Subtree {
    Leaf { key: Nibbles, value: Vec<u8> },
    Extension { key: Nibbles, child: RlpNode },
    Branch(BranchNode),
}

/// One of the 16 children of a branch while the branch is open.
enum Child {
    Absent,
    /// Not changed: the parent node's reference is still valid.
    Sealed(RlpNode),
    Open(Subtree),
}

/// The old and new hash of each stored node, so that an unchanged node is not reported.
#[derive(Default)]
struct Trace {
    before: Option<B256>,
    after: Option<(B256, Bytes)>,
}

struct Pass<'a> {
    reader: Reader<'a>,
    nodes: BTreeMap<Nibbles, Trace>,
}

impl Pass<'_> {
    /// Opens the node of `reference` at `path`, and notes that it was stored there.
    fn open(&mut self, path: &Nibbles, reference: &RlpNode) -> Result<Subtree, TrieError> {
        let (stored, node) = self.reader.open(path, reference)?;
        if stored.is_some() {
            self.nodes.entry(*path).or_default().before = stored;
        }
        Ok(match node {
            TrieNode::Leaf(leaf) => Subtree::Leaf { key: leaf.key, value: leaf.value },
            TrieNode::Extension(extension) => Subtree::Extension { key: extension.key, child: extension.child },
            TrieNode::Branch(branch) => Subtree::Branch(branch),
            TrieNode::EmptyRoot => unreachable!("the reader refuses an empty node inside a trie"),
        })
    }

    /// The subtree at `path` after `changes`, all of whose keys start with `path`.
    fn update(
        &mut self,
        path: Nibbles,
        old: Option<Subtree>,
        changes: &[Change<'_>],
    ) -> Result<Option<Subtree>, TrieError> {
        match old {
            None => Ok(self.build(path, &inserts(changes))),
            Some(Subtree::Leaf { key, value }) => {
                let kept = Change { key: path.join(&key), value: Some(&value) };
                let mut entries = inserts(changes);
                if let Err(at) = changes.binary_search_by(|change| change.key.cmp(&kept.key)) {
                    // The entries do not include the removals before it, so its position among them is computed again.
                    let removed = changes[..at].iter().filter(|change| change.value.is_none()).count();
                    entries.insert(at - removed, kept);
                }
                Ok(self.build(path, &entries))
            }
            Some(Subtree::Extension { key, child }) => self.update_extension(path, key, child, changes),
            Some(Subtree::Branch(branch)) => {
                let mut children: [Child; 16] = std::array::from_fn(|_| Child::Absent);
                for (nibble, child) in branch.state_mask.iter().zip(branch.stack) {
                    children[usize::from(nibble)] = Child::Sealed(child);
                }
                self.update_branch(path, children, changes)
            }
        }
    }

    /// Builds a subtree of `entries` only: sorted, distinct, all with a value and below `path`.
    fn build(&mut self, path: Nibbles, entries: &[Change<'_>]) -> Option<Subtree> {
        let (first, last) = (entries.first()?, entries.last()?);
        if entries.len() == 1 {
            let value = first.value?.to_vec();
            return Some(Subtree::Leaf { key: first.key.slice(path.len()..), value });
        }
        let depth = first.key.common_prefix_length(&last.key);
        let stem = first.key.slice(..depth);
        let mut branch = BranchNode::default();
        for group in entries.chunk_by(|a, b| a.key.get(depth) == b.key.get(depth)) {
            let nibble = nibble_at(&group[0].key, depth);
            let place = child_path(stem, nibble);
            if let Some(subtree) = self.build(place, group) {
                branch.stack.push(self.seal(place, &subtree));
                branch.state_mask.set_bit(nibble);
            }
        }
        Some(self.prepend(path, stem.slice(path.len()..), Subtree::Branch(branch)))
    }

    fn update_extension(
        &mut self,
        path: Nibbles,
        key: Nibbles,
        child: RlpNode,
        changes: &[Change<'_>],
    ) -> Result<Option<Subtree>, TrieError> {
        let stem = path.join(&key);
        // Only an insertion beside the stem splits the extension; a removal there concerns an absent key.
        let split = changes
            .iter()
            .filter(|change| change.value.is_some() && !change.key.starts_with(&stem))
            .map(|change| change.key.common_prefix_length(&stem))
            .min();
        let Some(depth) = split else {
            let below = starting_with(changes, &stem);
            if below.is_empty() {
                return Ok(Some(Subtree::Extension { key, child }));
            }
            let old = self.open(&stem, &child)?;
            let updated = self.update(stem, Some(old), below)?;
            return Ok(updated.map(|subtree| self.prepend(path, key, subtree)));
        };
        let fork = stem.slice(..depth);
        let rest = stem.slice(depth + 1..);
        let mut children: [Child; 16] = std::array::from_fn(|_| Child::Absent);
        children[usize::from(nibble_at(&stem, depth))] =
            if rest.is_empty() { Child::Sealed(child) } else { Child::Open(Subtree::Extension { key: rest, child }) };
        let updated = self.update_branch(fork, children, starting_with(changes, &fork))?;
        Ok(updated.map(|subtree| self.prepend(path, fork.slice(path.len()..), subtree)))
    }

    fn update_branch(
        &mut self,
        path: Nibbles,
        mut children: [Child; 16],
        changes: &[Change<'_>],
    ) -> Result<Option<Subtree>, TrieError> {
        let depth = path.len();
        for group in changes.chunk_by(|a, b| a.key.get(depth) == b.key.get(depth)) {
            let nibble = nibble_at(&group[0].key, depth);
            let place = child_path(path, nibble);
            let child = &mut children[usize::from(nibble)];
            let old = match std::mem::replace(child, Child::Absent) {
                Child::Absent => None,
                Child::Sealed(reference) => Some(self.open(&place, &reference)?),
                Child::Open(subtree) => Some(subtree),
            };
            if let Some(subtree) = self.update(place, old, group)? {
                *child = Child::Open(subtree);
            }
        }
        let mut present = (0u8..16).zip(children).filter(|(_, child)| !matches!(child, Child::Absent)).peekable();
        let Some((nibble, only)) = present.next() else { return Ok(None) };
        if present.peek().is_none() {
            let place = child_path(path, nibble);
            let subtree = match only {
                Child::Absent => return Ok(None),
                // A leaf or an extension moves up to this position; a branch is sealed again unchanged.
                Child::Sealed(reference) => self.open(&place, &reference)?,
                Child::Open(subtree) => subtree,
            };
            return Ok(Some(self.prepend(path, Nibbles::from_nibbles([nibble]), subtree)));
        }
        let mut branch = BranchNode::new(Vec::with_capacity(16), TrieMask::default());
        for (nibble, child) in std::iter::once((nibble, only)).chain(present) {
            branch.stack.push(match child {
                Child::Absent => continue,
                Child::Sealed(reference) => reference,
                Child::Open(subtree) => self.seal(child_path(path, nibble), &subtree),
            });
            branch.state_mask.set_bit(nibble);
        }
        Ok(Some(Subtree::Branch(branch)))
    }

    /// Moves `subtree` from `path` + `prefix` up to `path`.
    fn prepend(&mut self, path: Nibbles, prefix: Nibbles, subtree: Subtree) -> Subtree {
        if prefix.is_empty() {
            return subtree;
        }
        match subtree {
            Subtree::Leaf { key, value } => Subtree::Leaf { key: prefix.join(&key), value },
            Subtree::Extension { key, child } => Subtree::Extension { key: prefix.join(&key), child },
            branch @ Subtree::Branch(_) => {
                let child = self.seal(path.join(&prefix), &branch);
                Subtree::Extension { key: prefix, child }
            }
        }
    }

    /// Encodes the top node of the subtree at `path` and notes it for storage, unless its parent node will embed it.
    fn seal(&mut self, path: Nibbles, subtree: &Subtree) -> RlpNode {
        let rlp = encode(subtree);
        if rlp.len() < B256::len_bytes() {
            return RlpNode::from_rlp(&rlp);
        }
        let hash = keccak256(&rlp);
        self.nodes.entry(path).or_default().after = Some((hash, rlp.into()));
        RlpNode::word_rlp(&hash)
    }

    /// The root is stored whatever its length.
    fn seal_root(&mut self, subtree: &Subtree) -> B256 {
        let rlp = encode(subtree);
        let hash = keccak256(&rlp);
        self.nodes.entry(Nibbles::new()).or_default().after = Some((hash, rlp.into()));
        hash
    }

    fn into_updates(self, owner: Option<B256>) -> TrieUpdates {
        let changed = self.nodes.into_iter().filter_map(|(path, trace)| match (trace.before, trace.after) {
            (Some(before), Some((after, _))) if before == after => None,
            (None, None) => None,
            (_, after) => Some(((owner, path), after.map(|(_, rlp)| rlp))),
        });
        TrieUpdates { nodes: changed.collect() }
    }
}

fn encode(subtree: &Subtree) -> Vec<u8> {
    match subtree {
        Subtree::Leaf { key, value } => encoded(&LeafNodeRef::new(key, value)),
        Subtree::Extension { key, child } => encoded(&ExtensionNodeRef::new(key, child)),
        Subtree::Branch(branch) => encoded(branch),
    }
}

fn encoded(node: &impl Encodable) -> Vec<u8> {
    let mut rlp = Vec::with_capacity(node.length());
    node.encode(&mut rlp);
    rlp
}

/// The changes that leave a value.
fn inserts<'a>(changes: &[Change<'a>]) -> Vec<Change<'a>> {
    changes.iter().filter(|change| change.value.is_some()).copied().collect()
}

/// The slice of `changes`, which are sorted, whose keys start with `stem`.
fn starting_with<'s, 'a>(changes: &'s [Change<'a>], stem: &Nibbles) -> &'s [Change<'a>] {
    let from = changes.partition_point(|change| change.key < *stem);
    let below = &changes[from..];
    let count = below.partition_point(|change| change.key.starts_with(stem));
    &below[..count]
}

fn child_path(path: Nibbles, nibble: u8) -> Nibbles {
    let mut path = path;
    path.push(nibble);
    path
}

fn nibble_at(key: &Nibbles, depth: usize) -> u8 {
    debug_assert!(depth < KEY_NIBBLES);
    key.get(depth).expect("no branch is below the last nibble: the reader refuses it and keys are distinct")
}
