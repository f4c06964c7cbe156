//! Undelegation: amounts, epochs, bounds, and the time of the claim.

use alloy_primitives::U256;
use alloy_sol_types::SolEvent;
use causeway_staking::{IStaking, StakingFault, StakingParams, views};

use crate::world::{START, World, account, member, operator, params, stake};

#[test]
fn stake_leaves_two_epochs_later_and_is_claimed_after_the_unbonding_time() {
    let mut world = World::new(4);
    let (who, from) = (account(1), operator(1));
    world.delegate(who, from, stake(50)).unwrap();
    assert_eq!(world.undelegate(who, from, stake(20)), Ok((2, 2)));
    assert_eq!((world.bonded(who, from), world.totals().unbonding), (stake(30), stake(20)));
    let event = IStaking::Undelegated::decode_log(&world.logs[0]).unwrap().data;
    assert_eq!((event.delegator, event.validator, event.amount, event.leaveEpoch), (who, from, stake(20), 2));
    assert_eq!(world.unbondings(who)[0].claimable_at, None, "unknown before its epoch has begun");
    assert_eq!(world.claim_unbonded(who, from, 3), Err(StakingFault::NothingUnbonding));
    assert_eq!(world.claim_unbonded(account(2), from, 2), Err(StakingFault::NothingUnbonding));
    world.reach(2);
    let free_at = world.time + 100;
    assert_eq!(world.unbondings(who)[0].claimable_at, Some(free_at));
    while world.time < free_at {
        assert_eq!(world.claim_unbonded(who, from, 2), Err(StakingFault::NotClaimable { leave_epoch: 2 }));
        world.block();
    }
    assert_eq!(world.claim_unbonded(who, from, 2), Ok(stake(20)));
    assert_eq!((world.liquid(who), world.totals().unbonding), (stake(970), U256::ZERO));
    assert_eq!(world.claim_unbonded(who, from, 2), Err(StakingFault::NothingUnbonding), "once");
    world.audit();
}

#[test]
fn undelegations_that_break_a_rule_are_refused() {
    let mut world = World::new(4);
    let (who, from) = (account(1), operator(1));
    world.delegate(who, from, stake(50)).unwrap();
    assert_eq!(world.undelegate(who, from, U256::ZERO), Err(StakingFault::ZeroAmount));
    let (available, needed) = (stake(50), stake(50) + U256::ONE);
    assert_eq!(world.undelegate(who, from, needed), Err(StakingFault::InsufficientStake { available, needed }));
    let none = StakingFault::InsufficientStake { available: U256::ZERO, needed: U256::ONE };
    assert_eq!(world.undelegate(account(2), from, U256::ONE), Err(none));
    let none = StakingFault::InsufficientStake { available: U256::ZERO, needed: U256::MAX };
    assert_eq!(world.undelegate(account(2), from, U256::MAX), Err(none));
    let unknown = account(50);
    assert_eq!(world.undelegate(who, unknown, U256::MAX), Err(StakingFault::UnknownValidator { operator: unknown }));
    let (remaining, minimum) = (stake(1) - U256::ONE, stake(1));
    assert_eq!(
        world.undelegate(from, from, stake(99) + U256::ONE),
        Err(StakingFault::SelfBondTooLow { remaining, minimum })
    );
    assert!(world.undelegate(from, from, stake(99)).is_ok());
    world.audit();
}

#[test]
fn all_stake_leaves_in_one_epoch_when_the_bound_allows() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(50)).unwrap();
    assert_eq!(world.undelegate(account(1), operator(1), U256::MAX), Ok((2, 2)));
    assert_eq!(world.bonded(account(1), operator(1)), U256::ZERO);
    assert!(views::delegations(&mut world.slots, account(1)).unwrap().is_empty());
    world.audit();
}

#[test]
fn at_most_a_third_of_the_set_leaves_with_an_epoch() {
    let mut world = World::new(3);
    world.delegate(account(1), operator(1), stake(90)).unwrap();
    world.reach(3);
    let [active, _] = world.sets();
    assert_eq!(active.len(), 3);
    // 390 in the set: 130, then (390 - 130) / 3, then ...
    assert_eq!(world.undelegate(account(1), operator(1), stake(90)), Ok((5, 5)));
    assert_eq!(world.undelegate(operator(1), operator(1), stake(99)), Ok((5, 6)));
    let parts: Vec<(u64, U256)> =
        world.unbondings(operator(1)).iter().map(|part| (part.leave_epoch, part.tokens)).collect();
    assert_eq!(parts, [(5, stake(40)), (6, stake(59))]);
    // Undelegating in small parts meets the same bound.
    for _ in 0..4 {
        world.undelegate(operator(2), operator(2), stake(10)).unwrap();
    }
    assert_eq!(world.undelegate(operator(2), operator(2), stake(10)), Ok((7, 7)));
    world.audit();
    world.reach(9);
    world.audit();
}

#[test]
fn stake_without_power_needs_no_room_in_the_queue() {
    let mut world = World::new(3);
    world.register(11, stake(1_000)).unwrap();
    world.delegate(account(1), operator(11), stake(1_000)).unwrap();
    assert_eq!(world.undelegate(account(1), operator(11), U256::MAX), Ok((2, 2)), "not selected yet");
    world.reach(1);
    assert_eq!(world.undelegate(operator(11), operator(11), stake(900)), Ok((3, 3)), "stake that does not count yet");
    world.reach(2);
    for number in 1..=3 {
        world.undelegate(operator(number), operator(number), stake(60)).unwrap();
    }
    assert_eq!(world.undelegate(operator(11), operator(11), stake(99)), Ok((5, 6)), "stake that counts");
    world.audit();
}

