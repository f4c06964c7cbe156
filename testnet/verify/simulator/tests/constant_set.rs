//! A constant set of validators: agreement, crashes, loss, catch-up.

use crate::support::{Scenario, plan};
use alloy_primitives::{Address, U256};
use causeway_simulator::plan::NetworkFaults;

#[test]
fn four_validators_agree_and_execute_a_transfer() {
    let mut scenario = Scenario::new(&plan(4, 1));
    assert!(scenario.run(5_000, |scenario| scenario.all_reached(1)));
    let to = Address::repeat_byte(0x77);
    scenario.transfer(0, to, 5);
    scenario.transfer(1, to, 7);
    assert!(scenario.run(20_000, |scenario| scenario.all_reached(10)), "no ten blocks in 20 s");
    for index in 0..4 {
        assert_eq!(scenario.balance(index, to), U256::from(12));
    }
}

#[test]
fn a_single_validator_decides_alone() {
    let mut scenario = Scenario::new(&plan(1, 2));
    assert!(scenario.run(5_000, |scenario| scenario.head(0) >= 10));
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up_by_blocks() {
    let mut scenario = Scenario::new(&plan(4, 3));
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(3)));
    scenario.crash(3);
    assert!(scenario.run(120_000, |scenario| scenario.head(0) >= 120), "three of four stand still");
    scenario.start(3);
    assert!(scenario.run(10_000, |scenario| scenario.head(3) >= 120), "no catch-up within 10 s");
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(130)));
}

#[test]
fn all_crash_at_any_moment_and_go_on_without_losing_a_block() {
    let mut scenario = Scenario::new(&plan(4, 4));
    for crash in 0..25_u64 {
        scenario.pass(20 + crash * 37 % 250);
        let heads: Vec<u64> = (0..4).map(|index| scenario.head(index)).collect();
        (0..4).for_each(|index| scenario.crash(index));
        for (index, head) in heads.iter().enumerate() {
            scenario.start(index);
            assert!(scenario.head(index) >= *head, "crash {crash}: a durable block is gone");
        }
        let next = heads.iter().max().unwrap() + 1;
        let goes_on = scenario.run(60_000, |scenario| scenario.all_reached(next));
        assert!(goes_on, "crash {crash}: the chain does not go on past {next}");
    }
}

#[test]
fn a_tenth_of_all_messages_lost_does_not_stop_the_chain() {
    let mut lossy = plan(4, 5);
    lossy.network = NetworkFaults { loss_percent: 10, delay_ms: (1, 20), ..NetworkFaults::default() };
    let mut scenario = Scenario::new(&lossy);
    assert!(scenario.run(300_000, |scenario| scenario.all_reached(30)), "stuck: {:?}", scenario.world);
}

#[test]
fn a_node_whose_clock_is_an_hour_late_follows_what_the_others_decide() {
    let mut scenario = Scenario::new(&plan(4, 7));
    assert!(scenario.run(10_000, |scenario| scenario.all_reached(2)));
    scenario.crash(3);
    scenario.world.machines[3].clock.jump(-3_600_000);
    assert!(scenario.run(60_000, |scenario| scenario.head(0) >= 20));
    scenario.start(3);
    let target = scenario.head(0) + 20;
    let follows = scenario.run(120_000, |scenario| scenario.all_reached(target));
    assert!(follows, "the late node is at {}", scenario.head(3));
}
