//! Each fault against production clients: nothing false is reported while it lasts, and nothing is missed afterwards.
#![allow(clippy::unwrap_used)]

use alloy_primitives::Address;
use causeway_parent::ParentUpdate;

use super::{
    At, ChainFaults, EndpointFaults, ForgedDeposit, Lie, Outage, ParentFaults, ParentPlan,
    harness::{RECIPIENT, Rig, Side, ether, parent, user},
};

/// Ten deposits before, during and after the fault; the watcher asks an honest endpoint and the faulty one.
fn survives(seed: u64, strike: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::new(parent(ParentPlan::default(), seed));
    let watcher = rig.watch(&[0, 1]);
    let mut strike = Some(strike);
    for round in 0..30u64 {
        if round == 10
            && let Some(strike) = strike.take()
        {
            strike(&mut rig);
        }
        if round == 20 {
            rig.parent.heal();
        }
        // A base fee far above any sensible price or a full pool may refuse it.
        rig.parent.deposit(&user(u8::try_from(round % 3).unwrap()), RECIPIENT, ether(1 + round)).ok();
        rig.run(4_000);
        rig.assert_true_and_final(watcher);
    }
    rig.run(120_000);
    rig.assert_true_and_final(watcher);
    let seen = rig.reports(watcher).deposits();
    assert_eq!(seen, rig.final_deposits(), "nothing is missed");
    assert!(seen.len() >= 15, "{} deposits", seen.len());
    rig
}

fn troubled(rig: &Rig) -> bool {
    let trouble =
        |update: &ParentUpdate| matches!(update, ParentUpdate::Conflict(_) | ParentUpdate::Unreachable { .. });
    rig.reports(0).0.iter().any(|(_, _, update)| trouble(update))
}

#[test]
fn watcher_survives_every_lie_of_one_endpoint() {
    let lies = [
        Lie::ChainId(1),
        Lie::HiddenDeposits(1),
        Lie::HiddenDeposits(3),
        Lie::AlteredDeposits(Address::repeat_byte(0x7f)),
        Lie::DoubledLogs,
        Lie::StrayLog,
        Lie::FinalizedAhead(4),
        Lie::FinalizedBack(9),
        Lie::BlockHashes,
        Lie::DepositCount(1),
        Lie::Registry(1),
        Lie::NoContracts,
        Lie::NotJsonRpc,
        Lie::OtherTypes,
        Lie::Nothing,
        Lie::TooLong,
        Lie::Refusal(-32_000),
    ];
    for (lie, seed) in lies.into_iter().zip(100..) {
        let told = lie.clone();
        let rig = survives(seed, move |rig| rig.parent.endpoint_mut(1).lie = Some(told));
        // A connected client does not ask for the chain id again.
        assert_eq!(troubled(&rig), !matches!(lie, Lie::ChainId(_)), "{lie:?}");
        assert!(rig.parent.counters().lied_to > 0, "{lie:?}");
    }
}

#[test]
fn endpoint_of_another_chain_is_refused_when_it_is_reached_again() {
    let rig = survives(119, |rig| {
        rig.parent.cut_off(0, true);
        rig.run(5_000);
        rig.parent.cut_off(0, false);
        rig.parent.endpoint_mut(1).lie = Some(Lie::ChainId(1));
    });
    let refused = |update: &ParentUpdate| matches!(update, ParentUpdate::Recovered);
    let recoveries = rig.reports(0).0.iter().filter(|(_, _, update)| refused(update)).count();
    assert_eq!(recoveries, 1, "not before it tells the right id again");
}

#[test]
fn watcher_survives_split_endpoints() {
    for (seed, forged) in [(120, None), (121, Some(ForgedDeposit { recipient: RECIPIENT, amount: ether(9) }))] {
        let rig = survives(seed, |rig| {
            let branch = rig.parent.branch_off(3, forged).unwrap();
            rig.parent.endpoint_mut(1).lie = Some(Lie::Branch(branch));
        });
        let conflict = |update: &ParentUpdate| matches!(update, ParentUpdate::Conflict(_));
        assert!(rig.reports(0).0.iter().any(|(_, _, update)| conflict(update)), "the split was noticed");
    }
}

