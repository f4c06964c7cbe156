//! The result of a campaign, as one line of JSON.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write as _, path::Path, process::Command, time::SystemTime};

use serde::Serialize;

use crate::campaign::Tally;

/// A year, ms.
const YEAR_MS: f64 = 365.25 * 24.0 * 3_600_000.0;

/// A line of the ledger.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Time of its end, Unix seconds.
    pub at: u64,
    /// The commit, with `+dirty` where files differ from it.
    pub revision: String,
    /// Kind of campaign: `seeds`, `crash-points` or `strategies`.
    pub kind: &'static str,
    /// Profile, scenario or strategy.
    pub name: String,
    /// Hash of the profile, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_hash: Option<String>,
    /// The seeds, if it has seeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<String>,
    /// Whether each case ran twice and was compared.
    pub twice: bool,
    /// Runs.
    pub runs: u64,
    /// Failed runs.
    pub failed: u64,
    /// CPU seconds.
    pub cpu_seconds: f64,
    /// Seconds.
    pub seconds: f64,
    /// Heights.
    pub heights: u64,
    /// Events.
    pub events: u64,
    /// Simulated seconds.
    pub simulated_seconds: f64,
    /// Simulated years.
    pub simulated_years: f64,
    /// CPU seconds a run.
    pub cpu_seconds_per_run: f64,
    /// Heights a CPU second.
    pub heights_per_cpu_second: f64,
    /// Events a CPU second.
    pub events_per_cpu_second: f64,
    /// The largest set.
    pub largest_set: usize,
    /// Memory before, after, and its peak, MiB.
    pub memory_mib: [u64; 3],
    /// The most expensive runs.
    pub slowest: Vec<String>,
    /// Coverage counters.
    pub counters: BTreeMap<&'static str, u64>,
    /// Median and 99th percentile of each sampled size.
    pub percentiles: BTreeMap<&'static str, [u64; 2]>,
    /// Enumerated writes and syncs, and those that were made to fail, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub points: BTreeMap<String, Covered>,
    /// Required coverage that was not met.
    pub missing: Vec<String>,
    /// Failures: the run, the reason, and the command that repeats it.
    pub failures: Vec<Failed>,
}

/// Coverage of one kind of point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Number of points.
    pub points: u64,
    /// Runs in which one of them failed.
    pub runs: u64,
    /// Runs that failed.
    pub failed: u64,
}

/// A run that failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// Which.
    pub case: String,
    /// Why.
    pub fault: String,
    /// The command that repeats it.
    pub replay: String,
}

impl Entry {
    /// The line for these runs.
    pub fn new(kind: &'static str, name: impl Into<String>, tally: &Tally) -> Self {
        let coverage = &tally.coverage;
        let percentiles = coverage
            .sampled()
            .filter_map(|what| Some((what, [coverage.percentile(what, 50)?, coverage.percentile(what, 99)?])));
        let failures = tally.failures.iter().map(|failure| Failed {
            case: failure.case.to_string(),
            fault: failure.fault.clone(),
            replay: failure.case.replay(),
        });
        let (cpu, seconds) = (tally.cpu.as_secs_f64(), tally.wall.as_secs_f64());
        let per_second = |count: u64| if cpu > 0.0 { count as f64 / cpu } else { 0.0 };
        let (before, after, most) = tally.memory_mib;
        Self {
            at: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
            revision: revision(),
            kind,
            name: name.into(),
            profile_hash: None,
            seeds: None,
            twice: false,
            runs: tally.runs,
            failed: tally.failed,
            cpu_seconds: cpu,
            seconds,
            heights: tally.heights,
            events: tally.events,
            simulated_seconds: tally.simulated_ms as f64 / 1_000.0,
            simulated_years: tally.simulated_ms as f64 / YEAR_MS,
            cpu_seconds_per_run: if tally.runs > 0 { cpu / tally.runs as f64 } else { 0.0 },
            heights_per_cpu_second: per_second(tally.heights),
            events_per_cpu_second: per_second(tally.events),
            largest_set: tally.largest,
            memory_mib: [before, after, most],
            slowest: tally
                .slowest
                .iter()
                .map(|(cpu, case)| format!("{case}: {:.2} CPU s", cpu.as_secs_f64()))
                .collect(),
            counters: coverage.iter().collect(),
            percentiles: percentiles.collect(),
            points: BTreeMap::new(),
            missing: Vec::new(),
            failures: failures.collect(),
        }
    }

    /// Whether all runs held and all required coverage was met.
    pub fn holds(&self) -> bool {
        self.failed == 0 && self.missing.is_empty()
    }

    /// Adds the line to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append_to(&self, path: &Path) -> eyre::Result<()> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())?;
        Ok(())
    }
}

/// The commit this crate's sources are at, with `+dirty` where tracked files differ from it.
fn revision() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}+dirty"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        case::{Case, Outcome},
        profiles::Profile,
    };

    #[test]
    fn a_line_says_what_failed_and_how_to_run_it_again() {
        let mut tally = Tally::default();
        let mut outcome = Outcome { heights: 5, simulated_ms: 2_000, ..Outcome::default() };
        outcome.coverage.hit("height");
        outcome.coverage.sample("rounds_after_heal", 3);
        tally.add(Case::Seed(Profile::Peg, 1), &outcome);
        assert!(Entry::new("seeds", "peg", &tally).holds());
        tally.add(Case::Seed(Profile::Peg, 2), &Outcome { fault: Some("I7".to_owned()), ..outcome });
        let entry = Entry::new("seeds", "peg", &tally);
        assert!(!entry.holds());
        let json: serde_json::Value = serde_json::to_value(&entry).unwrap();
        assert_eq!(json["runs"], 2);
        assert_eq!(json["heights"], 10);
        assert_eq!(json["counters"]["height"], 2);
        assert_eq!(json["percentiles"]["rounds_after_heal"], serde_json::json!([3, 3]));
        assert_eq!(json["failures"][0]["replay"], "testnet/sim --profile peg --seeds 2 --trace");
    }

    #[test]
    fn lines_are_added_to_a_file() {
        let path = std::env::temp_dir().join(format!("causeway-ledger-{}", std::process::id()));
        let entry = Entry::new("seeds", "default", &Tally::default());
        entry.append_to(&path).unwrap();
        entry.append_to(&path).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
