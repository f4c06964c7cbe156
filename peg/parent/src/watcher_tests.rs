//! The watcher against scripted endpoints. Each test drives the polls itself; no test waits for a clock, except for the
//! deadline that it tests.
#![allow(clippy::unwrap_used)]

use crate::{
    Conflict, ParentConfig, ParentStatus, ParentUpdate, ParentWatcher, WatchFrom,
    fake::{CHAIN_ID, FakeParent, Mood, REGISTRY, VAULT, http},
};
use alloy_primitives::B256;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

pub(crate) struct Setup {
    watcher: ParentWatcher,
    pub(crate) status: watch::Receiver<ParentStatus>,
    updates: mpsc::Receiver<ParentUpdate>,
}

fn config(parents: &[&FakeParent]) -> ParentConfig {
    let endpoints = parents.iter().map(|parent| parent.url.clone()).collect();
    let mut config = ParentConfig::new(endpoints, CHAIN_ID, VAULT, REGISTRY);
    config.request_timeout_ms = 30_000;
    config.max_response_bytes = 1 << 20;
    config
}

fn watch_from(config: ParentConfig, start: WatchFrom) -> Setup {
    let (watcher, status, updates) = ParentWatcher::new(config, start, http()).unwrap();
    Setup { watcher, status, updates }
}

pub(crate) fn setup(parents: &[&FakeParent]) -> Setup {
    watch_from(config(parents), WatchFrom::default())
}

impl Setup {
    /// One poll; returns its updates.
    pub(crate) async fn poll(&mut self) -> Vec<ParentUpdate> {
        assert!(self.watcher.poll().await);
        let mut updates = Vec::new();
        while let Ok(update) = self.updates.try_recv() {
            updates.push(update);
        }
        updates
    }

    pub(crate) fn reason(&self) -> String {
        self.status.borrow().unreachable.clone().map(|(_, reason)| reason).unwrap_or_default()
    }
}

/// Nonces at the reported cuts.
fn cuts(updates: &[ParentUpdate]) -> Vec<u64> {
    let cut = |update: &ParentUpdate| match update {
        ParentUpdate::Deposits { view, .. } => Some(view.depositNonce),
        _ => None,
    };
    updates.iter().filter_map(cut).collect()
}

fn has_finalized(updates: &[ParentUpdate], height: u64) -> bool {
    updates.iter().any(|u| matches!(u, ParentUpdate::Finalized { height: h, .. } if *h == height))
}

#[tokio::test]
async fn deposits_are_reported_once_in_order_up_to_the_finalised_block() {
    let parent = FakeParent::start().await;
    {
        let mut chain = parent.chain();
        chain.deposit(3, 2);
        chain.deposit(9, 1);
        chain.deposit(11, 1);
        chain.checkpoint = (4, B256::repeat_byte(4));
    }
    let mut setup = setup(&[&parent]);
    let updates = setup.poll().await;
    assert_eq!(cuts(&updates), [2, 3]);
    let ParentUpdate::Deposits { view, deposits } = &updates[0] else { panic!("{updates:?}") };
    assert_eq!((view.parentHeight, view.parentHash, deposits.len()), (3, parent.chain().hash(3), 2));
    assert!(has_finalized(&updates, 10));
    assert_eq!(updates.last(), Some(&ParentUpdate::Checkpoint { number: 4, digest: B256::repeat_byte(4) }));
    assert_eq!(setup.poll().await, []);
    parent.chain().finalized = 11;
    assert_eq!(cuts(&setup.poll().await), [4]);
    assert_eq!(setup.status.borrow().deposit_nonce, 4);
}

#[tokio::test]
async fn reading_resumes_inside_a_block_whatever_the_gap() {
    let parent = FakeParent::start().await;
    {
        let mut chain = parent.chain();
        chain.deposit(7, 300);
        chain.deposit(2_000_000, 1);
        chain.finalized = 3_000_000;
    }
    let start = {
        let chain = parent.chain();
        WatchFrom { parent_height: 7, deposit_nonce: 256, deposit_acc: chain.logs[255].deposit_acc }
    };
    let mut setup = watch_from(config(&[&parent]), start);
    let updates = setup.poll().await;
    assert_eq!(cuts(&updates), [300, 301]);
    let ParentUpdate::Deposits { deposits, .. } = &updates[0] else { panic!("{updates:?}") };
    assert_eq!(deposits.len(), 44);
    assert!(parent.chain().requests["eth_getLogs"] <= 201);
}