#[test]
fn the_queue_has_an_end() {
    let params = StakingParams { min_self_bond: U256::ONE, ..params() };
    let mut world = World::with(params, &[member(1, stake(1_000_000)), member(2, U256::from(3))], &[]);
    world.block();
    assert_eq!(world.exit(operator(1)), Err(StakingFault::ExitQueueFull), "it has nearly all stake of the set");
    assert!(world.undelegate(operator(1), operator(1), stake(500_000)).is_ok());
}

#[test]
fn leaving_stake_counts_until_its_epoch_and_earns_nothing() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(100)).unwrap();
    world.reach(3);
    assert_eq!(world.undelegate(account(1), operator(1), U256::MAX), Ok((5, 5)));
    let power = |world: &mut World| {
        let set = views::active_set(&mut world.slots).unwrap();
        set.iter().find(|member| member.operator == operator(1)).unwrap().stake
    };
    world.reach(4);
    assert_eq!(power(&mut world), stake(200));
    world.fees(U256::from(500));
    world.blocks(2);
    assert_eq!(world.claim_rewards(account(1), operator(1)), Ok(U256::ZERO));
    assert_eq!(world.claim_rewards(operator(1), operator(1)), Ok(U256::from(199)), "two fifths, rounded down");
    world.reach(5);
    assert_eq!(power(&mut world), stake(100));
    world.audit();
}

#[test]
fn a_pegged_chain_waits_for_the_parent_but_not_for_ever() {
    let params = StakingParams { pegged: true, ..params() };
    let mut world = World::under(params, 4);
    let (who, from) = (account(1), operator(1));
    world.delegate(who, from, stake(50)).unwrap();
    world.undelegate(who, from, stake(20)).unwrap();
    world.handover = true;
    world.reach(2);
    let start = world.time;
    world.time = start + 100;
    assert_eq!(world.claim_unbonded(who, from, 2), Err(StakingFault::NotClaimable { leave_epoch: 2 }));
    let mut acked = world.clone();
    acked.acked = 1;
    assert_eq!(acked.claim_unbonded(who, from, 2), Err(StakingFault::NotClaimable { leave_epoch: 2 }));
    acked.acked = 2;
    assert_eq!(acked.claim_unbonded(who, from, 2), Ok(stake(20)));
    world.time = start + 399;
    assert_eq!(world.claim_unbonded(who, from, 2), Err(StakingFault::NotClaimable { leave_epoch: 2 }));
    world.time = start + 400;
    assert_eq!(world.claim_unbonded(who, from, 2), Ok(stake(20)));
    world.audit();
}

#[test]
fn stake_is_claimable_after_the_hard_bound_even_if_no_epoch_begins() {
    let params = StakingParams { pegged: true, ..params() };
    let mut world = World::under(params, 4);
    let (who, from) = (account(1), operator(1));
    world.delegate(who, from, stake(50)).unwrap();
    world.undelegate(who, from, stake(20)).unwrap();
    let asked = world.time;
    assert_eq!(asked, START + 1);
    world.blocks(30);
    assert_eq!(world.epoch(), 0);
    assert_eq!(views::epoch(&mut world.slots).unwrap().extended, 22);
    world.time = asked + 799;
    assert_eq!(world.claim_unbonded(who, from, 2), Err(StakingFault::NotClaimable { leave_epoch: 2 }));
    world.time = asked + 800;
    assert_eq!(world.claim_unbonded(who, from, 2), Ok(stake(20)));
    world.audit();
}

#[test]
fn stake_that_still_backs_a_set_is_not_claimable_however_long_the_epoch() {
    let params = StakingParams { unbonding_seconds: 10, ..StakingParams::new(200, false) };
    let mut world = World::under(params, 4);
    let (who, from) = (account(1), operator(1));
    world.delegate(who, from, stake(20)).unwrap();
    assert_eq!(world.undelegate(who, from, stake(20)), Ok((2, 2)));
    let asked = world.time;
    while world.time <= asked + 100 {
        world.block();
    }
    assert_eq!(views::epoch(&mut world.slots).unwrap().extended, 0, "no epoch is extended");
    assert_eq!(world.unbondings(who)[0].claimable_at, None);
    assert_eq!(world.claim_unbonded(who, from, 2), Err(StakingFault::NotClaimable { leave_epoch: 2 }));
    world.reach(2);
    assert_eq!(
        world.claim_unbonded(who, from, 2),
        Err(StakingFault::NotClaimable { leave_epoch: 2 }),
        "evidence may still arrive"
    );
    world.time += 10;
    assert_eq!(world.claim_unbonded(who, from, 2), Ok(stake(20)));
    world.audit();
}

#[test]
fn unbondings_of_a_delegator_are_listed_until_claimed() {
    let mut world = World::new(6);
    let who = account(1);
    for number in 1..=4 {
        world.delegate(who, operator(number), stake(10)).unwrap();
        world.undelegate(who, operator(number), stake(4)).unwrap();
        world.undelegate(who, operator(number), stake(1)).unwrap();
    }
    assert_eq!(world.unbondings(who).len(), 4, "one part for each validator and epoch");
    world.reach(13);
    for number in [2, 4, 1, 3] {
        assert_eq!(world.claim_unbonded(who, operator(number), 2), Ok(stake(5)));
        world.audit();
    }
    assert!(world.unbondings(who).is_empty());
}
