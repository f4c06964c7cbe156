//! Networks of hosts under faults. Every run is replayed exactly by its seed; a failure prints it.

use crate::sim::{Settings, Sim};
use causeway_consensus::PART_BYTES;

#[test]
fn four_validators_decide_without_a_second_round() {
    let mut sim = Sim::new(Settings::new(1, 4));
    assert!(sim.run_to_height(30, 60_000));
    assert_eq!(sim.highest_round, 0);
    assert!(sim.now_ms - 1_000_000 < 30 * 400, "took {} ms", sim.now_ms - 1_000_000);
}

#[test]
fn a_single_validator_decides_alone() {
    let mut sim = Sim::new(Settings::new(2, 1));
    assert!(sim.run_to_height(20, 60_000));
    assert_eq!(sim.highest_round, 0);
}

#[test]
fn seven_and_twenty_validators_of_unequal_power_decide() {
    for (seed, count) in [(3, 7), (4, 20)] {
        let mut settings = Settings::new(seed, count);
        settings.powers = (0..count).map(|n| 1 + (n as u64 * 7) % 13).collect();
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(15, 60_000));
    }
}

#[test]
fn a_follower_without_a_key_follows_silently() {
    let mut settings = Settings::new(5, 4);
    settings.followers = 2;
    settings.loss_percent = 5;
    let mut sim = Sim::new(settings);
    assert!(sim.run_to_height(20, 120_000));
}

#[test]
fn a_silent_third_of_the_power_cannot_stop_the_chain() {
    let mut settings = Settings::new(6, 4);
    settings.silent.insert(2);
    let mut sim = Sim::new(settings);
    assert!(sim.run_to_height(12, 120_000));
    assert!(sim.highest_round > 0, "a silent proposer costs a second round");
}

#[test]
fn blocks_of_many_parts_travel_through_loss() {
    for seed in 0..6 {
        let mut settings = Settings::new(100 + seed, 4);
        settings.body_bytes = 5 * PART_BYTES + 17;
        settings.loss_percent = 10;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(8, 200_000), "seed {}", 100 + seed);
    }
}

/// Pitfall 15: without catch-up, 5 % loss wedges the core within a few heights.
#[test]
fn loss_delay_duplication_and_reordering_only_slow_it_down() {
    for seed in 0..30 {
        let mut settings = Settings::new(200 + seed, [4, 7][seed as usize % 2]);
        settings.loss_percent = [5, 15, 30][seed as usize % 3];
        settings.duplicate_percent = 20;
        settings.delay_ms = (1, 400);
        settings.sync = seed % 4 != 0;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(12, 900_000), "seed {}", 200 + seed);
    }
}

#[test]
fn crashes_between_any_two_outputs_neither_fork_nor_double_sign() {
    let (mut crashes, mut recoveries) = (0, 0);
    for seed in 0..60 {
        let mut settings = Settings::new(300 + seed, [4, 7, 1, 2][seed as usize % 4]);
        settings.crash_per_10k = [20, 60, 150][seed as usize % 3];
        settings.loss_percent = [0, 5][seed as usize % 2];
        settings.heal_ms = 60_000;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(25, 300_000), "seed {}", 300 + seed);
        crashes += sim.crashes;
        recoveries += sim.recoveries;
    }
    assert!(crashes > 300 && recoveries > 100, "{crashes} crashes, {recoveries} recoveries");
}

/// The sign state alone must prevent a double signature: the log is lost at half of the crashes.
#[test]
fn lost_logs_neither_fork_nor_double_sign() {
    let mut crashes = 0;
    for seed in 0..40 {
        let mut settings = Settings::new(400 + seed, [4, 7][seed as usize % 2]);
        settings.crash_per_10k = 40;
        settings.lose_log_percent = 50;
        settings.loss_percent = 5;
        settings.heal_ms = 40_000;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(15, 400_000), "seed {}", 400 + seed);
        crashes += sim.crashes;
    }
    assert!(crashes > 50, "{crashes} crashes");
}

#[test]
fn an_equivocator_below_a_third_is_found_and_cannot_stop_the_chain() {
    let mut found = 0;
    for seed in 0..30 {
        let mut settings = Settings::new(500 + seed, [4, 7][seed as usize % 2]);
        settings.equivocators.insert(1);
        if seed % 2 == 1 {
            settings.equivocators.insert(4);
        }
        settings.loss_percent = [0, 5][seed as usize % 2];
        settings.duplicate_percent = 10;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(10, 600_000), "seed {}", 500 + seed);
        found += usize::from(sim.nodes.iter().any(|node| !node.evidence.is_empty()));
    }
    assert!(found > 0, "honest nodes forward votes only inside certificates here, and still find conflicts");
}