#[tokio::test]
async fn more_deposits_than_the_vault_remembers_are_caught_up_with() {
    let parent = FakeParent::start().await;
    {
        let mut chain = parent.chain();
        chain.deposit(3, 200);
        chain.deposit(900, 4_100);
        chain.finalized = 1_000;
    }
    let mut config = config(&[&parent]);
    config.max_log_range = 100;
    config.max_response_bytes = 16 << 20;
    let mut setup = watch_from(config, WatchFrom::default());
    assert_eq!(cuts(&setup.poll().await).last(), Some(&4_300));
    assert_eq!(setup.reason(), "");
}

#[tokio::test]
async fn a_long_quiet_gap_needs_no_log_query() {
    let parent = FakeParent::start().await;
    parent.chain().finalized = 50_000_000;
    let mut setup = setup(&[&parent]);
    assert!(has_finalized(&setup.poll().await, 50_000_000));
    assert_eq!(parent.chain().requests.get("eth_getLogs"), None);
}

#[tokio::test]
async fn a_refused_range_is_halved_until_it_is_served() {
    let parent = FakeParent::start().await;
    {
        let mut chain = parent.chain();
        chain.deposit(3, 1);
        chain.deposit(900, 1);
        chain.finalized = 1_000;
        chain.max_range = 100;
    }
    let mut setup = setup(&[&parent]);
    assert_eq!(cuts(&setup.poll().await), [1, 2]);
    assert_eq!(setup.reason(), "");
}

#[tokio::test]
async fn a_refusal_of_a_single_block_is_an_outage_not_a_loop() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(3, 1);
    parent.chain().mood = Mood::Refuse("eth_getLogs", "no logs here");
    let mut setup = setup(&[&parent]);
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Unreachable { .. }]));
    assert!(setup.reason().contains("no logs here"), "{}", setup.reason());
    parent.chain().mood = Mood::Honest;
    assert_eq!(cuts(&setup.poll().await), [1]);
}

#[tokio::test]
async fn invalid_answers_delay_deposits_and_never_lose_or_change_them() {
    let huge = json!("0x".to_owned() + &"f".repeat(64));
    let deposit = json!({
        "address": VAULT, "topics": [], "data": "0x", "blockNumber": "0x5", "blockHash": B256::ZERO, "logIndex": "0x0",
    });
    let moods = [
        Mood::Http500,
        Mood::NotJson,
        Mood::Endless,
        Mood::Instead("eth_chainId", json!("what")),
        Mood::Instead("eth_chainId", json!("0x5")),
        Mood::Instead("eth_getBlockByNumber", json!(null)),
        Mood::Instead("eth_getBlockByNumber", json!({ "number": huge, "hash": B256::ZERO, "timestamp": "0x0" })),
        Mood::Instead("eth_getBlockByNumber", json!([[], {}])),
        Mood::Instead("eth_call", json!("0x")),
        Mood::Instead("eth_call", huge.clone()),
        Mood::Instead("eth_call", json!({})),
        Mood::Instead("eth_getLogs", json!([])),
        Mood::Instead("eth_getLogs", json!(null)),
        Mood::Instead("eth_getLogs", json!([{}])),
        Mood::Instead("eth_getLogs", json!([deposit])),
        Mood::Refuse("eth_getBlockByNumber", "finalized block not found"),
        Mood::Refuse("eth_call", "missing trie node"),
    ];
    for mood in moods {
        let parent = FakeParent::start().await;
        parent.chain().deposit(5, 2);
        parent.chain().mood = mood.clone();
        let mut setup = setup(&[&parent]);
        for _ in 0..3 {
            assert_eq!(cuts(&setup.poll().await), [0u64; 0], "{mood:?}");
        }
        assert_ne!(setup.reason(), "", "{mood:?}");
        parent.chain().mood = Mood::Honest;
        let updates = setup.poll().await;
        assert_eq!(cuts(&updates), [2], "{mood:?}");
        assert!(updates.contains(&ParentUpdate::Recovered), "{mood:?}");
    }
}

