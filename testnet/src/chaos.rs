//! `testnet/chaos`: real processes are killed, paused, cut off and starved under load, and watched from outside.
//!
//! The schedule is derived from a seed; the timing of the machine is not. The simulator has runs that repeat exactly. This run
//! covers what a simulator cannot: the kernel, the disk, the sockets, the start of a process.
//!
//! Start reading at [`schedule`] (the faults), [`inject`] (how they are done), [`judge`] (the rules) and [`closing`] (the checks at the end).

pub mod anvil;
pub mod closing;
pub mod crossings;
pub mod disk;
pub mod ground;
pub mod inject;
pub mod judge;
pub mod observe;
pub mod preload;
pub mod random;
pub mod relay;
pub mod report;
pub mod resources;
pub mod schedule;
pub mod traffic;

use std::{
    io::IsTerminal as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use eyre::{WrapErr as _, bail, ensure, eyre};
use tokio::time::Instant;

use crate::{
    accounts,
    chaos::{
        closing::Closing,
        crossings::Crossings,
        ground::Ground,
        inject::Injector,
        observe::Court,
        report::{Report, Run},
        resources::Usage,
        schedule::{Class, Pace, Schedule},
        traffic::Traffic,
    },
    cli::{ChaosArgs, LoadKind},
    load::plan::Workload,
    node,
    supervisor::StopSignals,
};

/// Accounts that send transfers.
const ACCOUNTS: u32 = 64;
/// Seconds of transfers beyond the run's length: the last fault and its recovery.
const SPARE_SECONDS: u64 = 180;
/// More time than the end of a run takes.
const SETTLE_PATIENCE: Duration = Duration::from_secs(3_600);
/// Quiet before the first fault.
const WARM_UP: Duration = Duration::from_secs(3);

/// Breaks a testnet and prints the report.
///
/// # Errors
/// When a step could not be done, or a bound was violated.
pub async fn run(args: ChaosArgs) -> eyre::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,causeway_testnet=info"));
    let log = tracing_subscriber::fmt().with_target(false).with_env_filter(filter);
    log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    let seed = match args.seed {
        Some(seed) => seed,
        None => {
            u64::from(SystemTime::now().duration_since(UNIX_EPOCH).wrap_err("the clock is before 1970")?.subsec_nanos())
        }
    };
    tracing::info!("seed {seed}, directory {}", args.dir.display());
    let mut stop = StopSignals::new()?;
    let mut ground = tokio::select! {
        ground = Ground::start(&args, seed) => ground?,
        () = stop.received() => bail!("stopped while starting"),
    };
    let broken = tokio::select! {
        report = break_it(&args, seed, &mut ground) => report,
        () = stop.received() => Err(eyre!("stopped before the end: no verdict")),
    };
    let root = ground.root().to_owned();
    ground.stop(&mut stop).await?;
    let report = broken?;
    say(&if args.json { serde_json::to_string_pretty(&report)? } else { report.text() });
    ensure!(report.holds, "{} violations; the nodes' logs are in {}", report.violated, root.display());
    Ok(())
}

async fn break_it(args: &ChaosArgs, seed: u64, ground: &mut Ground) -> eyre::Result<Report> {
    let (binary, auditor) = (node::binary()?, ground::auditor()?);
    let (nodes, record, root) = (ground.rpcs.clone(), ground.record.clone(), ground.root().to_owned());
    let disk = ground.small_disk.describe();
    let length = Duration::from_secs(args.minutes.saturating_mul(60));
    let total = length.as_secs().saturating_add(SPARE_SECONDS).saturating_mul(u64::from(args.rate));
    let funder = accounts::TEST_KEYS.last().ok_or_else(|| eyre!("no accounts"))?;
    let first = nodes.first().ok_or_else(|| eyre!("no nodes"))?;
    let workload = Workload::prepare(first, funder, LoadKind::Transfer, ACCOUNTS, total).await?;

    let court = Court::open();
    let mut watchers = observe::watch(&nodes, &court);
    let traffic = Traffic::start(&nodes, workload.transactions, args.rate, &court);
    let crossings = Crossings::start(&binary, &root, &record, &nodes, seed)?;
    let mut injector = Injector::new(ground, court.clone());
    injector.wait(WARM_UP).await?;
    let faults = inject_all(args, seed, &mut injector).await?;

    tracing::info!("the faults are over; everything settles");
    let closing = Closing { court: &court, nodes: &nodes, record: &record, auditor: &auditor };
    tokio::select! {
        () = closing.settle(&traffic, &crossings) => {}
        // Checks the processes until everything has settled.
        looked = injector.wait(SETTLE_PATIENCE) => looked?,
    }
    let watched = court.now();
    let (tally, crossings) = (traffic.finish().await, crossings.finish().await);
    let findings = closing.compare(&tally.acknowledged).await?;
    watchers.shutdown().await;
    let (samples, load) = (injector.samples, injector.load);
    alarms(&court, ground)?;
    let usage = samples.iter().enumerate().map(|(node, samples)| Usage::of(node, samples)).collect();
    let run = Run {
        seed,
        validators: args.validators,
        took: court.now(),
        watched,
        load,
        disk,
        findings,
        transfers: (tally.offered, tally.resent),
        crossings,
        usage,
        faults,
    };
    let report = Report::new(run, &mut court.judge());
    Ok(report)
}

async fn inject_all(args: &ChaosArgs, seed: u64, injector: &mut Injector<'_>) -> eyre::Result<Vec<inject::Done>> {
    let validators = usize::from(args.validators);
    let pace = if args.once { Pace::Brief } else { Pace::Full };
    let schedule = Schedule::new(seed, validators, validators.saturating_sub(1), pace);
    let end = Instant::now() + Duration::from_secs(args.minutes.saturating_mul(60));
    let mut faults = Vec::new();
    for (index, entry) in schedule.enumerate() {
        let over = if args.once { index >= Class::ALL.len() } else { Instant::now() >= end };
        if over {
            break;
        }
        tracing::info!("{entry}");
        let done = injector.perform(index, &entry).await.wrap_err_with(|| format!("fault {index}: {entry}"))?;
        tracing::info!(
            "recovered after {} ms{}",
            done.took_ms,
            done.note.as_ref().map_or(String::new(), |note| format!(": {note}"))
        );
        faults.push(done);
    }
    Ok(faults)
}

/// Alarms in the nodes' logs, which are not visible over JSON-RPC.
fn alarms(court: &Court, ground: &mut Ground) -> eyre::Result<()> {
    for node in 0..ground.names.len() {
        let log = std::fs::read(ground.node(node)?.log()).wrap_err("cannot read a node's log")?;
        for line in closing::alarming(&String::from_utf8_lossy(&log)) {
            court.violate("nobody signs twice or panics", format!("validator-{node}: {line}"));
        }
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // the command's answer to the person who typed it
fn say(text: &str) {
    println!("{text}");
}