#[test]
fn equivocators_with_crashes_and_loss() {
    for seed in 0..30 {
        let mut settings = Settings::new(600 + seed, 7);
        settings.equivocators.extend([0, 3]);
        settings.crash_per_10k = 20;
        settings.lose_log_percent = 20;
        settings.loss_percent = 8;
        settings.delay_ms = (1, 200);
        settings.heal_ms = 60_000;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(12, 900_000), "seed {}", 600 + seed);
    }
}

/// Pitfall 14: a missing verdict delays a decision, but never causes a vote against a block that others accept.
#[test]
fn missing_verdicts_only_delay_decisions() {
    for seed in 0..10 {
        let mut settings = Settings::new(700 + seed, 4);
        settings.no_verdict_percent = 30;
        settings.heal_ms = 30_000;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(20, 300_000), "seed {}", 700 + seed);
    }
}

#[test]
fn a_partition_stops_both_halves_and_its_end_restarts_them() {
    let mut sim = Sim::new(Settings::new(800, 4));
    assert!(sim.run_to_height(5, 60_000));
    for a in 0..2 {
        for b in 2..4 {
            sim.cut.extend([(a, b), (b, a)]);
        }
    }
    let from = sim.now_ms - 1_000_000;
    assert!(!sim.run_to_height(8, from + 30_000), "no half has a quorum");
    let reached: Vec<_> = sim.nodes.iter().map(|node| node.chain.len()).collect();
    assert!(reached.iter().all(|height| *height <= 6), "{reached:?}");
    sim.cut.clear();
    let from = sim.now_ms - 1_000_000;
    assert!(sim.run_to_height(15, from + 60_000), "seed 800");
}

/// One node is cut off for many heights; it has no catch-up protocol except the answers to its stale votes.
#[test]
fn a_node_cut_off_for_many_heights_catches_up_by_answers_to_its_votes() {
    let mut settings = Settings::new(900, 4);
    settings.sync = false;
    let mut sim = Sim::new(settings);
    assert!(sim.run_to_height(3, 60_000));
    for other in 0..3 {
        sim.cut.extend([(3, other), (other, 3)]);
    }
    let from = sim.now_ms - 1_000_000;
    assert!(sim.run_until(from + 120_000, |sim| sim.nodes[0].chain.len() >= 20));
    sim.cut.clear();
    let (from, target) = (sim.now_ms - 1_000_000, sim.nodes[0].chain.len() as u64 + 5);
    assert!(sim.run_to_height(target, from + 120_000), "seed 900");
}

#[test]
fn one_seed_gives_one_history() {
    let run = || {
        let mut settings = Settings::new(42, 4);
        settings.loss_percent = 10;
        settings.crash_per_10k = 50;
        let mut sim = Sim::new(settings);
        sim.run_to_height(10, 300_000);
        let hashes: Vec<_> = sim.nodes[0].chain.iter().map(|(certificate, _)| certificate.hash()).collect();
        (sim.now_ms, sim.crashes, hashes)
    };
    assert_eq!(run(), run());
}

