//! Penalties, bans and request rates. Pure: time is an argument.

use std::num::NonZeroUsize;

use libp2p::PeerId;
use lru::LruCache;

use crate::limits::{MAX_REMEMBERED_PEERS, SYNC_REQUEST_BURST, SYNC_REQUESTS_PER_SECOND};

/// Points at which a peer is banned. One point is forgiven each second.
const BAN_POINTS: u64 = 100;
const POINT_LIFETIME_MS: u64 = 1_000;

/// A peer's fault. It decides the number of points. A peer is banned at 100 points, and one point is forgiven each
/// second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyReason {
    /// Bytes that cannot be decoded: 34 points. An honest node neither sends nor forwards them.
    Malformed,
    /// A message that no honest node makes or forwards, such as one with a bad signature: 25 points.
    InvalidMessage,
    /// An answer that does not fit the request or does not verify: 25 points.
    BadResponse,
    /// More requests or messages than allowed: 5 points.
    Spam,
    /// A request that the peer did not answer in time: 5 points.
    Slow,
    /// The peer is of another chain: banned at once.
    WrongChain,
    /// Proven malice: banned at once.
    Malicious,
}

impl PenaltyReason {
    fn points(self) -> u64 {
        match self {
            Self::Malformed => 34,
            Self::InvalidMessage | Self::BadResponse => 25,
            Self::Spam | Self::Slow => 5,
            Self::WrongChain | Self::Malicious => BAN_POINTS,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    points: u64,
    /// When points were last forgiven, in ms.
    updated_ms: u64,
    banned_until_ms: Option<u64>,
}

/// Penalties by peer, at most [`MAX_REMEMBERED_PEERS`]. The peer not seen for the longest time is forgotten first.
#[derive(Debug)]
pub(crate) struct Reputation {
    records: LruCache<PeerId, Record>,
    ban_ms: u64,
}

impl Reputation {
    pub(crate) fn new(ban_ms: u64) -> Self {
        let capacity = NonZeroUsize::new(MAX_REMEMBERED_PEERS).unwrap_or(NonZeroUsize::MIN);
        Self { records: LruCache::new(capacity), ban_ms }
    }

    /// Adds a penalty. Returns the points of the peer, and whether it is now banned.
    pub(crate) fn penalize(&mut self, peer: PeerId, reason: PenaltyReason, now_ms: u64) -> (u64, bool) {
        let record = self.records.get_or_insert_mut(peer, Record::default);
        let forgiven = now_ms.saturating_sub(record.updated_ms) / POINT_LIFETIME_MS;
        record.points = record.points.saturating_sub(forgiven).saturating_add(reason.points());
        record.updated_ms = now_ms;
        let bans = record.points >= BAN_POINTS && record.banned_until_ms.is_none();
        if bans {
            record.banned_until_ms = Some(now_ms.saturating_add(self.ban_ms));
        }
        (record.points, bans)
    }

    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.records.peek(peer).is_some_and(|record| record.banned_until_ms.is_some())
    }

    /// The peers whose ban is over. They start with no points.
    pub(crate) fn pardon(&mut self, now_ms: u64) -> Vec<PeerId> {
        let over: Vec<PeerId> = self
            .records
            .iter()
            .filter(|(_, record)| record.banned_until_ms.is_some_and(|until| until <= now_ms))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &over {
            self.records.pop(peer);
        }
        over
    }
}

/// The sync requests that a peer may still make: a bucket that fills at a steady rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestBudget {
    millitokens: u64,
    updated_ms: u64,
}

impl RequestBudget {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { millitokens: u64::from(SYNC_REQUEST_BURST) * 1_000, updated_ms: now_ms }
    }

    /// Takes one request from the bucket. `false` if it is empty.
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let earned = now_ms.saturating_sub(self.updated_ms).saturating_mul(u64::from(SYNC_REQUESTS_PER_SECOND));
        self.millitokens = self.millitokens.saturating_add(earned).min(u64::from(SYNC_REQUEST_BURST) * 1_000);
        self.updated_ms = now_ms;
        match self.millitokens.checked_sub(1_000) {
            Some(rest) => {
                self.millitokens = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_malformed_messages_ban_and_the_ban_expires() {
        let mut reputation = Reputation::new(1_000);
        let peer = PeerId::random();
        assert_eq!(reputation.penalize(peer, PenaltyReason::Malformed, 0), (34, false));
        assert_eq!(reputation.penalize(peer, PenaltyReason::Malformed, 0), (68, false));
        assert_eq!(reputation.penalize(peer, PenaltyReason::Malformed, 0), (102, true));
        assert!(reputation.is_banned(&peer));
        // A peer is banned once, even if more arrives from it.
        assert!(!reputation.penalize(peer, PenaltyReason::Malformed, 0).1);
        assert!(reputation.pardon(999).is_empty());
        assert_eq!(reputation.pardon(1_000), vec![peer]);
        assert!(!reputation.is_banned(&peer));
        assert_eq!(reputation.penalize(peer, PenaltyReason::Malformed, 1_000), (34, false));
    }

    #[test]
    fn rare_faults_are_forgiven() {
        let mut reputation = Reputation::new(1_000);
        let peer = PeerId::random();
        for i in 0..100 {
            assert!(!reputation.penalize(peer, PenaltyReason::Malformed, i * 60_000).1);
        }
    }

    #[test]
    fn budget_allows_a_burst_and_then_the_rate() {
        let mut budget = RequestBudget::new(0);
        assert_eq!((0..1_000).filter(|_| budget.take(0)).count(), 64);
        assert_eq!((0..1_000).filter(|_| budget.take(1_000)).count(), 32);
        assert_eq!((0..1_000).filter(|_| budget.take(1_000_000)).count(), 64);
    }
}
