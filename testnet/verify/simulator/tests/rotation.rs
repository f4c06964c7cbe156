//! Validators join, leave and are replaced, by themselves and at the right height; boundaries cost nothing.

use crate::support::{Scenario, epochs, plan};
use alloy_primitives::U256;
use causeway_simulator::{Machine, Plan, setup::stake};
use causeway_staking::IStaking;

fn start(validators: usize, others: usize, epoch_length: u64, seed: u64) -> Scenario {
    let mut scenario = Scenario::new(&epochs(Plan { others, ..plan(validators, seed) }, epoch_length));
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(2)));
    scenario
}

/// Runs until all running machines are in `epoch`.
fn run_to_epoch(scenario: &mut Scenario, epoch: u64) -> bool {
    let count = scenario.world.machines.len();
    let reached = |scenario: &Scenario| {
        (0..count).all(|index| !scenario.machine(index).is_up() || scenario.epoch(index) >= epoch)
    };
    scenario.run(600_000, reached)
}

#[test]
fn a_registered_validator_votes_by_itself_from_its_epoch_on() {
    let mut scenario = start(4, 1, 10, 11);
    scenario.register(4, stake(900));
    assert!(run_to_epoch(&mut scenario, 1));
    assert_eq!(scenario.set(), [0, 1, 2, 3], "known an epoch ahead, in force an epoch later");
    assert!(!scenario.signs(4, 100));
    assert!(run_to_epoch(&mut scenario, 2));
    assert_eq!(scenario.set(), [0, 1, 2, 3, 4]);
    assert!(scenario.run(1_000, |scenario| scenario.node(4).is_member()));
    let height = scenario.head(0) + 15;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)));
    assert!(scenario.signs(4, 10), "the joiner signs nothing");
}

#[test]
fn a_validator_that_exits_falls_silent_at_the_boundary_and_follows() {
    let mut scenario = start(5, 0, 10, 12);
    scenario.stake_call(4, IStaking::exitCall {});
    assert!(scenario.run(120_000, |scenario| scenario.set() == [0, 1, 2, 3]), "still {:?}", scenario.set());
    let height = scenario.head(0) + 15;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)), "the one that left follows as well");
    assert!(!scenario.signs(4, 10));
}

#[test]
fn all_validators_are_replaced_and_the_chain_goes_on() {
    let mut scenario = start(4, 4, 10, 13);
    (4..8).for_each(|index| scenario.register(index, stake(1_000)));
    assert!(scenario.run(300_000, |scenario| scenario.set().len() == 8), "only {:?} are in", scenario.set());
    (0..4).for_each(|index| scenario.stake_call(index, IStaking::exitCall {}));
    assert!(scenario.run(900_000, |scenario| scenario.set() == [4, 5, 6, 7]), "still {:?}", scenario.set());
    let height = scenario.head(0) + 25;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)));
    assert!(!(0..4).any(|index| scenario.signs(index, 10)));
}

#[test]
fn crashes_around_boundaries_neither_lose_blocks_nor_sign_twice() {
    let mut scenario = start(4, 2, 10, 14);
    scenario.register(4, stake(900));
    scenario.register(5, stake(900));
    for boundary in (10..=60_u64).step_by(10) {
        assert!(scenario.run(120_000, |scenario| scenario.head(0) + 1 >= boundary), "stuck before {boundary}");
        scenario.pass(boundary * 7 % 150);
        let count = scenario.world.machines.len();
        // All of them together, or one.
        let crashed: Vec<usize> =
            if boundary % 20 == 0 { (0..count).collect() } else { vec![usize::try_from(boundary / 10 % 4).unwrap()] };
        crashed.iter().for_each(|index| scenario.crash(*index));
        crashed.iter().for_each(|index| scenario.start(*index));
        assert!(scenario.run(120_000, |scenario| scenario.all_reached(boundary + 1)), "stuck at {boundary}");
    }
    assert_eq!(scenario.set(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_node_catches_up_over_boundaries_with_the_set_of_each_height() {
    let mut scenario = start(5, 2, 10, 15);
    scenario.crash(4);
    scenario.register(5, stake(1_000));
    scenario.register(6, stake(1_000));
    scenario.stake_call(3, IStaking::exitCall {});
    assert!(scenario.run(600_000, |scenario| scenario.set() == [0, 1, 2, 4, 5, 6]), "{:?}", scenario.set());
    let target = scenario.head(0) + 20;
    assert!(scenario.run(120_000, |scenario| scenario.head(0) >= target));
    scenario.start(4);
    assert!(scenario.run(60_000, |scenario| scenario.head(4) >= target), "no catch-up: {}", scenario.head(4));
    let height = scenario.head(0) + 10;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)));
    assert!(scenario.signs(4, 10), "a member again, it signs");
}

#[test]
fn blocks_at_boundaries_are_no_later_than_others() {
    let mut scenario = start(4, 3, 10, 16);
    (4..7).for_each(|index| scenario.register(index, stake(400)));
    assert!(scenario.run(120_000, |scenario| scenario.all_reached(90)));
    assert_eq!(scenario.set().len(), 7);
    let (mut boundary, mut other) = (Vec::new(), Vec::new());
    for height in 5..=90 {
        let took = scenario.committed_ms[&height] - scenario.committed_ms[&(height - 1)];
        // The last block of an epoch rotates; the first is the first that the new set decides.
        if height % 10 <= 1 { boundary.push(took) } else { other.push(took) }
    }
    let mean = |times: &[u64]| times.iter().sum::<u64>() / times.len() as u64;
    assert!(mean(&boundary) <= mean(&other) * 6 / 5, "{boundary:?} against {other:?}");
}

/// Forty validators within a few epochs, each epoch bounded by the allowed growth of the previous set.
#[test]
fn forty_validators_join_within_a_few_epochs_without_a_stall() {
    let mut scenario = start(4, 40, 8, 17);
    (4..44).for_each(|index| scenario.register(index, stake(90)));
    let reached = run_to_epoch(&mut scenario, 6);
    assert!(reached, "stuck at {} in epoch {}", scenario.head(0), scenario.epoch(0));
    assert_eq!(scenario.set().len(), 44);
    let height = scenario.head(0) + 5;
    assert!(scenario.run(60_000, |scenario| scenario.all_reached(height)));
    let times: Vec<u64> = scenario.committed_ms.values().copied().collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 1_000, "a block took {longest} ms");
    assert_eq!(scenario.validator(40).map(|validator| validator.tokens), Some(stake(90)));
    assert!(scenario.validator(0).is_some_and(|validator| validator.tokens > U256::ZERO));
    assert!(scenario.world.machines.iter().all(Machine::is_up));
}