/// All faults together, for `CAUSEWAY_SEEDS` seeds (default 100), starting at `CAUSEWAY_FIRST_SEED`.
#[test]
#[ignore = "long; see the README"]
fn many_seeds_of_everything() {
    let number = |name: &str, default: u64| option(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (first, count) = (number("CAUSEWAY_FIRST_SEED", 10_000), number("CAUSEWAY_SEEDS", 100));
    let (mut crashes, mut recoveries, mut rounds, mut heights, mut evidence) = (0, 0, 0, 0, 0);
    for seed in first..first + count {
        let mut sim = Sim::new(chaos(seed));
        let done = sim.run_to_height(15, 6_000_000);
        let reached: Vec<_> = sim.nodes.iter().map(|node| node.chain.len()).collect();
        if !done {
            for (n, node) in sim.nodes.iter().enumerate() {
                eprintln!("{n}: {:?}", node.host.as_ref().map(causeway_consensus::Host::status));
            }
        }
        assert!(done, "seed {seed} stopped at {reached:?}, round {}: {:?}", sim.highest_round, sim.settings);
        crashes += sim.crashes;
        recoveries += sim.recoveries;
        rounds = rounds.max(sim.highest_round);
        heights += sim.nodes.iter().map(|node| node.chain.len()).sum::<usize>();
        evidence += sim.nodes.iter().map(|node| node.evidence.len()).sum::<usize>();
    }
    // Coverage: a run without any of these shows nothing.
    assert!(crashes > 0 && recoveries > 0 && rounds > 0 && evidence > 0);
    eprintln!(
        "{count} seeds: {heights} heights, {crashes} crashes, {recoveries} recoveries, rounds to {rounds}, {evidence} equivocations"
    );
}

#[allow(clippy::disallowed_methods)] // a test's size, not its behaviour
fn option(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Faults drawn from the seed, within the fault model: less than a third of the power Byzantine or silent.
fn chaos(seed: u64) -> Settings {
    let mut rng = crate::sim::Rng(seed ^ 0xc4a0_5000);
    let count = [1, 4, 4, 5, 7, 7, 10][rng.below(7) as usize];
    let mut settings = Settings::new(seed, count);
    if rng.chance(30) {
        settings.powers = (0..count).map(|_| 5 + rng.below(10)).collect();
    }
    let total: u64 = settings.powers.iter().sum();
    let mut faulty = 0;
    for node in 0..count {
        let power = settings.powers[node];
        if (faulty + power) * 3 < total && rng.chance(60) {
            faulty += power;
            if rng.chance(70) {
                settings.equivocators.insert(node)
            } else {
                settings.silent.insert(node)
            };
        }
    }
    settings.followers = rng.below(2) as usize;
    settings.loss_percent = [0, 2, 5, 15, 30][rng.below(5) as usize];
    settings.duplicate_percent = [0, 10, 40][rng.below(3) as usize];
    settings.delay_ms = [(1, 10), (5, 60), (1, 400), (1, 3_000)][rng.below(4) as usize];
    settings.crash_per_10k = [0, 10, 40, 120][rng.below(4) as usize];
    // A validator that loses its log counts as faulty: safety must hold, but liveness may suffer.
    if rng.chance(40) {
        settings.log_losers = (0..count)
            .filter(|node| {
                let fits = (faulty + settings.powers[*node]) * 3 < total;
                faulty += if fits { settings.powers[*node] } else { 0 };
                fits
            })
            .collect();
        settings.lose_log_percent = if settings.log_losers.is_empty() { 0 } else { 30 };
    }
    settings.no_verdict_percent = [0, 0, 10][rng.below(3) as usize];
    settings.body_bytes = [60, 500, PART_BYTES + 5][rng.below(3) as usize];
    // A node without a key has no votes to repeat, so it gets no answers to them.
    settings.sync = settings.followers > 0 || rng.chance(70);
    settings.heal_ms = 20_000 + rng.below(60_000);
    settings
}

/// Members that join, leave and change power at every boundary; the last epoch shares nobody with the first.
fn rotating(seed: u64) -> Settings {
    let mut settings = Settings::new(seed, 8);
    settings.epoch_length = 4;
    settings.epochs = vec![
        vec![10, 10, 10, 10, 0, 0, 0, 0],
        vec![10, 10, 10, 10, 5, 0, 0, 0],
        vec![0, 30, 10, 10, 10, 10, 0, 0],
        vec![0, 0, 7, 10, 10, 20, 10, 0],
        vec![0, 0, 0, 0, 10, 10, 10, 10],
    ];
    settings
}

#[test]
fn a_rotating_set_decides_every_height_in_the_first_round() {
    let mut sim = Sim::new(rotating(900));
    assert!(sim.run_to_height(28, 60_000));
    assert_eq!(sim.highest_round, 0, "a boundary cost a round");
    assert!(sim.now_ms - 1_000_000 < 28 * 400, "took {} ms", sim.now_ms - 1_000_000);
}

#[test]
fn boundary_heights_take_no_longer_than_others() {
    let mut sim = Sim::new(rotating(901));
    let (mut boundary, mut other) = (Vec::new(), Vec::new());
    for height in 1..=40 {
        let start = sim.now_ms;
        assert!(sim.run_to_height(height, 60_000));
        let took = sim.now_ms - start;
        if height % sim.settings.epoch_length == 1 { boundary.push(took) } else { other.push(took) }
    }
    let mean = |times: &[u64]| times.iter().sum::<u64>() / times.len() as u64;
    assert!(mean(&boundary) <= mean(&other) * 5 / 4, "{boundary:?} against {other:?}");
}

#[test]
fn all_validators_are_replaced_at_once() {
    let mut settings = Settings::new(902, 8);
    settings.epochs = vec![vec![10, 10, 10, 10, 0, 0, 0, 0], vec![0, 0, 0, 0, 10, 10, 10, 10]];
    let mut sim = Sim::new(settings);
    assert!(sim.run_to_height(20, 60_000));
    assert_eq!(sim.highest_round, 0);
}

#[test]
fn rotation_survives_loss_crashes_and_lost_logs() {
    let mut crashes = 0;
    for seed in 0..25 {
        let mut settings = rotating(910 + seed);
        settings.loss_percent = [0, 5, 15][seed as usize % 3];
        settings.crash_per_10k = [0, 40, 100][(seed / 3) as usize % 3];
        settings.lose_log_percent = 20;
        settings.heal_ms = 60_000;
        let mut sim = Sim::new(settings);
        assert!(sim.run_to_height(28, 400_000), "seed {}", 910 + seed);
        crashes += sim.crashes;
    }
    assert!(crashes > 100, "{crashes} crashes");
}
