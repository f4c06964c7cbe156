//! The memory that one WebSocket may take: for requests in work, and for answers and events that are not written yet.
//!
//! The JSON-RPC library queues a bounded number of messages. But it reads more requests even while calls wait for room in the
//! queue. So bytes are counted here. They are taken when a message is made, and given back when they are written to the socket.
//! The socket ([`crate::transport::slow_client`]) also stops reading while its client does not read.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::budget::{Budget, Budgets, Exhausted, Share};

/// The budget of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionBudget {
    requests: Budget,
    answers: Budget,
    shared: Arc<Budgets>,
    held: Mutex<Answers>,
}

/// The shares that a connection's unwritten answers take: of its own budget, and of the shared one.
#[derive(Debug, Default)]
struct Answers {
    own: Share,
    shared: Share,
}

impl ConnectionBudget {
    /// A budget of `limit` bytes for requests and as many for answers.
    pub(crate) fn new(limit: usize, shared: Arc<Budgets>) -> Self {
        let budget = || Budget::new("websocket_bytes_in_flight", limit);
        Self { requests: budget(), answers: budget(), shared, held: Mutex::default() }
    }

    /// Takes the bytes of a request. Dropping the permits gives them back.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(crate) fn take_request(&self, bytes: usize) -> Result<[OwnedSemaphorePermit; 2], Exhausted> {
        Ok([self.requests.take(bytes)?, self.shared.bodies.take(bytes)?])
    }

    /// Takes the bytes of a message that is about to be queued.
    ///
    /// # Errors
    /// [`Exhausted`]: the message must not be queued.
    pub(crate) fn queue(&self, bytes: usize) -> Result<(), Exhausted> {
        let (own, shared) = (self.answers.take(bytes)?, self.shared.answers.take(bytes)?);
        let mut held = self.held.lock();
        held.own.add(own);
        held.shared.add(shared);
        Ok(())
    }

    /// Like [`Self::queue`], for bytes that are taken from the shared budget already.
    ///
    /// # Errors
    /// [`Exhausted`]: the message must not be queued.
    pub(crate) fn queue_taken(&self, bytes: Share) -> Result<(), Exhausted> {
        let own = self.answers.take(bytes.bytes())?;
        let mut held = self.held.lock();
        held.own.add(own);
        held.shared.merge(bytes);
        Ok(())
    }

    /// Gives back bytes that were written. Frames are a little longer than messages, so slightly too many come back.
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
        let unread = ConnectionBudget::new(100, shared(1_000));
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
        let (one, two) = (ConnectionBudget::new(100, shared.clone()), ConnectionBudget::new(100, shared.clone()));
        one.queue(100).unwrap();
        assert!(two.queue(51).unwrap_err().to_string().contains("answer_bytes_in_flight"));
        // The refused message took nothing.
        two.queue(50).unwrap();
        drop(one);
        let mut built = Share::default();
        built.add(shared.answers.take(50).unwrap());
        two.queue_taken(built).unwrap();
        two.queue(1).unwrap_err();
    }

    #[test]
    fn requests_are_counted_apart_from_answers() {
        let unread = ConnectionBudget::new(100, shared(100));
        unread.queue(100).unwrap();
        let requests = unread.take_request(100).unwrap();
        unread.take_request(1).unwrap_err();
        drop(requests);
        drop(unread.take_request(100).unwrap());
    }
}
