//! New root after a batch of changed leaves in a trie of one million accounts held in memory.
//!
//! Unit: one whole `update_trie`; divide by the number of changed keys for the cost of a key.
//! Run: `cargo bench -p causeway-trie -p causeway-unify --bench root`
#![allow(missing_docs)]

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::TrieAccount;
use causeway_trie::{EMPTY_ROOT_HASH, MemoryNodes, TrieUpdates, update_trie};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::{collections::BTreeMap, hint::black_box, time::Duration};

const ACCOUNTS: u32 = 1_000_000;

fn account(balance: u64) -> Vec<u8> {
    alloy_rlp::encode(TrieAccount { nonce: 1, balance: U256::from(balance), ..TrieAccount::default() })
}

fn base() -> (MemoryNodes, B256) {
    let all = (0..ACCOUNTS).map(|n| (keccak256(n.to_be_bytes()), Some(account(1_000_000_000)))).collect();
    let mut nodes = MemoryNodes::new();
    let (root, updates) = update_trie(&nodes, None, EMPTY_ROOT_HASH, &all).expect("an empty trie needs no stored node");
    nodes.apply(updates);
    (nodes, root)
}

fn roots(criterion: &mut Criterion) {
    let (nodes, root) = base();
    let mut group = criterion.benchmark_group("root_of_1M_accounts");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    for changed in [1_000u32, 10_000] {
        let changes: BTreeMap<B256, Option<Vec<u8>>> = (0..changed)
            .map(|n| (keccak256((n * (ACCOUNTS / changed)).to_be_bytes()), Some(account(u64::from(n)))))
            .collect();
        group.bench_function(format!("{changed}_changed"), |bencher| {
            bencher.iter_batched(
                || &changes,
                |changes| -> (B256, TrieUpdates) {
                    black_box(update_trie(&nodes, None, root, changes).expect("the base is complete"))
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, roots);
criterion_main!(benches);
