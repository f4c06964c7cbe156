//! Rules over what nodes show from outside, and the times of recovery. Pure: observations and times are passed in.
//!
//! Times count from the run's start. A head is final on this chain, so every block that was shown once must stay.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use alloy_primitives::B256;
use serde::Serialize;

/// A node that was cut off may still receive data that was in flight for this long.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// Violations kept as text; further ones are only counted.
const MAX_VIOLATIONS: usize = 50;

/// A block as a node shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownBlock {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The hash of the previous block.
    pub parent: B256,
    /// Its state root.
    pub state_root: B256,
    /// Its transactions.
    pub transactions: Vec<B256>,
}

/// A violated rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Milliseconds since the run's start.
    pub at_ms: u64,
    /// The rule.
    pub rule: &'static str,
    /// The observation.
    pub seen: String,
}

/// The time a node took to be at the head again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejoin {
    /// Which node.
    pub node: usize,
    /// The fault, by its place in the schedule.
    pub fault: usize,
    /// Milliseconds from the repair.
    pub ms: u64,
}

/// All observations so far.
#[derive(Debug, Default)]
pub struct Judge {
    blocks: BTreeMap<u64, (ShownBlock, usize)>,
    /// Time at which each height was first seen at any node.
    first_seen: BTreeMap<u64, Duration>,
    /// The greatest head and the greatest final block each node has shown.
    heads: HashMap<usize, u64>,
    finals: HashMap<usize, u64>,
    /// The block each transaction was shown in.
    included: HashMap<B256, u64>,
    /// Nodes that must not advance: since when, and their head.
    cut_off: BTreeMap<usize, (Duration, Option<u64>)>,
    returning: BTreeMap<usize, (Duration, usize)>,
    resuming: Option<(Duration, u64)>,
    /// Periods in which blocks may stop.
    excused: Vec<(Duration, Option<Duration>)>,
    rejoins: Vec<Rejoin>,
    resumptions_ms: Vec<u64>,
    violations: Vec<Violation>,
    violated: usize,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Judge {
    /// Records a violation.
    pub fn violate(&mut self, at: Duration, rule: &'static str, seen: String) {
        self.violated = self.violated.saturating_add(1);
        tracing::error!("{rule}: {seen}");
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { at_ms: millis(at), rule, seen });
        }
    }

    /// A node shows a block.
    pub fn block(&mut self, at: Duration, node: usize, block: ShownBlock) {
        let number = block.number;
        if let Some((known, by)) = self.blocks.get(&number) {
            if *known != block {
                let rule = if known.hash != block.hash { "one block a height" } else { "equal blocks" };
                let seen = format!("height {number}: validator-{by} shows {known:?}, validator-{node} {block:?}");
                self.violate(at, rule, seen);
            }
            return;
        }
        let before = number.checked_sub(1).and_then(|before| self.blocks.get(&before)).map(|(block, _)| block.hash);
        let after = self.blocks.get(&number.saturating_add(1)).map(|(block, _)| block.parent);
        if before.is_some_and(|hash| hash != block.parent) || after.is_some_and(|parent| parent != block.hash) {
            self.violate(at, "one chain", format!("block {number} of validator-{node} does not link: {block:?}"));
        }
        for transaction in &block.transactions {
            if let Some(other) = self.included.insert(*transaction, number) {
                self.violate(at, "a transaction once", format!("{transaction} is in blocks {other} and {number}"));
            }
        }
        self.blocks.insert(number, (block, node));
    }

    /// A node reports its head.
    pub fn head(&mut self, at: Duration, node: usize, number: u64) {
        let highest = self.highest();
        self.first_seen.entry(number).or_insert(at);
        if let Some(known) = self.heads.insert(node, number)
            && number < known
        {
            self.violate(at, "a head never goes back", format!("validator-{node} showed {known} and now {number}"));
        }
        self.stands_still(at, node, number);
        if let Some((since, fault)) = self.returning.get(&node).copied()
            && number.saturating_add(1) >= highest.max(number)
        {
            self.returning.remove(&node);
            self.rejoins.push(Rejoin { node, fault, ms: millis(at.saturating_sub(since)) });
        }
        if let Some((since, height)) = self.resuming
            && number > height
        {
            self.resuming = None;
            self.resumptions_ms.push(millis(at.saturating_sub(since)));
            self.excuse_ends(at);
        }
    }

    /// A node reports its newest final block.
    pub fn finalised(&mut self, at: Duration, node: usize, number: u64) {
        if let Some(known) = self.finals.insert(node, number)
            && number < known
        {
            let seen = format!("validator-{node} called {known} final and now {number}");
            self.violate(at, "a final block never goes back", seen);
        }
    }

    fn stands_still(&mut self, at: Duration, node: usize, number: u64) {
        let Some((since, stands)) = self.cut_off.get_mut(&node) else { return };
        if at < since.saturating_add(UNDER_WAY) {
            return;
        }
        match *stands {
            None => *stands = Some(number),
            Some(height) if number > height => {
                *stands = Some(number);
                let seen = format!("validator-{node} is cut off and went from block {height} to {number}");
                self.violate(at, "a cut is a cut", seen);
            }
            Some(_) => {}
        }
    }

    /// From now on no quorum reaches these nodes, so they must not advance.
    pub fn cut_off(&mut self, at: Duration, nodes: &[usize]) {
        self.cut_off = nodes.iter().map(|node| (*node, (at, None))).collect();
    }

    /// Blocks may stop from now on.
    pub fn excuse(&mut self, at: Duration) {
        self.excused.push((at, None));
    }

    fn excuse_ends(&mut self, at: Duration) {
        if let Some((_, end)) = self.excused.last_mut().filter(|(_, end)| end.is_none()) {
            *end = Some(at);
        }
    }

    /// The fault is repaired: from now on these nodes have to reach the head, and blocks have to come.
    pub fn repaired(&mut self, at: Duration, fault: usize, nodes: &[usize]) {
        self.cut_off.clear();
        self.returning.extend(nodes.iter().map(|node| (*node, (at, fault))));
        if self.excused.last().is_some_and(|(_, end)| end.is_none()) {
            self.resuming = Some((at, self.highest()));
        }
    }

    /// What the run still waits for; `None` when all nodes are at the head and blocks come.
    pub fn waits_for(&self) -> Option<String> {
        if let Some((_, height)) = self.resuming {
            return Some(format!("a block after {height}"));
        }
        (!self.returning.is_empty())
            .then(|| format!("nodes {:?} at the head", self.returning.keys().collect::<Vec<_>>()))
    }

    /// Stops waiting, and records the violation.
    pub fn give_up(&mut self, at: Duration) {
        let Some(waited) = self.waits_for() else { return };
        let since = self.resuming.map(|(since, _)| since);
        let since = since.or_else(|| self.returning.values().map(|(since, _)| *since).min()).unwrap_or(at);
        let ms = millis(at.saturating_sub(since));
        self.violate(at, "everybody recovers", format!("{waited}: not within {ms} ms"));
        self.rejoins.extend(self.returning.iter().map(|(node, (_, fault))| Rejoin { node: *node, fault: *fault, ms }));
        self.resumptions_ms.extend(self.resuming.map(|_| ms));
        self.returning.clear();
        self.resuming = None;
        self.excuse_ends(at);
    }

    /// The greatest head that any node has shown.
    pub fn highest(&self) -> u64 {
        self.heads.values().copied().max().unwrap_or(0)
    }

    /// Heights below the highest one whose block no node has shown yet, lowest first.
    pub fn unseen(&self, node: usize, most: usize) -> Vec<u64> {
        let head = self.heads.get(&node).copied().unwrap_or(0);
        let first = self.first_seen.keys().next().copied().unwrap_or(head);
        (first..=head).filter(|height| !self.blocks.contains_key(height)).take(most).collect()
    }

    /// Block of a transaction.
    pub fn block_of(&self, transaction: &B256) -> Option<(u64, B256)> {
        let number = self.included.get(transaction)?;
        self.blocks.get(number).map(|(block, _)| (*number, block.hash))
    }

    /// The block that was shown first at a height.
    pub fn shown(&self, height: u64) -> Option<ShownBlock> {
        self.blocks.get(&height).map(|(block, _)| block.clone())
    }

    /// Transactions seen in blocks.
    pub fn transactions(&self) -> usize {
        self.included.len()
    }

    /// Every rejoin so far.
    pub fn rejoins(&self) -> &[Rejoin] {
        &self.rejoins
    }

    /// Milliseconds from each repair to the next block.
    pub fn resumptions_ms(&self) -> &[u64] {
        &self.resumptions_ms
    }

    /// The kept violations, and the number of all.
    pub fn violations(&self) -> (&[Violation], usize) {
        (&self.violations, self.violated)
    }

    /// The longest time without a new head until `now`: overall, and while blocks had to come. Milliseconds.
    pub fn longest_gaps_ms(&self, now: Duration) -> (u64, u64) {
        let times: BTreeSet<Duration> = self.first_seen.values().copied().chain([now]).collect();
        let times: Vec<Duration> = times.into_iter().collect();
        let (mut overall, mut unexcused) = (Duration::ZERO, Duration::ZERO);
        for pair in times.windows(2) {
            let [before, after] = pair else { continue };
            let gap = after.saturating_sub(*before);
            overall = overall.max(gap);
            let excused = self.excused.iter().any(|(from, to)| from < after && to.is_none_or(|to| to > *before));
            if !excused {
                unexcused = unexcused.max(gap);
            }
        }
        (millis(overall), millis(unexcused))
    }
}

#[cfg(test)]
mod tests;
