//! The connection between the parent's clients and the simulated parent: requests and sleeps that end at their time.
//!
//! A client posts into a mailbox and holds a future. [`super::Parent`] empties the mailbox, serves each request when it has
//! arrived and fills its slot when the answer has. Nothing here runs by itself.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use causeway_parent::{Answer, ExchangeError, Url, Wire};
use futures::future::BoxFuture;
use parking_lot::Mutex;

/// The result of an exchange.
pub(super) type Exchanged = Result<Answer, ExchangeError>;

/// The slot from which a future takes its value.
#[derive(Debug)]
struct Content<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// The parent's side of a future.
#[derive(Debug)]
pub(super) struct Slot<T>(Arc<Mutex<Content<T>>>);

impl<T> Slot<T> {
    fn new() -> (Self, Awaited<T>) {
        let content = Arc::new(Mutex::new(Content { value: None, waker: None }));
        (Self(content.clone()), Awaited(content))
    }

    /// Completes the future. A second value is ignored.
    pub(super) fn fill(&self, value: T) {
        let mut content = self.0.lock();
        content.value.get_or_insert(value);
        let waker = content.waker.take();
        drop(content);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Awaited<T>(Arc<Mutex<Content<T>>>);

impl<T> Future for Awaited<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut content = self.0.lock();
        match content.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                content.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A request that was posted.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) sent_ms: u64,
    pub(super) machine: usize,
    pub(super) endpoint: String,
    pub(super) body: Vec<u8>,
    pub(super) deadline_ms: u64,
    pub(super) max_bytes: usize,
    pub(super) slot: Slot<Exchanged>,
}

/// Requests of clients since the last time it was emptied, and the present time.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) now_ms: u64,
    pub(super) posted: Vec<Posted>,
    pub(super) sleeps: Vec<(u64, Slot<()>)>,
}

/// One machine's wire.
#[derive(Debug)]
pub(super) struct ParentWire {
    pub(super) machine: usize,
    pub(super) start_unix_s: u64,
    pub(super) mailbox: Arc<Mutex<Mailbox>>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Wire for ParentWire {
    fn exchange(
        &self,
        endpoint: &Url,
        body: Vec<u8>,
        deadline: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'static, Exchanged> {
        let (slot, awaited) = Slot::new();
        let mut mailbox = self.mailbox.lock();
        let posted = Posted {
            sent_ms: mailbox.now_ms,
            machine: self.machine,
            endpoint: endpoint.host_str().unwrap_or_default().to_owned(),
            body,
            deadline_ms: millis(deadline),
            max_bytes,
            slot,
        };
        mailbox.posted.push(posted);
        Box::pin(awaited)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let (slot, awaited) = Slot::new();
        let mut mailbox = self.mailbox.lock();
        let due_ms = mailbox.now_ms.saturating_add(millis(time));
        mailbox.sleeps.push((due_ms, slot));
        Box::pin(awaited)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.mailbox.lock().now_ms)
    }

    fn unix_ms(&self) -> u64 {
        self.start_unix_s.saturating_mul(1_000).saturating_add(self.mailbox.lock().now_ms)
    }
}
