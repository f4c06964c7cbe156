//! Worlds without faults: blocks are decided, all nodes agree, and equal plans give equal runs.

use causeway_simulator::{Plan, World};

fn run(plan: &Plan, height: u64) -> World {
    let mut world = World::new(plan);
    assert!(world.run_while(600_000, |world| world.all_reached(height)).unwrap(), "{world:?}");
    world
}

#[test]
fn four_machines_decide_blocks() {
    let world = run(&Plan::quiet(1, 4), 20);
    let hashes: Vec<_> =
        world.machines.iter().map(|machine| machine.storage().unwrap().hash_by_number(20).unwrap().unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    assert!(world.now_ms < 20 * 300, "{} ms", world.now_ms);
}

#[test]
fn the_same_plan_gives_the_same_trace_and_another_seed_another() {
    let trace = |seed| run(&Plan::quiet(seed, 4), 10).trace.hash();
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
