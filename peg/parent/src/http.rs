//! The production wire: HTTP by reqwest, timers by tokio, the machine's clocks.
//!
//! Common JSON-RPC transports read an answer of any length to its end. A hostile endpoint must neither block the watcher nor
//! fill its memory.

use crate::{
    config::ConfigError,
    wire::{Answer, ExchangeError, Wire},
};
use futures::future::BoxFuture;
use reqwest::Url;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// HTTP with a deadline and a size limit for every answer. Needs the tokio runtime. A process needs only one.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    started: Instant,
}

impl Http {
    /// Creates the client; does not connect yet.
    ///
    /// # Errors
    /// [`ConfigError::Client`].
    pub fn new() -> Result<Self, ConfigError> {
        let client = reqwest::Client::builder()
            // A redirect could replace a configured source by another one.
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
