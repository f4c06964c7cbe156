//! The result of a chaos run, and whether every bound held.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde::Serialize;

use crate::{
    chaos::{
        closing::Findings,
        crossings::Counts,
        inject::Done,
        judge::{Judge, Rejoin, Violation},
        resources::Usage,
        schedule::Class,
    },
    load::report::Latency,
};

/// Bound on the 99th percentile of the time until a returning node is at the head, in milliseconds.
pub const REJOIN_P99_MS: u64 = 10_000;
/// Bound on the time from a repair to the next block, in milliseconds.
pub const RESUME_MS: u64 = 5_000;
/// Bound on the time without a block while a quorum is up and connected, in milliseconds.
pub const GAP_MS: u64 = 15_000;

/// Figures of one run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether every bound held and nothing was violated.
    pub holds: bool,
    /// The seed that gives the same schedule again.
    pub seed: u64,
    /// Validators.
    pub validators: u8,
    /// Seconds that the run took, with the checks at its end.
    pub seconds: u64,
    /// The machine's load average: mean and greatest of the samples.
    pub load_average: (f64, f64),
    /// How the full disk was made.
    pub disk: &'static str,
    /// Faults by class.
    pub classes: BTreeMap<Class, usize>,
    /// Classes of faults that did not occur.
    pub skipped: Vec<Class>,
    /// The findings of the checks at the end.
    pub findings: Findings,
    /// Transfers offered, and offered again.
    pub transfers: (usize, usize),
    /// Counts of transfers over the peg.
    pub crossings: Counts,
    /// Milliseconds until a returning node is within one block of the head.
    pub rejoin_ms: Latency,
    /// The slowest returns: node, fault and time.
    pub slowest_rejoins: Vec<Rejoin>,
    /// Returns counted.
    pub rejoins: usize,
    /// Milliseconds from the repair of what may stop blocks to the next block.
    pub resume_ms: Latency,
    /// Repairs counted.
    pub resumptions: usize,
    /// Longest time without a block in milliseconds: overall, and while a quorum was up and well connected.
    pub longest_gap_ms: (u64, u64),
    /// Resources of the nodes.
    pub usage: Vec<Usage>,
    /// What was done.
    pub faults: Vec<Done>,
    /// Violations in the order they were seen; at most 50.
    pub violations: Vec<Violation>,
    /// Number of violations.
    pub violated: usize,
}

/// Facts of the run that the judge does not have.
#[derive(Debug)]
pub struct Run {
    /// The schedule's seed.
    pub seed: u64,
    /// Validators.
    pub validators: u8,
    /// Time of the run with its closing.
    pub took: Duration,
    /// Time at which the run stopped waiting for blocks.
    pub watched: Duration,
    /// Load averages.
    pub load: Vec<f64>,
    /// How the full disk was made.
    pub disk: &'static str,
    /// The findings of the checks at the end.
    pub findings: Findings,
    /// Transfers offered, and offered again.
    pub transfers: (usize, usize),
    /// Counts of transfers over the peg.
    pub crossings: Counts,
    /// Resources of the nodes.
    pub usage: Vec<Usage>,
    /// What was done.
    pub faults: Vec<Done>,
}

impl Report {
    /// Assembles the report and checks the bounds.
    pub fn new(run: Run, judge: &mut Judge) -> Self {
        let rejoins = judge.rejoins().to_vec();
        let rejoin_ms = latency(rejoins.iter().map(|rejoin| rejoin.ms));
        let resume_ms = latency(judge.resumptions_ms().iter().copied());
        let longest_gap_ms = judge.longest_gaps_ms(run.watched);
        let bounds = [
            ("99 of 100 returns within 10 s", rejoin_ms.p99, REJOIN_P99_MS),
            ("blocks resume within 5 s", resume_ms.max, RESUME_MS),
            ("blocks come while a quorum is connected", longest_gap_ms.1, GAP_MS),
        ];
        for (rule, ms, bound) in bounds.into_iter().filter(|(_, ms, bound)| ms > bound) {
            judge.violate(run.took, rule, format!("{ms} ms, at most {bound}"));
        }
        let mut slowest_rejoins = rejoins.clone();
        slowest_rejoins.sort_by_key(|rejoin| std::cmp::Reverse(rejoin.ms));
        slowest_rejoins.truncate(5);
        let mut classes: BTreeMap<Class, usize> = BTreeMap::new();
        run.faults.iter().for_each(|done| *classes.entry(done.class).or_default() += 1);
        let skipped = Class::ALL.into_iter().filter(|class| !classes.contains_key(class)).collect();
        let (violations, violated) = judge.violations();
        let count = run.load.len().max(1) as f64;
        let round = |load: f64| (load * 100.0).round() / 100.0;
        Self {
            holds: violated == 0,
            seed: run.seed,
            validators: run.validators,
            seconds: run.took.as_secs(),
            load_average: (
                round(run.load.iter().sum::<f64>() / count),
                round(run.load.iter().copied().fold(0.0, f64::max)),
            ),
            disk: run.disk,
            classes,
            skipped,
            findings: run.findings,
            transfers: run.transfers,
            crossings: run.crossings,
            rejoin_ms,
            slowest_rejoins,
            rejoins: rejoins.len(),
            resume_ms,
            resumptions: judge.resumptions_ms().len(),
            longest_gap_ms,
            usage: run.usage,
            faults: run.faults,
            violations: violations.to_vec(),
            violated,
        }
    }

