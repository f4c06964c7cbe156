//! Double signatures: slashed stake, tombstoned validators, and valid evidence.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use causeway_staking::{IStaking, StakingFault, StakingParams, views};

use crate::world::{World, account, consensus_key, operator, params, stake};

#[test]
fn a_double_signer_is_slashed_tombstoned_and_out_of_the_open_next_set() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(2), stake(100)).unwrap();
    world.undelegate(account(1), operator(2), stake(40)).unwrap();
    assert_eq!(world.punish(2, 1, 0), Ok(stake(10)), "a twentieth of 160 bonded and 40 leaving");
    assert_eq!(world.liquid(account(8)), stake(1_000) + stake(1) / U256::from(2), "a twentieth for the reporter");
    assert_eq!(world.totals().slashed, stake(19) / U256::from(2));
    assert_eq!(world.bonded(account(1), operator(2)), stake(57));
    assert_eq!(world.unbondings(account(1))[0].tokens, stake(38));
    let logs = world.logs.clone();
    let slashed = IStaking::Slashed::decode_log(&logs[1]).unwrap().data;
    assert_eq!((slashed.operator, slashed.epoch, slashed.amount), (operator(2), 0, stake(10)));
    let tombstoned = IStaking::Tombstoned::decode_log(&logs[2]).unwrap().data;
    assert_eq!((tombstoned.operator, tombstoned.consensusKey, tombstoned.height), (operator(2), consensus_key(2), 1));
    assert!(world.sets()[1].contains(&operator(2)), "it stays until the next hook");
    let outcome = world.block();
    let (epoch, members) = outcome.next.unwrap();
    assert_eq!((epoch, members.len(), outcome.rotated_to), (1, 3, None));
    assert!(world.sets()[0].contains(&operator(2)), "the current epoch's set stays");
    assert!(!world.sets()[1].contains(&operator(2)));
    world.audit();
    assert!(world.block().next.is_none(), "once");
    world.reach(3);
    assert!(!world.sets().concat().contains(&operator(2)));
    assert!(world.validator(operator(2)).tombstoned);
    assert!(views::validators(&mut world.slots).unwrap().contains(&operator(2)), "among the former ones");
    world.audit();
}

#[test]
fn a_next_set_that_may_have_been_signed_stays() {
    let params = StakingParams { pegged: true, ..params() };
    let mut world = World::under(params, 4);
    world.open = false;
    world.handover = true;
    world.punish(2, 1, 0).unwrap();
    assert_eq!(world.block().next, None);
    world.reach(1);
    let [active, next] = world.sets();
    assert!(active.contains(&operator(2)) && !next.contains(&operator(2)));
    world.audit();
    world.reach(2);
    assert!(!world.sets().concat().contains(&operator(2)));
}

#[test]
fn only_one_double_signature_of_a_validator_counts() {
    let mut world = World::new(4);
    world.punish(2, 1, 0).unwrap();
    let again = Err(StakingFault::AlreadyTombstoned { operator: operator(2) });
    assert_eq!(world.punish(2, 1, 0), again);
    world.blocks(3);
    assert_eq!(world.punish(2, 3, 0), again);
    world.audit();
}

#[test]
fn evidence_must_name_a_known_key_and_its_epoch() {
    let mut world = World::new(4);
    let key = consensus_key(99);
    assert_eq!(world.punish(99, 1, 0), Err(StakingFault::UnknownConsensusKey { consensus_key: key }));
    let wrong = |height, epoch| Err(StakingFault::WrongEvidenceEpoch { height, epoch });
    assert_eq!(world.punish(1, 0, 0), wrong(0, 0), "height 0 is not decided by consensus");
    assert_eq!(world.punish(1, 2, 0), wrong(2, 0), "the height is in the future");
    assert_eq!(world.punish(1, 1, 1), wrong(1, 1), "the epoch has not begun");
    assert_eq!(world.punish(1, 1, u64::MAX), wrong(1, u64::MAX));
    world.reach(2);
    world.block();
    assert_eq!(world.height, 21);
    assert_eq!(world.punish(1, 21, 1), wrong(21, 1));
    assert_eq!(world.punish(1, 10, 1), wrong(10, 1));
    assert_eq!(world.punish(1, 20, 2), wrong(20, 2));
    assert_eq!(world.punish(1, 21, u64::MAX), wrong(21, u64::MAX));
    assert!(world.clone().punish(1, 10, 0).is_ok());
    assert!(world.clone().punish(1, 11, 1).is_ok());
    assert!(world.clone().punish(1, 20, 1).is_ok());
    assert!(world.clone().punish(1, 21, 2).is_ok());
}

#[test]
fn evidence_expires_with_the_unbonding_time_after_its_epoch() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(10)).unwrap();
    world.reach(1);
    let end = world.time + 100;
    while world.time + 1 < end {
        world.block();
    }
    assert!(world.clone().punish(1, 10, 0).is_ok());
    world.block();
    assert_eq!(world.punish(1, 10, 0), Err(StakingFault::EvidenceExpired { epoch: 0 }));
    world.audit();
}

