//! Redelegations, and slashes that apply to them later.

use alloy_primitives::U256;
use causeway_staking::{StakingFault, StakingParams, views};

use crate::world::{World, account, operator, params, stake};

fn moved(world: &mut World) -> u64 {
    world.delegate(account(1), operator(1), stake(100)).unwrap();
    world.redelegate(account(1), operator(1), operator(2), stake(60)).unwrap()
}

#[test]
fn stake_moves_at_once_and_is_locked() {
    let mut world = World::new(4);
    let id = moved(&mut world);
    assert_eq!(world.bonded(account(1), operator(1)), stake(40));
    assert_eq!(world.bonded(account(1), operator(2)), stake(60));
    let [record] = world.redelegations(account(1))[..] else { panic!() };
    assert_eq!((record.id, record.from, record.to, record.leave_epoch), (id, operator(1), operator(2), 2));
    assert_eq!((record.shares, record.free_at), (stake(60), None));
    let locked = |needed| Err(StakingFault::InsufficientStake { available: U256::ZERO, needed });
    assert_eq!(world.undelegate(account(1), operator(2), U256::ONE), locked(U256::ONE).map(|()| (0, 0)));
    assert_eq!(
        world.redelegate(account(1), operator(2), operator(3), stake(1)),
        locked(stake(1)).map(|()| 0),
        "locked stake cannot move again"
    );
    // Other free stake can still move.
    world.delegate(account(1), operator(2), stake(5)).unwrap();
    assert!(world.undelegate(account(1), operator(2), stake(5)).is_ok());
    world.reach(2);
    let members = views::active_set(&mut world.slots).unwrap();
    let stakes: Vec<U256> = members.iter().map(|member| member.stake).collect();
    assert_eq!(stakes, [stake(160), stake(140), stake(100), stake(100)]);
    world.audit();
}

#[test]
fn the_lock_ends_with_the_unbonding_time() {
    let mut world = World::new(4);
    let id = moved(&mut world);
    world.reach(2);
    let free_at = world.time + 100;
    assert_eq!(world.redelegations(account(1))[0].free_at, Some(free_at));
    while world.time + 1 < free_at {
        world.block();
    }
    world.settle(id).unwrap();
    assert_eq!(world.redelegations(account(1)).len(), 1);
    world.block();
    assert!(world.undelegate(account(1), operator(2), stake(60)).is_ok(), "any action on the delegation settles it");
    assert_eq!(world.settle(id), Err(StakingFault::UnknownRedelegation { id }));
    world.audit();
}

#[test]
fn moves_that_break_a_rule_are_refused() {
    let mut world = World::new(4);
    let who = account(1);
    let (one, two) = (operator(1), operator(2));
    world.delegate(who, one, stake(500)).unwrap();
    assert_eq!(world.redelegate(who, one, one, stake(1)), Err(StakingFault::SameValidator));
    let unknown = account(60);
    assert_eq!(
        world.redelegate(who, unknown, two, stake(1)),
        Err(StakingFault::UnknownValidator { operator: unknown })
    );
    assert_eq!(
        world.redelegate(who, one, unknown, stake(1)),
        Err(StakingFault::UnknownValidator { operator: unknown })
    );
    let minimum = params().min_delegation;
    assert_eq!(
        world.redelegate(who, one, two, U256::ZERO),
        Err(StakingFault::BelowMinimum { amount: U256::ZERO, minimum })
    );
    let (available, needed) = (stake(500), stake(501));
    assert_eq!(world.redelegate(who, one, two, needed), Err(StakingFault::InsufficientStake { available, needed }));
    assert_eq!(
        world.redelegate(one, one, two, stake(100)),
        Err(StakingFault::SelfBondTooLow { remaining: U256::ZERO, minimum: stake(1) })
    );
    world.exit(operator(3)).unwrap();
    assert_eq!(world.redelegate(who, one, operator(3), stake(1)), Err(StakingFault::Exiting { operator: operator(3) }));
    world.punish(2, 1, 0).unwrap();
    assert_eq!(world.redelegate(who, one, two, stake(1)), Err(StakingFault::Tombstoned { operator: two }));
    for _ in 0..16 {
        world.redelegate(who, one, operator(4), stake(1)).unwrap();
    }
    assert_eq!(world.redelegate(who, one, operator(4), stake(1)), Err(StakingFault::TooManyRedelegations));
    assert_eq!(world.settle(99), Err(StakingFault::UnknownRedelegation { id: 99 }));
    world.audit();
}

