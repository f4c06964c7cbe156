//! Command line of the simulator. The script `testnet/sim` calls it.

use std::{ops::Range, path::PathBuf, str::FromStr};

use clap::{Parser, ValueEnum};

use crate::{
    disk::WriteFault,
    profiles::{Profile, Scenario},
    strategies::StrategyKind,
};

/// Whole Causeway nodes under faults, replayed from seeds.
///
/// Each seed is one run: a chain of validators on a simulated network, with simulated disks, clocks and a parent chain. The
/// faults follow from the seed and the profile alone. Invariants are checked at every event. Exits with 1 when a run fails, when a
/// campaign of 200 seeds or more does not meet the coverage of its profile, or when one of 20 or more never saw its strategy act.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
pub struct Cli {
    /// Seeds: A..B (without B), or one number
    #[arg(long, value_name = "A..B", default_value = "0..200")]
    pub seeds: Seeds,
    /// Profile: the kind of faults
    #[arg(long, value_name = "PROFILE", default_value = "default", conflicts_with_all = ["crash_points", "strategies"])]
    pub profile: Profiles,
    /// Threads; each run uses one [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub jobs: Option<u16>,
    /// Run each seed twice, on different threads, and compare their traces
    #[arg(long)]
    pub twice: bool,
    /// Stop at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// Make every write and sync of a machine fail, in each of six ways, one run for each
    #[arg(long, conflicts_with = "strategies")]
    pub crash_points: bool,
    /// Run only one of these: scenario, number and way, such as pegged:12:torn_prefix
    #[arg(long, value_name = "SCENARIO:POINT:FAULT", requires = "crash_points")]
    pub point: Option<CrashPointName>,
    /// Run every Byzantine strategy with --per seeds, and print how soon blocks are decided after the healing
    #[arg(long)]
    pub strategies: bool,
    /// Seeds for each strategy
    #[arg(long, value_name = "K", default_value_t = 1_000, requires = "strategies", conflicts_with = "strategy")]
    pub per: u64,
    /// Run only one strategy, with the seeds of --seeds
    #[arg(long, value_name = "NAME", requires = "strategies", value_parser = strategy)]
    pub strategy: Option<StrategyKind>,
    /// Print everything that happens in one run
    #[arg(long)]
    pub trace: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Add a line for each campaign to this file
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

/// A range of seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "seeds are A..B with A below B, or one number".to_owned();
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let range = match text.split_once("..") {
            Some((from, to)) => number(from)?..number(to)?,
            None => number(text).and_then(|seed| Ok(seed..seed.checked_add(1).ok_or_else(wrong)?))?,
        };
        if range.is_empty() { Err(wrong()) } else { Ok(Self(range)) }
    }
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}..{}", self.0.start, self.0.end)
    }
}

/// One profile, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles(pub Vec<Profile>);

impl FromStr for Profiles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self(Profile::ALL.into()));
        }
        Profile::named(text).map(|profile| Self(vec![profile])).ok_or_else(|| {
            let names: Vec<&str> = Profile::ALL.iter().map(|profile| profile.name()).collect();
            format!("a profile is one of {}, or all", names.join(", "))
        })
    }
}

/// A write or sync of a scenario, and the way in which it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPointName(pub Scenario, pub u64, pub WriteFault);

impl FromStr for CrashPointName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            let faults: Vec<&str> = WriteFault::ALL.iter().map(|fault| short(*fault)).collect();
            let scenarios: Vec<&str> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
            format!("a point is SCENARIO:NUMBER:FAULT, of {} and {}", scenarios.join(", "), faults.join(", "))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [scenario, point, fault] = parts[..] else { return Err(wrong()) };
        let scenario = Scenario::from_str(scenario, false).map_err(|_| wrong())?;
        let point = point.parse().ok().filter(|point| *point > 0).ok_or_else(wrong)?;
        let fault = WriteFault::ALL.into_iter().find(|known| short(*known) == fault).ok_or_else(wrong)?;
        Ok(Self(scenario, point, fault))
    }
}

/// A fault's name without the prefix of its counter.
fn short(fault: WriteFault) -> &'static str {
    fault.name().trim_start_matches("disk:")
}

fn strategy(name: &str) -> Result<StrategyKind, String> {
    StrategyKind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<&str> = StrategyKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("a strategy is one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;
    use crate::case::Case;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seeds_are_a_range_or_one() {
        assert_eq!("3..9".parse::<Seeds>().unwrap().0, 3..9);
        assert_eq!("7".parse::<Seeds>().unwrap().0, 7..8);
        for wrong in ["", "9..3", "3..3", "a..b", "-1..2", "3..", "18446744073709551615"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_replay_is_a_command_line() {
        let kind = StrategyKind::ALL[0];
        let seeds = Profile::ALL.map(|profile| Case::Seed(profile, 3));
        let points = WriteFault::ALL.map(|fault| Case::Point(Scenario::Recovery, 5, fault));
        for case in seeds.into_iter().chain(points).chain([Case::Strategy(kind, 3)]) {
            let replay = case.replay();
            let cli = Cli::try_parse_from(replay.split(' ')).unwrap();
            assert!(cli.trace, "{replay}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            "sim --profile nothing",
            "sim --crash-points --strategies",
            "sim --per 5",
            "sim --strategies --strategy nobody",
            "sim --point pegged:1:clean",
            "sim --crash-points --point pegged:0:clean",
            "sim --jobs 0",
        ] {
            assert!(Cli::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
        }
    }
}
