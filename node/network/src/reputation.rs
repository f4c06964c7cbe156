//! Penalties, bans and request rates. Pure: time is a value.

use std::num::NonZeroUsize;

use libp2p::PeerId;
use lru::LruCache;

use crate::limits::{MAX_REMEMBERED_PEERS, SYNC_REQUEST_BURST, SYNC_REQUESTS_PER_SECOND};

/// Penalties add up to a ban at this many points; one point is forgiven each second.
const BAN_POINTS: u64 = 100;
const POINT_LIFETIME_MS: u64 = 1_000;

/// What a peer did wrong. Decides how much it counts; a ban comes at 100 points, and one point is forgiven
/// each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyReason {
    /// Bytes that are no message: 34 points. An honest node never sends them, nor forwards them.
    Malformed,
    /// A message that no honest node could have made or forwarded, such as one with a bad signature: 25 points.
    InvalidMessage,
    /// An answer that does not fit the request or does not verify: 25 points.
    BadResponse,
    /// More requests or messages than its share: 5 points.
    Spam,
    /// It keeps the node waiting: 5 points.
    Slow,
    /// It is of another chain: banned at once.
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
    /// When points were last forgiven.
    updated_ms: u64,
    banned_until_ms: Option<u64>,
}

/// Penalties by peer. Remembers [`MAX_REMEMBERED_PEERS`], the longest unseen being forgotten first.
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

    /// Adds a penalty. Returns the peer's points, and whether this bans it.
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

    /// The peers whose ban is over; they start afresh.
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

/// The sync requests a peer may still make: a bucket that fills at a steady rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestBudget {
    millitokens: u64,
    updated_ms: u64,
}

impl RequestBudget {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { millitokens: u64::from(SYNC_REQUEST_BURST) * 1_000, updated_ms: now_ms }
    }

    /// Takes one request out of the bucket, if there is one.
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
        // A peer is banned once, whatever else arrives from it.
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
