//! Registration, commission, exit.

use alloy_primitives::{Address, B256, U256};
use causeway_staking::{StakingFault, views};

use crate::world::{World, account, consensus_key, operator, peg_address, stake};

fn register(world: &mut World, who: Address, key: B256, peg: Address, bps: u16) -> Result<(), StakingFault> {
    world.act(who, |module, slots, env| module.register(slots, env, key, peg, bps, stake(1)))
}

#[test]
fn registered_validators_are_found() {
    let mut world = World::new(2);
    world.register(11, stake(7)).unwrap();
    let view = world.validator(operator(11));
    assert_eq!((view.consensus_key, view.peg_address), (consensus_key(11), peg_address(11)));
    assert_eq!((view.tokens, view.self_bond, view.power), (stake(7), stake(7), 0));
    assert_eq!(views::validators(&mut world.slots).unwrap(), [operator(1), operator(2), operator(11)]);
    assert_eq!(views::operator_of_key(&mut world.slots, consensus_key(11)).unwrap(), Some(operator(11)));
    world.audit();
}

#[test]
fn registrations_that_break_a_rule_are_refused() {
    let mut world = World::new(2);
    let minimum = stake(1);
    let amount = minimum - U256::ONE;
    assert_eq!(world.register(11, amount), Err(StakingFault::BelowMinimum { amount, minimum }));
    let (available, needed) = (stake(1_000), stake(1_001));
    assert_eq!(world.register(11, needed), Err(StakingFault::InsufficientStake { available, needed }));
    let (who, key, peg) = (operator(11), consensus_key(11), peg_address(11));
    let taken = |key| Err(StakingFault::ConsensusKeyTaken { consensus_key: key });
    assert_eq!(register(&mut world, who, consensus_key(1), peg, 0), taken(consensus_key(1)));
    assert_eq!(register(&mut world, who, B256::ZERO, peg, 0), taken(B256::ZERO));
    let taken = |peg| Err(StakingFault::PegAddressTaken { peg_address: peg });
    assert_eq!(register(&mut world, who, key, peg_address(1), 0), taken(peg_address(1)));
    assert_eq!(register(&mut world, who, key, Address::ZERO, 0), taken(Address::ZERO));
    let refused = Err(StakingFault::CommissionRefused { bps: 10_001 });
    assert_eq!(register(&mut world, who, key, peg, 10_001), refused);
    assert_eq!(register(&mut world, who, key, peg, 10_000), Ok(()));
    assert_eq!(
        register(&mut world, who, consensus_key(12), peg_address(12), 0),
        Err(StakingFault::AlreadyRegistered { operator: who })
    );
    // Keys stay taken after their owner has left.
    world.exit(who).unwrap();
    world.reach(4);
    assert_eq!(
        register(&mut world, operator(12), key, peg_address(12), 0),
        Err(StakingFault::ConsensusKeyTaken { consensus_key: key })
    );
    assert_eq!(world.register(11, stake(1)), Err(StakingFault::AlreadyRegistered { operator: who }));
    world.audit();
}

#[test]
fn the_number_of_validators_is_limited() {
    let mut world = World::new(1);
    for number in 0..1_023u64 {
        let who = account(10_000 + number);
        world.act(account(1), |module, slots, env| module.transfer(slots, env, who, U256::from(1))).unwrap();
        world.accounts.insert(who);
    }
    // Written directly to the slots: only the length of the list matters.
    let list = causeway_staking::layout::CANDIDATES;
    world.slots.insert(list, U256::from(1_023));
    assert!(world.register(11, stake(1)).is_ok());
    assert_eq!(world.register(12, stake(1)), Err(StakingFault::TooManyValidators));
}

#[test]
fn a_commission_changes_once_a_day_by_a_limited_step() {
    let mut world = World::new(2);
    let who = operator(1);
    let refused = |bps| Err(StakingFault::CommissionRefused { bps });
    assert_eq!(world.set_commission(who, 100), refused(100), "within a day of the registration");
    world.time += 86_399;
    assert_eq!(world.set_commission(who, 101), refused(101));
    assert_eq!(world.set_commission(who, 100), Ok(()));
    assert_eq!(world.validator(who).commission_bps, 100);
    assert_eq!(world.set_commission(who, 0), refused(0));
    world.time += 86_400;
    assert_eq!(world.set_commission(who, 10_001), refused(10_001));
    assert_eq!(world.set_commission(who, u16::MAX), refused(u16::MAX));
    assert_eq!(world.set_commission(who, 0), Ok(()));
    assert_eq!(world.set_commission(account(1), 0), Err(StakingFault::UnknownValidator { operator: account(1) }));
    world.audit();
}

#[test]
fn an_exit_undelegates_the_self_bond() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(2), stake(20)).unwrap();
    assert_eq!(world.exit(operator(2)), Ok(2));
    assert_eq!(world.exit(operator(2)), Err(StakingFault::Exiting { operator: operator(2) }));
    assert_eq!(world.exit(account(1)), Err(StakingFault::UnknownValidator { operator: account(1) }));
    assert_eq!(world.unbondings(operator(2))[0].tokens, stake(100));
    assert_eq!(world.undelegate(account(1), operator(2), stake(20)), Ok((2, 2)), "its room is already reserved");
    world.reach(2);
    assert!(!world.sets()[0].contains(&operator(2)));
    world.reach(13);
    assert_eq!(world.claim_unbonded(operator(2), operator(2), 2), Ok(stake(100)));
    assert_eq!(world.claim_unbonded(account(1), operator(2), 2), Ok(stake(20)));
    assert_eq!(world.liquid(operator(2)), stake(1_100));
    world.audit();
}

#[test]
fn a_large_validator_shrinks_before_it_is_out() {
    let mut world = World::new(4);
    world.exit(operator(1)).unwrap();
    assert_eq!(world.exit(operator(2)), Ok(3), "a third leaves with epoch 2");
    world.reach(2);
    let set = views::active_set(&mut world.slots).unwrap();
    let second = set.iter().find(|member| member.operator == operator(2)).unwrap();
    assert_eq!(second.stake, stake(100) - (stake(400) / U256::from(3) - stake(100)));
    assert!(!set.iter().any(|member| member.operator == operator(1)));
    world.reach(3);
    assert!(!world.sets()[0].contains(&operator(2)));
    world.audit();
}
