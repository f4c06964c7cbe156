//! `docs/genesis.md` names every key of the genesis file and every figure of the rules, and nothing else.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::pegged_spec;
use alloy_primitives::{Address, Bytes, U256};
use causeway_genesis::{AllocAccount, Genesis, RulesEntry, SpecFault};
use serde_json::{Map, Value, json};

/// The rows of the table under a heading, as cells.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/genesis.md");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.map(cells).collect()
}

fn first_cells(heading: &str) -> BTreeSet<String> {
    let rows = rows(heading);
    let names: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(names.len(), rows.len(), "a key is described twice");
    names
}

/// Paths of the keys in `value`: items of lists, and of maps by address, are one `[]`.
fn walk(value: &Value, above: &str, inner: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{above}[]"), inner, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let by_address = key.starts_with("0x");
                let path = match (by_address, above.is_empty()) {
                    (true, _) => format!("{above}[]"),
                    (false, true) => key.clone(),
                    (false, false) => format!("{above}.{key}"),
                };
                // A map of addresses or slots to plain values has no keys of its own.
                if !by_address && (inner || !value.is_object()) {
                    found.insert(path.clone());
                }
                walk(value, &path, inner, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_a_full_genesis_file_is_described_and_nothing_else() {
    let mut spec = pegged_spec();
    spec.validators[0].commission_bps = 5;
    spec.staking.alloc.insert(Address::repeat_byte(0x78), U256::from(1));
    let account = AllocAccount {
        balance: U256::from(1),
        nonce: 1,
        code: Bytes::from_static(&[0]),
        storage: [(U256::from(1), U256::from(1))].into(),
    };
    spec.alloc.insert(Address::repeat_byte(0x66), account);
    spec.rules.push(RulesEntry { height: 5, version: 1, changes: Map::new() });
    let mut keys = BTreeSet::new();
    walk(&serde_json::from_str(&spec.to_json()).unwrap(), "", true, &mut keys);
    assert_eq!(first_cells("Keys"), keys);
}

fn figures() -> BTreeSet<String> {
    let genesis = Genesis::build(pegged_spec()).unwrap();
    let mut figures = BTreeSet::new();
    walk(&serde_json::to_value(genesis.schedule.first()).unwrap(), "", false, &mut figures);
    figures
}

#[test]
fn every_figure_of_the_rules_is_described_and_nothing_else() {
    assert_eq!(first_cells("Rules by height"), figures());
}

/// A change of one figure to another value of its type.
fn changed(path: &str, value: &Value) -> Map<String, Value> {
    let other = match value {
        Value::Bool(yes) => json!(!yes),
        Value::Number(number) => json!(number.as_u64().unwrap() + 1),
        Value::String(text) if text == "osaka" => json!("prague"),
        Value::String(_) => json!("0x7700000000000000000000000000000000000077"),
        _ => panic!("{path} is no figure"),
    };
    let nested = path.rsplit('.').fold(other, |inner, key| json!({ key: inner }));
    nested.as_object().unwrap().clone()
}

#[test]
fn the_reference_says_which_figures_can_change() {
    let first = serde_json::to_value(Genesis::build(pegged_spec()).unwrap().schedule.first()).unwrap();
    for row in rows("Rules by height") {
        let path = row[0].trim_matches('`').to_owned();
        let value = first.pointer(&format!("/{}", path.replace('.', "/"))).unwrap();
        let mut spec = pegged_spec();
        spec.rules.push(RulesEntry { height: 9, version: 1, changes: changed(&path, value) });
        let fixed = matches!(spec.validate(), Err(SpecFault::FixedFigure { .. }));
        assert_eq!(fixed, row[4] == "never", "{path}: {:?}", spec.validate());
        assert!(fixed || row[4] == "yes", "{path}");
    }
}

#[test]
fn the_defaults_and_bounds_of_numbers_are_the_ones_described() {
    let first = serde_json::to_value(Genesis::build(pegged_spec()).unwrap().schedule.first()).unwrap();
    let number = |text: &str| text.replace(',', "").replace("10^12", "1000000000000").parse::<u64>().ok();
    let mut checked = 0;
    for row in rows("Rules by height") {
        let path = row[0].trim_matches('`').to_owned();
        let value = first.pointer(&format!("/{}", path.replace('.', "/"))).unwrap();
        if let (Some(default), true) = (number(&row[3]), value.is_u64()) {
            assert_eq!(value.as_u64(), Some(default), "{path}");
        }
        let Some((least, most)) = row[2].split_once(" to ").and_then(|(a, b)| Some((number(a)?, number(b)?))) else {
            continue;
        };
        checked += 1;
        let refused = |value: u64| {
            let nested = path.rsplit('.').fold(json!(value), |inner, key| json!({ key: inner }));
            let mut spec = pegged_spec();
            let changes = nested.as_object().unwrap().clone();
            spec.rules.push(RulesEntry { height: 9, version: 1, changes });
            match spec.validate() {
                Err(SpecFault::RulesFrom { fault, .. }) => match *fault {
                    SpecFault::OutOfRange { key, min, max, .. } => {
                        assert_eq!((key, min, max), (path.as_str(), least, most));
                        true
                    }
                    _ => false,
                },
                _ => false,
            }
        };
        assert!(refused(most + 1), "{path} above {most}");
        assert!(least == 0 || refused(least - 1), "{path} below {least}");
        assert!(!refused(least) && !refused(most), "{path} at its bounds");
    }
    assert!(checked > 15, "{checked}");
}
