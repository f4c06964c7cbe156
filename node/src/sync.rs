//! Catch-up by height: which peer is asked for which blocks, and what waits to be fed to consensus. Pure.
//!
//! A node is behind when a peer has committed the height that this node is still deciding. One request is in flight at a
//! time; answers are kept in height order, bounded by [`MAX_QUEUED_BLOCKS`], and fed to the consensus host one by one. The
//! host verifies the certificate and the block; a peer whose block fails is dropped and another is asked.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use causeway_consensus::{CommitCertificate, PeerToken};

/// Blocks asked for in one request.
pub const BLOCKS_PER_REQUEST: u32 = 64;
/// Blocks that may wait to be fed to consensus.
pub const MAX_QUEUED_BLOCKS: usize = 128;
/// A request without an answer is given up after this many milliseconds.
pub const REQUEST_TIMEOUT_MS: u64 = 10_000;
/// How long a node that is one block behind waits for gossip before it asks, in milliseconds.
pub const GRACE_MS: u64 = 400;
/// How often one peer is asked for its head, in milliseconds.
pub const STATUS_INTERVAL_MS: u64 = 2_000;
/// Peers whose heads are remembered.
pub const MAX_PEERS: usize = 256;

/// A block with its certificate as a peer sent it; nothing in it is verified yet.
#[derive(Debug, Clone)]
pub struct OfferedBlock {
    /// The peer that sent it.
    pub from: PeerToken,
    /// The certificate it came with.
    pub certificate: CommitCertificate,
    /// The encoded block.
    pub body: Bytes,
}

/// A request that [`Sync::poll`] wants sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Ask `peer` for its head.
    Status {
        /// The peer to ask.
        peer: PeerToken,
    },
    /// Ask `peer` for blocks from a height on.
    Blocks {
        /// The peer to ask.
        peer: PeerToken,
        /// The first height wanted.
        from: u64,
        /// How many at the most.
        max: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    peer: PeerToken,
    from: u64,
    deadline_ms: u64,
}

/// The state of catch-up.
#[derive(Debug, Default)]
pub struct Sync {
    heads: BTreeMap<PeerToken, u64>,
    queue: BTreeMap<u64, OfferedBlock>,
    in_flight: Option<InFlight>,
    next_status_ms: u64,
    status_cursor: PeerToken,
    behind_since_ms: Option<u64>,
    /// Set only while this node waits for gossip: a deadline that has passed must not be asked for again.
    grace_until_ms: Option<u64>,
    handed_out: Option<PeerToken>,
}

impl Sync {
    /// A peer appeared; its head is unknown.
    pub fn connected(&mut self, peer: PeerToken) {
        if self.heads.len() < MAX_PEERS {
            self.heads.entry(peer).or_insert(0);
        }
    }

    /// A peer left; what was asked of it is asked of another.
    pub fn disconnected(&mut self, peer: PeerToken) {
        self.heads.remove(&peer);
        if self.in_flight.is_some_and(|request| request.peer == peer) {
            self.in_flight = None;
        }
    }

    /// A peer said, or showed, that it has committed `head`.
    pub fn saw_head(&mut self, peer: PeerToken, head: u64) {
        if let Some(known) = self.heads.get_mut(&peer) {
            *known = head.max(*known);
        }
    }

    /// The greatest head any connected peer claims.
    pub fn best_head(&self) -> u64 {
        self.heads.values().copied().max().unwrap_or(0)
    }

    /// Connected peers whose head is kept.
    pub fn peers(&self) -> usize {
        self.heads.len()
    }

    /// Blocks that wait to be fed to consensus.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether a peer has committed the height this node is deciding.
    pub fn is_behind(&self, deciding: u64) -> bool {
        self.best_head() >= deciding
    }

    /// A peer misbehaved: forget what it sent and do not trust its claimed head. Returns whether the block handed out last was its.
    pub fn distrust(&mut self, peer: PeerToken) -> bool {
        self.queue.retain(|_, offered| offered.from != peer);
        self.heads.remove(&peer);
        if self.in_flight.is_some_and(|request| request.peer == peer) {
            self.in_flight = None;
        }
        self.handed_out == Some(peer)
    }