#[test]
fn evidence_of_the_current_epoch_never_expires() {
    let params = StakingParams { pegged: true, ..params() };
    let mut world = World::under(params, 4);
    world.blocks(500);
    assert_eq!(world.epoch(), 0);
    assert!(world.punish(1, 1, 0).is_ok());
}

#[test]
fn leaving_does_not_escape_evidence() {
    for leave_first in [true, false] {
        let mut world = World::new(4);
        world.delegate(account(1), operator(1), stake(50)).unwrap();
        world.reach(1);
        if leave_first {
            world.undelegate(account(1), operator(1), U256::MAX).unwrap();
        }
        world.punish(1, 3, 0).unwrap();
        if !leave_first {
            world.undelegate(account(1), operator(1), U256::MAX).unwrap();
        }
        let tokens = world.unbondings(account(1))[0].tokens;
        assert_eq!(tokens, stake(95) / U256::from(2));
        world.audit();
    }
}

#[test]
fn stake_that_had_left_before_the_fault_is_spared() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(50)).unwrap();
    world.undelegate(account(1), operator(1), stake(20)).unwrap();
    world.reach(2);
    world.block();
    let height = world.height;
    assert_eq!(world.punish(1, height, 2), Ok(stake(130) / U256::from(20)));
    assert_eq!(world.unbondings(account(1))[0].tokens, stake(20));
    world.audit();
}

#[test]
fn a_full_slash_leaves_no_stake_and_consistent_accounts() {
    let params = StakingParams { double_sign_slash_ppm: 1_000_000, reporter_ppm: 1_000_000, ..params() };
    let mut world = World::under(params, 4);
    world.delegate(account(1), operator(1), stake(50)).unwrap();
    world.undelegate(account(1), operator(1), stake(20)).unwrap();
    assert_eq!(world.punish(1, 1, 0), Ok(stake(150)));
    assert_eq!(world.liquid(account(8)), stake(1_150));
    world.fees(U256::from(1_000_000));
    world.reach(14);
    assert_eq!(world.claim_unbonded(account(1), operator(1), 2), Ok(U256::ZERO));
    world.undelegate(account(1), operator(1), U256::MAX).unwrap();
    world.undelegate(operator(1), operator(1), U256::MAX).unwrap();
    world.claim_rewards(account(1), operator(1)).unwrap();
    world.audit();
}

#[test]
fn a_tombstoned_validator_cannot_act_but_its_stake_can_leave() {
    let mut world = World::new(4);
    world.delegate(account(1), operator(1), stake(50)).unwrap();
    world.punish(1, 1, 0).unwrap();
    let tombstoned = StakingFault::Tombstoned { operator: operator(1) };
    assert_eq!(world.unjail(operator(1)), Err(tombstoned));
    assert_eq!(world.exit(operator(1)), Err(tombstoned));
    assert_eq!(world.undelegate(account(1), operator(1), U256::MAX), Ok((2, 2)));
    assert_eq!(world.undelegate(operator(1), operator(1), U256::MAX), Ok((2, 2)), "even below the minimum");
    world.register(11, stake(5)).unwrap();
    assert_eq!(world.register(1, stake(5)), Err(StakingFault::AlreadyRegistered { operator: operator(1) }));
    world.audit();
}

#[test]
fn a_validator_that_exits_is_still_punished() {
    let mut world = World::new(4);
    let exit_epoch = world.exit(operator(1)).unwrap();
    assert_eq!(exit_epoch, 2);
    assert_eq!(world.punish(1, 1, 0), Ok(stake(5)), "all of its stake is leaving");
    assert_eq!(world.unbondings(operator(1))[0].tokens, stake(95));
    world.reach(4);
    world.audit();
    assert!(!world.sets().concat().contains(&operator(1)));
}

#[test]
fn a_set_of_tombstoned_members_only_stays_active() {
    let mut world = World::new(1);
    world.punish(1, 1, 0).unwrap();
    assert_eq!(world.block().next, None);
    world.reach(3);
    assert_eq!(world.sets(), [vec![operator(1)], vec![operator(1)]]);
    world.register(11, stake(50)).unwrap();
    world.reach(5);
    assert_eq!(world.sets()[0], vec![operator(11)]);
    world.audit();
}

#[test]
fn a_report_without_a_reporter_rewards_nobody() {
    let mut world = World::new(4);
    world
        .act(account(8), |module, slots, env| {
            module.punish_double_sign(slots, env, consensus_key(1), 1, 0, Address::ZERO)
        })
        .unwrap();
    assert_eq!(world.totals().slashed, stake(5));
    world.audit();
}

#[test]
fn keys_are_found_by_their_ids() {
    let mut world = World::new(2);
    let id = causeway_staking::layout::id_of_key(consensus_key(2));
    assert_eq!(views::key_of_id(&mut world.slots, id).unwrap(), Some(consensus_key(2)));
    assert_eq!(views::key_of_id(&mut world.slots, account(1)).unwrap(), None);
    assert_eq!(views::operator_of_key(&mut world.slots, consensus_key(2)).unwrap(), Some(operator(2)));
    assert_eq!(views::operator_of_key(&mut world.slots, B256::ZERO).unwrap(), None);
}
