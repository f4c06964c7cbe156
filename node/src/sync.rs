//! Catch-up by height: chooses the peers to request blocks from, and queues the blocks for consensus. Pure.
//!
//! A node is behind when a peer has committed the height that this node is still deciding. One request is in flight at a
//! time. Answers are kept in height order, bounded by [`MAX_QUEUED_BLOCKS`], and passed to the consensus host one by one. The
//! host verifies the certificate and the block. A peer whose block fails is dropped, and another peer is asked.

use std::{cmp::Reverse, collections::BTreeMap};

use alloy_primitives::Bytes;
use causeway_consensus::{CommitCertificate, PeerToken};

/// Most blocks in one request.
pub const BLOCKS_PER_REQUEST: u32 = 64;
/// Most blocks that wait for consensus.
pub const MAX_QUEUED_BLOCKS: usize = 128;
/// A request without an answer ends after this many milliseconds.
pub const REQUEST_TIMEOUT_MS: u64 = 10_000;
/// How long a node that is one block behind waits for gossip before it sends a request, in milliseconds.
pub const GRACE_MS: u64 = 400;
/// Interval between head requests to one peer, in milliseconds.
pub const STATUS_INTERVAL_MS: u64 = 2_000;
/// Most peers whose heads are remembered.
pub const MAX_PEERS: usize = 256;

/// A block with its certificate from a peer; nothing in it is verified yet.
#[derive(Debug, Clone)]
pub struct OfferedBlock {
    /// The peer that sent it.
    pub from: PeerToken,
    /// The certificate it came with.
    pub certificate: CommitCertificate,
    /// The encoded block.
    pub body: Bytes,
}

/// A request that [`Sync::poll`] asks the caller to send.
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
        /// The most blocks to send.
        max: u32,
    },
}

/// The state of a peer.
#[derive(Debug, Clone, Copy)]
struct Peer {
    head: u64,
    /// 1 at first; plus 1 for each failure; 0 once a block of this peer completed a height.
    doubt: u32,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    peer: PeerToken,
    deadline_ms: u64,
}

/// A block that was passed to consensus.
#[derive(Debug, Clone, Copy)]
struct HandedOut {
    peer: PeerToken,
    height: u64,
    deadline_ms: u64,
}

/// The state of catch-up.
#[derive(Debug, Default)]
pub struct Sync {
    peers: BTreeMap<PeerToken, Peer>,
    /// Has no gaps: starts at the height being decided, or at the next one when the block of that height was handed out.
    queue: BTreeMap<u64, OfferedBlock>,
    in_flight: Option<InFlight>,
    next_status_ms: u64,
    status_cursor: PeerToken,
    behind_since_ms: Option<u64>,
    /// Set only while this node waits for gossip: a past deadline must not be reported again.
    grace_until_ms: Option<u64>,
    handed_out: Option<HandedOut>,
}

impl Sync {
    /// A peer connected; its head is unknown.
    pub fn connected(&mut self, peer: PeerToken) {
        if self.peers.len() < MAX_PEERS {
            self.peers.entry(peer).or_insert(Peer { head: 0, doubt: 1 });
        }
    }

    /// A peer disconnected; another peer is asked for what it was asked.
    pub fn disconnected(&mut self, peer: PeerToken) {
        self.peers.remove(&peer);
        if self.in_flight.is_some_and(|request| request.peer == peer) {
            self.in_flight = None;
        }
    }

