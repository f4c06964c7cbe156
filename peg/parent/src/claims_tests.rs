//! The reader of claims against a scripted endpoint. Each test drives the polls itself.
#![allow(clippy::unwrap_used)]

use crate::{
    ClaimReader, ParentConfig,
    fake::{CHAIN_ID, FakeParent, Mood, REGISTRY, VAULT, http},
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

fn reader(parent: &FakeParent, burned: u64) -> (ClaimReader, Arc<AtomicU64>) {
    let config = ParentConfig::new(vec![parent.url.clone()], CHAIN_ID, VAULT, REGISTRY);
    let burned = Arc::new(AtomicU64::new(burned));
    let count = burned.clone();
    let count = Box::new(move || Some(count.load(Ordering::Relaxed)));
    (ClaimReader::new(config, http(), count).unwrap(), burned)
}

#[tokio::test]
async fn claims_are_known_once_their_block_is_final() {
    let parent = FakeParent::start().await;
    parent.chain().paid = vec![(3, 0), (9, 64), (12, 2)];
    let (mut reader, _) = reader(&parent, 65);
    let claims = reader.claims();
    assert_eq!(claims.is_paid(0), None, "nothing is read yet");
    reader.poll().await;
    let paid = |indexes: [u64; 4]| indexes.map(|index| claims.is_paid(index));
    assert_eq!(paid([0, 64, 2, u64::MAX]), [Some(true), Some(true), Some(false), Some(false)]);
    parent.chain().finalized = 12;
    reader.poll().await;
    assert_eq!(paid([0, 64, 2, 1]), [Some(true), Some(true), Some(true), Some(false)]);
}

#[tokio::test]
async fn refused_ranges_are_halved_and_unread_claims_are_not_known() {
    let parent = FakeParent::start().await;
    parent.chain().max_range = 4;
    parent.chain().paid = vec![(1, 0), (10, 1)];
    let (mut reader, _) = reader(&parent, 2);
    let claims = reader.claims();
    let mut before = Vec::new();
    for _ in 0..20 {
        reader.poll().await;
        before.push((claims.is_paid(0), claims.is_paid(1)));
    }
    assert!(before.contains(&(Some(true), None)), "{before:?}");
    assert_eq!(before.last(), Some(&(Some(true), Some(true))));
}

#[tokio::test]
async fn claims_of_withdrawals_unknown_to_this_node_wait_until_it_catches_up() {
    let parent = FakeParent::start().await;
    parent.chain().paid = vec![(3, 0), (4, 7), (5, u64::MAX)];
    let (mut reader, burned) = reader(&parent, 1);
    let claims = reader.claims();
    reader.poll().await;
    assert_eq!([0, 7, u64::MAX].map(|index| claims.is_paid(index)), [None; 3]);
    parent.chain().paid.pop();
    burned.store(8, Ordering::Relaxed);
    reader.poll().await;
    assert_eq!([0, 1, 7].map(|index| claims.is_paid(index)), [Some(true), Some(false), Some(true)]);
}

#[tokio::test]
async fn a_bad_endpoint_leaves_claims_unknown_and_is_asked_again() {
    let parent = FakeParent::start().await;
    parent.chain().paid = vec![(3, 0)];
    let (mut reader, _) = reader(&parent, 1);
    let claims = reader.claims();
    let other = json!([{
        "address": REGISTRY, "topics": [], "data": "0x", "blockNumber": "0x1", "blockHash": format!("0x{}", "1".repeat(64)),
        "logIndex": "0x0"
    }]);
    for mood in [
        Mood::Http500,
        Mood::NotJson,
        Mood::Refuse("eth_getBlockByNumber", "no"),
        Mood::Instead("eth_chainId", json!("0x1")),
        Mood::Instead("eth_getLogs", other),
    ] {
        parent.chain().mood = mood.clone();
        reader.poll().await;
        assert_eq!(claims.is_paid(0), None, "{mood:?}");
    }
    parent.chain().mood = Mood::Honest;
    reader.poll().await;
    assert_eq!(claims.is_paid(0), Some(true));
}