    /// Blocks arrived from `peer`. Heights that were not asked for are ignored. An empty answer says that the peer does not
    /// have what it claimed.
    pub fn received(&mut self, peer: PeerToken, deciding: u64, blocks: Vec<OfferedBlock>) {
        let Some(request) = self.in_flight.filter(|request| request.peer == peer) else { return };
        self.in_flight = None;
        if blocks.is_empty() {
            self.heads.insert(peer, deciding.saturating_sub(1));
            return;
        }
        let mut expected = request.from;
        for offered in blocks {
            if offered.certificate.height.0 != expected || self.queue.len() >= MAX_QUEUED_BLOCKS {
                return;
            }
            if expected >= deciding {
                self.queue.entry(expected).or_insert(offered);
            }
            expected = expected.saturating_add(1);
        }
    }

    /// The request to `peer` failed.
    pub fn failed(&mut self, peer: PeerToken, deciding: u64) {
        if self.in_flight.is_some_and(|request| request.peer == peer) {
            self.in_flight = None;
            self.heads.insert(peer, deciding.saturating_sub(1));
        }
    }

    /// The block for the height being decided, when it is here.
    pub fn take(&mut self, deciding: u64) -> Option<OfferedBlock> {
        self.queue = self.queue.split_off(&deciding);
        let offered = self.queue.remove(&deciding);
        if let Some(offered) = &offered {
            self.handed_out = Some(offered.from);
        }
        offered
    }

