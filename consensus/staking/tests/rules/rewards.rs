//! The distribution of fees by power, commission and shares, exact to the last unit.

use alloy_primitives::U256;
use causeway_staking::{StakingParams, views};

use crate::world::{World, account, consensus_key, member, operator, params, peg_address, stake};

fn coin(amount: u64) -> U256 {
    U256::from(amount)
}

#[test]
fn fees_are_shared_by_power_and_shares_after_the_commission() {
    let mut first = member(1, stake(100));
    first.commission_bps = 1_000;
    let members = [first, member(2, stake(100)), member(3, stake(200))];
    let mut world = World::with(params(), &members, &[(account(1), stake(1_000))]);
    world.block();
    world.delegate(account(1), operator(1), stake(100)).unwrap();
    world.fees(coin(4_000));
    world.block();
    // A quarter goes to the first: powers are those of epoch 0. A tenth of it is commission, and the rest is halved.
    let pending = |world: &mut World, who, with| views::pending_rewards(&mut world.slots, who, with).unwrap();
    assert_eq!(pending(&mut world, account(1), operator(1)), coin(449));
    assert_eq!(pending(&mut world, operator(1), operator(1)), coin(449));
    assert_eq!(pending(&mut world, operator(3), operator(3)), coin(1_999));
    let view = world.validator(operator(1));
    assert_eq!((view.commission, view.rewards), (coin(99), coin(900)));
    world.audit();
    assert_eq!(world.claim_rewards(account(1), operator(1)), Ok(coin(449)));
    assert_eq!(world.claim_rewards(account(1), operator(1)), Ok(coin(0)), "once");
    assert_eq!(world.claim_commission(operator(1)), Ok(coin(99)));
    assert_eq!(world.claim_commission(operator(1)), Ok(coin(0)));
    assert!(world.claim_commission(account(1)).is_err());
    assert!(world.claim_rewards(account(1), account(2)).is_err());
    assert_eq!(world.claim_rewards(account(2), operator(1)), Ok(coin(0)), "no delegator");
    assert_eq!(world.paid[&account(1)], coin(449));
    world.audit();
}

#[test]
fn rounding_favours_the_pool_and_never_the_claimant() {
    let mut world = World::new(3);
    for number in 1..=7 {
        world.delegate(account(number), operator(1), stake(number) + coin(number)).unwrap();
    }
    let mut claimed = U256::ZERO;
    let mut fees = U256::ZERO;
    for round in 0..200u64 {
        world.fees(coin(round % 11));
        fees += coin(round % 11);
        world.block();
        for number in 1..=7 {
            claimed += world.claim_rewards(account(number), operator(1)).unwrap();
        }
        for number in 1..=3 {
            claimed += world.claim_rewards(operator(number), operator(number)).unwrap();
        }
        assert!(claimed <= fees, "round {round}");
    }
    world.audit();
}

#[test]
fn many_claims_pay_no_more_than_one() {
    let mut often = World::new(3);
    for number in 1..=5 {
        often.delegate(account(number), operator(1), stake(3) + coin(number * number)).unwrap();
    }
    let mut once = often.clone();
    for round in 1..300u64 {
        for world in [&mut often, &mut once] {
            world.fees(coin(round * 7 % 1_000));
            world.block();
        }
        for number in 1..=5 {
            often.claim_rewards(account(number), operator(1)).unwrap();
        }
        often.audit();
    }
    for number in 1..=5 {
        once.claim_rewards(account(number), operator(1)).unwrap();
        let paid = |world: &World| world.paid.get(&account(number)).copied().unwrap_or_default();
        assert!(paid(&often) <= paid(&once), "{} {}", paid(&often), paid(&once));
        // Claiming often loses less than one unit per claim.
        assert!(paid(&once) - paid(&often) < coin(300));
    }
    once.audit();
}

#[test]
fn a_delegation_earns_only_from_its_start() {
    let mut world = World::new(2);
    world.fees(coin(1_000_000));
    world.block();
    world.delegate(account(1), operator(1), stake(900)).unwrap();
    assert_eq!(views::pending_rewards(&mut world.slots, account(1), operator(1)).unwrap(), coin(0));
    world.undelegate(account(1), operator(1), U256::MAX).unwrap();
    world.fees(coin(1_000));
    world.block();
    assert_eq!(world.claim_rewards(account(1), operator(1)), Ok(coin(0)));
    assert_eq!(world.claim_rewards(operator(1), operator(1)), Ok(coin(500_498)));
    world.audit();
}

#[test]
fn rewards_remain_after_the_delegation_and_the_power_end() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(100)).unwrap();
    world.fees(coin(8_000));
    world.block();
    world.undelegate(account(1), operator(1), U256::MAX).unwrap();
    assert_eq!(views::delegations(&mut world.slots, account(1)).unwrap().len(), 1, "only unclaimed rewards remain");
    world.exit(operator(1)).unwrap();
    world.reach(4);
    assert_eq!(world.claim_rewards(account(1), operator(1)), Ok(coin(999)));
    assert_eq!(world.claim_rewards(operator(1), operator(1)), Ok(coin(999)));
    assert!(views::delegations(&mut world.slots, account(1)).unwrap().is_empty());
    world.audit();
}

#[test]
fn coin_without_an_owner_becomes_dust() {
    let mut world = World::new(4);
    world.exit(operator(1)).unwrap();
    assert_eq!(world.validator(operator(1)).shares, U256::ZERO);
    // Still a member until epoch 2, but without shares.
    world.fees(coin(4_000));
    world.reach(2);
    assert_eq!(views::rewards(&mut world.slots).unwrap().dust, coin(999));
    world.audit();
}

#[test]
fn a_new_commission_applies_to_later_rewards_only() {
    let params = StakingParams { max_commission_change_bps: 10_000, ..params() };
    let mut world = World::under(params, 2);
    world.fees(coin(2_000));
    world.block();
    world.time += 86_400;
    world.set_commission(operator(1), 10_000).unwrap();
    world.fees(coin(20_000));
    world.block();
    assert_eq!(world.claim_commission(operator(1)), Ok(coin(10_000)));
    assert_eq!(world.claim_rewards(operator(1), operator(1)), Ok(coin(998)), "999 and a fraction, rounded twice");
    world.audit();
}

#[test]
fn coin_above_the_counting_limit_becomes_dust() {
    let mut world = World::with(
        StakingParams { min_self_bond: U256::ONE, min_delegation: U256::ONE, ..params() },
        &[member(1, U256::ONE)],
        &[],
    );
    world.block();
    world.fees(U256::ONE << 200);
    world.block();
    assert_eq!(views::rewards(&mut world.slots).unwrap().dust, U256::ONE << 200);
    world.fees(U256::ONE << 127);
    world.block();
    assert_eq!(world.claim_rewards(operator(1), operator(1)), Ok(U256::ONE << 127));
    world.audit();
}

#[test]
fn a_joiner_earns_from_its_first_epoch_on() {
    let mut world = World::new(4);
    world
        .act(operator(11), |module, slots, env| {
            module.register(slots, env, consensus_key(11), peg_address(11), 500, stake(100))
        })
        .unwrap();
    world.fees(coin(1_000_000));
    world.reach(2);
    assert_eq!(world.claim_rewards(operator(11), operator(11)), Ok(coin(0)));
    world.fees(coin(1_000));
    world.block();
    assert_eq!(world.claim_commission(operator(11)), Ok(coin(9)), "199 and a fraction, a twentieth");
    let rewards = world.claim_rewards(operator(11), operator(11)).unwrap();
    assert!(rewards == coin(190) || rewards == coin(189), "{rewards}");
    world.audit();
}
