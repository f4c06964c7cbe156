//! `testnet/load`: transactions at a rate, and how long they take to be final.
//!
//! Accounts are made and funded first, every transaction is signed before the first is sent (with `--rate max` more than the chain
//! can take, within a part of the free memory), each account sticks to one connection (so its nonces arrive in order), and finality
//! is measured by a WebSocket subscription to `newHeads`, at another endpoint than the one that took the transaction where there
//! is one. On Causeway a head is final; on other chains the figures mean inclusion.

pub mod budget;
pub mod plan;
pub mod report;
pub mod sender;
pub mod watcher;

use std::time::Duration;

use alloy_primitives::B256;
use eyre::{WrapErr as _, ensure, eyre};

use crate::{
    accounts,
    cli::{LoadArgs, Rate},
    directory::Directory,
    load::{
        plan::Workload,
        report::Report,
        sender::{Pace, Senders},
        watcher::HeadWatcher,
    },
    record::TestnetRecord,
    rpc::Rpc,
};

/// How long to wait for the last transactions after the last was sent.
const TAIL_PATIENCE: Duration = Duration::from_secs(30);

/// The endpoints, and the account that pays.
struct Target {
    endpoints: Vec<String>,
    funder: B256,
}

impl Target {
    fn resolve(args: &LoadArgs) -> eyre::Result<Self> {
        if let (false, Some(funder)) = (args.rpc.is_empty(), args.key) {
            return Ok(Self { endpoints: args.rpc.clone(), funder });
        }
        let directory = Directory::new(&args.dir)?;
        let record = TestnetRecord::load(directory.root())?;
        ensure!(directory.holder()?.is_some(), "no testnet runs in {}: start it with testnet/up", args.dir.display());
        let running = record.validators.iter().filter(|validator| validator.pid.is_some());
        let endpoints: Vec<String> = running.map(|validator| validator.rpc.clone()).collect();
        ensure!(!endpoints.is_empty(), "no validator runs: start one with testnet/fault restart");
        // The last account, so that its nonces do not collide with those of a person who uses the first ones.
        let funder = *accounts::TEST_KEYS.last().ok_or_else(|| eyre!("no accounts"))?;
        Ok(Self { endpoints, funder })
    }
}

/// Sends a load and prints the result.
pub async fn run(args: LoadArgs) -> eyre::Result<()> {
    let target = Target::resolve(&args)?;
    let report = measure(&args, &target).await?;
    say(&if args.json { serde_json::to_string_pretty(&report)? } else { report.text() });
    ensure!(
        report.missing == 0,
        "{} accepted transactions are not final {} s later",
        report.missing,
        TAIL_PATIENCE.as_secs()
    );
    Ok(())
}

async fn measure(args: &LoadArgs, target: &Target) -> eyre::Result<Report> {
    let first = target.endpoints.first().ok_or_else(|| eyre!("no endpoint"))?;
    let (total, pace) = match args.rate {
        Rate::PerSecond(rate) => (u64::from(rate).saturating_mul(args.seconds), Pace::Steady(rate)),
        Rate::Max => {
            let in_flight = usize::try_from(args.in_flight)?;
            (budget::of_this_machine(args.seconds), Pace::Flood { in_flight })
        }
    };
    let workload = Workload::prepare(&Rpc::new(first)?, &target.funder, args.kind, args.accounts, total).await?;
    let watcher = HeadWatcher::start(&target.endpoints).await.wrap_err("cannot watch for finality")?;
    let senders = Senders::new(&target.endpoints, workload.transactions)?;
    let mut sent = senders.send(pace, Duration::from_secs(args.seconds), &watcher).await?;
    sent.settle(&watcher, &target.endpoints, TAIL_PATIENCE).await?;
    let seen = watcher.finish();
    Ok(Report::new(args, &target.endpoints, &sent, &seen))
}

#[allow(clippy::print_stdout)] // the command's answer to the person who typed it
fn say(text: &str) {
    println!("{text}");
}
