//! The watcher's and the submitter's reports about the registry.
#![allow(clippy::unwrap_used)]

use crate::{
    Conflict, ParentUpdate, Submitter, SubmitterConfig,
    fake::{CHAIN_ID, FakeParent, Mood, REGISTRY, VAULT, http},
    history::MAX_LEAVES,
    watcher_tests::setup,
};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{B256, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use causeway_contracts::CheckpointRegistry;
use causeway_peg::{RegistryState, deposit::extend_acc};
use serde_json::json;

fn set(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

/// Epochs and commitments reported.
fn sets(updates: &[ParentUpdate]) -> Vec<(u64, B256)> {
    let set = |update: &ParentUpdate| match update {
        ParentUpdate::SetCommitted { epoch, commitment } => Some((*epoch, *commitment)),
        _ => None,
    };
    updates.iter().filter_map(set).collect()
}

#[tokio::test]
async fn set_in_force_is_reported_once_when_it_changes_at_a_finalised_block() {
    let parent = FakeParent::start().await;
    {
        let mut chain = parent.chain();
        // Announced to the registry, but no checkpoint of epoch 1 is accepted before block 12.
        chain.sets.insert(1, set(1));
        chain.epochs.insert(12, 1);
    }
    let mut setup = setup(&[&parent]);
    assert_eq!(sets(&setup.poll().await), [(0, set(0x5e))]);
    parent.chain().finalized = 11;
    assert_eq!(sets(&setup.poll().await), []);
    parent.chain().finalized = 12;
    assert_eq!(sets(&setup.poll().await), [(1, set(1))]);
    assert_eq!(setup.status.borrow().set_in_force, Some((1, set(1))));
    parent.chain().finalized = 20;
    assert_eq!(sets(&setup.poll().await), []);
}

#[tokio::test]
async fn many_epochs_at_once_are_reported_as_the_last_one() {
    let parent = FakeParent::start().await;
    let mut setup = setup(&[&parent]);
    setup.poll().await;
    {
        let mut chain = parent.chain();
        chain.sets.extend((1..=11).map(|epoch| (epoch, set(u8::try_from(epoch).unwrap()))));
        chain.epochs.extend((1..=10).map(|epoch| (10 + epoch, epoch)));
        chain.finalized = 30;
        chain.requests.clear();
    }
    assert_eq!(sets(&setup.poll().await), [(10, set(10))]);
    // The vault's count; the registry's latest checkpoint, its digest and the set in force.
    assert_eq!(parent.chain().requests["eth_call"], 4, "independent of the number of epochs");
}

#[tokio::test]
async fn set_in_force_is_reported_again_after_a_restart() {
    let parent = FakeParent::start().await;
    for _ in 0..2 {
        let mut setup = setup(&[&parent]);
        assert_eq!(sets(&setup.poll().await), [(0, set(0x5e))]);
        assert_eq!(setup.poll().await, [], "reported only once");
    }
}

#[tokio::test]
async fn sources_that_differ_on_the_registry_report_no_set_until_they_agree() {
    let (a, b) = (FakeParent::start().await, FakeParent::start().await);
    b.chain().sets.insert(0, set(9));
    let mut setup = setup(&[&a, &b]);
    let updates = setup.poll().await;
    assert_eq!(sets(&updates), []);
    assert!(
        matches!(updates.last(), Some(ParentUpdate::Conflict(Conflict::Registry { height: 10, .. }))),
        "{updates:?}"
    );
    // The parent does not advance: the conflict stays until the sources agree.
    assert_eq!(setup.poll().await, []);
    assert!(setup.status.borrow().conflict.is_some());
    b.chain().sets.insert(0, set(0x5e));
    let updates = setup.poll().await;
    assert_eq!(sets(&updates), [(0, set(0x5e))]);
    assert!(updates.contains(&ParentUpdate::Recovered));
}

#[tokio::test]
async fn one_silent_source_of_two_delays_the_set() {
    let (a, b) = (FakeParent::start().await, FakeParent::start().await);
    let mut setup = setup(&[&a, &b]);
    b.chain().mood = Mood::Refuse("eth_call", "no state here");
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Unreachable { .. }]));
    b.chain().mood = Mood::Honest;
    assert_eq!(sets(&setup.poll().await), [(0, set(0x5e))]);
}

#[tokio::test]
async fn failed_read_of_the_registry_is_tried_again_while_the_parent_stands_still() {
    let parent = FakeParent::start().await;
    parent.chain().sets.clear();
    let mut setup = setup(&[&parent]);
    let updates = setup.poll().await;
    assert_eq!(sets(&updates), []);
    assert!(setup.reason().contains("has no set for it"), "{}", setup.reason());
    parent.chain().sets.insert(0, set(7));
    let updates = setup.poll().await;
    assert_eq!(sets(&updates), [(0, set(7))]);
    assert!(updates.contains(&ParentUpdate::Recovered));
    parent.chain().requests.clear();
    assert_eq!(setup.poll().await, []);
    assert!(!parent.chain().requests.contains_key("eth_call"), "nothing is requested again");
}

#[tokio::test]
async fn no_set_is_reported_while_the_parents_finality_is_broken() {
    let parent = FakeParent::start().await;
    let mut setup = setup(&[&parent]);
    setup.poll().await;
    {
        let mut chain = parent.chain();
        chain.fork = Some((8, 1));
        chain.epochs.insert(9, 1);
        chain.sets.insert(1, set(1));
        chain.finalized = 12;
    }
    let updates = setup.poll().await;
    assert_eq!(sets(&updates), []);
    assert!(matches!(updates[..], [ParentUpdate::Conflict(Conflict::FinalityBroken { .. })]), "{updates:?}");
}