#[tokio::test]
async fn a_hanging_endpoint_is_given_up_at_the_deadline() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(5, 1);
    parent.chain().mood = Mood::Hang;
    let mut config = config(&[&parent]);
    config.request_timeout_ms = 50;
    let mut setup = watch_from(config, WatchFrom::default());
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Unreachable { .. }]));
    assert!(setup.reason().contains("no answer within 50 ms"), "{}", setup.reason());
}

#[tokio::test]
async fn an_outage_is_reported_once_and_keeps_its_beginning() {
    let parent = FakeParent::start().await;
    parent.chain().mood = Mood::Http500;
    let mut setup = setup(&[&parent]);
    assert_eq!(setup.poll().await.len(), 1);
    let since = setup.status.borrow().unreachable.clone().unwrap().0;
    parent.chain().mood = Mood::NotJson;
    assert_eq!(setup.poll().await, []);
    assert_eq!(setup.status.borrow().unreachable.clone().unwrap().0, since);
    assert!(setup.reason().contains("not JSON-RPC"));
}

#[tokio::test]
async fn a_hidden_last_log_is_noticed_by_the_vaults_count() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(5, 1);
    parent.chain().deposit(6, 1);
    parent.chain().hidden = vec![2];
    let mut setup = setup(&[&parent]);
    assert_eq!(cuts(&setup.poll().await), [1]);
    assert!(setup.reason().contains("logs are missing"), "{}", setup.reason());
    parent.chain().hidden.clear();
    assert_eq!(cuts(&setup.poll().await), [2]);
}

#[tokio::test]
async fn a_hidden_first_log_reports_nothing() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(5, 2);
    parent.chain().hidden = vec![1];
    let mut setup = setup(&[&parent]);
    assert_eq!(cuts(&setup.poll().await), [0u64; 0]);
    assert!(setup.reason().contains("logs are missing"), "{}", setup.reason());
}

#[tokio::test]
async fn an_altered_deposit_is_a_conflict_with_the_vault() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(5, 2);
    let honest = parent.chain().logs[1].deposit.recipient;
    parent.chain().logs[1].deposit.recipient = VAULT;
    let mut setup = setup(&[&parent]);
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Conflict(Conflict::History { .. })]));
    parent.chain().logs[1].deposit.recipient = honest;
    assert_eq!(cuts(&setup.poll().await), [2]);
}

#[tokio::test]
async fn a_wrong_start_accumulator_is_a_conflict() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(5, 2);
    let start = WatchFrom { parent_height: 5, deposit_nonce: 1, deposit_acc: B256::repeat_byte(1) };
    let mut setup = watch_from(config(&[&parent]), start);
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Conflict(Conflict::History { .. })]));
}

#[tokio::test]
async fn a_parent_without_the_imported_deposits_is_a_conflict() {
    let parent = FakeParent::start().await;
    let mut setup = setup(&[&parent]);
    parent.chain().deposit(5, 2);
    assert_eq!(cuts(&setup.poll().await), [2]);
    {
        let mut chain = parent.chain();
        chain.logs.clear();
        chain.finalized = 11;
    }
    let updates = setup.poll().await;
    assert!(matches!(updates[..], [ParentUpdate::Conflict(Conflict::Unknown { known: 2, count: 0, .. })]));
}

#[tokio::test]
async fn a_parent_behind_the_resume_height_is_waited_for() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(20, 1);
    let start = WatchFrom { parent_height: 20, deposit_nonce: 1, deposit_acc: parent.chain().logs[0].deposit_acc };
    let mut setup = watch_from(config(&[&parent]), start);
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Unreachable { .. }]));
    parent.chain().finalized = 20;
    let updates = setup.poll().await;
    assert!(updates.contains(&ParentUpdate::Recovered) && cuts(&updates).is_empty());
}