    /// What to ask now, given the height this node is deciding.
    pub fn poll(&mut self, now_ms: u64, deciding: u64) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.in_flight.is_some_and(|request| now_ms >= request.deadline_ms) {
            let late = self.in_flight.map(|request| request.peer);
            if let Some(peer) = late {
                self.failed(peer, deciding);
            }
        }
        if now_ms >= self.next_status_ms && !self.heads.is_empty() {
            self.next_status_ms = now_ms.saturating_add(STATUS_INTERVAL_MS);
            let next =
                self.heads.range(self.status_cursor.saturating_add(1)..).next().or_else(|| self.heads.iter().next());
            if let Some((&peer, _)) = next {
                self.status_cursor = peer;
                asks.push(Ask::Status { peer });
            }
        }
        self.grace_until_ms = None;
        if !self.is_behind(deciding) {
            self.behind_since_ms = None;
            return asks;
        }
        let since = *self.behind_since_ms.get_or_insert(now_ms);
        let lag = self.best_head().saturating_sub(deciding);
        let grace_until = since.saturating_add(GRACE_MS);
        if lag == 0 && now_ms < grace_until {
            self.grace_until_ms = Some(grace_until);
            return asks;
        }
        let queued_to = self.queue.keys().next_back().map_or(deciding, |last| last.saturating_add(1)).max(deciding);
        if self.in_flight.is_none()
            && self.queue.len() + BLOCKS_PER_REQUEST as usize <= MAX_QUEUED_BLOCKS
            && self.best_head() >= queued_to
        {
            let candidate = self.heads.iter().filter(|(_, head)| **head >= queued_to).max_by_key(|(_, head)| **head);
            if let Some((&peer, _)) = candidate {
                self.in_flight =
                    Some(InFlight { peer, from: queued_to, deadline_ms: now_ms.saturating_add(REQUEST_TIMEOUT_MS) });
                asks.push(Ask::Blocks { peer, from: queued_to, max: BLOCKS_PER_REQUEST });
            }
        }
        asks
    }

    /// When [`Sync::poll`] next has something to do without new input.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let mut deadline = (!self.heads.is_empty()).then_some(self.next_status_ms);
        let mut consider = |at: u64| deadline = Some(deadline.map_or(at, |known: u64| known.min(at)));
        if let Some(request) = self.in_flight {
            consider(request.deadline_ms);
        }
        if let Some(grace_until) = self.grace_until_ms {
            consider(grace_until);
        }
        deadline
    }

    /// A new height begins: the wait for gossip starts over.
    pub fn height_started(&mut self) {
        self.handed_out = None;
        self.behind_since_ms = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::B256;
    use causeway_consensus::{Height, Round};

    use super::*;

    fn offered(from: PeerToken, height: u64) -> OfferedBlock {
        let certificate = CommitCertificate {
            height: Height(height),
            round: Round(0),
            block_hash: B256::ZERO,
            signatures: Vec::new(),
        };
        OfferedBlock { from, certificate, body: Bytes::new() }
    }

    fn asked_blocks(asks: &[Ask]) -> Option<(PeerToken, u64)> {
        asks.iter().find_map(|ask| match ask {
            Ask::Blocks { peer, from, .. } => Some((*peer, *from)),
            Ask::Status { .. } => None,
        })
    }

    #[test]
    fn a_node_many_blocks_behind_asks_at_once_and_one_block_behind_waits_for_gossip() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, 10);
        assert_eq!(asked_blocks(&sync.poll(1_000, 5)), Some((1, 5)));
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, 5);
        assert_eq!(asked_blocks(&sync.poll(1_000, 5)), None);
        assert_eq!(asked_blocks(&sync.poll(1_000 + GRACE_MS, 5)), Some((1, 5)));
    }

    #[test]
    fn a_silent_peer_is_replaced_after_the_timeout() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.connected(2);
        sync.saw_head(1, 20);
        sync.saw_head(2, 10);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((1, 5)));
        assert_eq!(asked_blocks(&sync.poll(REQUEST_TIMEOUT_MS - 1, 5)), None);
        assert_eq!(asked_blocks(&sync.poll(REQUEST_TIMEOUT_MS, 5)), Some((2, 5)));
    }

    #[test]
    fn blocks_out_of_order_or_not_asked_for_are_not_queued() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, 10);
        sync.received(1, 5, vec![offered(1, 5)]);
        assert!(sync.take(5).is_none(), "nothing was asked for");
        assert!(asked_blocks(&sync.poll(0, 5)).is_some());
        sync.received(1, 5, vec![offered(1, 5), offered(1, 7)]);
        assert!(sync.take(5).is_some());
        assert!(sync.take(6).is_none());
        assert!(sync.take(7).is_none());
    }

    #[test]
    fn an_empty_answer_lowers_the_claimed_head() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, u64::MAX);
        assert!(asked_blocks(&sync.poll(0, 5)).is_some());
        sync.received(1, 5, Vec::new());
        assert!(!sync.is_behind(5));
    }

    #[test]
    fn a_distrusted_peer_loses_its_queue_and_its_head() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, 10);
        assert!(asked_blocks(&sync.poll(0, 5)).is_some());
        sync.received(1, 5, vec![offered(1, 5), offered(1, 6)]);
        sync.distrust(1);
        assert!(sync.take(5).is_none());
        assert!(!sync.is_behind(5));
    }

    #[test]
    fn a_deadline_that_was_polled_lies_in_the_future() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, 5);
        for now_ms in [0, GRACE_MS - 1, GRACE_MS, 3 * GRACE_MS, REQUEST_TIMEOUT_MS, 2 * REQUEST_TIMEOUT_MS] {
            sync.poll(now_ms, 5);
            let deadline = sync.next_deadline_ms().unwrap();
            assert!(deadline > now_ms, "at {now_ms} the next deadline is {deadline}: the driver would spin");
        }
    }

    #[test]
    fn the_queue_never_exceeds_its_limit() {
        let mut sync = Sync::default();
        sync.connected(1);
        sync.saw_head(1, 1_000_000);
        for _ in 0..10 {
            let Some((_, from)) = asked_blocks(&sync.poll(0, 1)) else { continue };
            sync.received(1, 1, (from..from + 500).map(|height| offered(1, height)).collect());
        }
        assert!(sync.queue.len() <= MAX_QUEUED_BLOCKS);
    }
}
