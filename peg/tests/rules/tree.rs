use alloy_primitives::{B256, keccak256};
use causeway_peg::{
    Frontier,
    tree::{MAX_LEAVES, TREE_DEPTH, TreeFull, append_step, prove, root_from, root_of, verify, zero_hashes},
};
use proptest::prelude::*;

/// The tree from its definition: a function of level and position over a sparse list of leaves.
fn node(leaves: &[B256], level: usize, position: u64) -> B256 {
    if level == 0 {
        return usize::try_from(position).ok().and_then(|at| leaves.get(at)).copied().unwrap_or_default();
    }
    // A subtree beyond the last leaf is empty; without this cut the definition walks 2^32 leaves.
    let first_leaf = position << level;
    if first_leaf >= u64::try_from(leaves.len()).unwrap() {
        let below = if level == 1 { B256::ZERO } else { node(&[], level - 1, 0) };
        return keccak256([below.0, below.0].concat());
    }
    keccak256([node(leaves, level - 1, 2 * position).0, node(leaves, level - 1, 2 * position + 1).0].concat())
}

fn leaves(count: u64) -> Vec<B256> {
    (0..count).map(|i| keccak256(i.to_be_bytes())).collect()
}

#[test]
fn roots_and_zero_hashes_match_the_definition() {
    for (level, zero) in zero_hashes().iter().enumerate() {
        assert_eq!(node(&[], level, 0), *zero);
    }
    for count in [0u64, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33] {
        assert_eq!(root_of(&leaves(count)).unwrap(), node(&leaves(count), TREE_DEPTH, 0), "{count} leaves");
    }
}

#[test]
fn every_leaf_of_every_earlier_root_is_proven_and_no_later_one_is() {
    let all = leaves(20);
    for count in 0..=20u64 {
        let root = root_of(&all[..usize::try_from(count).unwrap()]).unwrap();
        for index in 0..20u64 {
            let leaf = all[usize::try_from(index).unwrap()];
            match prove(&all, index, count) {
                Some(proof) => {
                    assert!(index < count);
                    assert!(verify(root, count, leaf, index, &proof));
                }
                None => assert!(index >= count),
            }
        }
    }
}

#[test]
fn proofs_need_the_leaves() {
    assert_eq!(prove(&leaves(3), 0, 4), None);
    assert_eq!(prove(&leaves(3), 3, 3), None);
    assert_eq!(prove(&[], 0, 0), None);
    assert_eq!(prove(&leaves(3), u64::MAX, 3), None);
    assert_eq!(prove(&leaves(3), 0, u64::MAX), None);
}

#[test]
fn changing_any_bit_of_a_proof_or_its_leaf_or_root_refuses_it() {
    let all = leaves(11);
    let root = root_of(&all).unwrap();
    for index in [0u64, 5, 10] {
        let proof = prove(&all, index, 11).unwrap();
        let leaf = all[usize::try_from(index).unwrap()];
        assert!(verify(root, 11, leaf, index, &proof));
        for at in 0..TREE_DEPTH * 32 {
            let mut changed = proof;
            changed[at / 32].0[at % 32] ^= 1 << (at % 8);
            assert!(!verify(root, 11, leaf, index, &changed), "sibling byte {at}");
        }
        for at in 0..32 {
            let (mut other_leaf, mut other_root) = (leaf, root);
            other_leaf.0[at] ^= 1;
            other_root.0[at] ^= 1;
            assert!(!verify(root, 11, other_leaf, index, &proof));
            assert!(!verify(other_root, 11, leaf, index, &proof));
        }
    }
}

#[test]
fn index_is_bounded_by_the_count_and_cannot_alias() {
    let all = leaves(4);
    let root = root_of(&all).unwrap();
    let proof = prove(&all, 1, 4).unwrap();
    assert!(verify(root, 4, all[1], 1, &proof));
    for index in [0, 2, 4, 1 + (1 << 32), u64::MAX] {
        assert!(!verify(root, u64::MAX, all[1], index, &proof), "{index}");
        assert!(!verify(root, 4, all[1], index, &proof), "{index}");
    }
}

#[test]
fn swapped_siblings_of_a_pair_are_two_different_trees() {
    let (a, b) = (keccak256("a"), keccak256("b"));
    assert_ne!(root_of(&[a, b]).unwrap(), root_of(&[b, a]).unwrap());
}

#[test]
fn last_leaf_fits_and_the_next_one_does_not() {
    // A frontier of a nearly full tree: the values of the nodes do not matter, only that every step is in range.
    let node = keccak256("node");
    let load = |_| -> Result<B256, TreeFull> { Ok(node) };
    let (level, _) = append_step(MAX_LEAVES - 1, node, load).unwrap();
    assert_eq!(level, 0, "2^32 - 1 leaves: the last one is a left child");
    assert!(root_from(MAX_LEAVES, load).is_ok());
    assert!(std::panic::catch_unwind(|| append_step(MAX_LEAVES, node, load)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frontier_agrees_with_the_definition_after_every_append(count in 1u64..80) {
        let mut frontier = Frontier::default();
        let all = leaves(count);
        for (index, leaf) in all.iter().enumerate() {
            prop_assert_eq!(frontier.append(*leaf).unwrap(), u64::try_from(index).unwrap());
        }
        prop_assert_eq!(frontier.count(), count);
        prop_assert_eq!(frontier.root(), node(&all, TREE_DEPTH, 0));
    }

    #[test]
    fn proofs_verify_only_at_their_own_place(count in 1u64..60, index in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
        let all = leaves(count);
        let root = root_of(&all).unwrap();
        let size = usize::try_from(count).unwrap();
        let (index, other) = (index.index(size), other.index(size));
        let place = |at: usize| u64::try_from(at).unwrap();
        let proof = prove(&all, place(index), count).unwrap();
        prop_assert!(verify(root, count, all[index], place(index), &proof));
        prop_assert_eq!(verify(root, count, all[index], place(other), &proof), index == other);
        prop_assert_eq!(verify(root, count, all[other], place(index), &proof), index == other);
    }
}
