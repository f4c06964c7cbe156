//! Runs one plan and prints its speed: events and heights per CPU second. `--faults` adds losses, crashes and jumping clocks,
//! `--trace` writes the transcript to the standard error.
//!
//! `throughput VALIDATORS HEIGHTS SEED [--pegged] [--faults] [--trace]`
#![allow(clippy::print_stdout)]

use std::time::Duration;

use causeway_simulator::{
    Plan, World,
    plan::{ChurnPlan, ClockFaults, CrashFaults, NetworkFaults},
};

/// The time this thread has run for, as the kernel counts it.
fn cpu() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(counted.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: u64| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(otherwise);
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let (validators, heights, seed) = (number(0, 4), number(1, 50), number(2, 1));
    let mut plan = Plan::quiet(seed, usize::try_from(validators).unwrap_or(4));
    plan.pegged = has("--pegged");
    if has("--users") {
        plan.churn = ChurnPlan { user_every_ms: 300, staking_every_ms: 2_000 };
    }
    if has("--faults") {
        plan.network =
            NetworkFaults { loss_percent: 10, duplicate_percent: 5, delay_ms: (1, 60), ..NetworkFaults::default() };
        plan.crashes = CrashFaults { every_ms: 20_000, down_ms: (100, 3_000), at_disk_percent: 50, most_down: 0 };
        plan.clocks = ClockFaults { offset_ms: 200, drift_ppm: 200, jump_every_ms: 10_000, jump_ms: 500 };
        plan.faults_until_ms = heights * 300;
    }
    plan.heights_after_heal = heights;
    let before = cpu();
    let mut world = World::new(&plan);
    let made = cpu() - before;
    if has("--trace") {
        world.trace.write_to(Box::new(std::io::stderr()));
    }
    let outcome = world.run();
    let took = cpu() - before - made;
    println!("{outcome:?}, trace hash {:016x}", world.trace.hash());
    let (height, events) = (world.head(), world.trace.events());
    let seconds = took.as_secs_f64();
    println!(
        "{validators} validators: {height} heights, {events} events, {:.1} simulated seconds",
        world.now_ms as f64 / 1_000.0
    );
    println!(
        "{:.3} CPU s to make the world, {seconds:.3} to run it: {:.1} heights and {:.0} events a CPU second, {:.3} CPU ms a node and height",
        made.as_secs_f64(),
        height as f64 / seconds,
        events as f64 / seconds,
        seconds * 1_000.0 / (height.max(1) * validators) as f64
    );
    for (what, count) in world.coverage.iter() {
        println!("  {what}: {count}");
    }
}
