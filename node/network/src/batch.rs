//! Collects transactions for one gossip message. Pure: time is an argument.

use alloy_primitives::Bytes;

use crate::limits::{BATCH_DELAY, MAX_BATCH_BYTES, MAX_BATCH_TRANSACTIONS};

/// The transactions collected so far, and the time at which they must be sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    transactions: Vec<Bytes>,
    bytes: usize,
    due_ms: Option<u64>,
}

impl Batch {
    /// Adds a transaction. Returns the collected batch if it had no room for the transaction. A transaction longer
    /// than a whole batch cannot occur: the limit of the pool is lower.
    pub(crate) fn push(&mut self, transaction: Bytes, now_ms: u64) -> Option<Vec<Bytes>> {
        let full = self.transactions.len() >= MAX_BATCH_TRANSACTIONS
            || self.bytes.saturating_add(transaction.len()) > MAX_BATCH_BYTES;
        let ready = if full { self.take() } else { None };
        self.bytes = self.bytes.saturating_add(transaction.len());
        self.transactions.push(transaction);
        let delay = u64::try_from(BATCH_DELAY.as_millis()).unwrap_or(u64::MAX);
        self.due_ms.get_or_insert(now_ms.saturating_add(delay));
        ready
    }

    /// Returns the collected transactions, if there are any.
    pub(crate) fn take(&mut self) -> Option<Vec<Bytes>> {
        self.due_ms = None;
        self.bytes = 0;
        Some(std::mem::take(&mut self.transactions)).filter(|batch| !batch.is_empty())
    }

    /// The time at which the batch must be sent, full or not.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    #[test]
    fn batch_is_due_a_moment_after_its_first_transaction() {
        let mut batch = Batch::default();
        assert_eq!(batch.due_ms(), None);
        assert_eq!(batch.push(transaction(1), 100), None);
        assert_eq!(batch.push(transaction(1), 104), None);
        assert_eq!(batch.due_ms(), Some(105));
        assert_eq!(batch.take().map(|batch| batch.len()), Some(2));
        assert_eq!((batch.take(), batch.due_ms()), (None, None));
    }

    #[test]
    fn batch_goes_when_its_count_or_bytes_are_full() {
        let mut batch = Batch::default();
        for _ in 0..MAX_BATCH_TRANSACTIONS {
            assert_eq!(batch.push(transaction(1), 0), None);
        }
        assert_eq!(batch.push(transaction(1), 0).map(|batch| batch.len()), Some(MAX_BATCH_TRANSACTIONS));
        let rest = MAX_BATCH_BYTES - 1;
        assert_eq!(batch.push(transaction(rest), 0), None);
        assert_eq!(batch.push(transaction(1), 0).map(|batch| batch.len()), Some(2));
    }
}
