//! `peg-audit`: audits a Causeway peg from public data alone.
//!
//! Exit status: 0 every check holds, 1 a check fails, 2 wrong usage or files, 3 an endpoint could not be read.

use causeway_genesis::Genesis;
use causeway_peg_audit::{Bundle, CollectError, Endpoints, Report, audit, collect};
use clap::Parser;
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

const FAILS: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

/// Audits a peg: reads both chains (or a saved bundle) and checks that the parent's vault covers the supply that the
/// validators signed, that every mint is a deposit, that every certificate is signed, and that checkpoints and claims
/// follow from the sidechain's history. It executes no transactions: it does not prove that account balances add up to
/// that supply.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit status: 0 all checks hold, 1 a check fails, 2 usage, 3 an endpoint cannot be read."
)]
struct Args {
    /// The chain's genesis file.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// JSON-RPC URL of a sidechain node.
    #[arg(long, value_name = "URL", required_unless_present = "from_bundle")]
    sidechain: Option<String>,
    /// JSON-RPC URL of a parent node.
    #[arg(long, value_name = "URL", required_unless_present = "from_bundle")]
    parent: Option<String>,
    /// First parent block to read events from: the deployment's, or any before it.
    #[arg(long, value_name = "HEIGHT", default_value_t = 0)]
    parent_from: u64,
    /// Longest wait for one answer of an endpoint, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    /// Saves all data that was read, so that anyone can repeat the audit offline.
    #[arg(long, value_name = "FILE", conflicts_with = "from_bundle")]
    bundle: Option<PathBuf>,
    /// Audits a saved bundle; reads no endpoint.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sidechain", "parent"])]
    from_bundle: Option<PathBuf>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A failure before any verdict: its message and the exit status.
struct Stop(u8, String);

fn usage(error: impl std::fmt::Display) -> Stop {
    Stop(USAGE, error.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match run(Args::parse()).await {
        Ok(report) if report.holds => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILS),
        Err(Stop(status, message)) => {
            // If standard error fails too, the exit status still reports the failure.
            writeln!(std::io::stderr(), "error: {message}").map_or(ExitCode::from(status), |()| ExitCode::from(status))
        }
    }
}

async fn run(args: Args) -> Result<Report, Stop> {
    let genesis = Genesis::load(&args.genesis).map_err(usage)?;
    let bundle = match (&args.from_bundle, &args.sidechain, &args.parent) {
        (Some(path), _, _) => Bundle::load(path).map_err(usage)?,
        (None, Some(sidechain), Some(parent)) => {
            let (sidechain, parent) = (sidechain.clone(), parent.clone());
            let deadline = Duration::from_secs(args.timeout);
            let endpoints = Endpoints { sidechain, parent, parent_from: args.parent_from, deadline };
            collect(&endpoints, &genesis).await.map_err(|error| match error {
                CollectError::Read(error) => Stop(UNREACHABLE, error.to_string()),
                error => usage(error),
            })?
        }
        _ => return Err(usage("name both endpoints, or a bundle")),
    };
    if let Some(path) = &args.bundle {
        bundle.save(path).map_err(usage)?;
    }
    let report = audit(&bundle, &genesis).map_err(usage)?;
    let text = if args.json { report.to_json().map_err(usage)? + "\n" } else { report.to_string() };
    std::io::stdout().write_all(text.as_bytes()).map_err(usage)?;
    Ok(report)
}
