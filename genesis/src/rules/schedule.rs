//! Which rules hold at which height.

use super::{Rules, RulesEntry, bounds};
use crate::{spec::ChainSpec, validity::SpecFault};

/// The newest version of the vocabulary that this build knows. It knows all earlier ones, too.
pub const KNOWN_VERSION: u64 = 1;

/// This build, as messages name it.
const BUILD: &str = concat!("causeway ", env!("CARGO_PKG_VERSION"));

/// Rules that this build does not know: it can follow the chain up to the block before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "block {height} follows rules version {version}, which this build ({BUILD}) does not know; it knows {}. \
     Install a release that knows version {version}, then start again: the data directory stays as it is.",
    known_versions()
)]
pub struct UnknownRules {
    /// First block under them.
    pub height: u64,
    /// Their version.
    pub version: u64,
}

fn known_versions() -> String {
    if KNOWN_VERSION == 1 { "version 1".to_owned() } else { format!("versions 1 to {KNOWN_VERSION}") }
}

/// The rules of a chain by height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    first: Rules,
    /// Later rules with the first height of each, ascending.
    later: Vec<(u64, Rules)>,
    unknown: Option<UnknownRules>,
}

impl Schedule {
    /// The schedule of a chain spec.
    ///
    /// # Errors
    /// [`SpecFault`], the first that an entry of `rules` has.
    pub fn of(spec: &ChainSpec) -> Result<Self, SpecFault> {
        let mut schedule = Self { first: Rules::first(spec), later: Vec::new(), unknown: None };
        let (mut last_height, mut last_version) = (None, 1);
        for entry in &spec.rules {
            let RulesEntry { height, version, .. } = *entry;
            if last_height.is_some_and(|last| height <= last) {
                return Err(SpecFault::RulesOrder { height });
            }
            if version < last_version {
                return Err(SpecFault::RulesVersion { height, version, least: last_version });
            }
            if entry.has_odd_number() {
                return Err(SpecFault::OddNumber(height));
            }
            (last_height, last_version) = (Some(height), version);
            if version > KNOWN_VERSION {
                schedule.unknown.get_or_insert(UnknownRules { height, version });
            }
            if schedule.unknown.is_none() {
                schedule.append(entry)?;
            }
        }
        if let Some(unknown) = schedule.unknown.filter(|unknown| unknown.height <= 1) {
            return Err(SpecFault::UnknownStart(unknown));
        }
        bounds::check(0, &schedule.first, spec.peg.is_some())?;
        for (height, rules) in &schedule.later {
            bounds::check(*height, rules, spec.peg.is_some())?;
        }
        Ok(schedule)
    }

    fn append(&mut self, entry: &RulesEntry) -> Result<(), SpecFault> {
        bounds::may_change(entry)?;
        let rules = entry.applied_to(self.last())?;
        if entry.height == 0 {
            self.first = rules;
        } else {
            self.later.push((entry.height, rules));
        }
        Ok(())
    }

    fn last(&self) -> &Rules {
        self.later.last().map_or(&self.first, |(_, rules)| rules)
    }

    /// The rules of the block at `height`.
    ///
    /// # Errors
    /// [`UnknownRules`] when that block needs a newer build.
    pub fn at(&self, height: u64) -> Result<&Rules, UnknownRules> {
        match self.unknown {
            Some(unknown) if height >= unknown.height => Err(unknown),
            _ => {
                let begun = self.later.partition_point(|(first, _)| *first <= height);
                Ok(begun.checked_sub(1).and_then(|at| self.later.get(at)).map_or(&self.first, |(_, rules)| rules))
            }
        }
    }

    /// The rules that the chain starts with, those of blocks 0 and 1. Figures that no entry may change are read here.
    pub fn first(&self) -> &Rules {
        &self.first
    }

    /// All rules that this build knows, with the first height of each.
    pub fn known(&self) -> impl Iterator<Item = (u64, &Rules)> {
        std::iter::once((0, &self.first)).chain(self.later.iter().map(|(height, rules)| (*height, rules)))
    }

    /// The rules at which this build has to stop, if there are any.
    pub fn unknown(&self) -> Option<UnknownRules> {
        self.unknown
    }
}
