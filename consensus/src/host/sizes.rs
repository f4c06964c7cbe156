//! The sizes of the host's buffers and their limits, for tests of bounded memory.

use super::{Host, MAX_PASSED, MAX_WANTED};
use crate::bodies::{MAX_BODIES, MAX_EARLY_PARTS};
use crate::engine::ROUND_LOOKAHEAD;
use crate::future::FUTURE_ROUNDS;
use crate::index::{INDEXED_HEIGHTS, PROPOSALS_PER_ROUND};
use crate::known_keys::MAX_KNOWN_KEYS;
use crate::peers::MAX_TRACKED_PEERS;
use crate::{MAX_BLOCK_BYTES, MAX_KEPT_BYTES};

/// The size of one buffer and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Name of the buffer.
    pub what: &'static str,
    /// Entries or bytes in it now.
    pub held: usize,
    /// The limit now.
    pub most: usize,
}

impl Host {
    /// The sizes of all buffers. Cheap: it reads the lengths of maps, at most one for each indexed height.
    pub fn sizes(&self) -> Vec<Size> {
        let inner = &self.inner;
        let members = inner.work.as_ref().map_or(0, |work| work.set.len());
        let upcoming = inner.upcoming.as_ref().map_or(0, crate::validators::ValidatorSet::len);
        // Rounds of the current height with at least one kept message.
        let rounds =
            inner.work.as_ref().map_or(0, |work| work.round.0.saturating_add(ROUND_LOOKAHEAD).saturating_add(1));
        let (rounds, future_rounds) = (as_usize(rounds), as_usize(FUTURE_ROUNDS));
        let height = inner.work.as_ref().map(|work| work.height);
        let (votes, proposals) = height.map_or((0, 0), |height| inner.index.sizes(height));
        let (future_votes, future_proposals) = inner.future.sizes();
        let work = inner.work.as_ref();
        let of_work = |count: fn(&super::Work) -> usize| work.map_or(0, count);
        let size = |what, held, most| Size { what, held, most };
        vec![
            size("heights with remembered signatures", inner.index.heights(), INDEXED_HEIGHTS),
            size("votes of the height", votes, rounds.saturating_mul(2).saturating_mul(members)),
            size("proposals of the height", proposals, rounds.saturating_mul(PROPOSALS_PER_ROUND)),
            size(
                "blocks of the height",
                of_work(|work| work.blocks.len()),
                rounds.saturating_mul(PROPOSALS_PER_ROUND + 1),
            ),
            size("lost proposals asked for", of_work(|work| work.wanted.len()), MAX_WANTED),
            size("messages remembered as forwarded again", of_work(|work| work.passed.len()), MAX_PASSED),
            size("bodies", inner.bodies.sizes().0, MAX_BODIES),
            size("parts without a proposal", inner.bodies.sizes().1, MAX_EARLY_PARTS),
            size(
                "votes of the next height",
                future_votes,
                future_rounds.saturating_mul(2).saturating_mul(members.saturating_add(upcoming)),
            ),
            size("proposals of the next height", future_proposals, future_rounds.saturating_mul(PROPOSALS_PER_ROUND)),
            size("known keys", inner.keys.len(), MAX_KNOWN_KEYS),
            size("peers with a budget", inner.peers.len(), MAX_TRACKED_PEERS),
            size("bytes of decided bodies", inner.decisions.bytes(), MAX_KEPT_BYTES.max(MAX_BLOCK_BYTES)),
        ]
    }
}

fn as_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
