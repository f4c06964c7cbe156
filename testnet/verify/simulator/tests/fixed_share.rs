//! The share of the simulator that runs with every change: seeds of all profiles, every seed that has ever found something, every
//! write and sync of a machine made to fail once, and a sample run twice.

use std::{num::NonZero, ops::Range, thread};

use causeway_simulator::{
    campaign::Progress,
    case::Case,
    disk::WriteFault,
    ledger::Entry,
    profiles::{Profile, Scenario},
    regressions,
    report::report,
    run::Manner,
};

/// Number of seeds of each profile: a thousand in all, and for most profiles enough to require their coverage.
const SHARES: [(Profile, u64); 8] = [
    (Profile::Default, 300),
    (Profile::Network, 150),
    (Profile::Crash, 150),
    (Profile::Byzantine, 150),
    (Profile::Churn, 120),
    (Profile::Peg, 100),
    (Profile::Control, 30),
    (Profile::Upgrade, 80),
];
/// Number of seeds that run twice.
const SAMPLE: Range<u64> = 0..6;

fn run(twice: bool, campaign: impl FnOnce(&mut Manner<'_>) -> Entry) {
    let jobs = thread::available_parallelism().map_or(1, NonZero::get);
    let mut watch = |_: &str, _: &Progress<'_>| ();
    let entry = campaign(&mut Manner { jobs, twice, fail_fast: false, watch: &mut watch });
    assert!(entry.holds(), "{}", report(&entry));
}

#[test]
fn a_thousand_seeds_hold() {
    assert!(SHARES.iter().map(|(_, count)| count).sum::<u64>() >= 1_000);
    for (profile, count) in SHARES {
        run(false, |manner| manner.seeds(profile, 0..count));
    }
}

#[test]
fn what_was_found_once_is_not_found_again() {
    for (case, reason) in regressions::cases().unwrap() {
        let outcome = case.run(None);
        assert_eq!(outcome.fault, None, "{reason}: {}", case.replay());
    }
}

#[test]
fn every_write_and_sync_may_fail() {
    for scenario in Scenario::ALL {
        let turn = |point: u64| {
            let faults = WriteFault::ALL.len() as u64;
            vec![WriteFault::ALL[usize::try_from(point % faults).unwrap()]]
        };
        run(false, |manner| manner.crash_points(scenario, &turn));
    }
}

#[test]
fn two_runs_of_a_seed_are_one() {
    for profile in Profile::ALL {
        run(true, |manner| manner.seeds(profile, SAMPLE));
    }
    let case = Case::Seed(Profile::Default, 1);
    assert_ne!(case.run(None).hash, Case::Seed(Profile::Default, 2).run(None).hash);
}
