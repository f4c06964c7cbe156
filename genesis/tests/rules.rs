//! The rules by height: how entries change them, which entries are refused, and what the genesis hash commits to.

use std::collections::BTreeSet;

use crate::support::{dev_spec, pegged_spec};
use alloy_primitives::B256;
use causeway_genesis::{ChainSpec, Genesis, RulesEntry, SpecError, SpecFault, UnknownRules, rules::Fork};
use serde_json::{Value, json};

fn entry(height: u64, version: u64, figures: Value) -> RulesEntry {
    RulesEntry { height, version, changes: figures.as_object().unwrap().clone() }
}

fn with(rules: Vec<RulesEntry>) -> ChainSpec {
    ChainSpec { rules, ..dev_spec() }
}

fn fault(rules: Vec<RulesEntry>) -> SpecFault {
    with(rules).validate().unwrap_err()
}

fn gas_limit(limit: u64) -> Value {
    json!({ "block": { "gasLimit": limit } })
}

#[test]
fn a_file_without_entries_has_one_set_of_rules_for_ever() {
    let genesis = Genesis::build(dev_spec()).unwrap();
    let rules = genesis.rules(0).unwrap();
    assert_eq!(genesis.rules(u64::MAX), Ok(rules));
    assert_eq!((rules.version, rules.evm.fork, rules.transaction_gas_cap()), (1, Fork::Osaka, Some(1 << 24)));
    assert_eq!((rules.block.gas_limit, rules.staking), (genesis.spec.gas_limit, genesis.spec.staking_params()));
    assert_eq!((genesis.schedule.known().count(), genesis.schedule.unknown()), (1, None));
}

#[test]
fn each_entry_changes_what_it_names_from_its_height_on_and_nothing_else() {
    let genesis = Genesis::build(with(vec![
        entry(0, 1, json!({ "evm": { "fork": "prague" } })),
        entry(10, 1, gas_limit(30_000_000)),
        entry(20, 1, json!({ "evm": { "fork": "osaka" }, "modules": { "prices": { "leaf": 7 } } })),
    ]))
    .unwrap();
    let at = |height: u64| *genesis.rules(height).unwrap();
    assert_eq!((at(0), at(10), at(20)), (at(9), at(19), at(u64::MAX)));
    assert_eq!((at(9).evm.fork, at(9).transaction_gas_cap()), (Fork::Prague, None));
    let mut expected = at(9);
    expected.block.gas_limit = 30_000_000;
    assert_eq!(at(10), expected);
    expected.evm.fork = Fork::Osaka;
    expected.modules.prices.leaf = 7;
    assert_eq!(at(20), expected);
}

#[test]
fn entries_are_written_as_they_were_read() {
    let spec = with(vec![
        entry(3, 1, gas_limit(30_000_000)),
        entry(9, 7, json!({ "what": { "is": ["not", { "known": null }], "yet": true } })),
    ]);
    assert_eq!(ChainSpec::from_json(&spec.to_json()).unwrap(), spec);
    assert!(!dev_spec().to_json().contains("\"rules\""), "a file without entries has no such key");
}

#[test]
fn the_hash_commits_to_every_entry_also_of_versions_nobody_knows_yet() {
    let unknown = |height: u64, version: u64, figures: Value| with(vec![entry(height, version, figures)]);
    let specs = [
        dev_spec(),
        with(vec![entry(3, 1, gas_limit(30_000_000))]),
        with(vec![entry(4, 1, gas_limit(30_000_000))]),
        with(vec![entry(3, 1, gas_limit(30_000_001))]),
        with(vec![entry(3, 1, gas_limit(30_000_000)), entry(4, 1, gas_limit(30_000_001))]),
        unknown(9, 2, json!({})),
        unknown(9, 3, json!({})),
        unknown(9, 2, json!({ "a": 1 })),
        unknown(9, 2, json!({ "a": "1" })),
        unknown(9, 2, json!({ "a": [1] })),
        unknown(9, 2, json!({ "a": { "1": null } })),
    ];
    let hashes: BTreeSet<B256> = specs.iter().map(|spec| Genesis::build(spec.clone()).unwrap().hash).collect();
    assert_eq!(hashes.len(), specs.len());
}

