//! Each error names the node and the trie, and a failing store is never taken for an empty trie.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{
    Nibbles, TrieMask,
    nodes::{BranchNode, ExtensionNode, LeafNode, RlpNode, TrieNode},
};
use causeway_trie::{
    EMPTY_ROOT_HASH, MemoryNodes, NodeSource, NodeSourceError, StateChanges, TrieError, TrieUpdates, prove,
    state_root_after, update_trie,
};
use std::collections::BTreeMap;

fn change(key: B256) -> BTreeMap<B256, Option<Vec<u8>>> {
    BTreeMap::from([(key, Some(vec![1]))])
}

/// A store with one node at the root, and that node's hash.
fn store_with_root(node: &TrieNode) -> (MemoryNodes, B256) {
    let mut rlp = Vec::new();
    node.encode(&mut rlp);
    raw_store(rlp)
}

fn raw_store(rlp: Vec<u8>) -> (MemoryNodes, B256) {
    let root = keccak256(&rlp);
    let mut nodes = MemoryNodes::new();
    nodes.apply(TrieUpdates { nodes: BTreeMap::from([((None, Nibbles::new()), Some(Bytes::from(rlp)))]) });
    (nodes, root)
}

#[test]
fn a_missing_root_is_an_error_not_an_empty_trie() {
    let root = keccak256(b"some root");
    let error = update_trie(&MemoryNodes::new(), None, root, &change(B256::ZERO)).unwrap_err();
    assert!(matches!(error, TrieError::MissingNode { expected, .. } if expected == root));
    assert!(prove(&MemoryNodes::new(), None, root, B256::ZERO).is_err());
    assert!(error.to_string().contains("the account trie's node at path 0x is missing"), "{error}");
}

#[test]
fn a_wrong_node_is_named_by_trie_and_path() {
    let owner = keccak256(b"owner");
    let mut nodes = MemoryNodes::new();
    let changes = (0u8..40).map(|n| (keccak256([n]), Some(vec![n; 40]))).collect();
    let (root, updates) = update_trie(&nodes, Some(owner), EMPTY_ROOT_HASH, &changes).unwrap();
    nodes.apply(updates);
    let child = *nodes.iter().map(|((_, path), _)| path).find(|path| path.len() == 1).unwrap();
    let mut stale = TrieUpdates::default();
    stale.nodes.insert((Some(owner), child), Some(Bytes::from_static(b"stale")));
    nodes.apply(stale);
    let mut key = B256::ZERO;
    key[0] = child.get(0).unwrap() << 4;
    let error = prove(&nodes, Some(owner), root, key).unwrap_err();
    assert!(
        matches!(&error, TrieError::HashMismatch { place, .. } if place.path == child && place.owner == Some(owner))
    );
    assert!(error.to_string().contains(&format!("storage trie {owner} at path 0x{:x}", child.get(0).unwrap())));
}

#[test]
fn a_failing_store_is_reported_as_its_own_error() {
    #[derive(Debug, thiserror::Error)]
    #[error("pruned")]
    struct Pruned;
    struct Failing;
    impl NodeSource for Failing {
        fn node(&self, _: Option<B256>, _: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
            Err(NodeSourceError::new(Pruned))
        }
    }
    let error = update_trie(&Failing, None, keccak256(b"root"), &change(B256::ZERO)).unwrap_err();
    let TrieError::Source(_, cause) = error else { panic!("{error}") };
    assert!(cause.into_inner().is::<Pruned>());
}

#[test]
fn nodes_that_decode_but_are_invalid_at_their_path_are_malformed() {
    let hash = RlpNode::word_rlp(&keccak256(b"child"));
    let short_leaf = TrieNode::Leaf(LeafNode::new(Nibbles::from_nibbles([1, 2, 3]), vec![1]));
    let valueless = TrieNode::Leaf(LeafNode::new(Nibbles::unpack(B256::ZERO), Vec::new()));
    let no_nibbles = TrieNode::Extension(ExtensionNode::new(Nibbles::new(), hash.clone()));
    let too_long = TrieNode::Extension(ExtensionNode::new(Nibbles::unpack(B256::ZERO), hash.clone()));
    let lonely = TrieNode::Branch(BranchNode::new(vec![hash], TrieMask::new(1)));
    for node in [short_leaf, valueless, no_nibbles, too_long, lonely, TrieNode::EmptyRoot] {
        let (nodes, root) = store_with_root(&node);
        if root == EMPTY_ROOT_HASH {
            continue;
        }
        let error = update_trie(&nodes, None, root, &change(B256::ZERO)).unwrap_err();
        assert!(matches!(error, TrieError::Malformed { .. }), "{node:?}: {error}");
        assert!(prove(&nodes, None, root, B256::ZERO).is_err());
    }
}

#[test]
fn bytes_after_a_node_and_bytes_that_do_not_decode_are_refused() {
    let mut rlp = Vec::new();
    TrieNode::Leaf(LeafNode::new(Nibbles::unpack(B256::ZERO), vec![1])).encode(&mut rlp);
    rlp.push(0x80);
    let (nodes, root) = raw_store(rlp);
    assert!(matches!(
        update_trie(&nodes, None, root, &change(B256::ZERO)),
        Err(TrieError::Malformed { reason: "bytes follow the node", .. })
    ));
    let (nodes, root) = raw_store(vec![0xc1, 0x80]);
    assert!(matches!(update_trie(&nodes, None, root, &change(B256::ZERO)), Err(TrieError::Undecodable { .. })));
}

#[test]
fn changed_storage_needs_its_account() {
    let mut changes = StateChanges::default();
    let owner = keccak256(b"owner");
    changes.storages.insert(owner, BTreeMap::from([(B256::ZERO, U256::from(1))]));
    let error = state_root_after(&MemoryNodes::new(), EMPTY_ROOT_HASH, &changes).unwrap_err();
    assert!(matches!(error, TrieError::StorageWithoutAccount(account) if account == owner));
}

#[test]
fn only_dirty_paths_are_read() {
    struct Counting<'a>(&'a MemoryNodes, std::cell::Cell<usize>);
    impl NodeSource for Counting<'_> {
        fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
            self.1.set(self.1.get() + 1);
            self.0.node(owner, path)
        }
    }
    let mut nodes = MemoryNodes::new();
    let all = (0u32..20_000).map(|n| (keccak256(n.to_be_bytes()), Some(vec![1; 40]))).collect();
    let (root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &all).unwrap();
    nodes.apply(updates);
    let counting = Counting(&nodes, Default::default());
    let one = BTreeMap::from([(keccak256(7u32.to_be_bytes()), Some(vec![2; 40]))]);
    let (_, updates) = update_trie(&counting, None, root, &one).unwrap();
    assert!(counting.1.get() <= 6, "{} reads for one key of 20,000", counting.1.get());
    assert_eq!(updates.len(), counting.1.get());
}