#[tokio::test]
async fn a_regressing_finalised_block_is_a_conflict_until_it_is_back() {
    let parent = FakeParent::start().await;
    let mut setup = setup(&[&parent]);
    setup.poll().await;
    parent.chain().finalized = 9;
    let updates = setup.poll().await;
    assert!(matches!(updates[..], [ParentUpdate::Conflict(Conflict::Regressed { from: 10, to: 9, .. })]));
    assert_eq!(setup.poll().await, []);
    parent.chain().finalized = 10;
    assert_eq!(setup.poll().await, [ParentUpdate::Recovered]);
}

#[tokio::test]
async fn a_changed_hash_below_the_finalised_block_is_a_conflict_and_reports_nothing() {
    let parent = FakeParent::start().await;
    let mut setup = setup(&[&parent]);
    setup.poll().await;
    {
        let mut chain = parent.chain();
        chain.fork = Some((8, 1));
        chain.deposit(11, 1);
        chain.finalized = 12;
    }
    let updates = setup.poll().await;
    assert!(
        matches!(updates[..], [ParentUpdate::Conflict(Conflict::FinalityBroken { height: 10, .. })]),
        "{updates:?}"
    );
    parent.chain().fork = None;
    parent.chain().logs.clear();
    parent.chain().deposit(11, 1);
    assert_eq!(cuts(&setup.poll().await), [1]);
}

#[tokio::test]
async fn two_endpoints_settle_on_the_lower_finalised_block() {
    let (a, b) = (FakeParent::start().await, FakeParent::start().await);
    for parent in [&a, &b] {
        parent.chain().deposit(5, 1);
        parent.chain().deposit(12, 1);
    }
    a.chain().finalized = 15;
    let mut setup = setup(&[&a, &b]);
    let updates = setup.poll().await;
    assert_eq!(cuts(&updates), [1]);
    assert!(has_finalized(&updates, 10));
    b.chain().finalized = 14;
    let updates = setup.poll().await;
    assert_eq!(cuts(&updates), [2]);
    assert!(has_finalized(&updates, 14));
}

#[tokio::test]
async fn two_endpoints_with_other_hashes_report_no_deposits_until_they_agree() {
    let (a, b) = (FakeParent::start().await, FakeParent::start().await);
    a.chain().deposit(5, 1);
    b.chain().fork = Some((4, 7));
    b.chain().deposit(5, 1);
    let mut setup = setup(&[&a, &b]);
    let updates = setup.poll().await;
    assert!(matches!(updates[..], [ParentUpdate::Conflict(Conflict::Hash { height: 10, .. })]), "{updates:?}");
    assert_eq!(setup.poll().await, []);
    b.chain().fork = None;
    b.chain().logs.clear();
    b.chain().deposit(5, 1);
    let updates = setup.poll().await;
    assert_eq!(cuts(&updates), [1]);
    assert!(updates.contains(&ParentUpdate::Recovered));
}

#[tokio::test]
async fn deposits_invented_or_altered_by_one_source_are_not_reported() {
    let (a, b) = (FakeParent::start().await, FakeParent::start().await);
    a.chain().deposit(5, 2);
    b.chain().deposit(5, 1);
    let mut invented = setup(&[&a, &b]);
    assert!(matches!(invented.poll().await[..], [ParentUpdate::Conflict(Conflict::Deposits { .. })]));
    b.chain().deposit(6, 1);
    b.chain().logs[1].deposit_acc = a.chain().logs[1].deposit_acc;
    let mut moved = setup(&[&a, &b]);
    assert!(matches!(moved.poll().await[..], [ParentUpdate::Conflict(Conflict::Deposits { .. })]));
}

#[tokio::test]
async fn one_silent_endpoint_of_two_delays_deposits() {
    let (a, b) = (FakeParent::start().await, FakeParent::start().await);
    for parent in [&a, &b] {
        parent.chain().deposit(5, 1);
    }
    b.chain().mood = Mood::Http500;
    let mut setup = setup(&[&a, &b]);
    assert!(matches!(setup.poll().await[..], [ParentUpdate::Unreachable { .. }]));
    assert!(setup.reason().contains("endpoint 2"), "{}", setup.reason());
    b.chain().mood = Mood::Honest;
    assert_eq!(cuts(&setup.poll().await), [1]);
}

