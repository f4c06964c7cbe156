//! Splitting an action into many never gains, and no order of actions and slashes gains over another.

use alloy_primitives::{Address, U256};
use causeway_staking::{StakingParams, layout};

use crate::{
    oracle::{Q, ratio},
    world::{World, account, operator, params, stake},
};

/// Pools whose shares are worth odd fractions of tokens: slashed, and grown by issuance.
fn odd(ppm: u64) -> World {
    let params = StakingParams {
        min_delegation: U256::ONE,
        min_self_bond: U256::ONE,
        downtime_slash_ppm: ppm,
        issuance_ppm: 7_777,
        jail_seconds: 0,
        ..params()
    };
    let mut world = World::under(params, 4);
    world.delegate(account(1), operator(1), stake(33) + U256::from(7)).unwrap();
    world.delegate(account(2), operator(1), stake(5) + U256::from(1)).unwrap();
    world.delegate(account(1), operator(2), stake(1) / U256::from(3)).unwrap();
    world.down.extend([operator(1), operator(2)]);
    world.reach(3);
    world.down.clear();
    world.unjail(operator(1)).unwrap();
    world.unjail(operator(2)).unwrap();
    world.reach(6);
    world
}

const PRICES: [u64; 5] = [1, 333_333, 500_000, 900_001, 999_999];
const PARTS: [u64; 4] = [2, 3, 10, 97];

/// Account 1's wealth when `action` happens once with `amount`, and when in `parts` parts.
fn once_and_split(world: &World, amount: U256, parts: u64, action: impl Fn(&mut World, Address, U256)) -> (Q, Q) {
    let who = account(1);
    let mut once = world.clone();
    action(&mut once, who, amount);
    let mut split = world.clone();
    let part = amount / U256::from(parts);
    for _ in 1..parts {
        action(&mut split, who, part);
    }
    action(&mut split, who, amount - part * U256::from(parts - 1));
    once.audit();
    split.audit();
    (once.wealth(who), split.wealth(who))
}

#[test]
fn many_delegations_are_worth_no_more_than_one() {
    let mut cases = 0;
    for ppm in PRICES {
        let world = odd(ppm);
        for parts in PARTS {
            for amount in [U256::from(1_000), U256::from(123_457), stake(7) + U256::from(5)] {
                let (once, split) = once_and_split(&world, amount, parts, |world, who, part| {
                    world.delegate(who, operator(1), part).unwrap();
                });
                assert!(split <= once, "slash {ppm}, {parts} parts of {amount}: {}", split - once);
                cases += 1;
            }
        }
    }
    eprintln!("{cases} delegations split");
}

#[test]
fn many_undelegations_are_worth_no_more_than_one() {
    let mut cases = 0;
    for ppm in PRICES {
        let mut world = odd(ppm);
        let owned = world.bonded(account(1), operator(1));
        for parts in PARTS {
            for amount in [U256::from(1_000), owned / U256::from(2), owned - U256::ONE, owned] {
                if amount > owned || amount < U256::from(parts) {
                    continue;
                }
                let (once, split) = once_and_split(&world, amount, parts, |world, who, part| {
                    // The last part may be smaller by the amount of earlier rounding.
                    let left = world.bonded(who, operator(1));
                    world.undelegate(who, operator(1), part.min(left)).unwrap();
                });
                assert!(split <= once, "slash {ppm}, {parts} parts of {amount}: {}", split - once);
                cases += 1;
            }
        }
    }
    eprintln!("{cases} undelegations split");
}

#[test]
fn many_moves_are_worth_no_more_than_one() {
    for ppm in PRICES {
        let mut world = odd(ppm);
        let owned = world.bonded(account(1), operator(1)) / U256::from(3);
        for parts in [2, 3, 15] {
            let (once, split) = once_and_split(&world, owned, parts, |world, who, part| {
                world.redelegate(who, operator(1), operator(2), part).unwrap();
            });
            assert!(split <= once, "slash {ppm}, {parts} parts: {}", split - once);
        }
    }
}

#[test]
fn moving_in_circles_gains_nothing() {
    for ppm in PRICES {
        let mut world = odd(ppm);
        let who = account(3);
        let before = world.wealth(who);
        for round in 1..20u64 {
            world.delegate(who, operator(1), U256::from(round * 1_001)).unwrap();
            world.undelegate(who, operator(1), U256::MAX).unwrap();
        }
        assert!(world.wealth(who) <= before);
        world.audit();
    }
}

#[test]
fn no_order_of_actions_escapes_a_slash() {
    // The events for account 1's stake with validator 1 in the epoch of the fault.
    type Step = fn(&mut World);
    let leave: Step = |world| {
        let owned = world.bonded(account(1), operator(1));
        world.undelegate(account(1), operator(1), owned / U256::from(2)).unwrap();
    };
    let go: Step = |world| {
        let owned = world.bonded(account(1), operator(1));
        world.redelegate(account(1), operator(1), operator(2), owned / U256::from(3)).unwrap();
    };
    let slash: Step = |world| {
        let height = world.height - 4;
        world.punish(1, height, 5).unwrap();
    };
    let wait: Step = |world| world.block().rotated_to.map_or((), |_| ());
    let orders: [&[Step]; 6] = [
        &[slash, leave, go],
        &[leave, slash, go],
        &[go, slash, leave],
        &[leave, go, slash],
        &[go, leave, slash],
        &[leave, wait, go, wait, slash],
    ];
    for fraction in [1, 50_000, 333_333, 999_999] {
        let mut world = odd(333_333);
        let params = StakingParams { double_sign_slash_ppm: fraction, issuance_ppm: 0, ..*world.module.params() };
        world.module = causeway_staking::StakingModule::new(params);
        let before = world.wealth(account(1));
        let elsewhere = before.clone() - bonded(&mut world);
        let expected = elsewhere + bonded(&mut world) * (ratio(1, 1) - ratio(fraction, 1_000_000));
        for (number, order) in orders.iter().enumerate() {
            let mut world = world.clone();
            for step in *order {
                step(&mut world);
            }
            for made in world.redelegations(account(1)) {
                world.settle(made.id).unwrap();
            }
            let left = world.wealth(account(1));
            let off = &left - &expected;
            assert!(off.clone() * off <= ratio(64, 1), "slash {fraction}, order {number}");
            world.audit();
        }
    }
}

/// The stake of account 1 with validator 1.
fn bonded(world: &mut World) -> Q {
    let shares = world.slot(layout::delegation(account(1), operator(1), layout::DelegationField::Shares));
    let tokens = world.slot(layout::validator(operator(1), layout::ValidatorField::Tokens));
    let all = world.slot(layout::validator(operator(1), layout::ValidatorField::Shares));
    crate::oracle::q(shares) * crate::oracle::q(tokens) / crate::oracle::q(all)
}
