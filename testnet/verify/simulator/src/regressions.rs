//! Seeds that have found a bug, kept for ever: `regressions.txt` beside this crate's Cargo.toml.
//!
//! A line has a profile (or `strategy:` and a name), a seed and the reason, separated by spaces. A seed keeps its meaning only
//! while its profile draws the same values, so every bug found has its own test in the crate with the bug.

use crate::{case::Case, profiles::Profile, strategies::StrategyKind};

const LINES: &str = include_str!("../regressions.txt");

/// The kept seeds, with the reason of each.
///
/// # Errors
/// The first malformed line.
pub fn cases() -> Result<Vec<(Case, &'static str)>, String> {
    parse(LINES)
}

fn parse(lines: &str) -> Result<Vec<(Case, &str)>, String> {
    let meant = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    meant.map(|line| read(line).ok_or_else(|| format!("not PROFILE SEED REASON: {line}"))).collect()
}

fn read(line: &str) -> Option<(Case, &str)> {
    let (name, rest) = line.split_once(' ')?;
    let (seed, reason) = rest.trim_start().split_once(' ')?;
    let seed = seed.parse().ok()?;
    let case = match name.strip_prefix("strategy:") {
        Some(name) => Case::Strategy(StrategyKind::ALL.iter().copied().find(|kind| kind.name() == name)?, seed),
        None => Case::Seed(Profile::named(name)?, seed),
    };
    Some((case, reason.trim_start()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_are_profile_seed_and_reason() {
        let lines = "# what was found\n\ncrash 17 a lock was forgotten\nstrategy:silent 3 nobody proposed\n";
        let read = parse(lines).unwrap();
        assert_eq!(read[0], (Case::Seed(Profile::Crash, 17), "a lock was forgotten"));
        assert_eq!(read[1], (Case::Strategy(StrategyKind::Silent, 3), "nobody proposed"));
        for wrong in ["crash 17", "crash x reason", "nothing 5 reason", "strategy:nobody 5 reason"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        cases().unwrap();
    }
}
