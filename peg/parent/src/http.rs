//! The wire of a running node: HTTP by reqwest, timers by tokio, the machine's clocks.
//!
//! Stock JSON-RPC transports read an answer to its end whatever its length; a hostile endpoint must neither hang the watcher
//! nor fill its memory.

use crate::{
    config::ConfigError,
    wire::{Answer, ExchangeError, Wire},
};
use futures::future::BoxFuture;
use reqwest::Url;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// HTTP with a deadline and a size limit on every answer. Needs tokio's runtime. One serves a whole process.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    started: Instant,
}

impl Http {
    /// Makes the client; connects to nothing yet.
    ///
    /// # Errors
    /// [`ConfigError::Client`].
    pub fn new() -> Result<Self, ConfigError> {
        let client = reqwest::Client::builder()
            // A redirect could turn a configured source into another one.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ConfigError::Client(e.to_string()))?;
        Ok(Self { client, started: Instant::now() })
    }
}

impl Wire for Http {
    fn exchange(
        &self,
        endpoint: &Url,
        body: Vec<u8>,
        deadline: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        let request =
            self.client.post(endpoint.clone()).header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        Box::pin(async move {
            match tokio::time::timeout(deadline, read(request, max_bytes)).await {
                Ok(answer) => answer,
                Err(_) => Err(ExchangeError::Deadline(deadline.as_millis())),
            }
        })
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

async fn read(request: reqwest::RequestBuilder, max_bytes: usize) -> Result<Answer, ExchangeError> {
    let connection = |e: reqwest::Error| ExchangeError::Connection(e.without_url().to_string());
    let mut answer = request.send().await.map_err(connection)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(connection)? {
        if body.len().saturating_add(chunk.len()) > max_bytes {
            return Err(ExchangeError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: answer.status().as_u16(), body })
}
