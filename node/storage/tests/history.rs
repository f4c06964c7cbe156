//! Every kept state reads unchanged, after any commits, pruning, restarts and concurrent reads.

use crate::support::{Changes, Place, TestChain, address};
use alloy_primitives::U256;
use alloy_trie::{Nibbles, proof::verify_proof};
use causeway_execution::{SourceError, StateSource};
use causeway_storage::{HistoryDepth, StorageError, StorageOptions};
use causeway_trie::{NodeSource, prove};
use proptest::prelude::*;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

in_each_place! {
    proofs_of_old_states_verify_against_their_headers,
    a_pruned_view_says_so_and_never_answers_with_nothing,
    history_that_was_pruned_stays_pruned_when_the_depth_is_raised,
    readers_see_one_state_while_commits_go_on,
}

fn changes() -> impl Strategy<Value = Changes> {
    (
        prop::collection::btree_map(0u8..12, prop::option::weighted(0.7, 0u64..5), 0..5),
        prop::collection::btree_map((0u8..4, 0u8..6), 0u64..3, 0..6),
    )
        .prop_map(|(accounts, slots)| Changes { accounts, slots })
}

/// `None` restarts.
fn steps() -> impl Strategy<Value = Vec<Option<Changes>>> {
    prop::collection::vec(prop::option::weighted(0.85, changes()), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kept_state_reads_its_own_values(steps in steps(), small_cache in any::<bool>(), depth in prop::option::of(0u64..6), in_memory in any::<bool>()) {
        let place = if in_memory { Place::memory() } else { Place::rocks() };
        let history = depth.map_or(HistoryDepth::Archive, HistoryDepth::Blocks);
        let cache_entries = if small_cache { 16 } else { 4_096 };
        let mut chain = TestChain::open_in(&place, StorageOptions { history, cache_entries });
        // Views taken on the way stay at their block.
        let mut views = vec![chain.storage.latest()];
        for step in &steps {
            match step {
                Some(changes) => {
                    chain.push(changes);
                    views.push(chain.storage.latest());
                }
                None => {
                    views.clear();
                    chain.reopen_in(&place);
                }
            }
        }
        let head = chain.head();
        let oldest = depth.map_or(0, |depth| head.saturating_sub(depth));
        prop_assert_eq!(chain.storage.oldest_state(), oldest);
        chain.check_all();
        for number in 0..oldest {
            let error = chain.storage.state_at(number).unwrap_err();
            let expected = matches!(error, StorageError::Pruned { number: asked, oldest: kept } if asked == number && kept == oldest);
            prop_assert!(expected, "{}", error);
        }
        for view in views {
            let model = &chain.models[usize::try_from(view.number()).unwrap()];
            for number in 0..12 {
                match view.account(address(number)) {
                    Ok(account) => prop_assert_eq!(account, model.accounts.get(&address(number)).copied()),
                    Err(SourceError::Pruned(at)) => prop_assert!(at == view.number() && at < oldest),
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
        }
    }
}

fn proofs_of_old_states_verify_against_their_headers(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    for round in 0..20u64 {
        let accounts = (0..40).map(|number| (number, (u64::from(number) % 3 != round % 3).then_some(round))).collect();
        let slots = (0..6).map(|slot| ((1, slot), (u64::from(slot) + round) % 4)).collect();
        chain.push(&Changes { accounts, slots });
    }
    for number in 0..=chain.head() {
        let root = chain.storage.header_by_number(number).unwrap().unwrap().state_root;
        let state = chain.storage.state_at(number).unwrap();
        for account in 0..60 {
            let key = alloy_primitives::keccak256(address(account));
            let proof = prove(&*state, None, root, key).unwrap();
            let value = state.account(address(account)).unwrap().map(|account| {
                alloy_rlp::encode(alloy_trie::TrieAccount {
                    nonce: account.nonce,
                    balance: account.balance,
                    storage_root: account.storage_root,
                    code_hash: account.code_hash,
                })
            });
            verify_proof(root, Nibbles::unpack(key), value, &proof).unwrap();
        }
    }
}

fn a_pruned_view_says_so_and_never_answers_with_nothing(place: &Place) {
    let options = StorageOptions { history: HistoryDepth::Blocks(2), ..StorageOptions::default() };
    let mut chain = TestChain::open_in(place, options);
    chain.push(&Changes { accounts: [(1, Some(10))].into(), slots: [((2, 0), 5)].into() });
    let old = chain.storage.latest();
    for balance in 11..16 {
        chain.push(&Changes { accounts: [(1, Some(balance))].into(), slots: [((2, 0), balance)].into() });
    }
    assert_eq!(chain.storage.oldest_state(), 4);
    assert!(matches!(old.account(address(1)), Err(SourceError::Pruned(1))));
    assert!(matches!(old.storage(address(2), U256::ZERO), Err(SourceError::Pruned(1))));
    let cause = old.node(None, &Nibbles::new()).unwrap_err().into_inner();
    assert!(matches!(cause.downcast_ref(), Some(StorageError::Pruned { number: 1, oldest: 4 })));
    assert!(matches!(chain.storage.state_at(99), Err(StorageError::UnknownBlock { number: 99, head: 6 })));
}

fn history_that_was_pruned_stays_pruned_when_the_depth_is_raised(place: &Place) {
    let mut chain =
        TestChain::open_in(place, StorageOptions { history: HistoryDepth::Blocks(1), ..StorageOptions::default() });
    for balance in 0..5 {
        chain.push(&Changes { accounts: [(1, Some(balance))].into(), ..Changes::default() });
    }
    chain.options.history = HistoryDepth::Archive;
    chain.reopen_in(place);
    assert_eq!(chain.storage.oldest_state(), 4);
    assert!(matches!(chain.storage.state_at(3), Err(StorageError::Pruned { number: 3, oldest: 4 })));
    chain.push(&Changes { accounts: [(1, Some(9))].into(), ..Changes::default() });
    chain.check_all();
}

fn readers_see_one_state_while_commits_go_on(place: &Place) {
    // A small cache, so that reads reach the database and race with the writer there.
    let mut chain = TestChain::open_in(place, StorageOptions { cache_entries: 16, ..StorageOptions::default() });
    let block = |number: u64| Changes {
        accounts: (0..64).map(|account| (account, Some(number * 1_000 + u64::from(account)))).collect(),
        ..Changes::default()
    };
    chain.push(&block(1));
    let done = Arc::new(AtomicBool::new(false));
    let checked = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for reader in 0..3u64 {
            let (storage, done, checked) = (Arc::clone(&chain.storage), Arc::clone(&done), Arc::clone(&checked));
            scope.spawn(move || {
                let mut turn = reader;
                while !done.load(Ordering::SeqCst) {
                    let latest = storage.latest();
                    let view =
                        if turn % 2 == 0 { latest } else { storage.state_at(1 + turn % latest.number()).unwrap() };
                    for account in 0..64u8 {
                        let expected = view.number() * 1_000 + u64::from(account);
                        let found = view.account(address(account)).unwrap().unwrap().balance;
                        assert_eq!(found, U256::from(expected), "account {account} at block {}", view.number());
                    }
                    checked.fetch_add(1, Ordering::SeqCst);
                    turn += 1;
                }
            });
        }
        for number in 2..120 {
            chain.push(&block(number));
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(checked.load(Ordering::SeqCst) > 0);
    chain.check(60);
}
