//! The interface to the outside: requests to an endpoint, and time.
//!
//! [`crate::Http`] is the production implementation. The simulator has its own, with which the same watcher, submitter and
//! relay run without a runtime: their futures wait only for the wire's futures and for tokio's channels.

use futures::future::BoxFuture;
use reqwest::Url;
use std::time::Duration;

/// Sends requests to the parent's endpoints, and provides the clock.
pub trait Wire: Send + Sync + std::fmt::Debug + 'static {
    /// Posts one JSON-RPC request and reads the whole answer.
    ///
    /// The wire enforces both limits: it gives up after `deadline`, and never reads more than `max_bytes`.
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

    /// Completes when `time` has passed.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Time since a fixed moment; it never decreases.
    fn now(&self) -> Duration;

    /// Milliseconds since the Unix epoch by the local clock, which may be adjusted.
    fn unix_ms(&self) -> u64;
}

/// An endpoint's answer, not yet checked to be JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, at most as long as the requested limit.
    pub body: Vec<u8>,
}

/// Why a request to an endpoint gave no JSON-RPC answer.
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