#[test]
fn no_more_than_a_third_of_the_set_moves_with_an_epoch() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(400)).unwrap();
    assert!(
        world.clone().redelegate(account(1), operator(1), operator(2), stake(300)).is_ok(),
        "it does not count yet"
    );
    world.reach(6);
    let room = stake(800) / U256::from(3);
    let limit = Err(StakingFault::RedelegationLimit { room });
    assert_eq!(world.redelegate(account(1), operator(1), operator(2), room + U256::ONE), limit);
    assert!(world.redelegate(account(1), operator(1), operator(2), room).is_ok());
    let limit = Err(StakingFault::RedelegationLimit { room: U256::ZERO });
    assert_eq!(world.redelegate(account(1), operator(1), operator(2), stake(1)), limit);
    assert_eq!(
        world.undelegate(account(1), operator(1), stake(1)),
        Ok((9, 9)),
        "moves and undelegations share one queue"
    );
    world.reach(7);
    assert!(world.redelegate(account(1), operator(1), operator(2), stake(1)).is_ok());
    world.audit();
}

#[test]
fn a_fault_before_the_move_took_effect_burns_what_moved() {
    let params = StakingParams { double_sign_slash_ppm: 100_000, reporter_ppm: 0, ..params() };
    let mut world = World::under(params, 4);
    let id = moved(&mut world);
    world.punish(1, 1, 0).unwrap();
    assert_eq!(world.bonded(account(1), operator(1)), stake(36));
    world.settle(id).unwrap();
    assert_eq!(world.bonded(account(1), operator(2)), stake(54));
    assert_eq!(world.tokens(operator(2)), stake(154));
    assert_eq!(world.totals().slashed, stake(20));
    world.settle(id).unwrap();
    assert_eq!(world.bonded(account(1), operator(2)), stake(54), "once");
    world.audit();
    // The delegator's own action has the same effect as a settle call by anyone.
    let mut touched = World::under(params, 4);
    moved(&mut touched);
    touched.punish(1, 1, 0).unwrap();
    touched.claim_rewards(account(1), operator(2)).unwrap();
    assert_eq!(touched.bonded(account(1), operator(2)), stake(54));
}

#[test]
fn a_fault_after_the_move_took_effect_does_not_burn_it() {
    let mut world = World::new(4);
    let id = moved(&mut world);
    world.reach(2);
    let height = world.height;
    assert!(world.punish(1, height, 1).is_ok(), "a fault in the last block of epoch 1");
    world.settle(id).unwrap();
    assert_eq!(world.bonded(account(1), operator(2)), stake(57), "epoch 1 is before the move took effect");

    let mut world = World::new(4);
    let id = moved(&mut world);
    world.reach(2);
    world.block();
    let height = world.height;
    world.punish(1, height, 2).unwrap();
    world.settle(id).unwrap();
    assert_eq!(world.bonded(account(1), operator(2)), stake(60), "epoch 2 is after the move took effect");
    world.audit();
}

#[test]
fn an_old_double_signature_slashes_a_move_after_newer_downtime() {
    let params = StakingParams { downtime_slash_ppm: 100_000, jail_seconds: 0, ..params() };
    let params = StakingParams { unbonding_seconds: 1_000, ..params };
    let mut world = World::under(params, 4);
    let id = moved(&mut world);
    world.down.insert(operator(1));
    world.reach(6);
    world.unjail(operator(1)).unwrap();
    world.reach(9);
    world.blocks(20);
    assert!(world.validator(operator(1)).jailed, "a second time, in a later epoch");
    world.punish(1, 2, 0).unwrap();
    world.settle(id).unwrap();
    // The first window ended in epoch 2, when the move had taken effect; the double signature is older.
    assert_eq!(world.bonded(account(1), operator(2)), stake(57));
    world.audit();
}

#[test]
fn a_full_slash_burns_all_moved_stake() {
    let params = StakingParams { double_sign_slash_ppm: 1_000_000, ..params() };
    let mut world = World::under(params, 4);
    let id = moved(&mut world);
    world.punish(1, 1, 0).unwrap();
    world.settle(id).unwrap();
    assert_eq!(world.bonded(account(1), operator(2)), U256::ZERO);
    assert_eq!(world.settle(id), Err(StakingFault::UnknownRedelegation { id }), "no shares are left to lock");
    assert_eq!(world.tokens(operator(2)), stake(100));
    world.audit();
}