#[tokio::test]
async fn the_chain_id_is_asked_again_after_an_outage() {
    let parent = FakeParent::start().await;
    let mut setup = setup(&[&parent]);
    setup.poll().await;
    setup.poll().await;
    assert_eq!(parent.chain().requests["eth_chainId"], 1);
    parent.chain().mood = Mood::Http500;
    setup.poll().await;
    {
        let mut chain = parent.chain();
        chain.mood = Mood::Honest;
        chain.chain_id = 5;
    }
    setup.poll().await;
    assert!(setup.reason().contains("serves chain 5"), "{}", setup.reason());
}

#[tokio::test]
async fn a_full_channel_makes_the_watcher_wait_and_loses_nothing() {
    let parent = FakeParent::start().await;
    for height in 0..200 {
        parent.chain().deposit(height, 1);
    }
    parent.chain().finalized = 300;
    let Setup { mut watcher, mut updates, .. } = setup(&[&parent]);
    let poll = tokio::spawn(async move { watcher.poll().await });
    let mut nonces = Vec::new();
    while let Some(update) = updates.recv().await {
        if let ParentUpdate::Deposits { view, .. } = &update {
            nonces.push(view.depositNonce);
        }
    }
    assert!(poll.await.unwrap());
    assert_eq!(nonces, (1..=200).collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_task_ends_when_the_receiver_is_dropped() {
    let parent = FakeParent::start().await;
    let Setup { mut watcher, updates, .. } = setup(&[&parent]);
    drop(updates);
    assert!(!watcher.poll().await);
}

#[tokio::test]
async fn a_spawned_watcher_reports_through_its_channel() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(5, 1);
    let (handle, mut updates) = ParentWatcher::spawn(config(&[&parent]), WatchFrom::default(), http()).unwrap();
    assert_eq!(cuts(&[updates.recv().await.unwrap()]), [1]);
    assert!(matches!(updates.recv().await, Some(ParentUpdate::Finalized { height: 10, .. })));
    assert_eq!(handle.status().deposit_nonce, 1);
    drop(handle);
    while updates.recv().await.is_some() {}
}

/// JSON of any shape, mostly with the fields that the watcher reads.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "0x[0-9a-f]{0,66}",
        (0u64..20).prop_map(|number| format!("{number:#x}")),
        any::<[u8; 32]>().prop_map(|hash| B256::from(hash).to_string()),
        Just(VAULT.to_string()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let keys = prop_oneof![
            Just("number"),
            Just("hash"),
            Just("timestamp"),
            Just("address"),
            Just("topics"),
            Just("data"),
            Just("blockNumber"),
            Just("blockHash"),
            Just("logIndex"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((keys.prop_map(str::to_owned), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever one method answers, only real deposits are ever reported, and reading works again once the answers are
    /// correct.
    #[test]
    fn no_answer_panics_the_watcher_or_invents_a_deposit(method in 0usize..4, answer in any_json()) {
        let method = ["eth_chainId", "eth_getBlockByNumber", "eth_getLogs", "eth_call"][method];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let parent = FakeParent::start().await;
            parent.chain().deposit(5, 2);
            let deposit_acc = parent.chain().logs[1].deposit_acc;
            let honest = (deposit_acc, parent.chain().hash(5));
            parent.chain().mood = Mood::Instead(method, answer);
            let mut setup = setup(&[&parent]);
            let mut updates = setup.poll().await;
            updates.extend(setup.poll().await);
            parent.chain().mood = Mood::Honest;
            updates.extend(setup.poll().await);
            // A well-formed wrong block counts as broken finality afterwards, permanently.
            let lied = updates.iter().any(|update| matches!(update, ParentUpdate::Conflict(_)));
            assert!(cuts(&updates) == [2] || (lied && cuts(&updates).is_empty()), "{updates:?}");
            for update in updates {
                if let ParentUpdate::Deposits { view, .. } = update {
                    assert_eq!((view.depositAcc, view.parentHash), honest);
                }
            }
        });
    }
}
