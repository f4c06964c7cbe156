//! The listening phase of a validator after a start, before it signs. Pure.
//!
//! A data directory restored from an old snapshot does not know the chain's current height, nor the later signatures of its own
//! key. So a node with a key first catches up with the blocks that its peers have decided, without taking part. Then it
//! receives messages of the current height for a while. Messages with its own signature enter its sign state first. Only
//! then does it sign. A peer that claims a head it cannot show delays the node by at most [`CLAIM_HOLD_MS`], once a start.
//!
//! If its signature alone decides nothing, the node listens until a peer has reported its head. Signing without peers
//! would gain nothing, and the network may have earlier signatures of this node that it does not know.

use std::collections::VecDeque;

use causeway_consensus::{ConsensusMessage, PeerToken};

/// How long to wait for a block of a claimed head, in milliseconds.
pub const CLAIM_HOLD_MS: u64 = 30_000;
/// The shortest listening time, in milliseconds: connections must be established.
pub const MIN_LISTEN_MS: u64 = 1_000;
/// The listening time in block intervals.
pub const LISTEN_INTERVALS: u64 = 2;
/// Most messages of the current height kept while listening.
pub const MAX_HEARD: usize = 2_048;
/// Most bytes of their encodings.
pub const MAX_HEARD_BYTES: usize = 16 << 20;

/// A node that does not sign yet.
#[derive(Debug)]
pub struct Hold {
    listen_ms: u64,
    /// `None` while the node needs a peer and no peer has reported its head.
    listen_until_ms: Option<u64>,
    listened: bool,
    give_up_ms: u64,
    wal: Vec<Vec<u8>>,
    heard: VecDeque<(PeerToken, ConsensusMessage)>,
    heard_bytes: usize,
}

impl Hold {
    /// Starts listening. `wal` are the log entries of the current height; `needs_peer` tells whether this node's signature alone
    /// decides nothing.
    pub fn new(now_ms: u64, block_interval_ms: u64, wal: Vec<Vec<u8>>, needs_peer: bool) -> Self {
        let listen_ms = block_interval_ms.saturating_mul(LISTEN_INTERVALS).max(MIN_LISTEN_MS);
        Self {
            listen_ms,
            listen_until_ms: (!needs_peer).then(|| now_ms.saturating_add(listen_ms)),
            listened: false,
            give_up_ms: now_ms.saturating_add(CLAIM_HOLD_MS.max(listen_ms)),
            wal,
            heard: VecDeque::new(),
            heard_bytes: 0,
        }
    }

    /// A peer has reported its head. The first report starts the listening time.
    pub fn met_peer(&mut self, now_ms: u64) {
        if self.listen_until_ms.is_none() {
            self.listen_until_ms = Some(now_ms.saturating_add(self.listen_ms));
            self.give_up_ms = now_ms.saturating_add(CLAIM_HOLD_MS.max(self.listen_ms));
        }
    }

    /// A block was committed during catch-up. The claims are partly proven, and the log of the earlier height is obsolete.
    pub fn progressed(&mut self, now_ms: u64, deciding: u64) {
        self.give_up_ms = now_ms.saturating_add(CLAIM_HOLD_MS);
        self.wal.clear();
        self.heard.retain(|(_, message)| message.height().0 >= deciding);
        self.heard_bytes = self.heard.iter().map(|(_, message)| size(message)).sum();
    }

    /// Keeps a message of the current height until the height starts. Messages beyond the limits are dropped; their senders repeat them.
    pub fn hear(&mut self, from: PeerToken, message: ConsensusMessage) {
        let bytes = self.heard_bytes.saturating_add(size(&message));
        if self.heard.len() < MAX_HEARD && bytes <= MAX_HEARD_BYTES {
            self.heard_bytes = bytes;
            self.heard.push_back((from, message));
        }
    }

    /// Whether the node may sign now; `behind` tells whether a peer claims that the current height is decided.
    pub fn is_over(&mut self, now_ms: u64, behind: bool) -> bool {
        self.listened |= self.listen_until_ms.is_some_and(|until_ms| now_ms >= until_ms);
        self.listened && (!behind || now_ms >= self.give_up_ms)
    }