    /// A peer reported or showed that it has committed `head`.
    pub fn saw_head(&mut self, peer: PeerToken, head: u64) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.head = head.max(known.head);
        }
    }

    /// The greatest head that a connected peer claims.
    pub fn best_head(&self) -> u64 {
        self.peers.values().map(|peer| peer.head).max().unwrap_or(0)
    }

    /// Number of connected peers whose head is remembered.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Number of blocks that wait for consensus.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether a peer has committed the height this node is deciding.
    pub fn is_behind(&self, deciding: u64) -> bool {
        self.best_head() >= deciding
    }

    /// The block for `deciding`, if it is queued.
    pub fn waiting(&self, deciding: u64) -> Option<&OfferedBlock> {
        self.queue.get(&deciding)
    }

    /// A peer misbehaved: drops the blocks that it sent and all later ones, and forgets its claimed head. Returns whether the
    /// block handed out last came from it.
    pub fn distrust(&mut self, peer: PeerToken) -> bool {
        if let Some(first) = self.queue.iter().find(|(_, offered)| offered.from == peer).map(|(height, _)| *height) {
            self.queue.split_off(&first);
        }
        self.disconnected(peer);
        self.handed_out.take_if(|handed| handed.peer == peer).is_some()
    }

    /// Blocks arrived from `peer`. Unrequested ones are ignored. An answer without the next wanted block shows that the
    /// peer does not have the blocks that it claimed.
    pub fn received(&mut self, peer: PeerToken, deciding: u64, blocks: Vec<OfferedBlock>) {
        if self.in_flight.take_if(|request| request.peer == peer).is_none() {
            return;
        }
        let first = self.wanted(deciding);
        let mut wanted = first;
        for offered in blocks.into_iter().skip_while(|offered| offered.certificate.height.0 < first) {
            if offered.certificate.height.0 != wanted || self.queue.len() >= MAX_QUEUED_BLOCKS {
                break;
            }
            self.queue.insert(wanted, offered);
            wanted = wanted.saturating_add(1);
        }
        if wanted == first {
            self.let_down(peer, deciding);
        }
    }

    /// The request to `peer` failed.
    pub fn failed(&mut self, peer: PeerToken, deciding: u64) {
        if self.in_flight.take_if(|request| request.peer == peer).is_some() {
            self.let_down(peer, deciding);
        }
    }

    /// Forgets the claimed head of `peer` until it claims one again, and lowers its priority.
    fn let_down(&mut self, peer: PeerToken, deciding: u64) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.head = deciding.saturating_sub(1);
            known.doubt = known.doubt.saturating_add(1);
        }
    }

    /// Removes and returns the block for the height being decided, if it is queued.
    pub fn take(&mut self, now_ms: u64, deciding: u64) -> Option<OfferedBlock> {
        self.queue = self.queue.split_off(&deciding);
        let offered = self.queue.remove(&deciding)?;
        self.handed_out = Some(HandedOut {
            peer: offered.from,
            height: deciding,
            deadline_ms: now_ms.saturating_add(REQUEST_TIMEOUT_MS),
        });
        Some(offered)
    }

    /// The first height from `deciding` on whose block is neither queued nor handed out.
    fn wanted(&mut self, deciding: u64) -> u64 {
        self.queue = self.queue.split_off(&deciding);
        let handed_out = self.handed_out.is_some_and(|handed| handed.height == deciding);
        let first = if handed_out { deciding.saturating_add(1) } else { deciding };
        if self.queue.keys().next().is_some_and(|waiting| *waiting > first) {
            // The queued blocks followed a block that was dropped.
            self.queue.clear();
        }
        self.queue.keys().next_back().map_or(first, |last| last.saturating_add(1)).max(first)
    }

    /// Ends overdue work: a request without an answer, or a block that did not complete its height.
    fn give_up(&mut self, now_ms: u64, deciding: u64) {
        if let Some(late) = self.in_flight.take_if(|request| now_ms >= request.deadline_ms) {
            self.let_down(late.peer, deciding);
        }
        if let Some(stuck) = self.handed_out.take_if(|handed| now_ms >= handed.deadline_ms)
            && stuck.height == deciding
        {
            self.let_down(stuck.peer, deciding);
        }
    }

    /// The requests to send now, given the height that this node is deciding.
    pub fn poll(&mut self, now_ms: u64, deciding: u64) -> Vec<Ask> {
        let mut asks = Vec::new();
        self.give_up(now_ms, deciding);
        if now_ms >= self.next_status_ms && !self.peers.is_empty() {
            self.next_status_ms = now_ms.saturating_add(STATUS_INTERVAL_MS);
            let next =
                self.peers.range(self.status_cursor.saturating_add(1)..).next().or_else(|| self.peers.iter().next());
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
        let wanted = self.wanted(deciding);
        if self.in_flight.is_some() || self.queue.len() + BLOCKS_PER_REQUEST as usize > MAX_QUEUED_BLOCKS {
            return asks;
        }
        // Peers that sent good blocks come first, and peers that failed come last: a peer that only claims a head cannot crowd out one that serves blocks.
        let candidates = self.peers.iter().filter(|(_, known)| known.head >= wanted);
        if let Some((&peer, _)) = candidates.min_by_key(|(_, known)| (known.doubt, Reverse(known.head))) {
            self.in_flight = Some(InFlight { peer, deadline_ms: now_ms.saturating_add(REQUEST_TIMEOUT_MS) });
            asks.push(Ask::Blocks { peer, from: wanted, max: BLOCKS_PER_REQUEST });
        }
        asks
    }

    /// When [`Sync::poll`] next has something to do without new input.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let mut deadline = (!self.peers.is_empty()).then_some(self.next_status_ms);
        let mut consider = |at: u64| deadline = Some(deadline.map_or(at, |known: u64| known.min(at)));
        if let Some(request) = self.in_flight {
            consider(request.deadline_ms);
        }
        if let Some(handed_out) = self.handed_out {
            consider(handed_out.deadline_ms);
        }
        if let Some(grace_until) = self.grace_until_ms {
            consider(grace_until);
        }
        deadline
    }

    /// A new height starts: the wait for gossip starts again.
    pub fn height_started(&mut self) {
        if let Some(ended) = self.handed_out.take()
            && let Some(known) = self.peers.get_mut(&ended.peer)
        {
            known.doubt = 0;
        }
        self.behind_since_ms = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

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

    /// A state connected to peers that claim these heads.
    fn sync_with(heads: &[(PeerToken, u64)]) -> Sync {
        let mut sync = Sync::default();
        for (peer, head) in heads {
            sync.connected(*peer);
            sync.saw_head(*peer, *head);
        }
        sync
    }

    fn asked_blocks(asks: &[Ask]) -> Option<(PeerToken, u64)> {
        asks.iter().find_map(|ask| match ask {
            Ask::Blocks { peer, from, .. } => Some((*peer, *from)),
            Ask::Status { .. } => None,
        })
    }

    #[test]
    fn a_node_many_blocks_behind_asks_at_once_and_one_block_behind_waits_for_gossip() {
        let mut sync = sync_with(&[(1, 10)]);
        assert_eq!(asked_blocks(&sync.poll(1_000, 5)), Some((1, 5)));
        let mut sync = sync_with(&[(1, 5)]);
        assert_eq!(asked_blocks(&sync.poll(1_000, 5)), None);
        assert_eq!(asked_blocks(&sync.poll(1_000 + GRACE_MS, 5)), Some((1, 5)));
    }

    #[test]
    fn a_silent_peer_is_replaced_after_the_timeout() {
        let mut sync = sync_with(&[(1, 20), (2, 10)]);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((1, 5)));
        assert_eq!(asked_blocks(&sync.poll(REQUEST_TIMEOUT_MS - 1, 5)), None);
        assert_eq!(asked_blocks(&sync.poll(REQUEST_TIMEOUT_MS, 5)), Some((2, 5)));
    }

    #[test]
    fn blocks_out_of_order_or_not_asked_for_are_not_queued() {
        let mut sync = sync_with(&[(1, 10)]);
        sync.received(1, 5, vec![offered(1, 5)]);
        assert!(sync.take(0, 5).is_none(), "nothing was asked for");
        assert!(asked_blocks(&sync.poll(0, 5)).is_some());
        sync.received(1, 5, vec![offered(1, 5), offered(1, 7)]);
        assert!(sync.take(0, 5).is_some());
        assert!(sync.take(0, 6).is_none());
        assert!(sync.take(0, 7).is_none());
    }

    #[test]
    fn an_empty_answer_lowers_the_claimed_head() {
        let mut sync = sync_with(&[(1, u64::MAX)]);
        assert!(asked_blocks(&sync.poll(0, 5)).is_some());
        sync.received(1, 5, Vec::new());
        assert!(!sync.is_behind(5));
    }

    #[test]
    fn a_distrusted_peer_loses_its_queue_and_its_head() {
        let mut sync = sync_with(&[(1, 10)]);
        assert!(asked_blocks(&sync.poll(0, 5)).is_some());
        sync.received(1, 5, vec![offered(1, 5), offered(1, 6)]);
        sync.distrust(1);
        assert!(sync.take(0, 5).is_none());
        assert!(!sync.is_behind(5));
    }

    #[test]
    fn blocks_behind_one_that_was_taken_back_are_asked_for_again() {
        let mut sync = sync_with(&[(1, 100), (2, 200)]);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((2, 5)));
        sync.received(2, 5, vec![offered(2, 5), offered(2, 6)]);
        sync.disconnected(2);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((1, 7)));
        sync.received(1, 5, vec![offered(1, 7), offered(1, 8)]);
        assert!(sync.take(0, 5).is_some());
        assert!(sync.distrust(2), "the block handed out was its");
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((1, 5)), "nothing that waits starts at 5");
    }

    #[test]
    fn a_block_that_does_not_end_its_height_is_asked_of_another() {
        let mut sync = sync_with(&[(1, 7), (2, 7)]);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((1, 5)));
        sync.received(1, 5, vec![offered(1, 5), offered(1, 6), offered(1, 7)]);
        assert!(sync.take(0, 5).is_some());
        assert_eq!(asked_blocks(&sync.poll(REQUEST_TIMEOUT_MS - 1, 5)), None);
        assert_eq!(asked_blocks(&sync.poll(REQUEST_TIMEOUT_MS, 5)), Some((2, 5)));
    }

    #[test]
    fn peers_that_only_claim_cannot_hide_one_that_has() {
        let mut sync = sync_with(&[(1, 0), (2, 0), (3, 10)]);
        for (now_ms, liar) in [(0, 1), (REQUEST_TIMEOUT_MS, 2)] {
            sync.saw_head(1, u64::MAX);
            sync.saw_head(2, u64::MAX);
            assert_eq!(asked_blocks(&sync.poll(now_ms, 5)), Some((liar, 5)));
        }
        sync.saw_head(1, u64::MAX);
        assert_eq!(asked_blocks(&sync.poll(2 * REQUEST_TIMEOUT_MS, 5)), Some((3, 5)));
    }

    #[test]
    fn an_answer_without_the_block_wanted_next_is_a_failure() {
        let mut sync = sync_with(&[(1, 9), (2, 8)]);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((1, 5)));
        sync.received(1, 5, vec![offered(1, 6), offered(1, 5)]);
        sync.saw_head(1, 9);
        assert_eq!(asked_blocks(&sync.poll(0, 5)), Some((2, 5)));
    }

    /// How a peer of the property test answers.
    #[derive(Debug, Clone, Copy)]
    enum Answers {
        Honestly,
        Not,
        Nothing,
        Reversed,
        /// With blocks that consensus refuses.
        Falsely,
        /// With blocks of which consensus refuses every seventh.
        HalfFalsely,
        /// With blocks that consensus neither accepts nor refuses.
        InVain,
    }

    proptest::proptest! {
        /// With one honest peer and any number of others, and for any order of answers, disconnections and decisions received by
        /// gossip, a node reaches the honest peer's head.
        #[test]
        fn a_node_with_one_honest_peer_reaches_its_head(
            others in proptest::collection::vec(0_usize..6, 0..6),
            honest in 0_usize..6,
            noise in proptest::collection::vec(0_u8..24, 0..400),
        ) {
            const KINDS: [Answers; 6] =
                [Answers::Not, Answers::Nothing, Answers::Reversed, Answers::Falsely, Answers::HalfFalsely, Answers::InVain];
            const HEAD: u64 = 300;
            let mut kinds: Vec<Answers> = others.iter().map(|kind| KINDS[*kind]).collect();
            kinds.insert(honest.min(kinds.len()), Answers::Honestly);
            let mut sync = Sync::default();
            let (mut deciding, mut now_ms, mut turns) = (1, 0, 0_u32);
            let mut noise = noise.into_iter();
            let mut pending = None;
            // The network bans peers that sent invalid blocks.
            let mut banned = BTreeSet::new();
            while deciding <= HEAD {
                turns += 1;
                proptest::prop_assert!(turns < 5_000, "stuck at height {deciding}");
                let noisy = noise.next();
                for (peer, kind) in (0..).zip(&kinds).filter(|(peer, _)| !banned.contains(peer)) {
                    sync.connected(peer);
                    sync.saw_head(peer, if matches!(kind, Answers::Honestly) { HEAD } else { u64::MAX });
                }
                match noisy {
                    Some(0) => sync.disconnected(u64::from(turns) % kinds.len() as u64),
                    Some(1) => {
                        deciding += 1;
                        sync.height_started();
                    }
                    _ => {}
                }
                if let Some((peer, from, max)) = pending.take() {
                    let blocks = |from: u64| (from..=HEAD).take(max as usize).map(|height| offered(peer, height));
                    match kinds[usize::try_from(peer).unwrap()] {
                        Answers::Not => {}
                        Answers::Nothing => sync.received(peer, deciding, Vec::new()),
                        Answers::Reversed => sync.received(peer, deciding, blocks(from).collect::<Vec<_>>().into_iter().rev().collect()),
                        _ => sync.received(peer, deciding, blocks(from).collect()),
                    }
                }
                while let Some(block) = sync.take(now_ms, deciding) {
                    let peer = block.from;
                    let good = match kinds[usize::try_from(peer).unwrap()] {
                        Answers::Honestly => true,
                        Answers::HalfFalsely => deciding % 7 != 0,
                        Answers::InVain => break,
                        _ => false,
                    };
                    if good {
                        deciding += 1;
                        sync.height_started();
                    } else {
                        proptest::prop_assert!(sync.distrust(peer));
                        banned.insert(peer);
                    }
                }
                proptest::prop_assert!(sync.queued() <= MAX_QUEUED_BLOCKS);
                let asked = sync.poll(now_ms, deciding);
                pending = asked.into_iter().find_map(|ask| match ask {
                    Ask::Blocks { peer, from, max } => Some((peer, from, max)),
                    Ask::Status { .. } => None,
                });
                now_ms = sync.next_deadline_ms().unwrap_or(now_ms).max(now_ms);
            }
        }
    }

    #[test]
    fn a_deadline_that_was_polled_lies_in_the_future() {
        let mut sync = sync_with(&[(1, 5)]);
        for now_ms in [0, GRACE_MS - 1, GRACE_MS, 3 * GRACE_MS, REQUEST_TIMEOUT_MS, 2 * REQUEST_TIMEOUT_MS] {
            sync.poll(now_ms, 5);
            let deadline = sync.next_deadline_ms().unwrap();
            assert!(deadline > now_ms, "at {now_ms} the next deadline is {deadline}: the driver would spin");
        }
    }

    #[test]
    fn the_queue_never_exceeds_its_limit() {
        let mut sync = sync_with(&[(1, 1_000_000)]);
        for _ in 0..10 {
            let Some((_, from)) = asked_blocks(&sync.poll(0, 1)) else { continue };
            sync.received(1, 1, (from..from + 500).map(|height| offered(1, height)).collect());
        }
        assert!(sync.queue.len() <= MAX_QUEUED_BLOCKS);
    }
}
