//! Downtime windows, jail, and the return from jail.

use alloy_primitives::U256;
use causeway_staking::{BlockContext, StakingFault, StakingParams, views};

use crate::world::{World, account, consensus_key, operator, params, stake};

#[test]
fn a_member_that_is_down_for_a_window_is_jailed_and_slashed() {
    let params = StakingParams { jail_seconds: 30, ..params() };
    let mut world = World::under(params, 4);
    world.down.insert(operator(3));
    world.blocks(19);
    assert!(!world.validator(operator(3)).jailed, "block 20 is not counted yet");
    world.block();
    let jailed = world.validator(operator(3));
    assert!(jailed.jailed);
    assert_eq!(jailed.jailed_until, world.time + 30);
    assert_eq!(jailed.tokens, stake(100) - stake(1) / U256::from(100), "100 parts per million");
    assert!((1..=4).filter(|number| *number != 3).all(|number| !world.validator(operator(number)).jailed));
    assert!(world.sets().concat().contains(&operator(3)), "it stays until the next set is computed");
    world.reach(4);
    assert!(!world.sets().concat().contains(&operator(3)));
    world.audit();
    assert_eq!(world.unjail(operator(1)), Err(StakingFault::NotJailed));
    assert_eq!(world.unjail(account(1)), Err(StakingFault::UnknownValidator { operator: account(1) }));
    let until = jailed.jailed_until;
    assert_eq!(world.unjail(operator(3)), Err(StakingFault::StillJailed { until }));
    world.time = until;
    world.unjail(operator(3)).unwrap();
    assert_eq!(world.unjail(operator(3)), Err(StakingFault::NotJailed));
    world.down.clear();
    world.reach(7);
    assert!(world.sets()[0].contains(&operator(3)));
    world.audit();
}

#[test]
fn one_proposal_or_a_tenth_of_the_signatures_avoids_jail() {
    for (signed, proposes, jailed) in [(1, false, true), (2, false, false), (0, true, false), (0, false, true)] {
        let mut world = World::new(4);
        let mut signatures = 0;
        for height in 2..=21u64 {
            let mut signers: Vec<_> = (1..=3).map(consensus_key).collect();
            if signatures < signed {
                signers.push(consensus_key(4));
                signatures += 1;
            }
            let proposer = if proposes && height == 5 { operator(4) } else { operator(1) };
            let ctx = BlockContext {
                height,
                timestamp: world.time + height,
                previous_proposer: Some(proposer),
                previous_signers: &signers,
                reward_pool: U256::ZERO,
                handover_ready: true,
                next_open: true,
                acked_epoch: 0,
            };
            world.module.begin_block(&mut world.slots, &ctx).unwrap();
        }
        assert_eq!(world.validator(operator(4)).jailed, jailed, "{signed} signatures, proposes: {proposes}");
    }
}

#[test]
fn a_member_that_joined_within_a_window_is_not_jailed_for_it() {
    let mut world = World::new(3);
    world.register(11, stake(50)).unwrap();
    world.down.insert(operator(11));
    world.reach(2);
    let uptime = views::uptime(&mut world.slots, operator(11)).unwrap().unwrap();
    assert!(!uptime.throughout && uptime.signed == 0);
    assert!(views::uptime(&mut world.slots, operator(1)).unwrap().unwrap().throughout);
    assert_eq!(views::uptime(&mut world.slots, operator(12)).unwrap(), None);
    world.blocks(1);
    assert_eq!(world.height, 21);
    assert!(!world.validator(operator(11)).jailed);
    world.blocks(20);
    assert!(world.validator(operator(11)).jailed, "after a whole window");
    world.audit();
}

#[test]
fn records_follow_their_members_through_rotations() {
    let mut world = World::new(3);
    // A larger joiner takes the first position; the others move.
    world.register(11, stake(100) - U256::ONE).unwrap();
    world.delegate(account(1), operator(3), stake(50)).unwrap();
    world.blocks(19);
    let [active, _] = world.sets();
    assert_eq!(world.epoch(), 2);
    assert_eq!(active[0], operator(3), "{active:?}");
    for number in 1..=3 {
        let uptime = views::uptime(&mut world.slots, operator(number)).unwrap().unwrap();
        assert_eq!((uptime.certificates, uptime.signed), (19, 19));
    }
    world.audit();
}

#[test]
fn a_jailed_member_is_not_jailed_again_and_shorter_sets_leave_no_records() {
    let mut world = World::new(12);
    for number in 7..=12 {
        world.down.insert(operator(number));
    }
    world.blocks(20);
    assert_eq!(world.totals().slashed, stake(6) / U256::from(100));
    world.blocks(100);
    assert_eq!(world.totals().slashed, stake(6) / U256::from(100));
    assert_eq!(world.sets()[0].len(), 6);
    world.audit();
}

#[test]
fn when_all_members_are_down_the_old_set_stays() {
    let mut world = World::new(3);
    world.down.extend((1..=3).map(operator));
    // Certificates exist, signed by keys of no validator.
    for _ in 0..60 {
        world.height += 1;
        world.time += 1;
        let ctx = BlockContext {
            height: world.height,
            timestamp: world.time,
            previous_proposer: None,
            previous_signers: &[consensus_key(200)],
            reward_pool: U256::ZERO,
            handover_ready: true,
            next_open: true,
            acked_epoch: 0,
        };
        world.module.begin_block(&mut world.slots, &ctx).unwrap();
    }
    assert!((1..=3).all(|number| world.validator(operator(number)).jailed));
    assert_eq!(world.sets().map(|set| set.len()), [3, 3]);
    world.audit();
}

#[test]
fn a_slash_below_the_minimum_needs_a_top_up_before_the_return() {
    let params = StakingParams { downtime_slash_ppm: 990_001, jail_seconds: 0, ..params() };
    let mut world = World::under(params, 4);
    world.down.insert(operator(2));
    world.blocks(20);
    let refused = world.unjail(operator(2));
    assert!(matches!(refused, Err(StakingFault::SelfBondTooLow { .. })), "{refused:?}");
    world.delegate(operator(2), operator(2), stake(1)).unwrap();
    world.unjail(operator(2)).unwrap();
    world.audit();
}

#[test]
fn a_jailed_validator_may_exit_and_not_return() {
    let mut world = World::new(4);
    world.down.insert(operator(2));
    world.blocks(20);
    world.exit(operator(2)).unwrap();
    assert_eq!(world.unjail(operator(2)), Err(StakingFault::Exiting { operator: operator(2) }));
    world.reach(6);
    assert!(!world.sets().concat().contains(&operator(2)));
    assert!(views::validators(&mut world.slots).unwrap().ends_with(&[operator(2)]));
    world.audit();
}
