//! The report of a campaign, as text.

use std::fmt::Write as _;

use crate::{campaign::Progress, ledger::Entry};

/// Counters on one line of a report.
const COUNTERS_A_LINE: usize = 4;

/// A progress line of a campaign.
pub fn progress(name: &str, progress: &Progress<'_>) -> String {
    let tally = progress.tally;
    let seconds = progress.wall.as_secs_f64();
    let rate = if seconds > 0.0 { tally.runs as f64 / seconds } else { 0.0 };
    let left = if rate > 0.0 { (progress.count.saturating_sub(tally.runs)) as f64 / rate } else { 0.0 };
    let mut line = format!(
        "{name}: {} of {} runs, {} heights, {} failed, {rate:.1} runs/s, {left:.0} s left",
        tally.runs, progress.count, tally.heights, tally.failed
    );
    if let Some((case, time)) = progress.long {
        text(&mut line, format_args!(", {case} has run for {:.0} s", time.as_secs_f64()));
    }
    line
}

/// A campaign's report.
pub fn report(entry: &Entry) -> String {
    let mut out = String::new();
    let seeds = entry.seeds.as_ref().map(|seeds| format!(" seeds {seeds}")).unwrap_or_default();
    let twice = if entry.twice { ", each twice" } else { "" };
    text(&mut out, format_args!("{} {}{seeds}{twice} at {}", entry.kind, entry.name, entry.revision));
    if let Some(hash) = &entry.profile_hash {
        text(&mut out, format_args!(", profile {hash}"));
    }
    text(
        &mut out,
        format_args!(
            "\n  {} runs, {} failed; {} heights, {} events, {:.0} simulated s ({:.4} years); sets of up to {}\n",
            entry.runs,
            entry.failed,
            entry.heights,
            entry.events,
            entry.simulated_seconds,
            entry.simulated_years,
            entry.largest_set
        ),
    );
    text(
        &mut out,
        format_args!(
            "  {:.1} CPU s in {:.1} s: {:.3} a run, {:.0} heights and {:.0} events a CPU second\n",
            entry.cpu_seconds,
            entry.seconds,
            entry.cpu_seconds_per_run,
            entry.heights_per_cpu_second,
            entry.events_per_cpu_second
        ),
    );
    let [before, after, most] = entry.memory_mib;
    text(&mut out, format_args!("  memory: {before} MiB before, {after} after, {most} at the most\n"));
    for slow in &entry.slowest {
        text(&mut out, format_args!("  costly: {slow}\n"));
    }
    for (what, [median, slow]) in &entry.percentiles {
        text(&mut out, format_args!("  {what}: p50 {median}, p99 {slow}\n"));
    }
    let counters: Vec<String> = entry.counters.iter().map(|(what, count)| format!("{what} {count}")).collect();
    for line in counters.chunks(COUNTERS_A_LINE) {
        text(&mut out, format_args!("    {}\n", line.join(", ")));
    }
    for (label, covered) in &entry.points {
        text(
            &mut out,
            format_args!("    {label}: {} points, {} runs, {} failed\n", covered.points, covered.runs, covered.failed),
        );
    }
    if !entry.missing.is_empty() {
        text(&mut out, format_args!("  NEVER MET: {}\n", entry.missing.join(", ")));
    }
    for failed in &entry.failures {
        text(&mut out, format_args!("  FAILED {}: {}\n    {}\n", failed.case, failed.fault, failed.replay));
    }
    out
}

/// Table of decisions after the healing, by strategy.
pub fn strategies(entries: &[Entry]) -> String {
    let mut out = String::new();
    let row = |out: &mut String, cells: [&str; 7]| {
        let [name, runs, failed, rounds, slow_rounds, ms, slow_ms] = cells;
        text(
            out,
            format_args!("{name:<24} {runs:>7} {failed:>7} {rounds:>11} {slow_rounds:>11} {ms:>8} {slow_ms:>8}\n"),
        );
    };
    row(&mut out, ["strategy", "runs", "failed", "rounds p50", "rounds p99", "ms p50", "ms p99"]);
    for entry in entries {
        let of = |what: &str| entry.percentiles.get(what).map(|both| both.map(|value| value.to_string()));
        let none = || ["-".to_owned(), "-".to_owned()];
        let [rounds, slow_rounds] = of("rounds_after_heal").unwrap_or_else(none);
        let [ms, slow_ms] = of("ms_after_heal").unwrap_or_else(none);
        let (runs, failed) = (entry.runs.to_string(), entry.failed.to_string());
        row(&mut out, [&entry.name, &runs, &failed, &rounds, &slow_rounds, &ms, &slow_ms]);
    }
    out
}

fn text(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        campaign::Tally,
        case::{Case, Outcome},
        profiles::Profile,
    };

    #[test]
    fn a_report_names_failures_and_what_was_never_met() {
        let mut tally = Tally::default();
        tally.add(Case::Seed(Profile::Crash, 4), &Outcome { fault: Some("I4 lost".to_owned()), ..Outcome::default() });
        let progressed =
            progress("crash", &Progress { tally: &tally, count: 10, wall: Duration::from_secs(2), long: None });
        assert!(progressed.contains("1 of 10 runs") && progressed.contains("18 s left"), "{progressed}");
        let mut entry = Entry::new("seeds", "crash", &tally);
        entry.missing = vec!["disk:torn_prefix".to_owned()];
        let report = report(&entry);
        for needed in ["NEVER MET: disk:torn_prefix", "FAILED profile crash seed 4: I4 lost", "--seeds 4 --trace"] {
            assert!(report.contains(needed), "{report}");
        }
    }
}