#[test]
fn watcher_survives_every_weakness_of_an_endpoint() {
    let faults = [
        EndpointFaults { lag: 20, ..EndpointFaults::default() },
        EndpointFaults { stalled_at: Some(15), ..EndpointFaults::default() },
        EndpointFaults { unindexed: 12, ..EndpointFaults::default() },
        EndpointFaults { slow_ms: 3_000, ..EndpointFaults::default() },
        EndpointFaults { slow_ms: 30_000, ..EndpointFaults::default() },
        EndpointFaults { max_log_range: 1, ..EndpointFaults::default() },
        EndpointFaults { cut_percent: 50, ..EndpointFaults::default() },
        EndpointFaults { outage: Some(Outage::Refused), ..EndpointFaults::default() },
        EndpointFaults { outage: Some(Outage::Silent), ..EndpointFaults::default() },
        EndpointFaults { outage: Some(Outage::Status(503)), ..EndpointFaults::default() },
    ];
    for (faults, seed) in faults.into_iter().zip(200..) {
        survives(seed, move |rig| *rig.parent.endpoint_mut(1) = faults);
    }
}

#[test]
fn watcher_survives_every_fault_of_the_chain() {
    let faults = [
        ChainFaults { reorg_percent: 50, reorg_depth: 6, drop_percent: 30, ..ChainFaults::default() },
        ChainFaults { fee_factor: 1_000, ..ChainFaults::default() },
        ChainFaults { stuck_percent: 100, ..ChainFaults::default() },
        ChainFaults { lost_percent: 50, ..ChainFaults::default() },
        ChainFaults { finality_stalled: true, reorg_percent: 20, reorg_depth: 20, ..ChainFaults::default() },
        ChainFaults { halted: true, ..ChainFaults::default() },
    ];
    for (faults, seed) in faults.into_iter().zip(300..) {
        survives(seed, move |rig| *rig.parent.faults_mut() = faults);
    }
}

#[test]
fn checkpoint_arrives_whatever_the_chain_does_to_its_transaction() {
    let faults = [
        ChainFaults { reorg_percent: 60, reorg_depth: 6, drop_percent: 100, ..ChainFaults::default() },
        ChainFaults { fee_factor: 1_000, ..ChainFaults::default() },
        ChainFaults { stuck_percent: 100, ..ChainFaults::default() },
        ChainFaults { lost_percent: 100, ..ChainFaults::default() },
        ChainFaults { halted: true, ..ChainFaults::default() },
    ];
    for (faults, seed) in faults.into_iter().zip(400..) {
        let mut rig = Rig::new(parent(ParentPlan::default(), seed));
        *rig.parent.faults_mut() = faults;
        let side = Side::with_withdrawal(&rig.parent, ether(1));
        rig.relay(side, user(0), 0);
        rig.run(90_000);
        rig.parent.heal();
        // The relayer waits a minute for a missing receipt, and raises the fees; the next check finds the checkpoint.
        rig.run(200_000);
        assert_eq!(rig.parent.registry_at(At::Finalized).number, 1, "{faults:?}");
        assert_eq!(rig.parent.ledger().checkpoints(u64::MAX).len(), 1);
    }
}

#[test]
fn drawn_faults_end_and_nothing_is_missed() {
    for seed in 500..520 {
        let faults = ParentFaults::all(4_000, 40_000, vec![1, 2]);
        let mut rig = Rig::new(parent(ParentPlan { faults, ..ParentPlan::default() }, seed));
        let watchers = [rig.watch(&[0, 1]), rig.watch(&[2, 0]), rig.watch(&[0])];
        let side = Side::with_withdrawal(&rig.parent, ether(1));
        rig.relay(side, user(3), 0);
        for round in 0..60u8 {
            rig.parent.deposit(&user(round % 3), RECIPIENT, ether(1)).ok();
            rig.run(5_000);
            for watcher in watchers {
                rig.assert_true_and_final(watcher);
            }
        }
        rig.parent.heal();
        rig.run(300_000);
        assert_eq!(rig.parent.ledger().checkpoints(rig.parent.finalized().height).len(), 1, "seed {seed}");
        for watcher in watchers {
            assert_eq!(rig.reports(watcher).deposits(), rig.final_deposits(), "seed {seed}, watcher {watcher}");
        }
        assert!(rig.parent.counters().faults.len() > 5);
    }
}
