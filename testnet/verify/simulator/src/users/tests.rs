//! Users in whole worlds: their actions happen, and their goals are reached.
#![allow(clippy::unwrap_used)]

use crate::{Plan, World, plan::ChurnPlan};

fn busy(seed: u64) -> Plan {
    Plan {
        others: 2,
        epoch_length: 12,
        unbonding_s: 4,
        churn: ChurnPlan { user_every_ms: 60, staking_every_ms: 120 },
        faults_until_ms: 30_000,
        heights_after_heal: 20,
        ..Plan::quiet(seed, 5)
    }
}

fn run(plan: &Plan) -> World {
    let mut world = World::new(plan);
    if let Err(violation) = world.run() {
        panic!("seed {}: {violation}\n{:?}", plan.seed, world.coverage);
    }
    world
}

#[test]
fn users_and_stakers_do_everything_on_a_chain_of_its_own() {
    let world = run(&busy(1));
    eprintln!("{:?} at height {}", world.coverage, world.head());
    for what in
        ["included", "replaced", "reverted", "contract_deployed", "registered", "joined", "redelegated", "rewarded"]
    {
        assert!(world.coverage.count(what) > 0, "{what}: {:?}", world.coverage);
    }
}

#[test]
fn coin_crosses_both_ways_on_a_pegged_chain() {
    let plan = Plan {
        pegged: true,
        faults_until_ms: 60_000,
        churn: ChurnPlan { user_every_ms: 90, staking_every_ms: 0 },
        ..busy(2)
    };
    let world = run(&plan);
    eprintln!("{:?} at height {}", world.coverage, world.head());
    for what in
        ["deposit_minted", "withdrawal_burned", "withdrawal_claimed", "claim_refused", "module_called_by_contract"]
    {
        assert!(world.coverage.count(what) > 0, "{what}: {:?}", world.coverage);
    }
}
