//! Incoming block bodies of one height: their parts are checked against signed lists, collected, requested when missing, and
//! served to other peers (pitfalls 11 and 17).

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{B256, Bytes};

use crate::height::{Height, Round};
use crate::io::PeerToken;
use crate::message::PartRequest;
use crate::proposal::{PART_BYTES, PartList, ProposalPart, split};

/// Bodies of one height, complete or incomplete. At 4 MiB each this bounds memory to 64 MiB.
pub(crate) const MAX_BODIES: usize = 16;

/// Parts buffered before their proposal arrives: two full blocks.
pub(crate) const MAX_EARLY_PARTS: usize = 128;

/// Early parts buffered from one peer.
pub(crate) const MAX_EARLY_PARTS_PER_PEER: usize = 64;

/// Peers remembered as sources of a body.
const MAX_SOURCES: usize = 4;

/// How often a missing part is requested before the node waits until a peer offers it again.
const MAX_PULLS: u32 = 20;

/// A body, complete or incomplete.
struct Entry {
    list: PartList,
    parts: Vec<Option<Bytes>>,
    missing: usize,
    /// The assembled body once nothing is missing.
    body: Option<Bytes>,
    /// The latest round in which it was proposed.
    round: Round,
    sources: VecDeque<PeerToken>,
    /// The last time a part arrived or was requested.
    moved_ms: u64,
    pulls: u32,
}

/// The result of adding an arriving part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PartOutcome {
    /// It matches its list; more parts are missing.
    Added,
    /// It was the last missing part: the body with this list root is complete.
    Completed(B256),
    /// It had arrived before.
    Known,
    /// No proposal lists it yet; it is buffered.
    Early,
    /// No proposal lists it yet, and the buffer is full.
    Dropped,
    /// It does not match its list.
    Wrong,
}

/// Bodies of the current height, and early parts of this height and the next.
#[derive(Default)]
pub(crate) struct Bodies {
    entries: BTreeMap<B256, Entry>,
    early: VecDeque<(PeerToken, ProposalPart)>,
}

impl Bodies {
    /// Forgets all bodies, and the early parts of heights below `height`.
    pub(crate) fn start_height(&mut self, height: Height) {
        self.entries.clear();
        self.early.retain(|(_, part)| part.height >= height);
    }

