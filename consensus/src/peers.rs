//! Limits for each peer: replies are limited in bytes, reports of greater heights in time.

use std::collections::BTreeMap;

use crate::height::Height;
use crate::io::PeerToken;

/// Most peers with a budget of their own; the one silent for longest is forgotten first.
pub(crate) const MAX_TRACKED_PEERS: usize = 512;

/// Bytes of replies (decisions, proposals, parts) to one peer per second.
pub(crate) const REPLY_BYTES_PER_SECOND: usize = 8 * 1024 * 1024;

/// A peer gets the same decision again only after this time.
pub(crate) const SAME_DECISION_MS: u64 = 1_000;

/// A greater height of one peer is reported at most once in this time.
pub(crate) const BEHIND_EVERY_MS: u64 = 500;

/// Late precommits verified for one peer per second; each may cost the caller one database read.
pub const LATE_PRECOMMITS_PER_SECOND: u32 = 16;

const WINDOW_MS: u64 = 1_000;

#[derive(Default)]
struct Budget {
    used_ms: u64,
    window_ms: u64,
    replied_bytes: usize,
    decision: Option<(Height, u64)>,
    behind_ms: Option<u64>,
    late_window_ms: u64,
    late: u32,
}

/// The budgets of peers.
#[derive(Default)]
pub(crate) struct Peers {
    budgets: BTreeMap<PeerToken, Budget>,
}

impl Peers {
    /// Number of peers with a budget.
    pub(crate) fn len(&self) -> usize {
        self.budgets.len()
    }

    fn budget(&mut self, peer: PeerToken, now_ms: u64) -> &mut Budget {
        if !self.budgets.contains_key(&peer) && self.budgets.len() >= MAX_TRACKED_PEERS {
            let silent = self.budgets.iter().min_by_key(|(_, budget)| budget.used_ms).map(|(peer, _)| *peer);
            if let Some(silent) = silent {
                self.budgets.remove(&silent);
            }
        }
        let budget = self.budgets.entry(peer).or_default();
        budget.used_ms = now_ms;
        budget
    }

    /// Whether a reply of `bytes` is within the peer's budget; if so, it is charged. One reply per window may exceed the
    /// budget, so that even the largest message can be sent.
    pub(crate) fn may_reply(&mut self, peer: PeerToken, bytes: usize, now_ms: u64) -> bool {
        let budget = self.budget(peer, now_ms);
        if now_ms.saturating_sub(budget.window_ms) >= WINDOW_MS {
            budget.window_ms = now_ms;
            budget.replied_bytes = 0;
        }
        if budget.replied_bytes > 0 && budget.replied_bytes.saturating_add(bytes) > REPLY_BYTES_PER_SECOND {
            return false;
        }
        budget.replied_bytes = budget.replied_bytes.saturating_add(bytes);
        true
    }

    /// Whether the decision of `height` may be sent to the peer now; if so, it is charged.
    pub(crate) fn may_get_decision(&mut self, peer: PeerToken, height: Height, bytes: usize, now_ms: u64) -> bool {
        let budget = self.budget(peer, now_ms);
        let soon = |at: u64| now_ms.saturating_sub(at) < SAME_DECISION_MS;
        if budget.decision.is_some_and(|(last, at)| last == height && soon(at)) {
            return false;
        }
        if !self.may_reply(peer, bytes, now_ms) {
            return false;
        }
        self.budget(peer, now_ms).decision = Some((height, now_ms));
        true
    }

    /// Whether one more late precommit of the peer may be verified now; if so, it is charged.
    pub(crate) fn may_be_late(&mut self, peer: PeerToken, now_ms: u64) -> bool {
        let budget = self.budget(peer, now_ms);
        if now_ms.saturating_sub(budget.late_window_ms) >= WINDOW_MS {
            budget.late_window_ms = now_ms;
            budget.late = 0;
        }
        if budget.late >= LATE_PRECOMMITS_PER_SECOND {
            return false;
        }
        budget.late = budget.late.saturating_add(1);
        true
    }

    /// Whether a greater height of the peer should be reported now.
    pub(crate) fn may_report_behind(&mut self, peer: PeerToken, now_ms: u64) -> bool {
        let budget = self.budget(peer, now_ms);
        if budget.behind_ms.is_some_and(|at| now_ms.saturating_sub(at) < BEHIND_EVERY_MS) {
            return false;
        }
        budget.behind_ms = Some(now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_budgeted_for_each_peer_and_second() {
        let mut peers = Peers::default();
        assert!(peers.may_reply(1, REPLY_BYTES_PER_SECOND * 2, 5_000), "the first reply of a window is always allowed");
        assert!(!peers.may_reply(1, 1, 5_999));
        assert!(peers.may_reply(2, 1, 5_999));
        assert!(peers.may_reply(1, 1, 6_000));
    }

    #[test]
    fn the_same_decision_is_not_sent_twice_in_a_second() {
        let mut peers = Peers::default();
        assert!(peers.may_get_decision(1, Height(5), 10, 0));
        assert!(!peers.may_get_decision(1, Height(5), 10, SAME_DECISION_MS - 1));
        assert!(peers.may_get_decision(1, Height(6), 10, SAME_DECISION_MS - 1));
        assert!(peers.may_get_decision(1, Height(5), 10, SAME_DECISION_MS));
    }

    #[test]
    fn late_precommits_are_limited_for_each_peer_and_second() {
        let mut peers = Peers::default();
        for _ in 0..LATE_PRECOMMITS_PER_SECOND {
            assert!(peers.may_be_late(1, 5_000));
        }
        assert!(!peers.may_be_late(1, 5_999));
        assert!(peers.may_be_late(2, 5_999));
        assert!(peers.may_be_late(1, 6_000));
    }

    #[test]
    fn tracked_peers_are_bounded() {
        let mut peers = Peers::default();
        for peer in 0..MAX_TRACKED_PEERS as u64 + 10 {
            assert!(peers.may_report_behind(peer, peer));
            assert!(!peers.may_report_behind(peer, peer + 1));
        }
        assert_eq!(peers.budgets.len(), MAX_TRACKED_PEERS);
    }
}
