//! The campaigns that the command line asks for.

use std::{
    io::{BufWriter, Write},
    num::NonZero,
    thread,
    time::Duration,
};

use crate::{
    campaign::{Campaign, Progress, Tally},
    case::{Case, points},
    cli::{Cli, CrashPointName},
    disk::{Point, WriteFault},
    ledger::{Covered, Entry},
    profiles::{Profile, Scenario},
    report,
    strategies::StrategyKind,
};

/// From this number of seeds on, a campaign must meet the coverage of its profile.
pub const TELLING_SEEDS: u64 = 200;
/// From this number of seeds on, a campaign of one strategy must have seen the strategy act.
pub const TELLING_STRATEGY_SEEDS: u64 = 20;
/// Interval of progress lines.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Settings of campaigns.
pub struct Manner<'a> {
    /// Threads.
    pub jobs: usize,
    /// Whether each case is run twice.
    pub twice: bool,
    /// Whether the first failure ends a campaign.
    pub fail_fast: bool,
    /// Called with a campaign's name and progress.
    pub watch: &'a mut dyn FnMut(&str, &Progress<'_>),
}

impl std::fmt::Debug for Manner<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Manner").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

impl Manner<'_> {
    fn campaign(
        &mut self,
        name: &str,
        count: u64,
        case: &(dyn Fn(u64) -> Case + Sync),
        each: &mut dyn FnMut(Case, &crate::case::Outcome),
    ) -> Tally {
        let (jobs, twice, fail_fast) = (self.jobs, self.twice, self.fail_fast);
        let campaign = Campaign { count, case, jobs, twice, fail_fast, watch_every: WATCH_EVERY };
        campaign.run(&mut |progress| (self.watch)(name, progress), each)
    }

    /// Seeds in a profile.
    pub fn seeds(&mut self, profile: Profile, seeds: std::ops::Range<u64>) -> Entry {
        let (first, count) = (seeds.start, seeds.end - seeds.start);
        let name = profile.name();
        let tally = self.campaign(name, count, &|index| Case::Seed(profile, first + index), &mut |_, _| ());
        let mut entry = Entry::new("seeds", name, &tally);
        entry.profile_hash = Some(format!("{}", profile.hash()));
        entry.seeds = Some(format!("{}..{}", seeds.start, seeds.end));
        entry.twice = self.twice;
        if tally.runs >= TELLING_SEEDS {
            entry.missing = tally.coverage.missing(name).into_iter().map(str::to_owned).collect();
        }
        entry
    }

    /// Seeds with one Byzantine strategy.
    pub fn strategy(&mut self, kind: StrategyKind, seeds: std::ops::Range<u64>) -> Entry {
        let (first, count) = (seeds.start, seeds.end - seeds.start);
        let tally = self.campaign(kind.name(), count, &|index| Case::Strategy(kind, first + index), &mut |_, _| ());
        let mut entry = Entry::new("strategies", kind.name(), &tally);
        entry.missing = idle(kind, &tally);
        entry.seeds = Some(format!("{}..{}", seeds.start, seeds.end));
        entry.twice = self.twice;
        entry
    }

    /// Makes every write and sync of a scenario's machine fail, in the ways that `ways` returns for its number.
    pub fn crash_points(&mut self, scenario: Scenario, ways: &dyn Fn(u64) -> Vec<WriteFault>) -> Entry {
        let (points, base) = match points(scenario) {
            Ok(found) => found,
            Err(fault) => {
                let mut entry = Entry::new("crash-points", scenario.name(), &Tally::default());
                entry.missing = vec![format!("a base run that holds: {fault}")];
                return entry;
            }
        };
        let mut cases = Vec::new();
        for point in 1..=points.len() as u64 {
            cases.extend(ways(point).into_iter().map(|fault| Case::Point(scenario, point, fault)));
        }
        let label = |number: u64| points.get(index(number)).map(Point::to_string).unwrap_or_default();
        let mut covered = std::collections::BTreeMap::<String, Covered>::new();
        for number in 1..=points.len() as u64 {
            covered.entry(label(number)).or_default().points += 1;
        }
        let mut each = |case: Case, outcome: &crate::case::Outcome| {
            if let Case::Point(_, number, _) = case {
                let covered = covered.entry(label(number)).or_default();
                covered.runs += 1;
                covered.failed += u64::from(outcome.fault.is_some());
            }
        };
        let count = cases.len() as u64;
        let mut tally = self.campaign(scenario.name(), count, &|number| cases[index(number + 1)], &mut each);
        tally.coverage.merge(&base);
        let mut entry = Entry::new("crash-points", scenario.name(), &tally);
        entry.points = covered;
        entry.twice = self.twice;
        entry
    }
}

/// The strategy's own counter, when a long enough campaign never met it: such a campaign proves nothing.
fn idle(kind: StrategyKind, tally: &Tally) -> Vec<String> {
    let acted = tally.coverage.count(kind.counter()) > 0;
    if acted || tally.runs < TELLING_STRATEGY_SEEDS { Vec::new() } else { vec![kind.counter().to_owned()] }
}

/// Converts a number counted from 1 to an index.
fn index(number: u64) -> usize {
    usize::try_from(number - 1).unwrap_or(usize::MAX)
}

