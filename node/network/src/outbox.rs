//! Events that wait for the node, ordered by importance. Each kind is bounded.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{NetworkEvent, PeerToken};
use crate::limits::{
    MAX_QUEUED_BATCH_BYTES, MAX_QUEUED_BATCHES, MAX_QUEUED_LIFECYCLE, MAX_QUEUED_MESSAGE_BYTES, MAX_QUEUED_MESSAGES,
    MAX_QUEUED_MESSAGES_PER_PEER, MAX_QUEUED_REQUESTS,
};

/// The queue of this kind of event is full. The event was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dropped;

/// Order of delivery: arrivals, departures and answers; then consensus and peg messages; then requests of peers;
/// then transactions.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lifecycle: VecDeque<NetworkEvent>,
    messages: Lane,
    requests: VecDeque<NetworkEvent>,
    batches: Lane,
    messages_by_peer: BTreeMap<PeerToken, usize>,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<(PeerToken, usize, NetworkEvent)>,
    bytes: usize,
}

impl Lane {
    fn push(&mut self, from: PeerToken, bytes: usize, event: NetworkEvent) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.queue.push_back((from, bytes, event));
    }

    fn pop(&mut self) -> Option<(PeerToken, NetworkEvent)> {
        let (from, bytes, event) = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some((from, event))
    }

    fn has_room(&self, count: usize, bytes: usize, more: usize) -> bool {
        self.queue.len() < count && self.bytes.saturating_add(more) <= bytes
    }
}

impl Outbox {
    /// Queues an arrival, a departure or an answer to a request of this node. These are never dropped. The caller
    /// reads nothing from the network while [`Outbox::is_clogged`].
    pub(crate) fn push_lifecycle(&mut self, event: NetworkEvent) {
        self.lifecycle.push_back(event);
    }

    /// Queues a consensus or peg message.
    pub(crate) fn push_message(&mut self, from: PeerToken, bytes: usize, event: NetworkEvent) -> Result<(), Dropped> {
        let own = self.messages_by_peer.get(&from).copied().unwrap_or_default();
        if own >= MAX_QUEUED_MESSAGES_PER_PEER
            || !self.messages.has_room(MAX_QUEUED_MESSAGES, MAX_QUEUED_MESSAGE_BYTES, bytes)
        {
            return Err(Dropped);
        }
        self.messages_by_peer.insert(from, own + 1);
        self.messages.push(from, bytes, event);
        Ok(())
    }

    /// Queues a batch of transactions.
    pub(crate) fn push_batch(&mut self, from: PeerToken, bytes: usize, event: NetworkEvent) -> Result<(), Dropped> {
        if !self.batches.has_room(MAX_QUEUED_BATCHES, MAX_QUEUED_BATCH_BYTES, bytes) {
            return Err(Dropped);
        }
        self.batches.push(from, bytes, event);
        Ok(())
    }

    /// Queues a sync request of a peer.
    pub(crate) fn push_request(&mut self, event: NetworkEvent) -> Result<(), Dropped> {
        if self.requests.len() >= MAX_QUEUED_REQUESTS {
            return Err(Dropped);
        }
        self.requests.push_back(event);
        Ok(())
    }

    /// The next event for the node.
    pub(crate) fn pop(&mut self) -> Option<NetworkEvent> {
        if let Some(event) = self.lifecycle.pop_front() {
            return Some(event);
        }
        if let Some((from, event)) = self.messages.pop() {
            if let Some(count) = self.messages_by_peer.get_mut(&from) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.messages_by_peer.remove(&from);
                }
            }
            return Some(event);
        }
        self.requests.pop_front().or_else(|| self.batches.pop().map(|(_, event)| event))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lifecycle.is_empty()
            && self.messages.queue.is_empty()
            && self.requests.is_empty()
            && self.batches.queue.is_empty()
    }

    /// Whether so many arrivals and departures wait for the node that the network must wait, too.
    pub(crate) fn is_clogged(&self) -> bool {
        self.lifecycle.len() >= MAX_QUEUED_LIFECYCLE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(peer: PeerToken) -> NetworkEvent {
        NetworkEvent::PeerDisconnected { peer }
    }

    fn popped(outbox: &mut Outbox) -> Vec<PeerToken> {
        std::iter::from_fn(|| outbox.pop())
            .map(|event| match event {
                NetworkEvent::PeerDisconnected { peer } => peer,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    #[test]
    fn events_leave_by_importance_then_age() {
        let mut outbox = Outbox::default();
        outbox.push_batch(0, 1, event(6)).unwrap();
        outbox.push_request(event(5)).unwrap();
        outbox.push_message(0, 1, event(3)).unwrap();
        outbox.push_message(0, 1, event(4)).unwrap();
        outbox.push_lifecycle(event(1));
        outbox.push_lifecycle(event(2));
        assert_eq!(popped(&mut outbox), vec![1, 2, 3, 4, 5, 6]);
        assert!(outbox.is_empty() && outbox.messages_by_peer.is_empty());
    }

    #[test]
    fn no_peer_takes_the_whole_queue() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_QUEUED_MESSAGES_PER_PEER {
            outbox.push_message(1, 1, event(1)).unwrap();
        }
        assert_eq!(outbox.push_message(1, 1, event(1)), Err(Dropped));
        outbox.push_message(2, 1, event(2)).unwrap();
        outbox.pop().unwrap();
        outbox.push_message(1, 1, event(1)).unwrap();
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut outbox = Outbox::default();
        outbox.push_batch(1, MAX_QUEUED_BATCH_BYTES, event(1)).unwrap();
        assert_eq!(outbox.push_batch(2, 1, event(2)), Err(Dropped));
        outbox.pop().unwrap();
        outbox.push_batch(2, 1, event(2)).unwrap();
        outbox.push_message(1, MAX_QUEUED_MESSAGE_BYTES, event(1)).unwrap();
        assert_eq!(outbox.push_message(2, 1, event(2)), Err(Dropped));
    }

    #[test]
    fn network_waits_rather_than_lose_a_departure() {
        let mut outbox = Outbox::default();
        for _ in 0..MAX_QUEUED_LIFECYCLE {
            assert!(!outbox.is_clogged());
            outbox.push_lifecycle(event(1));
        }
        assert!(outbox.is_clogged());
        outbox.pop().unwrap();
        assert!(!outbox.is_clogged());
    }
}
