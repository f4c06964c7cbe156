//! Bonding stake, and refused delegations.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;
use causeway_staking::{IStakeToken, IStaking, STAKE_TOKEN, STAKING, StakingFault, StakingParams, views};

use crate::world::{World, account, operator, params, stake};

#[test]
fn delegated_stake_is_bonded_and_logged() {
    let mut world = World::new(3);
    let (who, to) = (account(1), operator(1));
    world.delegate(who, to, stake(5)).unwrap();
    assert_eq!((world.liquid(who), world.bonded(who, to)), (stake(995), stake(5)));
    assert_eq!(world.tokens(to), stake(105));
    assert_eq!(world.liquid(STAKING), stake(305), "stake that is not liquid belongs to the module");
    let [token, staking] = &world.logs[..] else { panic!("{:?}", world.logs) };
    assert_eq!((token.address, staking.address), (STAKE_TOKEN, STAKING));
    let token = IStakeToken::Transfer::decode_log(token).unwrap().data;
    assert_eq!((token.from, token.to, token.value), (who, STAKING, stake(5)));
    let staking = IStaking::Delegated::decode_log(staking).unwrap().data;
    assert_eq!((staking.delegator, staking.validator, staking.amount), (who, to, stake(5)));
    assert_eq!(views::delegations(&mut world.slots, who).unwrap().len(), 1);
    world.audit();
}

#[test]
fn delegations_that_break_a_rule_are_refused() {
    let mut world = World::new(3);
    let (who, to) = (account(1), operator(1));
    let minimum = params().min_delegation;
    let amount = minimum - U256::ONE;
    assert_eq!(world.delegate(who, to, amount), Err(StakingFault::BelowMinimum { amount, minimum }));
    assert_eq!(world.delegate(who, to, U256::ZERO), Err(StakingFault::BelowMinimum { amount: U256::ZERO, minimum }));
    let stranger = account(77);
    assert_eq!(world.delegate(who, stranger, stake(1)), Err(StakingFault::UnknownValidator { operator: stranger }));
    assert_eq!(
        world.delegate(who, Address::ZERO, stake(1)),
        Err(StakingFault::UnknownValidator { operator: Address::ZERO })
    );
    let (available, needed) = (stake(1_000), stake(1_001));
    assert_eq!(world.delegate(who, to, needed), Err(StakingFault::InsufficientStake { available, needed }));
    assert_eq!(
        world.delegate(who, to, U256::MAX),
        Err(StakingFault::InsufficientStake { available, needed: U256::MAX })
    );
    world.punish(1, 1, 0).unwrap();
    assert_eq!(world.delegate(who, to, stake(1)), Err(StakingFault::Tombstoned { operator: to }));
    world.exit(operator(2)).unwrap();
    assert_eq!(world.delegate(who, operator(2), stake(1)), Err(StakingFault::Exiting { operator: operator(2) }));
    world.audit();
}

#[test]
fn nothing_can_be_delegated_where_everything_was_slashed() {
    let params = StakingParams { downtime_slash_ppm: 1_000_000, ..params() };
    let mut world = World::under(params, 4);
    let who = account(1);
    world.delegate(who, operator(1), stake(10)).unwrap();
    world.down.insert(operator(1));
    world.blocks(25);
    let slashed = world.validator(operator(1));
    assert!(slashed.jailed && slashed.tokens.is_zero() && !slashed.shares.is_zero());
    assert_eq!(world.delegate(who, operator(1), stake(1)), Err(StakingFault::FullySlashed { operator: operator(1) }));
    // Worthless shares can be unbonded, and yield nothing.
    assert_eq!(
        world.undelegate(who, operator(1), U256::ONE),
        Err(StakingFault::InsufficientStake { available: U256::ZERO, needed: U256::ONE })
    );
    world.undelegate(who, operator(1), U256::MAX).unwrap();
    assert!(world.unbondings(who).is_empty());
    world.audit();
    world.exit(operator(1)).unwrap();
    assert_eq!(world.validator(operator(1)).shares, U256::ZERO);
    world.blocks(40);
    world.audit();
}

#[test]
fn shares_lose_value_with_a_slash_and_buy_at_the_new_price() {
    let params = StakingParams { double_sign_slash_ppm: 500_000, downtime_slash_ppm: 250_000, ..params() };
    let mut world = World::under(params, 4);
    world.delegate(account(1), operator(1), stake(100)).unwrap();
    world.down.insert(operator(1));
    world.blocks(25);
    assert_eq!(world.bonded(account(1), operator(1)), stake(75));
    assert_eq!(world.totals().slashed, stake(50));
    world.delegate(account(2), operator(1), stake(75)).unwrap();
    assert_eq!(world.bonded(account(2), operator(1)), stake(75));
    let shares = |world: &mut World, who| views::delegation(&mut world.slots, who, operator(1)).unwrap().shares;
    assert_eq!(shares(&mut world, account(1)), shares(&mut world, account(2)));
    world.audit();
}

#[test]
fn issuance_must_be_below_the_price_that_rounds_to_no_share() {
    let params = StakingParams { min_delegation: U256::ONE, issuance_ppm: 10_000, ..params() };
    let mut world = World::under(params, 2);
    world.blocks(10);
    // A share is worth more than one unit now, so one unit buys no share.
    let refused = world.delegate(account(1), operator(1), U256::ONE);
    assert!(matches!(refused, Err(StakingFault::BelowMinimum { .. })), "{refused:?}");
    assert!(world.delegate(account(1), operator(1), U256::from(3)).is_ok());
    world.audit();
}