    /// When the result of [`Hold::is_over`] may change without new input.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if self.listened { Some(self.give_up_ms) } else { self.listen_until_ms }
    }

    /// Number of kept messages.
    pub fn heard(&self) -> usize {
        self.heard.len()
    }

    /// Their approximate size in bytes.
    pub fn heard_bytes(&self) -> usize {
        self.heard_bytes
    }

    /// The log entries of the current height, and the kept messages.
    pub fn end(self) -> (Vec<Vec<u8>>, VecDeque<(PeerToken, ConsensusMessage)>) {
        (self.wal, self.heard)
    }
}

/// Approximate size of a message in memory, in bytes.
fn size(message: &ConsensusMessage) -> usize {
    match message {
        ConsensusMessage::Part(part) => part.bytes.len().saturating_add(64),
        ConsensusMessage::Decision(notice) => notice.body.len().saturating_add(64),
        ConsensusMessage::Proposal(signed) => signed.proposal.parts.hashes.len().saturating_mul(32).saturating_add(256),
        ConsensusMessage::PolkaCertificate(polka) => polka.signatures.len().saturating_mul(96).saturating_add(64),
        ConsensusMessage::RoundCertificate(round) => round.signatures.len().saturating_mul(160).saturating_add(64),
        ConsensusMessage::Vote(_) | ConsensusMessage::PartRequest(_) | ConsensusMessage::ProposalRequest(_) => 256,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;
    use causeway_consensus::{Height, ProposalPart, ProposalRequest, Round};

    use super::*;

    #[test]
    fn it_ends_after_two_block_intervals_when_nobody_is_ahead() {
        let mut hold = Hold::new(10_000, 2_000, Vec::new(), false);
        assert_eq!(hold.next_deadline_ms(), Some(14_000));
        assert!(!hold.is_over(13_999, false));
        assert!(hold.is_over(14_000, false));
    }

    #[test]
    fn one_that_needs_others_listens_from_its_first_peer_on() {
        let mut hold = Hold::new(10_000, 2_000, Vec::new(), true);
        assert_eq!(hold.next_deadline_ms(), None);
        assert!(!hold.is_over(1_000_000, false));
        hold.met_peer(1_000_000);
        assert_eq!(hold.next_deadline_ms(), Some(1_004_000));
        hold.met_peer(1_003_000);
        assert!(!hold.is_over(1_003_999, false));
        assert!(hold.is_over(1_004_000, false), "a second peer does not prolong it");
        assert!(!hold.is_over(1_004_000, true), "claims count from the first peer on");
        assert!(hold.is_over(1_000_000 + CLAIM_HOLD_MS, true));
    }

    #[test]
    fn a_claimed_head_prolongs_it_only_so_long_and_each_block_anew() {
        let mut hold = Hold::new(0, 100, Vec::new(), false);
        assert!(!hold.is_over(MIN_LISTEN_MS, true));
        assert_eq!(hold.next_deadline_ms(), Some(CLAIM_HOLD_MS), "a deadline that was served is not asked for again");
        hold.progressed(20_000, 5);
        assert!(!hold.is_over(CLAIM_HOLD_MS, true));
        assert!(hold.is_over(20_000 + CLAIM_HOLD_MS, true));
        assert!(hold.is_over(20_001, false));
    }

    #[test]
    fn what_is_heard_is_bounded_and_goes_with_its_height() {
        let mut hold = Hold::new(0, 100, Vec::new(), false);
        let part = |height| {
            ConsensusMessage::Part(ProposalPart {
                height: Height(height),
                root: alloy_primitives::B256::ZERO,
                index: 0,
                bytes: Bytes::from(vec![0; 1 << 16]),
            })
        };
        for _ in 0..1_000 {
            hold.hear(1, part(5));
        }
        assert!(hold.heard_bytes <= MAX_HEARD_BYTES && hold.heard.len() < 1_000);
        hold.progressed(1, 6);
        assert_eq!((hold.heard.len(), hold.heard_bytes), (0, 0));
        for _ in 0..MAX_HEARD + 1 {
            hold.hear(1, ConsensusMessage::ProposalRequest(ProposalRequest { height: Height(6), round: Round(0) }));
        }
        assert_eq!(hold.end().1.len(), MAX_HEARD);
    }
}