#[test]
fn the_order_of_keys_and_spaces_make_no_other_chain() {
    let hash = |rules: &str| {
        let json = dev_spec().to_json();
        let json = json.trim_end().strip_suffix('}').unwrap();
        let json = format!("{json}, \"rules\": {rules} }}");
        Genesis::build(ChainSpec::from_json(&json).unwrap()).unwrap().hash
    };
    let one = hash(r#"[{"height":9,"version":2,"b":{"y":1,"x":"2"},"a":[]}]"#);
    assert_eq!(one, hash(r#"[ { "a": [ ], "b": { "x": "2", "y": 1 }, "version": 2, "height": 9 } ]"#));
    assert_ne!(one, hash(r#"[{"height":9,"version":2,"b":{"y":1,"x":2},"a":[]}]"#));
}

#[test]
fn from_an_unknown_version_on_nothing_is_known_and_the_text_says_what_to_install() {
    let genesis = Genesis::build(with(vec![
        entry(50, 1, gas_limit(30_000_000)),
        entry(100, 2, json!({ "block": { "gasLimit": "as large as needed" } })),
        entry(200, 2, json!({})),
    ]))
    .unwrap();
    assert_eq!(genesis.rules(99).unwrap().block.gas_limit, 30_000_000);
    let unknown = UnknownRules { height: 100, version: 2 };
    assert_eq!((genesis.rules(100), genesis.rules(u64::MAX)), (Err(unknown), Err(unknown)));
    assert_eq!(genesis.schedule.unknown(), Some(unknown));
    assert_eq!(
        unknown.to_string(),
        format!(
            "block 100 follows rules version 2, which this build (causeway {}) does not know; it knows version 1. Install a release that knows version 2, then start again: the data directory stays as it is.",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn a_chain_that_begins_with_unknown_rules_is_refused_at_once() {
    for height in [0, 1] {
        let unknown = UnknownRules { height, version: 2 };
        assert_eq!(fault(vec![entry(height, 2, json!({}))]), SpecFault::UnknownStart(unknown));
    }
    with(vec![entry(2, 2, json!({}))]).validate().unwrap();
}

#[test]
fn heights_ascend_and_versions_do_not_go_back() {
    let two =
        |first: u64, second: u64| vec![entry(first, 1, gas_limit(6_000_000)), entry(second, 1, gas_limit(7_000_000))];
    with(two(5, 6)).validate().unwrap();
    for (first, second) in [(6, 5), (5, 5)] {
        assert_eq!(fault(two(first, second)), SpecFault::RulesOrder { height: 5 });
    }
    assert_eq!(fault(vec![entry(5, 0, json!({}))]), SpecFault::RulesVersion { height: 5, version: 0, least: 1 });
    let back = vec![entry(5, 3, json!({})), entry(6, 2, json!({}))];
    assert_eq!(fault(back), SpecFault::RulesVersion { height: 6, version: 2, least: 3 });
}

#[test]
fn an_entry_names_figures_that_exist_by_values_of_their_kind_and_changes_something() {
    let unknown = |at: &str| SpecFault::UnknownFigure { height: 5, at: at.into() };
    assert_eq!(fault(vec![entry(5, 1, json!({ "gasLimit": 6_000_000 }))]), unknown("gasLimit"));
    assert_eq!(fault(vec![entry(5, 1, json!({ "block": { "gas": 6_000_000 } }))]), unknown("block.gas"));
    for wrong in [
        json!({ "block": { "gasLimit": "6000000" } }),
        json!({ "block": 5 }),
        json!({ "evm": { "fork": "london" } }),
        json!({ "evm": "prague" }),
        json!({ "system": { "transactions": { "importDeposits": 1 } } }),
        json!({ "modules": { "prices": { "leaf": null } } }),
    ] {
        assert!(matches!(fault(vec![entry(5, 1, wrong.clone())]), SpecFault::Figure { height: 5, .. }), "{wrong}");
    }
    for odd in [json!({ "block": { "gasLimit": 6e6 } }), json!({ "block": { "gasLimit": -1 } })] {
        assert_eq!(fault(vec![entry(5, 1, odd)]), SpecFault::OddNumber(5));
    }
    for nothing in [json!({}), json!({ "block": {} }), gas_limit(60_000_000)] {
        assert_eq!(fault(vec![entry(5, 1, nothing)]), SpecFault::NothingChanges(5));
    }
}

#[test]
fn figures_that_cannot_change_are_refused_with_the_reason() {
    for (figures, at) in [
        (
            json!({ "modules": { "addresses": { "peg": "0x7700000000000000000000000000000000000077" } } }),
            "modules.addresses.peg",
        ),
        (json!({ "staking": { "pegged": true } }), "staking.pegged"),
        (json!({ "staking": { "unbondingSeconds": 5 } }), "staking.unbondingSeconds"),
        (json!({ "staking": { "downtimeWindow": 50 } }), "staking.downtimeWindow"),
        (json!({ "peg": { "checkpointInterval": 5 } }), "peg.checkpointInterval"),
    ] {
        let fault = fault(vec![entry(5, 1, figures)]);
        assert!(matches!(&fault, SpecFault::FixedFigure { at: found, .. } if found == at), "{fault}");
        assert!(
            fault.to_string().starts_with(&format!("rules: the entry of height 5 changes {at}, which cannot change: "))
        );
    }
}

#[test]
fn what_has_a_key_of_its_own_is_set_there_and_not_by_an_entry_of_height_0() {
    // Short, so that short epochs do not make too many of it.
    let with = |rules: Vec<RulesEntry>| {
        let mut spec = with(rules);
        spec.staking.unbonding_seconds = 1_000;
        spec
    };
    for (figures, key) in [
        (gas_limit(6_000_000), "gasLimit"),
        (json!({ "block": { "intervalMs": 50 } }), "blockIntervalMs"),
        (json!({ "staking": { "epochLength": 50 } }), "epochLength"),
        (json!({ "staking": { "jailSeconds": 50 } }), "staking"),
    ] {
        with(vec![entry(5, 1, figures.clone())]).validate().unwrap();
        let fault = fault(vec![entry(0, 1, figures)]);
        assert!(matches!(&fault, SpecFault::TopLevelFigure { key: found, .. } if *found == key), "{fault}");
    }
}

#[test]
fn changed_figures_keep_the_bounds_also_together() {
    let mut spec = pegged_spec();
    spec.staking.unbonding_seconds = 10_000;
    spec.rules = vec![entry(5, 1, json!({ "staking": { "epochLength": 119 } }))];
    let refused = SpecFault::CheckpointsPerEpoch { interval: 60, length: 119 };
    assert_eq!(spec.validate(), Err(SpecFault::RulesFrom { height: 5, fault: Box::new(refused) }));
    spec.rules = vec![entry(5, 1, json!({ "staking": { "epochLength": 120 } }))];
    spec.validate().unwrap();
    spec.rules = vec![entry(5, 1, json!({ "modules": { "prices": { "signature": 60_000 } } }))];
    let dear = spec.validate().unwrap_err();
    assert!(
        dear.to_string().starts_with("rules: from height 5 on, system.gas is 10000000, but the largest import"),
        "{dear}"
    );
    spec.rules =
        vec![entry(5, 1, json!({ "modules": { "prices": { "signature": 60_000 } }, "system": { "gas": 50_000_000 } }))];
    spec.validate().unwrap();
    spec.rules = vec![entry(5, 1, json!({ "staking": { "maxValidators": 129 } }))];
    assert!(matches!(spec.validate(), Err(SpecFault::RulesFrom { height: 5, .. })));
    // 10 001 epochs of an unbonding period.
    spec = dev_spec();
    spec.rules = vec![entry(5, 1, json!({ "block": { "intervalMs": 10 }, "staking": { "epochLength": 4 } }))];
    assert!(spec.validate().unwrap_err().to_string().contains("epochs of epochLength"));
}

#[test]
fn an_entry_without_height_or_version_is_no_entry() {
    let json = dev_spec().to_json();
    let json = json.trim_end().strip_suffix('}').unwrap();
    for wrong in [r#"[{"version":1}]"#, r#"[{"height":1}]"#, r#"[{"height":-1,"version":1}]"#, r#"[5]"#, "{}"] {
        let error = ChainSpec::from_json(&format!("{json}, \"rules\": {wrong} }}")).unwrap_err();
        assert!(matches!(&error, SpecError::Json { at, .. } if at.starts_with("rules")), "{wrong}: {error}");
    }
}
