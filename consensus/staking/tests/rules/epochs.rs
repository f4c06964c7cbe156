//! Rotations, and the bounds on the change from one set to the next.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use causeway_staking::{Member, StakingFault, StakingParams, views};

use crate::world::{World, account, member, operator, params, stake};

#[test]
fn the_set_changes_two_epochs_after_the_stake() {
    let mut world = World::new(3);
    world.register(11, stake(60)).unwrap();
    for height in 2..=9 {
        let outcome = world.block();
        assert_eq!((world.height, outcome.rotated_to), (height, None));
    }
    let outcome = world.block();
    assert_eq!(outcome.rotated_to, Some(1), "the hook of the last block of epoch 0");
    let (epoch, next) = outcome.next.unwrap();
    assert_eq!((epoch, next.len()), (2, 4));
    let info = views::epoch(&mut world.slots).unwrap();
    assert_eq!((info.number, info.start_height, info.start_time), (1, 11, world.time));
    assert_eq!(views::epoch_start(&mut world.slots, 1).unwrap(), Some((11, world.time)));
    assert_eq!(views::epoch_start(&mut world.slots, 2).unwrap(), None);
    let [active, announced] = world.sets();
    assert_eq!((active.len(), announced.len()), (3, 4));
    assert_eq!(views::next_set(&mut world.slots).unwrap(), next);
    world.blocks(10);
    assert_eq!(views::active_set(&mut world.slots).unwrap(), next);
    world.audit();
}

#[test]
fn an_epoch_waits_for_its_handover_block_by_block() {
    let params = StakingParams { pegged: true, ..params() };
    let mut world = World::under(params, 3);
    world.blocks(14);
    let info = views::epoch(&mut world.slots).unwrap();
    assert_eq!((info.number, info.extended, world.height), (0, 6, 15));
    world.handover = true;
    assert_eq!(world.block().rotated_to, Some(1));
    let info = views::epoch(&mut world.slots).unwrap();
    assert_eq!((info.start_height, info.extended), (17, 0));
    world.blocks(9);
    assert_eq!(world.epoch(), 1, "the next epoch has its full length");
    world.block();
    assert_eq!(world.epoch(), 2);
}

#[test]
fn a_joiner_larger_than_the_bound_grows_into_the_set() {
    let mut world = World::new(3);
    world.register(11, stake(1_000)).unwrap();
    let mut seen = Vec::new();
    for epoch in 2..=7 {
        world.reach(epoch);
        let set = views::active_set(&mut world.slots).unwrap();
        seen.push(set.iter().find(|member| member.operator == operator(11)).unwrap().stake);
    }
    assert_eq!(seen[0], stake(100));
    assert_eq!(seen[1], stake(100) + stake(400) / U256::from(3));
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1] || pair[1] == stake(1_000)), "{seen:?}");
    assert_eq!(seen[5], stake(1_000));
    world.audit();
}

#[test]
fn the_largest_are_selected_and_ties_go_to_the_lower_address() {
    let params = StakingParams { max_validators: 3, ..params() };
    let mut world = World::with(
        params,
        &[member(1, stake(100)), member(2, stake(100)), member(3, stake(100))],
        &[(operator(11), stake(500)), (operator(12), stake(500))],
    );
    world.block();
    world.register(11, stake(100)).unwrap();
    world.register(12, stake(101)).unwrap();
    world.reach(2);
    let [active, _] = world.sets();
    assert_eq!(active[0], operator(12));
    let mut tied: Vec<Address> = (1..=3).chain([11]).map(operator).collect();
    tied.sort_unstable();
    assert_eq!(active.len(), 3);
    // Displacing one member of 300 is exactly a third; equal stake displaces no member.
    assert!(!active.contains(&operator(11)), "{active:?} {tied:?}");
    world.audit();
}

/// The stake that the new set gained over the old one, and the stake that it lost.
pub fn change(old: &[Member], new: &[Member]) -> (U256, U256) {
    let stakes = |set: &[Member]| -> BTreeMap<Address, U256> {
        set.iter().map(|member| (member.operator, member.stake)).collect()
    };
    let (old, new) = (stakes(old), stakes(new));
    let beyond = |a: &BTreeMap<Address, U256>, b: &BTreeMap<Address, U256>| {
        a.iter()
            .map(|(operator, stake)| stake.saturating_sub(b.get(operator).copied().unwrap_or_default()))
            .fold(U256::ZERO, |sum, stake| sum + stake)
    };
    (beyond(&new, &old), beyond(&old, &new))
}