    /// As text for a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a String never fails");
        out.trim_end().to_owned()
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (mean, greatest) = self.load_average;
        writeln!(
            out,
            "{} faults in {} s, {} validators, seed {}, load average {mean} (at most {greatest})",
            self.faults.len(),
            self.seconds,
            self.validators,
            self.seed
        )?;
        for done in &self.faults {
            let note = done.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
            writeln!(out, "  {:>7.1} s  {}, over after {} ms{note}", done.at_ms as f64 / 1e3, done.what, done.took_ms)?;
        }
        writeln!(out, "  full disk  {}", self.disk)?;
        if !self.skipped.is_empty() {
            writeln!(out, "  skipped    {:?}: the time was over before they came", self.skipped)?;
        }
        let found = &self.findings;
        writeln!(
            out,
            "  lost       {} of {} transactions ({} with a returned receipt) in {} blocks, on any node",
            found.lost, found.transactions, found.acknowledged, found.blocks
        )?;
        writeln!(out, "  transfers  {} offered, {} offered again", self.transfers.0, self.transfers.1)?;
        let peg = &self.crossings;
        writeln!(
            out,
            "  peg        {} deposits, {} withdrawals, {} claims, {} attempts failed meanwhile",
            peg.deposits, peg.withdrawals, peg.claims, peg.failures
        )?;
        let audit = if found.audit_holds { "holds" } else { "FAILS" };
        writeln!(out, "  coin       supply {} wei, locked {} wei, audit {audit}", found.supply, found.locked)?;
        let (rejoin, resume) = (self.rejoin_ms, self.resume_ms);
        writeln!(
            out,
            "  rejoin     p50 {} ms, p99 {} ms, max {} ms of {} (p99 at most {REJOIN_P99_MS})",
            rejoin.p50, rejoin.p99, rejoin.max, self.rejoins
        )?;
        writeln!(
            out,
            "  resume     p50 {} ms, p99 {} ms, max {} ms of {} (at most {RESUME_MS})",
            resume.p50, resume.p99, resume.max, self.resumptions
        )?;
        let (overall, connected) = self.longest_gap_ms;
        writeln!(
            out,
            "  gap        {overall} ms without a block at the longest, {connected} ms while a quorum was connected (at most {GAP_MS})"
        )?;
        for usage in &self.usage {
            let slope = usage.rss_slope_mib_per_minute.map_or("no life long enough for a slope".to_owned(), |slope| {
                format!("{slope:+} MiB a minute in its longest life")
            });
            writeln!(
                out,
                "  node {}     {} lives, at most {} MiB and {} descriptors, {slope}",
                usage.node, usage.lives, usage.rss_max_mib, usage.fds_max
            )?;
        }
        for violation in &self.violations {
            writeln!(
                out,
                "  VIOLATED   {:.1} s  {}: {}",
                violation.at_ms as f64 / 1e3,
                violation.rule,
                violation.seen
            )?;
        }
        if self.holds {
            writeln!(out, "Everything holds.")
        } else {
            writeln!(out, "{} violations. The same schedule again: --seed {}", self.violated, self.seed)
        }
    }
}

fn latency(ms: impl Iterator<Item = u64>) -> Latency {
    Latency::of(ms.map(Duration::from_millis).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            seed: 7,
            validators: 4,
            took: Duration::from_secs(60),
            watched: Duration::from_secs(50),
            load: vec![1.0, 3.0],
            disk: "none",
            findings: Findings { audit_holds: true, ..Findings::default() },
            transfers: (10, 1),
            crossings: Counts::default(),
            usage: vec![Usage::default()],
            faults: Vec::new(),
        }
    }

    /// Blocks each second, and node 1 that returns `ms` after its repair.
    fn judge(ms: u64) -> Judge {
        let mut judge = Judge::default();
        (0..=50u64).for_each(|second| judge.head(Duration::from_secs(second), 0, second));
        judge.repaired(Duration::from_secs(1), 0, &[1]);
        judge.head(Duration::from_millis(1_000 + ms), 1, 50);
        judge
    }

    #[test]
    fn a_quiet_run_holds_and_says_what_did_not_come() {
        let report = Report::new(run(), &mut judge(9_000));
        assert!(report.holds, "{}", report.text());
        assert_eq!((report.rejoin_ms.p99, report.longest_gap_ms.1), (9_000, 1_000));
        assert_eq!((report.skipped.len(), report.load_average), (Class::ALL.len(), (2.0, 3.0)));
        assert!(report.text().contains("skipped    [KillOne"), "{}", report.text());
    }

    #[test]
    fn a_broken_bound_is_a_violation() {
        let report = Report::new(run(), &mut judge(10_001));
        assert!(!report.holds);
        assert!(report.text().contains("99 of 100 returns within 10 s: 10001 ms"), "{}", report.text());
        let late = Run { watched: Duration::from_secs(70), ..run() };
        let report = Report::new(late, &mut judge(5));
        assert!(report.text().contains("blocks come while a quorum is connected: 20000 ms"), "{}", report.text());
    }
}
