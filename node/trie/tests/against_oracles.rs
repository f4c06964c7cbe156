//! The incremental trie against two independent implementations: alloy-trie's `HashBuilder`, which builds every root
//! from scratch, and eth_trie, which is incremental and keyed by hash.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, proof::verify_proof};
use causeway_trie::{
    EMPTY_ROOT_HASH, MemoryNodes, NodeSource, StateChanges, get, prove, state_root_after, update_trie,
};
use eth_trie::{EthTrie, MemoryDB, Trie};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

type Changes = BTreeMap<B256, Option<Vec<u8>>>;

/// Keys that share long prefixes: few distinct nibbles, differing at chosen depths, so that extensions, deep branches
/// and embedded nodes appear at once.
fn key() -> impl Strategy<Value = B256> {
    let dense = (0u8..4, 0u8..4, 0u8..3).prop_map(|(high, middle, low)| {
        let mut key = B256::ZERO;
        key[0] = high << 4;
        key[15] = middle;
        key[31] = low;
        key
    });
    let late = (0u8..16, 0u8..16).prop_map(|(nibble, last)| {
        let mut key = B256::repeat_byte(0x77);
        key[30] = nibble;
        key[31] = last;
        key
    });
    let early = (0u8..=255).prop_map(|first| {
        let mut key = B256::repeat_byte(0x11);
        key[0] = first;
        key
    });
    let hashed = (0u16..300).prop_map(|n| keccak256(n.to_be_bytes()));
    prop_oneof![3 => dense, 3 => late, 1 => early, 2 => hashed]
}

/// RLP, as every value in a state trie is (eth_trie 0.6.1 re-encodes other single bytes wrongly). Short values make
/// embedded nodes, long ones force a two-byte RLP header.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        3 => prop::collection::vec(1u8.., 1..3),
        2 => prop::collection::vec(any::<u8>(), 30..34),
        1 => prop::collection::vec(any::<u8>(), 60..120),
    ];
    bytes.prop_map(|bytes| alloy_rlp::encode(bytes.as_slice()))
}

fn batch() -> impl Strategy<Value = Changes> {
    prop::collection::btree_map(key(), prop::option::weighted(0.55, value()), 1..24)
}

