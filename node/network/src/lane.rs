//! One-way messages to one peer: a few in flight, a bounded number waiting.

use std::collections::VecDeque;

/// Messages to one peer.
#[derive(Debug)]
pub(crate) struct Lane<M> {
    waiting: VecDeque<M>,
    in_flight: usize,
    max_in_flight: usize,
    max_waiting: usize,
}

impl<M> Lane<M> {
    pub(crate) fn new(max_in_flight: usize, max_waiting: usize) -> Self {
        Self { waiting: VecDeque::new(), in_flight: 0, max_in_flight, max_waiting }
    }

    /// Adds a message. If there is no room, the oldest waiting one is dropped and returned: newer consensus messages
    /// are more useful.
    pub(crate) fn push(&mut self, message: M) -> Option<M> {
        self.waiting.push_back(message);
        if self.waiting.len() > self.max_waiting { self.waiting.pop_front() } else { None }
    }

    /// The next message to send now. The caller reports with [`Lane::finished`] that it arrived or failed.
    pub(crate) fn next(&mut self) -> Option<M> {
        if self.in_flight >= self.max_in_flight {
            return None;
        }
        let message = self.waiting.pop_front()?;
        self.in_flight += 1;
        Some(message)
    }

    /// A message in flight arrived or failed.
    pub(crate) fn finished(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_messages_are_under_way() {
        let mut lane = Lane::new(2, 10);
        for i in 0..5 {
            assert_eq!(lane.push(i), None);
        }
        assert_eq!((lane.next(), lane.next(), lane.next()), (Some(0), Some(1), None));
        lane.finished();
        assert_eq!((lane.next(), lane.next()), (Some(2), None));
    }

    #[test]
    fn oldest_waiting_message_gives_way() {
        let mut lane = Lane::new(1, 2);
        assert_eq!((lane.push(1), lane.push(2), lane.push(3)), (None, None, Some(1)));
        assert_eq!(lane.next(), Some(2));
    }
}
