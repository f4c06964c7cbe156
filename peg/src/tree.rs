//! The withdrawal tree: append-only, positional, of fixed depth 32, with fixed zero hashes.
//!
//! Leaf `i` is at position `i`. The bits of `i` determine at each level whether the sibling is left or right; hashes
//! are never compared for order. Unused positions hold zero (level 0) or the hash of two zero subtrees, so
//! every count has a defined root, and a later root proves every earlier leaf.
//!
//! An append needs only the *frontier*: at each level the left sibling whose right sibling is not complete yet (the
//! algorithm of the beacon deposit contract). One append writes exactly one frontier node, so a withdrawal costs the
//! native module one slot.

use std::{convert::Infallible, sync::LazyLock};

use alloy_primitives::{B256, keccak256};

/// Levels between a leaf and the root.
pub const TREE_DEPTH: usize = 32;

/// Most leaves: one less than the number of positions, so that the frontier needs no node at the root's level.
pub const MAX_LEAVES: u64 = u32::MAX as u64;

/// Sibling hashes, from the leaf's level upwards.
pub type Proof = [B256; TREE_DEPTH];

static ZERO_HASHES: LazyLock<[B256; TREE_DEPTH + 1]> = LazyLock::new(|| {
    let mut zeros = [B256::ZERO; TREE_DEPTH + 1];
    for level in 0..TREE_DEPTH {
        zeros[level + 1] = hash_pair(zeros[level], zeros[level]);
    }
    zeros
});

/// Hash of the empty subtree at each level; index 0 is an empty leaf, index 32 the empty tree's root.
pub fn zero_hashes() -> &'static [B256; TREE_DEPTH + 1] {
    &ZERO_HASHES
}

/// `keccak256(left ++ right)`.
pub fn hash_pair(left: B256, right: B256) -> B256 {
    keccak256([left.0, right.0].concat())
}

/// The tree already has [`MAX_LEAVES`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the withdrawal tree is full ({MAX_LEAVES} leaves)")]
pub struct TreeFull;

/// The effect of an append: the frontier node to write and its level. `load(level)` reads the frontier.
///
/// `count` is the number of leaves before the append and must be below [`MAX_LEAVES`].
///
/// # Errors
/// The error of `load`.
pub fn append_step<E>(
    count: u64,
    leaf: B256,
    mut load: impl FnMut(usize) -> Result<B256, E>,
) -> Result<(usize, B256), E> {
    assert!(count < MAX_LEAVES, "append_step on a full tree");
    let mut size = count + 1;
    let mut node = leaf;
    for level in 0..TREE_DEPTH {
        if size & 1 == 1 {
            return Ok((level, node));
        }
        node = hash_pair(load(level)?, node);
        size >>= 1;
    }
    unreachable!("a count below 2^32 has a one bit within 32 levels")
}

/// The root of a tree with `count` leaves and the frontier that `load(level)` reads.
///
/// # Errors
/// The error of `load`.
pub fn root_from<E>(count: u64, mut load: impl FnMut(usize) -> Result<B256, E>) -> Result<B256, E> {
    let mut node = B256::ZERO;
    for (level, zero) in zero_hashes().iter().take(TREE_DEPTH).enumerate() {
        node = if (count >> level) & 1 == 1 { hash_pair(load(level)?, node) } else { hash_pair(node, *zero) };
    }
    Ok(node)
}

/// The tree in memory: leaf count and frontier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    count: u64,
    nodes: [B256; TREE_DEPTH],
}

impl Default for Frontier {
    fn default() -> Self {
        Self { count: 0, nodes: [B256::ZERO; TREE_DEPTH] }
    }
}

impl Frontier {
    /// Number of leaves.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Appends a leaf and returns its index.
    ///
    /// # Errors
    /// [`TreeFull`] at [`MAX_LEAVES`].
    pub fn append(&mut self, leaf: B256) -> Result<u64, TreeFull> {
        if self.count >= MAX_LEAVES {
            return Err(TreeFull);
        }
        let index = self.count;
        let Ok((level, node)) = append_step::<Infallible>(index, leaf, |level| Ok(self.nodes[level]));
        self.nodes[level] = node;
        self.count += 1;
        Ok(index)
    }

    /// Root of the current leaves.
    pub fn root(&self) -> B256 {
        let Ok(root) = root_from::<Infallible>(self.count, |level| Ok(self.nodes[level]));
        root
    }
}

/// Root of all of `leaves`.
///
/// # Errors
/// [`TreeFull`] beyond [`MAX_LEAVES`].
pub fn root_of(leaves: &[B256]) -> Result<B256, TreeFull> {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.append(*leaf)?;
    }
    Ok(frontier.root())
}

/// Proof of leaf `index` against the root of the first `count` of `leaves`; `None` when there are fewer
/// leaves or when the index is not below the count. Hashes `count` nodes.
pub fn prove(leaves: &[B256], index: u64, count: u64) -> Option<Proof> {
    let mut layer = leaves.get(..usize::try_from(count).ok()?)?.to_vec();
    let mut position = usize::try_from(index).ok().filter(|at| *at < layer.len())?;
    let mut proof = [B256::ZERO; TREE_DEPTH];
    for (sibling, zero) in proof.iter_mut().zip(zero_hashes()) {
        *sibling = layer.get(position ^ 1).copied().unwrap_or(*zero);
        layer = layer.chunks(2).map(|pair| hash_pair(pair[0], pair.get(1).copied().unwrap_or(*zero))).collect();
        position >>= 1;
    }
    Some(proof)
}

/// The root that follows from `leaf` at `index` and its siblings.
pub fn root_of_proof(leaf: B256, index: u64, proof: &Proof) -> B256 {
    proof.iter().enumerate().fold(leaf, |node, (level, sibling)| {
        if (index >> level) & 1 == 1 { hash_pair(*sibling, node) } else { hash_pair(node, *sibling) }
    })
}

/// Whether `leaf` is at `index` in the tree with `count` leaves and this `root`.
pub fn verify(root: B256, count: u64, leaf: B256, index: u64, proof: &Proof) -> bool {
    // The index bound also refuses indices with bits above the tree's depth, which would alias.
    index < count && count <= MAX_LEAVES && root_of_proof(leaf, index, proof) == root
}
