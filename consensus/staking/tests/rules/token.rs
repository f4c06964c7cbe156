//! The ERC-20 functions of the stake token.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;
use causeway_staking::{IStakeToken, STAKE_TOKEN, STAKING, StakingFault, views};

use crate::world::{Answer, World, account, stake};

fn transfer(world: &mut World, from: Address, to: Address, amount: U256) -> Answer<()> {
    world.act(from, |module, slots, env| module.transfer(slots, env, to, amount))
}

fn spend(world: &mut World, by: Address, from: Address, to: Address, amount: U256) -> Answer<()> {
    world.act(by, |module, slots, env| module.transfer_from(slots, env, from, to, amount))
}

fn approve(world: &mut World, owner: Address, spender: Address, amount: U256) -> Answer<()> {
    world.act(owner, |module, slots, env| module.approve(slots, env, spender, amount))
}

#[test]
fn liquid_stake_moves_and_logs() {
    let mut world = World::new(2);
    transfer(&mut world, account(1), account(2), stake(3)).unwrap();
    assert_eq!((world.liquid(account(1)), world.liquid(account(2))), (stake(997), stake(1_003)));
    assert_eq!(world.logs[0].address, STAKE_TOKEN);
    let event = IStakeToken::Transfer::decode_log(&world.logs[0]).unwrap().data;
    assert_eq!((event.from, event.to, event.value), (account(1), account(2), stake(3)));
    transfer(&mut world, account(1), account(1), stake(997)).unwrap();
    assert_eq!(world.liquid(account(1)), stake(997), "a transfer to oneself changes nothing");
    transfer(&mut world, account(1), account(2), U256::ZERO).unwrap();
    assert_eq!(views::total_supply(&mut world.slots).unwrap(), world.totals().issued);
    world.audit();
}

#[test]
fn transfers_that_break_a_rule_are_refused() {
    let mut world = World::new(2);
    let (owner, balance, needed) = (account(1), stake(1_000), stake(1_000) + U256::ONE);
    let short = Err(StakingFault::TokenBalance { owner, balance, needed });
    assert_eq!(transfer(&mut world, owner, account(2), needed), short);
    assert_eq!(transfer(&mut world, owner, owner, needed), short);
    for receiver in [Address::ZERO, STAKING, STAKE_TOKEN] {
        assert_eq!(transfer(&mut world, owner, receiver, U256::ZERO), Err(StakingFault::TokenReceiver { receiver }));
    }
}

#[test]
fn allowances_are_used_up_except_the_largest() {
    let mut world = World::new(2);
    let (owner, spender, to) = (account(1), account(2), account(3));
    approve(&mut world, owner, spender, stake(5)).unwrap();
    let event = IStakeToken::Approval::decode_log(&world.logs[0]).unwrap().data;
    assert_eq!((event.owner, event.spender, event.value), (owner, spender, stake(5)));
    spend(&mut world, spender, owner, to, stake(2)).unwrap();
    let allowance = stake(3);
    assert_eq!(views::allowance(&mut world.slots, owner, spender).unwrap(), allowance);
    assert_eq!(
        spend(&mut world, spender, owner, to, stake(4)),
        Err(StakingFault::TokenAllowance { spender, allowance, needed: stake(4) })
    );
    assert_eq!(
        spend(&mut world, owner, owner, to, stake(1)),
        Err(StakingFault::TokenAllowance { spender: owner, allowance: U256::ZERO, needed: stake(1) }),
        "an owner has no allowance of its own"
    );
    approve(&mut world, owner, spender, U256::MAX).unwrap();
    spend(&mut world, spender, owner, to, stake(4)).unwrap();
    assert_eq!(views::allowance(&mut world.slots, owner, spender).unwrap(), U256::MAX);
    let (balance, needed) = (stake(994), stake(2_000));
    assert_eq!(
        spend(&mut world, spender, owner, to, needed),
        Err(StakingFault::TokenBalance { owner, balance, needed })
    );
    assert_eq!(
        approve(&mut world, owner, Address::ZERO, U256::ONE),
        Err(StakingFault::TokenSpender { spender: Address::ZERO })
    );
    world.audit();
}
