//! What one WebSocket holds of this node's memory: requests being worked on, and answers and events that have not left.
//!
//! The library queues a bounded number of messages and reads on regardless of how many calls wait to join the queue. So
//! bytes are counted here: taken when a message is made, given back as bytes are written to the socket ([`crate::transport::slow_client`]),
//! which also stops the reading while the client does not read.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::budget::{Budget, Budgets, Exhausted, Held};

/// The account of one connection.
#[derive(Debug)]
pub(crate) struct Unread {
    asked: Budget,
    answered: Budget,
    shared: Arc<Budgets>,
    held: Mutex<Answers>,
}

/// The share of one connection's budget and of everybody's.
#[derive(Debug, Default)]
struct Answers {
    own: Held,
    shared: Held,
}

impl Unread {
    /// A connection that may hold `limit` bytes of requests and as many of answers.
    pub(crate) fn new(limit: usize, shared: Arc<Budgets>) -> Self {
        let budget = || Budget::new("websocket_bytes_in_flight", limit);
        Self { asked: budget(), answered: budget(), shared, held: Mutex::default() }
    }

    /// Takes the bytes of a request, until the answer is dropped.
    ///
    /// # Errors
    /// [`Exhausted`]
    pub(crate) fn ask(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], Exhausted> {
        Ok([self.asked.take(bytes)?, self.shared.bodies.take(bytes)?])
    }

    /// Takes the bytes of a message that is about to be queued.
    ///
    /// # Errors
    /// [`Exhausted`]: the message must not be queued.
    pub(crate) fn queue(&self, bytes: usize) -> Result<(), Exhausted> {
        let (own, shared) = (self.answered.take(bytes)?, self.shared.answers.take(bytes)?);
        let mut held = self.held.lock();
        held.own.add(own);
        held.shared.add(shared);
        Ok(())
    }

    /// As [`Self::queue`], for bytes that are taken from the shared budget already.
    ///
    /// # Errors
    /// [`Exhausted`]: the message must not be queued.
    pub(crate) fn adopt(&self, bytes: Held) -> Result<(), Exhausted> {
        let own = self.answered.take(bytes.bytes())?;
        let mut held = self.held.lock();
        held.own.add(own);
        held.shared.merge(bytes);
        Ok(())
    }

    /// So many bytes have left. Frames are a little longer than messages, which is in the client's favour.
    pub(crate) fn wrote(&self, bytes: usize) {
        let mut held = self.held.lock();
        held.own.release(bytes);
        held.shared.release(bytes);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::RpcLimits;

    fn shared(answers: usize) -> Arc<Budgets> {
        Arc::new(Budgets::new(&RpcLimits { answer_bytes_in_flight: answers, ..RpcLimits::default() }))
    }

    #[test]
    fn a_connection_holds_what_it_has_not_written_and_no_more_than_its_limit() {
        let unread = Unread::new(100, shared(1_000));
        unread.queue(60).unwrap();
        assert!(unread.queue(41).unwrap_err().to_string().contains("websocket_bytes_in_flight"));
        unread.queue(40).unwrap();
        unread.wrote(30);
        unread.queue(30).unwrap();
        unread.queue(1).unwrap_err();
        unread.wrote(1_000);
        unread.queue(100).unwrap();
    }

    #[test]
    fn connections_share_a_budget_and_a_closed_one_gives_its_share_back() {
        let shared = shared(150);
        let (one, two) = (Unread::new(100, shared.clone()), Unread::new(100, shared.clone()));
        one.queue(100).unwrap();
        assert!(two.queue(51).unwrap_err().to_string().contains("answer_bytes_in_flight"));
        // The refused message left nothing behind.
        two.queue(50).unwrap();
        drop(one);
        let mut built = Held::default();
        built.add(shared.answers.take(50).unwrap());
        two.adopt(built).unwrap();
        two.queue(1).unwrap_err();
    }

    #[test]
    fn requests_are_counted_apart_from_answers() {
        let unread = Unread::new(100, shared(100));
        unread.queue(100).unwrap();
        let asked = unread.ask(100).unwrap();
        unread.ask(1).unwrap_err();
        drop(asked);
        drop(unread.ask(100).unwrap());
    }
}
