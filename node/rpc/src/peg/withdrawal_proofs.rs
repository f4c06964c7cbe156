//! Proofs in the withdrawal tree. The roots of full subtrees are kept, 32 bytes for 1,024 leaves, so that a proof need not read
//! every withdrawal.

use alloy_primitives::B256;
use causeway_peg::tree::{self, TREE_DEPTH, hash_pair, zero_hashes};
use parking_lot::Mutex;

use crate::errors::Fault;

/// Levels of one subtree.
const LEVELS: usize = 10;
/// Leaves of one subtree.
const LEAVES: u64 = 1 << LEVELS;

/// The roots of the full subtrees in order, up to the last one that was needed. A full subtree never changes.
#[derive(Debug, Default)]
pub(crate) struct WithdrawalProofs(Mutex<Vec<B256>>);

impl WithdrawalProofs {
    /// The siblings of leaf `index` in the tree of the first `count` withdrawals. `read(from, until)` reads the leaves with an index
    /// in `from..until`, at most 1,024.
    ///
    /// # Errors
    /// Those of `read`; [`Fault::Internal`] for a leaf beyond `count`.
    pub(crate) fn prove(
        &self,
        index: u64,
        count: u64,
        read: impl Fn(u64, u64) -> Result<Vec<B256>, Fault>,
    ) -> Result<tree::Proof, Fault> {
        prove(index, count, &mut self.0.lock(), read)
    }
}

fn prove(
    index: u64,
    count: u64,
    full: &mut Vec<B256>,
    read: impl Fn(u64, u64) -> Result<Vec<B256>, Fault>,
) -> Result<tree::Proof, Fault> {
    let absent = || Fault::internal("withdrawal tree", format_args!("no leaf {index} below {count}"));
    let part = |at: u64| read(at * LEAVES, count.min((at + 1).saturating_mul(LEAVES)));
    let complete = count / LEAVES;
    while let Some(next) = u64::try_from(full.len()).ok().filter(|next| *next < complete) {
        full.push(root_at(LEVELS, &part(next)?));
    }
    let own = index / LEAVES;
    let lower =
        tree::prove(&part(own)?, index % LEAVES, count.saturating_sub(own * LEAVES).min(LEAVES)).ok_or_else(absent)?;
    let mut layer = full.get(..usize::try_from(complete).map_err(|_| absent())?).ok_or_else(absent)?.to_vec();
    if !count.is_multiple_of(LEAVES) {
        layer.push(root_at(LEVELS, &part(complete)?));
    }
    let mut proof = [B256::ZERO; TREE_DEPTH];
    proof[..LEVELS].copy_from_slice(&lower[..LEVELS]);
    let mut position = usize::try_from(own).map_err(|_| absent())?;
    for (sibling, zero) in proof.iter_mut().zip(zero_hashes()).skip(LEVELS) {
        *sibling = layer.get(position ^ 1).copied().unwrap_or(*zero);
        layer = pair_up(&layer, *zero);
        position >>= 1;
    }
    Ok(proof)
}

/// The root of a subtree with `levels` levels. Positions after `leaves` are empty.
fn root_at(levels: usize, leaves: &[B256]) -> B256 {
    let mut layer = leaves.to_vec();
    for zero in zero_hashes().iter().take(levels) {
        layer = pair_up(&layer, *zero);
    }
    layer.first().copied().unwrap_or(zero_hashes()[levels])
}

fn pair_up(layer: &[B256], zero: B256) -> Vec<B256> {
    layer.chunks(2).map(|pair| hash_pair(pair[0], pair.get(1).copied().unwrap_or(zero))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    #[test]
    fn proofs_equal_those_of_the_whole_tree_at_every_edge() {
        let leaves: Vec<B256> = (0..3 * LEAVES + 5).map(|n| B256::from(U256::from(n + 1))).collect();
        let read = |from: u64, until: u64| {
            Ok(leaves[usize::try_from(from).unwrap()..usize::try_from(until).unwrap()].to_vec())
        };
        // Kept between proofs, as in the server. The counts grow and shrink.
        let mut full = Vec::new();
        for count in [1, 2, LEAVES - 1, LEAVES, LEAVES + 1, 2 * LEAVES, 3 * LEAVES + 5, 2 * LEAVES + 3, 1] {
            let root = tree::root_of(&leaves[..usize::try_from(count).unwrap()]).unwrap();
            for index in [0, 1, LEAVES - 1, LEAVES, 2 * LEAVES - 1, 2 * LEAVES, count - 1] {
                if index < count {
                    let proof = prove(index, count, &mut full, read).unwrap();
                    assert_eq!(proof, tree::prove(&leaves, index, count).unwrap(), "{index} of {count}");
                    assert!(tree::verify(root, count, leaves[usize::try_from(index).unwrap()], index, &proof));
                }
            }
        }
        assert_eq!(full.len(), 3);
    }

    #[test]
    fn a_leaf_beyond_the_count_has_no_proof() {
        let read = |from: u64, until: u64| Ok(vec![B256::ZERO; usize::try_from(until.saturating_sub(from)).unwrap()]);
        for (index, count) in [(1, 1), (LEAVES, LEAVES), (5 * LEAVES, LEAVES)] {
            assert!(prove(index, count, &mut Vec::new(), read).is_err(), "{index} of {count}");
        }
    }
}
