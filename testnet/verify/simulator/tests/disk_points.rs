//! A machine fails at each of its writes and syncs in every way: nothing is lost, nothing is signed twice, and it recovers.

use std::collections::BTreeSet;

use causeway_simulator::{
    Plan, World,
    disk::{CrashPoint, WriteFault},
};

const MACHINE: usize = 1;
/// When the world heals: after some heights.
const FAULTS_UNTIL_MS: u64 = 700;

fn plan() -> Plan {
    let mut plan = Plan::quiet(3, 4);
    plan.crashes.down_ms = (50, 500);
    plan.faults_until_ms = FAULTS_UNTIL_MS;
    plan.heights_after_heal = 3;
    plan
}

#[test]
fn a_machine_comes_back_from_a_fault_at_any_point() {
    let mut quiet = World::new(&plan());
    quiet.run_until(FAULTS_UNTIL_MS).unwrap();
    let points = quiet.disk_points(MACHINE);
    let labels: BTreeSet<String> = points.iter().map(ToString::to_string).collect();
    for label in
        ["tables write", "consensus.wal append", "consensus.wal sync", "sign_state rename", "directory dirsync"]
    {
        assert!(labels.contains(label), "{label} is not among {labels:?}");
    }
    // Every point once, with the kinds of faults in turn, so that the test takes seconds; campaigns combine all points with all kinds.
    for point in 1..=points.len() as u64 {
        let fault = *WriteFault::ALL.iter().cycle().nth(usize::try_from(point).unwrap()).unwrap();
        let disk_point = Some(CrashPoint { machine: MACHINE, point, fault });
        let mut world = World::new(&Plan { disk_point, ..plan() });
        world.run().unwrap_or_else(|violation| panic!("{disk_point:?}: {violation}"));
        assert!(world.coverage.count(fault.name()) > 0, "{disk_point:?} did not strike");
    }
}
