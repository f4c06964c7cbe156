//! A constant set: agreement, crashes, loss, catch-up.

use alloy_primitives::{Address, U256};

use super::cluster::Plan;

#[test]
fn four_validators_agree_and_execute_a_transfer() {
    let mut cluster = Plan::new(4, 1).start();
    let to = Address::repeat_byte(0x77);
    cluster.submit(0, to, 5);
    cluster.submit(1, to, 7);
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(10)), "no ten blocks in 20 s");
    cluster.assert_agreement();
    for index in 0..4 {
        assert_eq!(cluster.balance(index, to), U256::from(12));
    }
}

#[test]
fn a_single_validator_decides_alone() {
    let mut cluster = Plan::new(1, 2).start();
    assert!(cluster.run(5_000, |cluster| cluster.head(0) >= 10));
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up_by_blocks() {
    let mut cluster = Plan::new(4, 3).start();
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(3)));
    cluster.crash(3);
    assert!(cluster.run(120_000, |cluster| cluster.head(0) >= 120), "three of four stand still");
    cluster.start(3);
    assert!(cluster.run(10_000, |cluster| cluster.head(3) >= 120), "no catch-up within 10 s");
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(130)));
    cluster.assert_agreement();
}

#[test]
fn all_crash_at_any_moment_and_go_on_without_losing_a_block() {
    let mut cluster = Plan::new(4, 4).start();
    for crash in 0..25 {
        let moment = 20 + cluster.random(250);
        let until = cluster.now() + moment;
        let reached = cluster.run(moment, |cluster| cluster.now() >= until);
        assert!(reached || cluster.now() <= until);
        let heads: Vec<u64> = (0..4).map(|index| cluster.head(index)).collect();
        for index in 0..4 {
            cluster.crash(index);
        }
        cluster.queue.clear();
        for (index, head) in heads.iter().enumerate() {
            cluster.start(index);
            assert!(cluster.head(index) >= *head, "crash {crash}: a durable block is gone");
        }
        let next = heads.iter().max().unwrap() + 1;
        assert!(
            cluster.run(60_000, |cluster| cluster.all_reached(next)),
            "crash {crash}: the chain does not go on past {next}"
        );
        cluster.assert_agreement();
    }
}

#[test]
fn a_tenth_of_all_messages_lost_does_not_stop_the_chain() {
    let mut cluster = Plan::new(4, 5).start();
    cluster.loss_percent = 10;
    assert!(
        cluster.run(300_000, |cluster| cluster.all_reached(30)),
        "stuck at {:?}",
        (0..4).map(|i| cluster.head(i)).collect::<Vec<_>>()
    );
    cluster.assert_agreement();
}

#[test]
fn a_node_whose_clock_is_an_hour_late_follows_what_the_others_decide() {
    let mut cluster = Plan::new(4, 7).start();
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(2)));
    cluster.crash(3);
    cluster.members[3].late_ms = 3_600_000;
    assert!(cluster.run(60_000, |cluster| cluster.head(0) >= 20));
    cluster.start(3);
    let target = cluster.head(0) + 20;
    assert!(cluster.run(120_000, |cluster| cluster.all_reached(target)), "the late node is at {}", cluster.head(3));
    cluster.assert_agreement();
}
