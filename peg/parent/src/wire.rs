//! What this crate needs of the world: requests that reach an endpoint, and time that passes.
//!
//! [`crate::Http`] is the wire of a running node. The simulator has one of its own, under which the same watcher, submitter and
//! relay run without a runtime: none of their futures waits for anything but the wire's futures and tokio's channels.

use futures::future::BoxFuture;
use reqwest::Url;
use std::time::Duration;

/// The way to the parent's endpoints, and the clock that goes with it.
pub trait Wire: Send + Sync + std::fmt::Debug + 'static {
    /// Posts one JSON-RPC request and reads the whole answer.
    ///
    /// The wire keeps both limits: after `deadline` it gives up, and it never reads more than `max_bytes`.
    ///
    /// # Errors
    /// `Connection`, `Deadline` and `TooLarge` of [`ExchangeError`].
    fn exchange(
        &self,
        endpoint: &Url,
        body: Vec<u8>,
        deadline: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>>;

    /// Is ready when `time` has passed.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Time since a fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// Milliseconds since the Unix epoch by the local clock, which may be set.
    fn unix_ms(&self) -> u64;
}

/// What an endpoint answered, not yet believed to be JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content, at most as long as was asked for.
    pub body: Vec<u8>,
}

/// Why an exchange with an endpoint gave no JSON-RPC answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Connection refused, name not found, TLS failure, connection cut.
    #[error("no connection: {0}")]
    Connection(String),
    /// The deadline passed.
    #[error("no answer within {0} ms")]
    Deadline(u128),
    /// The answer was longer than the limit.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// An HTTP status other than 2xx with no JSON-RPC answer in its body.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The body is not a JSON-RPC answer.
    #[error("the answer is not JSON-RPC")]
    NotJsonRpc,
}
