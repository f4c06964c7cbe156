//! The order and the times of the faults, derived from a seed.
//!
//! Classes are dealt like cards: all of them in a random order, then all of them again, so that a run of any length has about
//! as many of each.

use std::fmt;

use serde::Serialize;

use crate::chaos::{random::Random, relay::Cut};

/// A kind of fault, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// SIGKILL of one node, started again later.
    KillOne,
    /// SIGKILL of two nodes at once.
    KillTwo,
    /// SIGKILL of all nodes at once.
    KillAll,
    /// SIGSTOP of one node.
    PauseOne,
    /// SIGSTOP of two nodes.
    PauseTwo,
    /// One node is cut off from all others.
    Isolate,
    /// The nodes are cut in halves.
    Split,
    /// Nothing that one node sends arrives; it still receives everything.
    OneWay,
    /// Every link is slow.
    Delay,
    /// Every link loses data.
    Loss,
    /// A node's data directory is full.
    DiskFull,
    /// A node's disk fails to sync.
    SyncFails,
    /// The parent hangs.
    ParentHangs,
    /// The parent is stopped, and starts again with its state.
    ParentGone,
    /// The parent replaces blocks that are not final.
    ParentReorg,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 15] = [
        Self::KillOne,
        Self::KillTwo,
        Self::KillAll,
        Self::PauseOne,
        Self::PauseTwo,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Delay,
        Self::Loss,
        Self::DiskFull,
        Self::SyncFails,
        Self::ParentHangs,
        Self::ParentGone,
        Self::ParentReorg,
    ];
}

/// An action of the injector, with its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a start after the pause.
    Kill(Vec<usize>),
    /// SIGSTOP, and SIGCONT after the pause.
    Pause(Vec<usize>),
    /// No link works between the named nodes and the others.
    Cut(Vec<usize>, Cut),
    /// Nothing leaves the node.
    OneWay(usize),
    /// Every link delays by the first number of milliseconds, with the second as jitter.
    Delay(u64, u64),
    /// Every link loses this many thousandths of its chunks.
    Loss(u64),
    /// The node's data directory is full.
    DiskFull(usize),
    /// The node's syncs fail after this many more.
    SyncFails(usize, u32),
    /// SIGSTOP of the parent.
    ParentHangs,
    /// Orderly stop of the parent.
    ParentGone,
    /// The parent replaces this many blocks.
    ParentReorg(u64),
}

/// One entry of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Class, for counting.
    pub class: Class,
    /// What is done.
    pub fault: Fault,
    /// How long it lasts, in milliseconds.
    pub ms: u64,
    /// Quiet time after all nodes have recovered, in milliseconds.
    pub quiet_ms: u64,
}

impl Entry {
    /// Whether blocks may stop meanwhile: no quorum is left, or the links between the nodes are bad.
    pub fn may_stop(&self, validators: usize) -> bool {
        // A quorum is more than two thirds; all have the same stake.
        let quorum = |present: usize| present.saturating_mul(3) > validators.saturating_mul(2);
        match &self.fault {
            Fault::Kill(nodes) | Fault::Pause(nodes) => !quorum(validators.saturating_sub(nodes.len())),
            Fault::Cut(nodes, _) => !quorum(nodes.len()) && !quorum(validators.saturating_sub(nodes.len())),
            Fault::Delay(..) | Fault::Loss(_) => true,
            Fault::OneWay(_) | Fault::DiskFull(_) | Fault::SyncFails(..) => !quorum(validators.saturating_sub(1)),
            Fault::ParentHangs | Fault::ParentGone | Fault::ParentReorg(_) => false,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Kill(nodes) => write!(formatter, "kill {nodes:?}")?,
            Fault::Pause(nodes) => write!(formatter, "pause {nodes:?}")?,
            Fault::Cut(nodes, cut) => write!(formatter, "cut {nodes:?} off, {cut:?}")?,
            Fault::OneWay(node) => write!(formatter, "nothing leaves {node}")?,
            Fault::Delay(ms, jitter) => write!(formatter, "delay of {ms} +- {jitter} ms")?,
            Fault::Loss(thousandths) => write!(formatter, "loss of {:.1} %", *thousandths as f64 / 10.0)?,
            Fault::DiskFull(node) => write!(formatter, "disk of {node} full")?,
            Fault::SyncFails(node, after) => write!(formatter, "syncs of {node} fail after {after} more")?,
            Fault::ParentHangs => write!(formatter, "parent hangs")?,
            Fault::ParentGone => write!(formatter, "parent gone")?,
            Fault::ParentReorg(depth) => return write!(formatter, "parent replaces {depth} blocks"),
        }
        write!(formatter, " for {} ms", self.ms)
    }
}

/// Strength and length of the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Faults of up to 20 s, with quiet seconds between them.
    Full,
    /// Every class once, for one to three seconds.
    Brief,
}

/// An endless list of faults.
#[derive(Clone, Debug)]
pub struct Schedule {
    random: Random,
    validators: usize,
    pace: Pace,
    /// The validator whose data directory can become full.
    small_disk: usize,
    deck: Vec<Class>,
}

impl Schedule {
    /// The list of a seed.
    pub fn new(seed: u64, validators: usize, small_disk: usize, pace: Pace) -> Self {
        Self { random: Random::new(seed), validators, pace, small_disk, deck: Vec::new() }
    }

