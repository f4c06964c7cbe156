//! The virtual clock and the event queue, ordered by time, and by the order of scheduling within a millisecond.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The simulated time, readable by everything that runs in one world: milliseconds since it began.
#[derive(Debug, Clone, Default)]
pub struct Now(Arc<AtomicU64>);

impl Now {
    /// Milliseconds since the world began.
    pub fn ms(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug)]
struct Entry<E> {
    at_ms: u64,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The order is reversed: the heap returns its greatest element first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.sequence).cmp(&(self.at_ms, self.sequence))
    }
}

/// Events to come.
#[derive(Debug)]
pub struct Schedule<E> {
    now: Now,
    queue: BinaryHeap<Entry<E>>,
    sequence: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { now: Now::default(), queue: BinaryHeap::new(), sequence: 0 }
    }
}

impl<E> Schedule<E> {
    /// The clock.
    pub fn now(&self) -> &Now {
        &self.now
    }

    /// Adds an event at `at_ms`, or now if that has passed.
    pub fn at(&mut self, at_ms: u64, event: E) {
        self.sequence += 1;
        self.queue.push(Entry { at_ms: at_ms.max(self.now.ms()), sequence: self.sequence, event });
    }

    /// Adds an event after a delay.
    pub fn after(&mut self, delay_ms: u64, event: E) {
        self.at(self.now.ms().saturating_add(delay_ms), event);
    }

    /// Time of the next event.
    pub fn next_ms(&self) -> Option<u64> {
        self.queue.peek().map(|entry| entry.at_ms)
    }

    /// Takes the next event and moves the clock to it.
    pub fn pop(&mut self) -> Option<E> {
        let entry = self.queue.pop()?;
        self.advance(entry.at_ms);
        Some(entry.event)
    }

    /// Moves the clock forward.
    pub fn advance(&mut self, to_ms: u64) {
        self.now.0.fetch_max(to_ms, Relaxed);
    }

    /// Number of waiting events.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_added() {
        let mut schedule = Schedule::default();
        for (at, name) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b')] {
            schedule.at(at, name);
        }
        let order: String = std::iter::from_fn(|| schedule.pop()).collect();
        assert_eq!(order, "abcd");
        assert_eq!(schedule.now().ms(), 5);
    }

    #[test]
    fn what_is_late_happens_now() {
        let mut schedule = Schedule::default();
        schedule.advance(10);
        schedule.at(4, ());
        assert_eq!(schedule.next_ms(), Some(10));
        assert_eq!(schedule.pop(), Some(()));
        assert_eq!(schedule.now().ms(), 10);
    }
}