    /// Number of bodies and of early parts in memory.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.early.len())
    }

    /// Opens the body of `list`, proposed in `round` and received from `from`, and adds the early parts that belong to it.
    /// Returns the root when this completes the body. `keep` lists bodies that must not be evicted.
    pub(crate) fn open(
        &mut self,
        list: &PartList,
        round: Round,
        from: Option<PeerToken>,
        now_ms: u64,
        keep: &[B256],
    ) -> Option<B256> {
        let root = list.root();
        if let Some(entry) = self.entries.get_mut(&root) {
            entry.round = entry.round.max(round);
            entry.add_source(from);
            entry.pulls = 0;
            return None;
        }
        self.make_room(round, keep);
        let count = list.hashes.len();
        let mut entry = Entry {
            list: list.clone(),
            parts: vec![None; count],
            missing: count,
            body: None,
            round,
            sources: VecDeque::new(),
            moved_ms: now_ms,
            pulls: 0,
        };
        entry.add_source(from);
        let early = std::mem::take(&mut self.early);
        for (peer, part) in early {
            if part.root == root {
                // The sender of a wrong early part is not blamed: it could not be checked when it arrived.
                let _outcome = entry.add(part.index, part.bytes);
            } else {
                self.early.push_back((peer, part));
            }
        }
        let whole = entry.missing == 0;
        self.entries.insert(root, entry);
        whole.then_some(root)
    }

    /// Inserts a complete body: our own, a certified or a recovered one. Returns its list, or `None` when the size of the
    /// body is not allowed.
    pub(crate) fn insert(
        &mut self,
        body: &Bytes,
        round: Round,
        now_ms: u64,
        keep: &[B256],
    ) -> Option<(B256, PartList)> {
        let list = PartList::of(body)?;
        let root = list.root();
        if !self.entries.contains_key(&root) {
            self.make_room(round, keep);
        }
        let entry = self.entries.entry(root).or_insert_with(|| Entry {
            list: list.clone(),
            parts: Vec::new(),
            missing: 0,
            body: None,
            round,
            sources: VecDeque::new(),
            moved_ms: now_ms,
            pulls: 0,
        });
        entry.round = entry.round.max(round);
        entry.parts.clear();
        entry.missing = 0;
        entry.body = Some(body.clone());
        Some((root, list))
    }

    /// Evicts the body whose round is furthest from `round`, except those in `keep`.
    fn make_room(&mut self, round: Round, keep: &[B256]) {
        while self.entries.len() >= MAX_BODIES {
            let distance = |entry: &Entry| entry.round.0.abs_diff(round.0);
            let candidates = self.entries.iter().filter(|(root, _)| !keep.contains(root));
            let Some(root) = candidates.max_by_key(|(_, entry)| distance(entry)).map(|(root, _)| *root) else {
                return; // at most two bodies are kept (locked and valid block), far below the limit
            };
            self.entries.remove(&root);
        }
    }

    /// Adds a part received from `from`.
    pub(crate) fn add_part(&mut self, from: PeerToken, part: ProposalPart, now_ms: u64) -> PartOutcome {
        let Some(entry) = self.entries.get_mut(&part.root) else {
            return self.buffer(from, part);
        };
        let outcome = entry.add(part.index, part.bytes);
        match outcome {
            PartOutcome::Added => {
                entry.moved_ms = now_ms;
                entry.pulls = 0;
                entry.add_source(Some(from));
                PartOutcome::Added
            }
            PartOutcome::Completed(_) => PartOutcome::Completed(part.root),
            other => other,
        }
    }

    fn buffer(&mut self, from: PeerToken, part: ProposalPart) -> PartOutcome {
        let same = |held: &ProposalPart| held.root == part.root && held.index == part.index;
        if self.early.iter().any(|(peer, held)| *peer == from && same(held)) {
            return PartOutcome::Known;
        }
        let held = self.early.iter().filter(|(peer, _)| *peer == from).count();
        if held >= MAX_EARLY_PARTS_PER_PEER {
            return PartOutcome::Dropped;
        }
        if self.early.len() >= MAX_EARLY_PARTS {
            self.early.pop_front();
        }
        self.early.push_back((from, part));
        PartOutcome::Early
    }

    /// Notes that `peer` should have the body of `root`.
    pub(crate) fn add_source(&mut self, root: &B256, peer: PeerToken) {
        if let Some(entry) = self.entries.get_mut(root) {
            entry.add_source(Some(peer));
        }
    }

    /// The body of `root`, when it is complete.
    pub(crate) fn body(&self, root: &B256) -> Option<&Bytes> {
        self.entries.get(root)?.body.as_ref()
    }

    /// The list of `root`.
    pub(crate) fn list(&self, root: &B256) -> Option<&PartList> {
        self.entries.get(root).map(|entry| &entry.list)
    }

    /// All parts of a complete body.
    pub(crate) fn parts(&self, height: Height, root: &B256) -> Vec<ProposalPart> {
        let Some(entry) = self.entries.get(root) else { return Vec::new() };
        entry.body.as_ref().map_or_else(Vec::new, |body| split(height, &entry.list, body))
    }

    /// The part at `index` of the body of `root`, if it has arrived.
    pub(crate) fn part(&self, height: Height, root: &B256, index: u32) -> Option<ProposalPart> {
        let entry = self.entries.get(root)?;
        let at = usize::try_from(index).ok()?;
        let bytes = match &entry.body {
            Some(body) => {
                let start = at.checked_mul(PART_BYTES)?;
                let len = entry.list.part_len(at)?;
                body.slice(start..start.checked_add(len)?)
            }
            None => entry.parts.get(at)?.clone()?,
        };
        Some(ProposalPart { height, root: *root, index, bytes })
    }

    /// When the next pull is due.
    pub(crate) fn next_pull_ms(&self, pull_after_ms: u64) -> Option<u64> {
        let waiting = self.entries.values().filter(|entry| entry.is_waiting());
        waiting.map(|entry| entry.due_ms(pull_after_ms)).min()
    }

    /// The pulls that are due: one peer is asked for all missing parts of a body; each repetition asks another peer.
    pub(crate) fn pulls(&mut self, height: Height, now_ms: u64, pull_after_ms: u64) -> Vec<(PeerToken, PartRequest)> {
        let mut pulls = Vec::new();
        for (root, entry) in &mut self.entries {
            if !entry.is_waiting() || entry.due_ms(pull_after_ms) > now_ms {
                continue;
            }
            let Some(peer) = entry.sources.pop_front() else { continue };
            entry.sources.push_back(peer);
            entry.moved_ms = now_ms;
            entry.pulls = entry.pulls.saturating_add(1);
            let indices = (0u32..).zip(&entry.parts).filter(|(_, part)| part.is_none()).map(|(index, _)| index);
            pulls.push((peer, PartRequest { height, root: *root, indices: indices.collect() }));
        }
        pulls
    }
}

