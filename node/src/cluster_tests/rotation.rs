//! Validators join, leave and are replaced, by themselves and at the right height; boundaries cost nothing.

use alloy_primitives::U256;
use causeway_staking::IStaking;

use super::cluster::{Cluster, Plan, stake};

/// Runs until member 0 is in `epoch` and everybody up has its first height.
fn run_to_epoch(cluster: &mut Cluster, epoch: u64) -> bool {
    let reached = |cluster: &Cluster| {
        (0..cluster.members.len()).all(|index| cluster.members[index].up.is_none() || cluster.epoch(index) >= epoch)
    };
    cluster.run(600_000, reached)
}

/// Whether `index` has signed one of the last `heights` certificates.
fn signs(cluster: &Cluster, index: usize, heights: u64) -> bool {
    let id = cluster.id(index);
    cluster.signers.iter().rev().take(heights as usize).any(|(_, signers)| signers.contains(&id))
}

#[test]
fn a_registered_validator_votes_by_itself_from_its_epoch_on() {
    let mut cluster = Plan::new(4, 11).others(1).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(2)));
    cluster.register(4, stake(900));
    assert!(run_to_epoch(&mut cluster, 1));
    assert_eq!(cluster.set(), [0, 1, 2, 3], "known an epoch ahead, in force an epoch later");
    assert!(!signs(&cluster, 4, 100));
    assert!(run_to_epoch(&mut cluster, 2));
    assert_eq!(cluster.set(), [0, 1, 2, 3, 4]);
    assert!(cluster.run(1_000, |cluster| cluster.node(4).is_member()));
    let height = cluster.head(0) + 15;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)));
    assert!(signs(&cluster, 4, 10), "the joiner signs nothing");
    cluster.assert_agreement();
}

#[test]
fn a_validator_that_exits_falls_silent_at_the_boundary_and_follows() {
    let mut cluster = Plan::new(5, 12).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(2)));
    cluster.stake_call(4, IStaking::exitCall {});
    assert!(cluster.run(120_000, |cluster| cluster.set() == [0, 1, 2, 3]), "still {:?}", cluster.set());
    let height = cluster.head(0) + 15;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)), "the one that left follows as well");
    assert!(!signs(&cluster, 4, 10));
    cluster.assert_agreement();
}

#[test]
fn all_validators_are_replaced_and_the_chain_goes_on() {
    let mut cluster = Plan::new(4, 13).others(4).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(2)));
    for index in 4..8 {
        cluster.register(index, stake(1_000));
    }
    assert!(cluster.run(300_000, |cluster| cluster.set().len() == 8), "only {:?} are in", cluster.set());
    for index in 0..4 {
        cluster.stake_call(index, IStaking::exitCall {});
    }
    assert!(cluster.run(900_000, |cluster| cluster.set() == [4, 5, 6, 7]), "still {:?}", cluster.set());
    let height = cluster.head(0) + 25;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)));
    assert!(!(0..4).any(|index| signs(&cluster, index, 10)));
    cluster.assert_agreement();
}

#[test]
fn crashes_around_boundaries_neither_lose_blocks_nor_sign_twice() {
    let mut cluster = Plan::new(4, 14).others(2).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(2)));
    cluster.register(4, stake(900));
    cluster.register(5, stake(900));
    for boundary in (10..=60).step_by(10) {
        assert!(cluster.run(120_000, |cluster| cluster.head(0) + 1 >= boundary), "stuck before {boundary}");
        let until = cluster.now() + cluster.random(150);
        cluster.run(200, |cluster| cluster.now() >= until);
        let count = cluster.members.len();
        // All at once, or one of them.
        let crashed: Vec<usize> =
            if boundary % 20 == 0 { (0..count).collect() } else { vec![boundary as usize / 10 % 4] };
        for index in &crashed {
            cluster.crash(*index);
        }
        if crashed.len() == count {
            cluster.queue.clear();
        }
        for index in crashed {
            cluster.start(index);
        }
        assert!(cluster.run(120_000, |cluster| cluster.all_reached(boundary + 1)), "stuck at {boundary}");
        cluster.assert_agreement();
    }
    assert_eq!(cluster.set(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_node_catches_up_over_boundaries_with_the_set_of_each_height() {
    let mut cluster = Plan::new(5, 15).others(2).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(2)));
    cluster.crash(4);
    cluster.register(5, stake(1_000));
    cluster.register(6, stake(1_000));
    cluster.stake_call(3, IStaking::exitCall {});
    assert!(cluster.run(600_000, |cluster| cluster.set() == [0, 1, 2, 4, 5, 6]), "{:?}", cluster.set());
    let target = cluster.head(0) + 20;
    assert!(cluster.run(120_000, |cluster| cluster.head(0) >= target));
    cluster.start(4);
    assert!(cluster.run(60_000, |cluster| cluster.head(4) >= target), "no catch-up: {}", cluster.head(4));
    let height = cluster.head(0) + 10;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)));
    assert!(signs(&cluster, 4, 10), "a member again, it signs");
    cluster.assert_agreement();
}

#[test]
fn blocks_at_boundaries_are_no_later_than_others() {
    let mut cluster = Plan::new(4, 16).others(3).epochs(10).start();
    assert!(cluster.run(5_000, |cluster| cluster.all_reached(2)));
    for index in 4..7 {
        cluster.register(index, stake(400));
    }
    assert!(cluster.run(120_000, |cluster| cluster.all_reached(90)));
    assert_eq!(cluster.set().len(), 7);
    let (mut boundary, mut other) = (Vec::new(), Vec::new());
    for height in 5..=90 {
        let took = cluster.committed_ms[&height] - cluster.committed_ms[&(height - 1)];
        // The last block of an epoch rotates; the first is the first that the new set decides.
        if height % 10 <= 1 { boundary.push(took) } else { other.push(took) }
    }
    let mean = |times: &[u64]| times.iter().sum::<u64>() / times.len() as u64;
    assert!(mean(&boundary) <= mean(&other) * 6 / 5, "{boundary:?} against {other:?}");
}

/// Forty validators within a few epochs, each bounded by what the set before may gain.
#[test]
fn forty_validators_join_within_a_few_epochs_without_a_stall() {
    let mut cluster = Plan::new(4, 17).others(40).epochs(8).start();
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(2)));
    for index in 4..44 {
        cluster.register(index, stake(90));
    }
    assert!(run_to_epoch(&mut cluster, 6), "stuck at {} in epoch {}", cluster.head(0), cluster.epoch(0));
    assert_eq!(cluster.set().len(), 44);
    let height = cluster.head(0) + 5;
    assert!(cluster.run(60_000, |cluster| cluster.all_reached(height)));
    let times: Vec<u64> = cluster.committed_ms.values().copied().collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 1_000, "a block took {longest} ms");
    assert_eq!(cluster.validator(40).map(|validator| validator.tokens), Some(stake(90)));
    assert!(cluster.validator(0).is_some_and(|validator| validator.tokens > U256::ZERO));
    cluster.assert_agreement();
}
