//! A chain whose rules change at heights: all machines follow, one that was away catches up over the change, and a run repeats exactly.

use causeway_genesis::RulesEntry;
use causeway_simulator::{
    Plan, World,
    plan::{ChurnPlan, Partition, PartitionKind},
};
use serde_json::{Value, json};

/// First block under the second rules, and under the third.
const SECOND: u64 = 5;
const THIRD: u64 = 9;

fn entry(height: u64, figures: Value) -> RulesEntry {
    RulesEntry { height, version: 1, changes: figures.as_object().unwrap().clone() }
}

fn plan(seed: u64, pegged: bool) -> Plan {
    let osaka = json!({
        "evm": { "fork": "osaka" },
        "block": { "gasLimit": 30_000_000 },
        "modules": { "prices": { "leaf": 400, "signature": 3_500 } },
    });
    let calm = json!({ "baseFee": { "changeDenominator": 20 }, "staking": { "doubleSignSlashPpm": 60_000 } });
    let mut plan = Plan::quiet(seed, 4);
    plan.pegged = pegged;
    plan.followers = 1;
    plan.rules = vec![entry(0, json!({ "evm": { "fork": "prague" } })), entry(SECOND, osaka), entry(THIRD, calm)];
    plan.churn = ChurnPlan { user_every_ms: 60, ..ChurnPlan::default() };
    // One member is away while the rules change, and comes back afterwards.
    plan.network.partitions = vec![Partition {
        from_ms: 200,
        until_ms: 1_400,
        side: vec![3],
        neutral: Vec::new(),
        kind: PartitionKind::Symmetric,
    }];
    plan.faults_until_ms = 2_000;
    plan.heights_after_heal = 4;
    plan
}

fn run(plan: &Plan) -> World {
    let mut world = World::new(plan);
    world.run().unwrap_or_else(|violation| panic!("{plan:?}: {violation}"));
    world
}

#[test]
fn every_machine_follows_the_rules_of_each_height() {
    let world = run(&plan(1, false));
    for machine in &world.machines {
        let storage = machine.storage().unwrap();
        for height in 1..=THIRD + 1 {
            let limit = if height < SECOND { 60_000_000 } else { 30_000_000 };
            assert_eq!(storage.block(height).unwrap().unwrap().header.gas_limit, limit, "block {height}");
        }
    }
    assert_eq!(world.coverage.count("rules_changed"), 2);
    assert!(world.coverage.count("caught_up_over_rules") > 0, "{:?}", world.coverage);
    assert!(world.coverage.count("included") > 0);
}

#[test]
fn a_run_over_changes_of_the_rules_repeats_exactly() {
    for pegged in [false, true] {
        let (one, other) = (run(&plan(2, pegged)), run(&plan(2, pegged)));
        assert_eq!((one.trace.hash(), one.trace.events()), (other.trace.hash(), other.trace.events()));
        assert_eq!(one.coverage, other.coverage);
        assert_eq!(one.coverage.count("rules_changed"), 2);
        let mut unchanged = plan(2, pegged);
        unchanged.rules.clear();
        assert_ne!(one.trace.hash(), run(&unchanged).trace.hash());
    }
}
