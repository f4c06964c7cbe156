//! The sum of all withdrawals. It is kept between calls, so that each withdrawal is read once.

use alloy_primitives::U256;
use parking_lot::Mutex;

use crate::errors::Fault;

/// Withdrawals added up at a time.
const CHUNK: u64 = 1_024;

/// The number of withdrawals added up so far, and their sum in wei.
#[derive(Debug, Default)]
pub(crate) struct BurnedTotal(Mutex<(u64, U256)>);

impl BurnedTotal {
    /// The sum of the first `count` withdrawals. `sum(from, until)` reads the sum of those with an index in `from..until`. `count`
    /// never shrinks.
    ///
    /// # Errors
    /// Those of `sum`.
    pub(crate) fn of(&self, count: u64, sum: impl Fn(u64, u64) -> Result<U256, Fault>) -> Result<U256, Fault> {
        let mut total = self.0.lock();
        while total.0 < count {
            let until = count.min(total.0.saturating_add(CHUNK));
            *total = (until, total.1.saturating_add(sum(total.0, until)?));
        }
        Ok(total.1)
    }
}

/// The sum of the withdrawals with an index in `from..until`, read in chunks.
///
/// # Errors
/// Those of `sum`.
pub(crate) fn sum_between(from: u64, until: u64, sum: impl Fn(u64, u64) -> Result<U256, Fault>) -> Result<U256, Fault> {
    let (mut next, mut total) = (from, U256::ZERO);
    while next < until {
        let end = until.min(next.saturating_add(CHUNK));
        total = total.saturating_add(sum(next, end)?);
        next = end;
    }
    Ok(total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Every withdrawal is of 2 wei.
    fn pairs(from: u64, until: u64) -> Result<U256, Fault> {
        assert!(from < until && until - from <= CHUNK, "{from}..{until}");
        Ok(U256::from(2 * (until - from)))
    }

    #[test]
    fn each_withdrawal_is_read_once() {
        let (total, read) = (BurnedTotal::default(), Cell::new(0));
        let counted = |from: u64, until: u64| {
            read.set(read.get() + until - from);
            pairs(from, until)
        };
        for count in [0, 1, CHUNK, 3 * CHUNK + 5, 3 * CHUNK + 6] {
            assert_eq!(total.of(count, counted).unwrap(), U256::from(2 * count));
        }
        assert_eq!(read.get(), 3 * CHUNK + 6);
    }

    #[test]
    fn a_range_is_summed_in_chunks() {
        for (from, until) in [(0, 0), (5, 5), (7, 7 + 2 * CHUNK), (1, CHUNK), (9, 3)] {
            assert_eq!(sum_between(from, until, pairs).unwrap(), U256::from(2 * until.saturating_sub(from)));
        }
    }

    #[test]
    fn a_failed_read_is_repeated_by_the_next_call() {
        let total = BurnedTotal::default();
        assert_eq!(total.of(1, |_, _| Err(Fault::Internal("test"))), Err(Fault::Internal("test")));
        assert_eq!(total.of(1, pairs).unwrap(), U256::from(2));
    }
}