fn from_scratch(content: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in content {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

fn apply(content: &mut BTreeMap<B256, Vec<u8>>, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => content.insert(*key, value.clone()),
            None => content.remove(key),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_agree_with_both_oracles_and_leave_only_live_nodes(batches in prop::collection::vec(batch(), 1..14)) {
        let mut nodes = MemoryNodes::new();
        let mut oracle = EthTrie::new(Arc::new(MemoryDB::new(true)));
        let mut content = BTreeMap::new();
        let mut root = EMPTY_ROOT_HASH;
        for changes in &batches {
            for (key, value) in changes {
                match value {
                    Some(value) => oracle.insert(key.as_slice(), value).unwrap(),
                    // eth_trie 0.6.1 drops live nodes when an absent key is removed; HashBuilder is the oracle for those.
                    None if content.contains_key(key) => assert!(oracle.remove(key.as_slice()).unwrap()),
                    None => {}
                }
            }
            apply(&mut content, changes);
            let (new_root, updates) = update_trie(&nodes, None, root, changes).unwrap();
            for ((_, path), node) in &updates.nodes {
                let before = nodes.node(None, path).unwrap();
                prop_assert_ne!(&before, node, "an unchanged node is not reported");
            }
            nodes.apply(updates);
            root = new_root;
            prop_assert_eq!(root, from_scratch(&content));
            prop_assert_eq!(root, oracle.root_hash().unwrap());
        }
        // The store holds exactly the nodes that a fresh build of the same content stores.
        let all: Changes = content.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
        let (fresh_root, fresh) = update_trie(&MemoryNodes::new(), None, EMPTY_ROOT_HASH, &all).unwrap();
        prop_assert_eq!(fresh_root, root);
        let live: BTreeMap<_, _> = nodes.iter().map(|(place, rlp)| (*place, Some(rlp.clone()))).collect();
        prop_assert_eq!(live, fresh.nodes);
    }

    #[test]
    fn proofs_verify_for_present_and_absent_keys(changes in batch(), extra in prop::collection::vec(key(), 1..8)) {
        let mut nodes = MemoryNodes::new();
        let (root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &changes).unwrap();
        nodes.apply(updates);
        for key in changes.keys().chain(&extra) {
            let expected = changes.get(key).cloned().flatten();
            prop_assert_eq!(&get(&nodes, None, root, *key).unwrap(), &expected);
            let proof = prove(&nodes, None, root, *key).unwrap();
            verify_proof(root, Nibbles::unpack(key), expected, &proof).unwrap();
        }
    }

    /// For a damaged byte in any node, the result is an error or the right root, never a panic or another
    /// root.
    #[test]
    fn damaged_nodes_are_refused(first in batch(), second in batch(), pick in any::<prop::sample::Index>(),
                                 at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut nodes = MemoryNodes::new();
        let (root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &first).unwrap();
        nodes.apply(updates);
        prop_assume!(!nodes.is_empty());
        let (expected, _) = update_trie(&nodes, None, root, &second).unwrap();
        let (place, rlp) = nodes.iter().nth(pick.index(nodes.len())).unwrap();
        let mut damaged = rlp.to_vec();
        let at = at.index(damaged.len());
        damaged[at] ^= flip;
        let place = *place;
        let mut updates = causeway_trie::TrieUpdates::default();
        updates.nodes.insert(place, Some(Bytes::from(damaged)));
        nodes.apply(updates);
        if let Ok((found, _)) = update_trie(&nodes, None, root, &second) {
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn state_roots_agree_with_a_root_from_scratch(
        rounds in prop::collection::vec(
            prop::collection::btree_map(0u8..12, (any::<u64>(), prop::collection::btree_map(0u8..20, 0u64..3, 0..8)), 1..8),
            1..8)
    ) {
        let mut nodes = MemoryNodes::new();
        let mut root = EMPTY_ROOT_HASH;
        let mut accounts: BTreeMap<B256, TrieAccount> = BTreeMap::new();
        let mut slots: BTreeMap<B256, BTreeMap<B256, U256>> = BTreeMap::new();
        for round in rounds {
            let mut changes = StateChanges::default();
            for (account, (balance, storage)) in round {
                let address = keccak256([account]);
                // Every seventh balance removes an account without storage, as EIP-161 does.
                if balance % 7 == 0 && slots.get(&address).is_none_or(BTreeMap::is_empty) {
                    accounts.remove(&address);
                    changes.accounts.insert(address, None);
                    continue;
                }
                let entry = accounts.entry(address).or_default();
                entry.balance = U256::from(balance);
                changes.accounts.insert(address, Some(*entry));
                if storage.is_empty() { continue }
                let held = slots.entry(address).or_default();
                for (slot, value) in storage {
                    let (slot, value) = (keccak256([slot]), U256::from(value));
                    if value.is_zero() { held.remove(&slot); } else { held.insert(slot, value); }
                    changes.storages.entry(address).or_default().insert(slot, value);
                }
            }
            let after = state_root_after(&nodes, root, &changes).unwrap();
            for (address, storage_root) in &after.storage_roots {
                accounts.get_mut(address).unwrap().storage_root = *storage_root;
                prop_assert_eq!(*storage_root, alloy_trie::root::storage_root(slots[address].iter().map(|(k, v)| (*k, *v))));
            }
            nodes.apply(after.updates);
            root = after.root;
            prop_assert_eq!(root, alloy_trie::root::state_root(accounts.iter().map(|(k, v)| (*k, *v))));
        }
    }
}

#[test]
fn removing_every_key_returns_to_the_empty_root_and_an_empty_store() {
    let mut nodes = MemoryNodes::new();
    let keys: Vec<B256> = (0u16..500).map(|n| keccak256(n.to_be_bytes())).collect();
    let all: Changes = keys.iter().map(|key| (*key, Some(vec![1; 40]))).collect();
    let (mut root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &all).unwrap();
    nodes.apply(updates);
    for chunk in keys.chunks(37) {
        let removals: Changes = chunk.iter().map(|key| (*key, None)).collect();
        let (next, updates) = update_trie(&nodes, None, root, &removals).unwrap();
        nodes.apply(updates);
        root = next;
    }
    assert_eq!(root, EMPTY_ROOT_HASH);
    assert!(nodes.is_empty());
}

#[test]
fn a_batch_that_changes_nothing_reports_nothing() {
    let mut nodes = MemoryNodes::new();
    let all: Changes = (0u16..64).map(|n| (keccak256(n.to_be_bytes()), Some(vec![9; 33]))).collect();
    let (root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &all).unwrap();
    nodes.apply(updates);
    let mut same = all;
    same.insert(keccak256(b"absent"), None);
    let (again, updates) = update_trie(&nodes, None, root, &same).unwrap();
    assert_eq!(again, root);
    assert!(updates.is_empty());
}

#[test]
fn an_empty_value_removes_the_key() {
    let key = keccak256(b"key");
    let mut nodes = MemoryNodes::new();
    let (root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &Changes::from([(key, Some(vec![1]))])).unwrap();
    nodes.apply(updates);
    let (root, _) = update_trie(&nodes, None, root, &Changes::from([(key, Some(Vec::new()))])).unwrap();
    assert_eq!(root, EMPTY_ROOT_HASH);
}