impl Entry {
    fn add_source(&mut self, peer: Option<PeerToken>) {
        let Some(peer) = peer else { return };
        if self.sources.contains(&peer) {
            return;
        }
        if self.sources.len() >= MAX_SOURCES {
            self.sources.pop_front();
        }
        self.sources.push_back(peer);
    }

    /// The index must be the part's place in the signed list (ASA-2025-002), and it is checked before use (ASA-2025-003).
    fn add(&mut self, index: u32, bytes: Bytes) -> PartOutcome {
        let Ok(at) = usize::try_from(index) else { return PartOutcome::Wrong };
        if self.body.is_some() {
            // The body is complete, so hashing a part only to blame its sender is not worth the time.
            return if at < self.list.hashes.len() { PartOutcome::Known } else { PartOutcome::Wrong };
        }
        match self.parts.get(at) {
            None => return PartOutcome::Wrong,
            Some(Some(_)) => return PartOutcome::Known,
            Some(None) if !self.list.accepts(at, &bytes) => return PartOutcome::Wrong,
            Some(None) => (),
        }
        self.parts[at] = Some(bytes);
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return PartOutcome::Added;
        }
        let body: Vec<u8> = self.parts.iter().flatten().flat_map(|part| part.iter().copied()).collect();
        self.body = Some(body.into());
        self.parts.clear();
        PartOutcome::Completed(B256::ZERO) // the caller knows the root
    }

    fn is_waiting(&self) -> bool {
        self.body.is_none() && !self.sources.is_empty() && self.pulls < MAX_PULLS
    }

    fn due_ms(&self, pull_after_ms: u64) -> u64 {
        // The wait grows: 1, 2, 4, 8, 8, ... times the configured wait.
        self.moved_ms.saturating_add(pull_after_ms.saturating_mul(1 << self.pulls.min(3)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn body(seed: u8, len: usize) -> Bytes {
        (0..len).map(|n| seed.wrapping_add((n % 251) as u8)).collect::<Vec<_>>().into()
    }

    fn parts(body: &Bytes) -> (PartList, Vec<ProposalPart>) {
        let list = PartList::of(body).unwrap();
        let parts = split(Height(1), &list, body);
        (list, parts)
    }

    #[test]
    fn parts_in_any_order_make_the_body() {
        let body = body(1, 3 * PART_BYTES + 5);
        let (list, parts) = parts(&body);
        let mut bodies = Bodies::default();
        // The last part arrives before the proposal, all others after it.
        assert_eq!(bodies.add_part(7, parts[3].clone(), 0), PartOutcome::Early);
        assert_eq!(bodies.open(&list, Round(0), Some(7), 0, &[]), None);
        assert_eq!(bodies.add_part(7, parts[2].clone(), 0), PartOutcome::Added);
        assert_eq!(bodies.add_part(7, parts[2].clone(), 0), PartOutcome::Known);
        assert_eq!(bodies.add_part(7, parts[0].clone(), 0), PartOutcome::Added);
        assert_eq!(bodies.part(Height(1), &list.root(), 0), Some(parts[0].clone()));
        assert_eq!(bodies.part(Height(1), &list.root(), 1), None);
        assert_eq!(bodies.add_part(7, parts[1].clone(), 0), PartOutcome::Completed(list.root()));
        assert_eq!(bodies.body(&list.root()), Some(&body));
        assert_eq!(bodies.parts(Height(1), &list.root()), parts);
        assert_eq!(bodies.part(Height(1), &list.root(), 3), Some(parts[3].clone()));
        assert_eq!(bodies.part(Height(1), &list.root(), 4), None);
    }

    #[test]
    fn a_body_of_early_parts_is_whole_when_its_proposal_comes() {
        let (list, parts) = parts(&body(1, 10));
        let mut bodies = Bodies::default();
        bodies.add_part(7, parts[0].clone(), 0);
        assert_eq!(bodies.open(&list, Round(0), Some(7), 0, &[]), Some(list.root()));
        assert_eq!(bodies.open(&list, Round(1), Some(7), 0, &[]), None, "and only once");
    }

    #[test]
    fn a_part_at_another_place_or_with_other_bytes_is_wrong() {
        let (list, parts) = parts(&body(1, 2 * PART_BYTES));
        let mut bodies = Bodies::default();
        bodies.open(&list, Round(0), Some(7), 0, &[]);
        for index in [1, 2, u32::MAX] {
            let moved = ProposalPart { index, ..parts[0].clone() };
            assert_eq!(bodies.add_part(7, moved, 0), PartOutcome::Wrong, "index {index}");
        }
        let cut = ProposalPart { bytes: parts[0].bytes.slice(1..), ..parts[0].clone() };
        assert_eq!(bodies.add_part(7, cut, 0), PartOutcome::Wrong);
    }

    #[test]
    fn early_parts_are_bounded_for_each_peer_and_in_all() {
        let mut bodies = Bodies::default();
        for peer in 0..4 {
            for n in 0..=MAX_EARLY_PARTS_PER_PEER {
                let part = ProposalPart {
                    height: Height(1),
                    root: B256::repeat_byte(9),
                    index: n as u32,
                    bytes: Bytes::from_static(b"junk"),
                };
                let expected = if n < MAX_EARLY_PARTS_PER_PEER { PartOutcome::Early } else { PartOutcome::Dropped };
                assert_eq!(bodies.add_part(peer, part, 0), expected);
            }
        }
        assert_eq!(bodies.early.len(), MAX_EARLY_PARTS);
        bodies.start_height(Height(2));
        assert!(bodies.early.is_empty());
    }

    #[test]
    fn missing_parts_are_pulled_from_one_source_after_another() {
        let (list, parts) = parts(&body(1, 2 * PART_BYTES));
        let mut bodies = Bodies::default();
        bodies.open(&list, Round(0), Some(7), 1_000, &[]);
        bodies.add_part(8, parts[1].clone(), 1_050);
        assert_eq!(bodies.next_pull_ms(100), Some(1_150));
        assert!(bodies.pulls(Height(1), 1_149, 100).is_empty());
        let request = PartRequest { height: Height(1), root: list.root(), indices: vec![0] };
        assert_eq!(bodies.pulls(Height(1), 1_150, 100), vec![(7, request.clone())]);
        assert_eq!(bodies.next_pull_ms(100), Some(1_350));
        assert_eq!(bodies.pulls(Height(1), 1_350, 100), vec![(8, request)]);
        bodies.add_part(8, parts[0].clone(), 1_360);
        assert_eq!(bodies.next_pull_ms(100), None);
    }

    #[test]
    fn bodies_of_distant_rounds_are_evicted_but_kept_ones_stay() {
        let mut bodies = Bodies::default();
        let mut roots = Vec::new();
        for n in 0..MAX_BODIES {
            let (list, _) = parts(&body(n as u8, 10));
            bodies.open(&list, Round(n as u32), None, 0, &[]);
            roots.push(list.root());
        }
        let (list, _) = parts(&body(99, 10));
        bodies.open(&list, Round(MAX_BODIES as u32), None, 0, &[roots[0]]);
        assert_eq!(bodies.entries.len(), MAX_BODIES);
        assert!(bodies.list(&roots[0]).is_some());
        assert!(bodies.list(&roots[1]).is_none());
        assert!(bodies.list(&list.root()).is_some());
    }
}