/// Runs the command line. Returns whether everything held.
///
/// # Errors
/// When output or the ledger cannot be written, or `--trace` is asked for more than one run.
pub fn run(cli: &Cli, out: &mut dyn Write, err: &mut dyn Write) -> eyre::Result<bool> {
    if let Some(case) = one_case(cli)? {
        return trace(case, cli.trace, out, err);
    }
    let jobs = cli.jobs.map(usize::from).or_else(|| thread::available_parallelism().ok().map(NonZero::get));
    let mut entries = Vec::new();
    let mut watch = |name: &str, progress: &Progress<'_>| {
        // A closed standard error is ignored.
        let _closed = writeln!(err, "{}", report::progress(name, progress)).is_err();
    };
    let mut manner = Manner { jobs: jobs.unwrap_or(1), twice: cli.twice, fail_fast: cli.fail_fast, watch: &mut watch };
    let mut holds = true;
    let mut finish = |entry: Entry| -> eyre::Result<bool> {
        if let Some(path) = &cli.ledger {
            entry.append_to(path)?;
        }
        if !cli.json {
            write!(out, "{}", report::report(&entry))?;
        }
        holds &= entry.holds();
        entries.push(entry);
        Ok(holds || !cli.fail_fast)
    };
    if cli.crash_points {
        for scenario in Scenario::ALL {
            if !finish(manner.crash_points(scenario, &|_| WriteFault::ALL.into()))? {
                break;
            }
        }
    } else if cli.strategies {
        let (kinds, seeds) = match cli.strategy {
            Some(kind) => (vec![kind], cli.seeds.0.clone()),
            None => (StrategyKind::ALL.to_vec(), 0..cli.per),
        };
        for kind in kinds {
            if !finish(manner.strategy(kind, seeds.clone()))? {
                break;
            }
        }
    } else {
        for profile in &cli.profile.0 {
            if !finish(manner.seeds(*profile, cli.seeds.0.clone()))? {
                break;
            }
        }
    }
    if cli.json {
        serde_json::to_writer_pretty(&mut *out, &entries)?;
        writeln!(out)?;
    } else if cli.strategies {
        write!(out, "{}", report::strategies(&entries))?;
    }
    Ok(holds)
}

/// The one run that a command line with `--trace` or `--point` asks for.
fn one_case(cli: &Cli) -> eyre::Result<Option<Case>> {
    if let Some(CrashPointName(scenario, point, fault)) = cli.point {
        return Ok(Some(Case::Point(scenario, point, fault)));
    }
    if !cli.trace {
        return Ok(None);
    }
    let seed = cli.seeds.0.start;
    match (cli.crash_points, cli.strategies, cli.strategy, &cli.profile.0[..]) {
        _ if cli.seeds.0.end > seed + 1 => {}
        (false, true, Some(kind), _) => return Ok(Some(Case::Strategy(kind, seed))),
        (false, false, _, [profile]) => return Ok(Some(Case::Seed(*profile, seed))),
        _ => {}
    }
    eyre::bail!("--trace is for one run: one seed of one profile or strategy, or one --point")
}

/// Runs one case, with its transcript when it is wanted. Returns whether it held.
fn trace(case: Case, transcript: bool, out: &mut dyn Write, err: &mut dyn Write) -> eyre::Result<bool> {
    let transcript = transcript.then(|| -> Box<dyn Write + Send> { Box::new(BufWriter::new(std::io::stdout())) });
    let outcome = case.run(transcript);
    let fault = outcome.fault.as_ref().map_or_else(|| "holds".to_owned(), |fault| format!("FAILED: {fault}"));
    for (what, count) in outcome.coverage.iter() {
        writeln!(err, "  {what}: {count}")?;
    }
    writeln!(
        err,
        "{case}: {} validators, {} heights, {} events, {:.1} simulated s, {:.3} CPU s, trace {:016x}",
        outcome.validators,
        outcome.heights,
        outcome.events,
        outcome.simulated_ms as f64 / 1_000.0,
        outcome.cpu.as_secs_f64(),
        outcome.hash
    )?;
    writeln!(out, "{case} {fault}")?;
    Ok(outcome.fault.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coverage, case::Outcome};

    #[test]
    fn a_strategy_that_never_acted_fails_its_campaign() {
        for kind in StrategyKind::ALL.iter().copied() {
            let mut tally = Tally::default();
            for seed in 1..TELLING_STRATEGY_SEEDS {
                tally.add(Case::Strategy(kind, seed), &Outcome::default());
            }
            assert!(idle(kind, &tally).is_empty(), "too few seeds to tell");
            // Counters of other strategies are ignored.
            let other = StrategyKind::ALL.iter().find(|other| **other != kind).map(|other| other.counter());
            let mut coverage = Coverage::default();
            coverage.hit(other.unwrap_or_default());
            tally.add(Case::Strategy(kind, 0), &Outcome { coverage, ..Outcome::default() });
            let mut entry = Entry::new("strategies", kind.name(), &tally);
            assert!(entry.holds());
            entry.missing = idle(kind, &tally);
            assert_eq!(entry.missing, [kind.counter()]);
            assert!(!entry.holds() && report::report(&entry).contains("NEVER MET: strategy:"));
            let mut coverage = Coverage::default();
            coverage.hit(kind.counter());
            tally.add(Case::Strategy(kind, 99), &Outcome { coverage, ..Outcome::default() });
            assert!(idle(kind, &tally).is_empty());
        }
    }
}
