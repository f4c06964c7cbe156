//! The real binary on a chain whose rules change: it goes on over a change that it knows, and stops before one that it does not.

use std::path::Path;

use crate::support::{run, run_failing, sibling};
use alloy_primitives::{Address, U256};
use causeway_genesis::{
    NodeKeys, RulesEntry, ceremony,
    keys::{self, KeyRole},
};
use serde_json::{Value, json};

/// First block under rules that this build knows, and first one under rules that it does not.
const KNOWN: u64 = 3;
const UNKNOWN: u64 = 6;

fn entry(height: u64, version: u64, figures: Value) -> RulesEntry {
    RulesEntry { height, version, changes: figures.as_object().unwrap().clone() }
}

/// The data directory of the only validator of a chain with these rules.
fn validator(home: &Path, rules: Vec<RulesEntry>) -> String {
    let keys = NodeKeys::generate().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut spec = ceremony::new_spec(4_243, "Upgraded", now, None);
    spec.block_interval_ms = 100;
    let stake = U256::from(10).pow(U256::from(21));
    spec.validators.push(ceremony::validator_entry("only", Address::repeat_byte(0xaa), stake, &keys));
    spec.rules = rules;
    let (genesis, dir) = (home.join("genesis.json"), home.join("node"));
    spec.save(&genesis).unwrap();
    for (role, key) in [(KeyRole::Consensus, &keys.consensus), (KeyRole::Peg, &keys.peg), (KeyRole::P2p, &keys.p2p)] {
        keys::save(&dir.join("keys"), role, key).unwrap();
    }
    let (dir, genesis) = (dir.display().to_string(), genesis.display().to_string());
    run(&sibling("causeway"), &["init", "--dir", &dir, "--genesis", &genesis]);
    dir
}

/// Runs the node until it ends by itself, with a failure, and answers what it said.
fn ends(dir: &str) -> String {
    let causeway = sibling("causeway").display().to_string();
    let free =
        ["--rpc-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--p2p-listen", "/ip4/127.0.0.1/tcp/0"];
    // SIGKILL would be another way to end than the node's own.
    let said =
        run_failing(Path::new("timeout"), &[["60", &causeway, "start", "--dir", dir].as_slice(), &free].concat());
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn a_node_that_does_not_know_the_rules_of_a_height_stops_before_it_and_says_what_to_install() {
    let home = tempfile::tempdir().unwrap();
    let known = json!({ "block": { "gasLimit": 30_000_000 }, "modules": { "prices": { "leaf": 300 } } });
    let rules = vec![entry(KNOWN, 1, known), entry(UNKNOWN, 2, json!({ "from": "the future" }))];
    let dir = validator(home.path(), rules);
    let text = format!(
        "block {UNKNOWN} follows rules version 2, which this build (causeway {}) does not know; it knows version 1. \
         Install a release that knows version 2, then start again: the data directory stays as it is.",
        env!("CARGO_PKG_VERSION")
    );
    let genesis = home.path().join("genesis.json").display().to_string();
    let verified = run(&sibling("causeway"), &["genesis", "verify", &genesis]);
    assert!(verified.contains(&text) && verified.contains(&format!("from block {KNOWN} on")), "{verified}");

    let said = ends(&dir);
    assert!(said.contains(&text), "{said}");
    assert!(said.contains("this node will stop before that height"), "it warns from the start: {said}");
    // Logs are coloured or not: look for the numbers of blocks that were committed.
    let committed = said.lines().filter(|line| line.contains("committed a block")).count() as u64;
    assert_eq!(committed, UNKNOWN - 1, "{said}");

    // Started again, it says the same at once, and has every block.
    for _ in 0..2 {
        let again = ends(&dir);
        assert!(again.contains(&text), "{again}");
        assert!(!again.contains("committed a block"), "{again}");
    }
}
