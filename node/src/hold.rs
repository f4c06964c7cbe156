//! Before a validator signs after a start: it listens. Pure.
//!
//! A data directory restored from an old snapshot knows neither the height the chain has reached nor what its own key has
//! signed since. So a node with a key first catches up with whatever its peers have decided, without taking part, and hears
//! for a while what is said at the present height: what carries its own signature goes into its sign state first. Only then
//! does it sign. A peer that claims a head it cannot show holds the node up for [`CLAIM_HOLD_MS`] at the most, once a start.
//!
//! Where its signature decides nothing without others', it listens for as long as no peer has said where it is: to sign into
//! the void gains nothing, and what the void hides may be the node's own earlier signatures.

use std::collections::VecDeque;

use causeway_consensus::{ConsensusMessage, PeerToken};

/// How long a claimed head is waited for without a block of it, in milliseconds.
pub const CLAIM_HOLD_MS: u64 = 30_000;
/// The shortest time of listening, in milliseconds: connections have to come up.
pub const MIN_LISTEN_MS: u64 = 1_000;
/// Block intervals of listening.
pub const LISTEN_INTERVALS: u64 = 2;
/// Messages of the present height kept while listening.
pub const MAX_HEARD: usize = 2_048;
/// Bytes of their encodings.
pub const MAX_HEARD_BYTES: usize = 16 << 20;

/// A node that does not sign yet.
#[derive(Debug)]
pub struct Hold {
    listen_ms: u64,
    /// None while no peer has said where it is, and one must.
    listen_until_ms: Option<u64>,
    listened: bool,
    give_up_ms: u64,
    wal: Vec<Vec<u8>>,
    heard: VecDeque<(PeerToken, ConsensusMessage)>,
    heard_bytes: usize,
}

impl Hold {
    /// Begins to listen. `wal` are the entries of the log for the present height; `needs_peer` tells whether this node's signature
    /// decides nothing by itself.
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

    /// A peer has said where it is. From the first one on this node listens for its time.
    pub fn met_peer(&mut self, now_ms: u64) {
        if self.listen_until_ms.is_none() {
            self.listen_until_ms = Some(now_ms.saturating_add(self.listen_ms));
            self.give_up_ms = now_ms.saturating_add(CLAIM_HOLD_MS.max(self.listen_ms));
        }
    }

    /// A block was caught up with: the claims are being made good, and the log of the height before is history.
    pub fn progressed(&mut self, now_ms: u64, deciding: u64) {
        self.give_up_ms = now_ms.saturating_add(CLAIM_HOLD_MS);
        self.wal.clear();
        self.heard.retain(|(_, message)| message.height().0 >= deciding);
        self.heard_bytes = self.heard.iter().map(|(_, message)| size(message)).sum();
    }

    /// Keeps a message of the present height for when it starts; beyond the bounds it is dropped, and its sender repeats it.
    pub fn hear(&mut self, from: PeerToken, message: ConsensusMessage) {
        let bytes = self.heard_bytes.saturating_add(size(&message));
        if self.heard.len() < MAX_HEARD && bytes <= MAX_HEARD_BYTES {
            self.heard_bytes = bytes;
            self.heard.push_back((from, message));
        }
    }

    /// Whether the node may sign now; `behind` tells whether a peer claims the present height to be decided.
    pub fn is_over(&mut self, now_ms: u64, behind: bool) -> bool {
        self.listened |= self.listen_until_ms.is_some_and(|until_ms| now_ms >= until_ms);
        self.listened && (!behind || now_ms >= self.give_up_ms)
    }

    /// When [`Hold::is_over`] may answer otherwise without news.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if self.listened { Some(self.give_up_ms) } else { self.listen_until_ms }
    }

    /// Messages heard so far.
    pub fn heard(&self) -> usize {
        self.heard.len()
    }

    /// About the bytes they hold.
    pub fn heard_bytes(&self) -> usize {
        self.heard_bytes
    }

    /// The log of the present height, and what was heard.
    pub fn end(self) -> (Vec<Vec<u8>>, VecDeque<(PeerToken, ConsensusMessage)>) {
        (self.wal, self.heard)
    }
}

/// About the bytes a message holds in memory.
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