#[test]
fn all_validators_are_replaced_within_the_bounds() {
    let mut world = World::new(4);
    for number in 11..=14 {
        world.register(number, stake(100)).unwrap();
    }
    for number in 1..=3 {
        world.exit(operator(number)).unwrap();
    }
    assert_eq!(world.exit(operator(4)), Err(StakingFault::ExitQueueFull), "no joiner yet");
    let mut old = views::active_set(&mut world.slots).unwrap();
    let mut epochs = 0;
    while world.sets()[0].iter().any(|member| (1..=4).any(|number| *member == operator(number))) {
        let epoch = world.epoch();
        world.reach(epoch + 1);
        epochs += 1;
        let new = views::active_set(&mut world.slots).unwrap();
        let total = old.iter().fold(U256::ZERO, |sum, member| sum + member.stake);
        let (gained, lost) = change(&old, &new);
        assert!(gained + lost + lost <= total, "epoch {}: {gained} {lost} {total}", epoch + 1);
        old = new;
        world.audit();
        if world.validator(operator(4)).exit_epoch.is_none() {
            world.exit(operator(4)).unwrap();
        }
    }
    eprintln!("four validators replaced by four in {epochs} epochs");
    assert!(epochs <= 10);
    let mut last: Vec<Address> = world.sets()[0].clone();
    last.sort_unstable();
    let mut expected: Vec<Address> = (11..=14).map(operator).collect();
    expected.sort_unstable();
    assert_eq!(last, expected);
}

#[test]
fn exited_validators_move_to_the_former_ones() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(4), stake(30)).unwrap();
    world.reach(2);
    let exit_epoch = world.exit(operator(4)).unwrap();
    assert_eq!(exit_epoch, 4);
    world.reach(4);
    assert!(!world.sets()[0].contains(&operator(4)));
    let listed = views::validators(&mut world.slots).unwrap();
    assert_eq!(listed.last(), Some(&operator(4)), "listed after the candidates");
    assert_eq!(world.validator(operator(4)).exit_epoch, Some(4));
    world.undelegate(account(1), operator(4), U256::MAX).unwrap();
    world.audit();
}

#[test]
fn the_only_validator_cannot_leave_the_set_empty() {
    let mut world = World::new(1);
    assert!(world.exit(operator(1)).is_err());
    world.register(11, stake(900)).unwrap();
    world.reach(8);
    let exit_epoch = world.exit(operator(1)).unwrap();
    world.reach(exit_epoch);
    assert_eq!(world.sets()[0], vec![operator(11)]);
    world.audit();
}

#[test]
fn issuance_grows_the_pools_by_power_and_pays_the_commission_in_shares() {
    let params = StakingParams { issuance_ppm: 10_000, ..params() };
    let mut first = member(1, stake(300));
    first.commission_bps = 5_000;
    let mut world = World::with(params, &[first, member(2, stake(100))], &[(account(1), stake(100))]);
    world.block();
    world.delegate(account(1), operator(1), stake(100)).unwrap();
    let mut issued = U256::ZERO;
    while issued.is_zero() {
        issued = world.block().issued;
    }
    // 1 % of 500 is issued, three quarters of it to the first: its power is that of its 300 in epoch 0.
    assert_eq!(issued, stake(5) - U256::ONE, "remainders of divisions are not issued");
    assert_eq!(world.totals().issued, stake(500) + issued);
    let first = world.tokens(operator(1));
    let expected = stake(400) + stake(15) / U256::from(4);
    assert!(expected.abs_diff(first) <= U256::from(1_000_000_000), "{first} {expected}");
    let delegator = world.bonded(account(1), operator(1)) - stake(100);
    let share = stake(15) / U256::from(32);
    assert!(share.abs_diff(delegator) <= U256::from(1_000_000_000), "half, and a quarter of that: {delegator}");
    world.audit();
    world.reach(5);
    world.audit();
}

#[test]
fn issuance_stops_below_its_bound() {
    let params = StakingParams { issuance_ppm: 10_000, ..params() };
    let most = (U256::ONE << 128) - U256::from(1_000);
    let mut world = World::with(params, &[member(1, most)], &[]);
    world.block();
    world.reach(3);
    assert!(world.totals().issued < (U256::ONE << 128));
    assert!(world.totals().issued > most);
    world.audit();
}