async fn submitter(parent: &FakeParent) -> Submitter {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    Submitter::connect(SubmitterConfig::new(parent.url.clone(), CHAIN_ID), signer, http()).await.unwrap()
}

#[tokio::test]
async fn registry_state_tells_whether_the_next_set_is_known() {
    let parent = FakeParent::start().await;
    let submitter = submitter(&parent).await;
    let state = submitter.registry_state(REGISTRY).await.unwrap();
    assert_eq!(state, RegistryState { number: 0, epoch: 0, knows_next: false });
    {
        let mut chain = parent.chain();
        chain.checkpoint = (7, set(7));
        chain.epochs.insert(3, 4);
        chain.sets.insert(5, set(5));
    }
    let state = submitter.registry_state(REGISTRY).await.unwrap();
    assert_eq!(state, RegistryState { number: 7, epoch: 4, knows_next: true });
    parent.chain().mood = Mood::Instead("eth_call", json!("0x"));
    assert!(submitter.registry_state(REGISTRY).await.is_err());
}

#[tokio::test]
async fn oldest_remembered_deposit_is_4095_before_the_last() {
    let parent = FakeParent::start().await;
    let submitter = submitter(&parent).await;
    for (taken, oldest) in [(0u64, 0u64), (1, 0), (4_095, 0), (4_096, 1), (5_000, 905)] {
        parent.chain().mood = Mood::Instead("eth_call", json!(B256::from(U256::from(taken))));
        assert_eq!(submitter.oldest_remembered_deposit(VAULT).await.unwrap(), oldest);
    }
}

/// The sent links: the linked nonces with the number of leaves. Also checks that the leaves lead from each accumulator to
/// the end.
fn links(parent: &FakeParent) -> Vec<(u64, usize)> {
    let chain = parent.chain();
    let call = |raw: &alloy_primitives::Bytes| {
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        CheckpointRegistry::linkCall::abi_decode(transaction.input()).unwrap()
    };
    let calls: Vec<_> = chain.sent.iter().map(call).collect();
    for call in &calls {
        assert_eq!(call.acc, acc_after(call.nonce));
        let first = call.laterDeposits.first().copied();
        assert_eq!(first, Some(leaf(call.nonce + 1)), "the leaves follow the linked deposit");
    }
    calls.iter().map(|call| (call.nonce, call.laterDeposits.len())).collect()
}

fn leaf(nonce: u64) -> B256 {
    alloy_primitives::keccak256(nonce.to_be_bytes())
}

fn acc_after(nonce: u64) -> B256 {
    (1..=nonce).fold(B256::ZERO, |acc, nonce| extend_acc(acc, leaf(nonce)))
}

#[tokio::test]
async fn long_history_is_linked_from_its_end_and_resumes_where_it_stopped() {
    let parts = usize::try_from(MAX_LEAVES).unwrap();
    let leaves: Vec<B256> = (101..=7_600).map(leaf).collect();
    // The nonces linked before, and the expected new links with their numbers of leaves.
    let cases = [
        (vec![], vec![(6_000u64, 1_600usize), (3_000, parts)]),
        (vec![6_000u64], vec![(3_000, parts)]),
        (vec![3_000], vec![]),
        (vec![3_000, 6_000], vec![]),
    ];
    for (linked, sent) in cases {
        let parent = FakeParent::start().await;
        {
            let mut chain = parent.chain();
            chain.includes_all = true;
            chain.linked = linked.iter().map(|nonce| (*nonce, acc_after(*nonce))).collect();
        }
        let submitter = submitter(&parent).await;
        let own = submitter.link_history(REGISTRY, 100, acc_after(100), &leaves).await.unwrap();
        assert_eq!(own, 2_900, "the checkpoint's own submission proves deposits 101 to 3,000");
        assert_eq!(links(&parent), sent, "{linked:?}");
    }
}

#[tokio::test]
async fn history_that_fits_one_transaction_is_not_linked() {
    let parent = FakeParent::start().await;
    let submitter = submitter(&parent).await;
    for count in [0, 1, MAX_LEAVES] {
        let leaves: Vec<B256> = (2_001..=2_000 + count).map(leaf).collect();
        let own = submitter.link_history(REGISTRY, 2_000, acc_after(2_000), &leaves).await.unwrap();
        assert_eq!(own, leaves.len());
    }
    assert!(parent.chain().sent.is_empty());
    // One more deposit does not fit, and a history that ends at a cut needs no link there.
    parent.chain().includes_all = true;
    let leaves: Vec<B256> = (3_001..=6_001).map(leaf).collect();
    assert_eq!(submitter.link_history(REGISTRY, 3_000, acc_after(3_000), &leaves).await.unwrap(), 3_000);
    assert_eq!(links(&parent), [(6_000, 1)]);
}

#[tokio::test]
async fn failing_link_ends_the_attempt() {
    let parent = FakeParent::start().await;
    parent.chain().revert = Some(alloy_primitives::Bytes::from_static(&[1, 2, 3, 4]));
    let submitter = submitter(&parent).await;
    let leaves: Vec<B256> = (1..=7_000).map(leaf).collect();
    assert!(submitter.link_history(REGISTRY, 0, B256::ZERO, &leaves).await.is_err());
    assert!(parent.chain().sent.is_empty());
}
