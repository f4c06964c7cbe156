//! The rules for genesis files, and the resulting state.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use causeway_staking::{
    GenesisFault, STAKE_TOKEN, STAKING, StakingModule, StakingParams, check_genesis, scale_power, views,
};

use crate::world::{START, World, account, member, operator, params, stake};

#[test]
fn genesis_bonds_the_validators_and_allocates_liquid_stake() {
    let members = [member(1, stake(3)), member(2, stake(9))];
    let mut world = World::with(params(), &members, &[(account(1), stake(5)), (operator(1), stake(1))]);
    let info = views::epoch(&mut world.slots).unwrap();
    assert_eq!((info.number, info.start_height, info.start_time, info.extended), (0, 1, START, 0));
    let active = views::active_set(&mut world.slots).unwrap();
    assert_eq!(active, views::next_set(&mut world.slots).unwrap());
    let powers: Vec<u64> = active.iter().map(|member| member.power).collect();
    assert_eq!(powers, scale_power(&[stake(3), stake(9)]).unwrap(), "in the order given");
    let totals = world.totals();
    assert_eq!((totals.issued, totals.bonded, totals.liquid()), (stake(18), stake(12), Some(stake(6))));
    assert_eq!(world.bonded(operator(2), operator(2)), stake(9));
    assert_eq!(world.liquid(operator(1)), stake(1));
    world.audit();
}

#[test]
fn broken_genesis_files_are_refused() {
    let check =
        |members: &[_], alloc: &[(Address, U256)]| check_genesis(&params(), members, &alloc.iter().copied().collect());
    let good = member(1, stake(1));
    assert_eq!(check(&[good], &[]), Ok(()));
    assert_eq!(check(&[], &[]), Err(GenesisFault::ValidatorCount { count: 0 }));
    let many: Vec<_> = (1..=101).map(|number| member(number, stake(1))).collect();
    assert_eq!(check(&many, &[]), Err(GenesisFault::ValidatorCount { count: 101 }));
    let poor = member(1, stake(1) - U256::ONE);
    assert_eq!(check(&[poor], &[]), Err(GenesisFault::SelfBond { operator: operator(1), stake: poor.stake }));
    let greedy = causeway_staking::GenesisMember { commission_bps: 10_001, ..good };
    assert_eq!(check(&[greedy], &[]), Err(GenesisFault::Commission { operator: operator(1), bps: 10_001 }));
    let other = member(2, stake(1));
    let same = [
        causeway_staking::GenesisMember { operator: operator(1), ..other },
        causeway_staking::GenesisMember { consensus_key: good.consensus_key, ..other },
        causeway_staking::GenesisMember { peg_address: good.peg_address, ..other },
        causeway_staking::GenesisMember { operator: Address::ZERO, ..other },
        causeway_staking::GenesisMember { consensus_key: B256::ZERO, ..other },
        causeway_staking::GenesisMember { peg_address: Address::ZERO, ..other },
    ];
    for twin in same {
        assert_eq!(check(&[good, twin], &[]), Err(GenesisFault::Identity { operator: twin.operator }));
    }
    for account in [Address::ZERO, STAKING, STAKE_TOKEN] {
        assert_eq!(check(&[good], &[(account, stake(1))]), Err(GenesisFault::AllocTo { account }));
    }
    let rest = (U256::ONE << 128) - stake(1);
    assert_eq!(check(&[good], &[(account(1), rest - U256::ONE)]), Ok(()));
    assert_eq!(check(&[good], &[(account(1), rest)]), Err(GenesisFault::Issued));
    assert_eq!(check(&[good], &[(account(1), U256::MAX)]), Err(GenesisFault::Issued));
}

#[test]
fn parameters_out_of_range_are_named() {
    let named = |params: StakingParams| match params.check() {
        Err(GenesisFault::Parameter { name, .. } | GenesisFault::Minimum { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(params().check(), Ok(()));
    assert_eq!(named(StakingParams { epoch_length: 0, ..params() }), "epochLength");
    assert_eq!(named(StakingParams { max_validators: 0, ..params() }), "maxValidators");
    assert_eq!(named(StakingParams { max_validators: 129, ..params() }), "maxValidators");
    assert_eq!(named(StakingParams { unbonding_seconds: 0, ..params() }), "unbondingSeconds");
    assert_eq!(named(StakingParams { downtime_window: 9, ..params() }), "downtimeWindow");
    assert_eq!(named(StakingParams { downtime_window: 1_000_001, ..params() }), "downtimeWindow");
    assert_eq!(named(StakingParams { downtime_slash_ppm: 1_000_001, ..params() }), "downtimeSlashPpm");
    assert_eq!(named(StakingParams { double_sign_slash_ppm: 1_000_001, ..params() }), "doubleSignSlashPpm");
    assert_eq!(named(StakingParams { reporter_ppm: 1_000_001, ..params() }), "reporterPpm");
    assert_eq!(named(StakingParams { issuance_ppm: 10_001, ..params() }), "issuancePpm");
    assert_eq!(named(StakingParams { max_commission_change_bps: 10_001, ..params() }), "maxCommissionChangeBps");
    assert_eq!(named(StakingParams { min_self_bond: U256::ZERO, ..params() }), "minSelfBond");
    assert_eq!(named(StakingParams { min_delegation: U256::ZERO, ..params() }), "minDelegation");
}

#[test]
#[should_panic(expected = "staking at genesis was checked")]
fn genesis_slots_of_a_broken_file_are_never_made() {
    StakingModule::genesis_slots(&params(), &[], &BTreeMap::new(), 0);
}
