//! Timed faults: the chain goes on after them, no node forks, and equal plans give equal runs.

use causeway_simulator::{
    Plan, World,
    plan::{ClockFaults, CrashFaults, NetworkFaults, Partition, PartitionKind},
};

fn plan(validators: usize, seed: u64) -> Plan {
    Plan { faults_until_ms: 8_000, heights_after_heal: 5, ..Plan::quiet(seed, validators) }
}

fn run(plan: &Plan) -> World {
    let mut world = World::new(plan);
    world.run().unwrap_or_else(|violation| panic!("{plan:?}: {violation}"));
    world
}

fn cut(kind: PartitionKind, side: &[usize]) -> NetworkFaults {
    let partition = Partition { from_ms: 1_000, until_ms: 7_500, side: side.to_vec(), neutral: Vec::new(), kind };
    NetworkFaults { delay_ms: (1, 20), partitions: vec![partition], ..NetworkFaults::default() }
}

/// The greatest head of some machines when the partition is about to end.
fn head_in_partition(kind: PartitionKind, side: &[usize], asked: &[usize]) -> u64 {
    let mut world = World::new(&Plan { network: cut(kind, side), ..plan(5, 1) });
    world.run_until(7_400).unwrap();
    asked.iter().filter_map(|index| world.machines[*index].head()).max().unwrap()
}

#[test]
fn the_side_with_a_quorum_goes_on_and_the_other_catches_up() {
    assert!(head_in_partition(PartitionKind::Symmetric, &[4], &[0, 1, 2, 3]) > 20);
    assert!(head_in_partition(PartitionKind::Symmetric, &[4], &[4]) < 12);
    assert!(head_in_partition(PartitionKind::Symmetric, &[3, 4], &[0, 1, 2, 3, 4]) < 12, "3 of 5 are no quorum");
    assert!(head_in_partition(PartitionKind::Mute, &[4], &[4]) > 20, "it hears what the others decide");
    for kind in
        [PartitionKind::Symmetric, PartitionKind::Mute, PartitionKind::Deaf, PartitionKind::Flapping { period_ms: 300 }]
    {
        for side in [&[4][..], &[2, 3, 4]] {
            let world = run(&Plan { network: cut(kind, side), ..plan(5, 2) });
            assert!(world.coverage.count("partition") > 0);
        }
    }
}

#[test]
fn messages_that_take_ten_seconds_delay_and_harm_nothing() {
    let network = NetworkFaults {
        loss_percent: 30,
        duplicate_percent: 20,
        delay_ms: (1, 200),
        slow_percent: 5,
        slow_ms: 10_000,
        partitions: Vec::new(),
    };
    let world = run(&Plan { network, faults_until_ms: 20_000, ..plan(4, 3) });
    assert!(world.coverage.count("message_lost") > 100);
}

#[test]
fn clocks_that_are_off_and_jump_do_not_stop_the_chain() {
    let clocks = ClockFaults { offset_ms: 2_000, drift_ppm: 1_000, jump_every_ms: 2_000, jump_ms: 3_000 };
    let world = run(&Plan { clocks, ..plan(4, 4) });
    assert!(world.coverage.count("clock_jump") > 4);
}

#[test]
fn a_run_with_every_fault_repeats_exactly() {
    let mut faulty = plan(4, 5);
    faulty.network = cut(PartitionKind::Symmetric, &[1]);
    faulty.network.loss_percent = 10;
    faulty.crashes = CrashFaults { every_ms: 4_000, down_ms: (100, 2_000), at_disk_percent: 50, most_down: 0 };
    faulty.clocks = ClockFaults { offset_ms: 200, drift_ppm: 200, jump_every_ms: 3_000, jump_ms: 500 };
    faulty.pegged = true;
    let (one, other) = (run(&faulty), run(&faulty));
    assert_eq!((one.trace.hash(), one.trace.events()), (other.trace.hash(), other.trace.events()));
    assert_eq!(one.coverage, other.coverage);
    assert!(one.coverage.count("crash") > 0);
    let another = run(&Plan { seed: 6, ..faulty });
    assert_ne!(one.trace.hash(), another.trace.hash());
}
