//! I6, pace: blocks do not follow each other faster than the block interval, whatever messages claim.
//!
//! Less than a third of the power cannot decide alone, so a height is not decided before the first honest node has begun it by
//! itself. A node begins a height one interval after it began the previous one, and after that one is decided. It begins at once when it
//! already has the height's block, when more than a third of the power is there (so after an honest node), when it starts, or when it has listened
//! long enough after a start. These rules give the earliest time at which each height may be decided. No clock of
//! a node is read; only its largest drift is used.

use super::{Violation, ensure, violation::LIVENESS};

const MILLION: u64 = 1_000_000;

/// Earliest time at which the next height may be decided.
#[derive(Debug)]
pub(crate) struct Pace {
    fast_ppm: u64,
    /// Earliest time at which an honest node begins the height in progress.
    earliest_ms: u64,
}

impl Pace {
    /// For nodes whose clocks are fast by at most this many parts per million.
    pub(crate) fn new(fast_ppm: u64) -> Self {
        Self { fast_ppm, earliest_ms: 0 }
    }

    /// An honest node begins the height in progress without having waited: it has started, or has listened long enough.
    pub(crate) fn begun(&mut self, now_ms: u64) {
        self.earliest_ms = self.earliest_ms.min(now_ms);
    }

    /// The first honest node has decided a height; the next one begins `interval_ms` later at the earliest.
    pub(crate) fn decided(&mut self, now_ms: u64, height: u64, interval_ms: u64) -> Result<(), Violation> {
        let earliest_ms = self.earliest_ms;
        ensure(now_ms >= earliest_ms, LIVENESS, height, || {
            format!("it was decided {} ms before any honest node may have begun it", earliest_ms - now_ms)
        })?;
        // Clocks show whole milliseconds.
        let shortest_ms = (interval_ms * MILLION / (MILLION + self.fast_ppm)).saturating_sub(1);
        self.earliest_ms = now_ms.max(earliest_ms + shortest_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_height_that_comes_too_soon_is_noticed() {
        let mut pace = Pace::new(0);
        pace.decided(1_000, 1, 100).unwrap();
        // The first height may have taken its whole interval.
        pace.decided(1_010, 2, 100).unwrap();
        assert!(pace.decided(1_098, 3, 100).unwrap_err().text.contains("1 ms before"));
        pace.decided(1_099, 3, 100).unwrap();
    }

    #[test]
    fn a_rhythm_that_is_kept_passes_and_a_faster_one_does_not() {
        let mut pace = Pace::new(500);
        for height in 1..1_000 {
            pace.decided(height * 100 - 3, height, 100).unwrap();
        }
        let mut pace = Pace::new(0);
        let mut fast = (1..1_000u64).map(|height| pace.decided(height * 98, height, 100));
        assert!(fast.any(|outcome| outcome.is_err()));
    }

    #[test]
    fn who_starts_need_not_wait() {
        let mut pace = Pace::new(0);
        pace.decided(1_000, 1, 100).unwrap();
        pace.decided(1_010, 2, 100).unwrap();
        pace.begun(1_020);
        pace.decided(1_030, 3, 100).unwrap();
        assert!(pace.decided(1_110, 4, 100).is_err());
    }
}