    /// Depth to which the parent may replace blocks: less than the distance from its head to its last final block.
    pub const DEEPEST_REORG: u64 = 3;

    fn nodes(&mut self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.validators).collect();
        self.random.shuffle(&mut all);
        all.truncate(count);
        all.sort_unstable();
        all
    }

    fn node(&mut self) -> usize {
        self.nodes(1).first().copied().unwrap_or_default()
    }

    fn cut(&mut self) -> Cut {
        if self.random.happens(500) { Cut::Silent } else { Cut::Reset }
    }

    fn fault(&mut self, class: Class) -> Fault {
        match class {
            Class::KillOne => Fault::Kill(self.nodes(1)),
            Class::KillTwo => Fault::Kill(self.nodes(2)),
            Class::KillAll => Fault::Kill(self.nodes(self.validators)),
            Class::PauseOne => Fault::Pause(self.nodes(1)),
            Class::PauseTwo => Fault::Pause(self.nodes(2)),
            Class::Isolate => Fault::Cut(self.nodes(1), self.cut()),
            Class::Split => Fault::Cut(self.nodes(self.validators / 2), self.cut()),
            Class::OneWay => Fault::OneWay(self.node()),
            Class::Delay => {
                let ms = self.random.between(100, 1_000);
                Fault::Delay(ms, ms / 2)
            }
            Class::Loss => Fault::Loss(self.random.between(10, 200)),
            Class::DiskFull => Fault::DiskFull(self.small_disk),
            Class::SyncFails => {
                let after = self.random.between(0, 20);
                Fault::SyncFails(self.node(), u32::try_from(after).unwrap_or_default())
            }
            Class::ParentHangs => Fault::ParentHangs,
            Class::ParentGone => Fault::ParentGone,
            Class::ParentReorg => Fault::ParentReorg(self.random.between(1, Self::DEEPEST_REORG)),
        }
    }

    fn length(&mut self, class: Class) -> u64 {
        if self.pace == Pace::Brief {
            return self.random.between(1_000, 2_500);
        }
        match class {
            Class::KillOne | Class::KillTwo | Class::KillAll | Class::DiskFull | Class::SyncFails => {
                self.random.between(500, 12_000)
            }
            Class::PauseOne | Class::PauseTwo => self.random.between(2_000, 20_000),
            _ => self.random.between(4_000, 20_000),
        }
    }
}

impl Iterator for Schedule {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.deck.is_empty() {
            self.deck = Class::ALL.to_vec();
            self.random.shuffle(&mut self.deck);
        }
        let class = self.deck.pop()?;
        let quiet_ms = match self.pace {
            Pace::Brief => 500,
            Pace::Full => self.random.between(2_000, 6_000),
        };
        Some(Entry { class, fault: self.fault(class), ms: self.length(class), quiet_ms })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn dealt(seed: u64, count: usize) -> Vec<Entry> {
        Schedule::new(seed, 4, 3, Pace::Full).take(count).collect()
    }

    #[test]
    fn a_schedule_follows_from_its_seed() {
        assert_eq!(dealt(9, 60), dealt(9, 60));
        assert_ne!(dealt(9, 60), dealt(10, 60));
    }

    #[test]
    fn every_class_comes_as_often_as_the_others() {
        for seed in 0..20 {
            let mut counted: BTreeMap<Class, usize> = BTreeMap::new();
            dealt(seed, 3 * Class::ALL.len()).iter().for_each(|entry| *counted.entry(entry.class).or_default() += 1);
            assert!(Class::ALL.iter().all(|class| counted.get(class) == Some(&3)), "{counted:?}");
        }
    }

    #[test]
    fn faults_stay_within_what_a_chain_must_bear() {
        for entry in dealt(3, 600) {
            assert!((500..=20_000).contains(&entry.ms) && (2_000..=6_000).contains(&entry.quiet_ms), "{entry}");
            if let Fault::ParentReorg(depth) = entry.fault {
                assert!((1..=Schedule::DEEPEST_REORG).contains(&depth));
            }
            if let Fault::DiskFull(node) = entry.fault {
                assert_eq!(node, 3);
            }
        }
        let brief: Vec<Entry> = Schedule::new(3, 4, 3, Pace::Brief).take(Class::ALL.len()).collect();
        assert!(brief.iter().all(|entry| entry.ms <= 2_500));
    }

    #[test]
    fn a_quorum_is_more_than_two_thirds() {
        let stops = |fault, validators| Entry { class: Class::KillOne, fault, ms: 1, quiet_ms: 1 }.may_stop(validators);
        assert!(!stops(Fault::Kill(vec![0]), 4) && stops(Fault::Kill(vec![0, 1]), 4));
        assert!(stops(Fault::Kill(vec![0]), 3) && !stops(Fault::Pause(vec![0, 1]), 7));
        assert!(stops(Fault::Cut(vec![0, 1], Cut::Silent), 4) && !stops(Fault::Cut(vec![2], Cut::Reset), 4));
        assert!(!stops(Fault::OneWay(1), 4) && stops(Fault::Delay(1, 0), 4) && !stops(Fault::ParentHangs, 4));
    }
}
