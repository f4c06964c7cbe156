//! HTTP JSON-RPC transport with a deadline and a size limit on every answer.
//!
//! The stock transport reads an answer to its end whatever its length; a hostile endpoint must neither hang the
//! watcher nor fill its memory.

use crate::config::{ConfigError, redact};
use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_provider::RootProvider;
use alloy_rpc_client::RpcClient;
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

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

/// The transport. Cheap to clone; clones share the connection pool.
#[derive(Clone, Debug)]
pub(crate) struct BoundedHttp {
    client: reqwest::Client,
    url: reqwest::Url,
    deadline: Duration,
    max_response_bytes: usize,
}

impl BoundedHttp {
    pub(crate) fn new(endpoint: &str, deadline: Duration, max_response_bytes: usize) -> Result<Self, ConfigError> {
        let bad = |reason: String| ConfigError::BadUrl { endpoint: redact(endpoint), reason };
        let url = reqwest::Url::parse(endpoint).map_err(|e| bad(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(bad("it needs a host and the scheme http or https".to_owned()));
        }
        let client = reqwest::Client::builder()
            // A redirect could turn a configured source into another one.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| ConfigError::Client(e.to_string()))?;
        Ok(Self { client, url, deadline, max_response_bytes })
    }

    async fn exchange(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        match tokio::time::timeout(self.deadline, self.post(&request)).await {
            Ok(answer) => answer.map_err(TransportErrorKind::custom),
            Err(_) => Err(TransportErrorKind::custom(ExchangeError::Deadline(self.deadline.as_millis()))),
        }
    }

    async fn post(&self, request: &RequestPacket) -> Result<ResponsePacket, ExchangeError> {
        let connection = |e: reqwest::Error| ExchangeError::Connection(e.without_url().to_string());
        let body = serde_json::to_vec(request).map_err(|_| ExchangeError::NotJsonRpc)?;
        let mut answer = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(connection)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(connection)? {
            if bytes.len().saturating_add(chunk.len()) > self.max_response_bytes {
                return Err(ExchangeError::TooLarge(self.max_response_bytes));
            }
            bytes.extend_from_slice(&chunk);
        }
        // Many servers put a JSON-RPC error into the body of a 4xx or 5xx: that says more than the status.
        match serde_json::from_slice(&bytes) {
            Ok(packet) => Ok(packet),
            Err(_) if !answer.status().is_success() => Err(ExchangeError::Status(answer.status().as_u16())),
            Err(_) => Err(ExchangeError::NotJsonRpc),
        }
    }
}

impl Service<RequestPacket> for BoundedHttp {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().exchange(request))
    }
}

/// An alloy provider over [`BoundedHttp`].
pub(crate) fn provider(
    endpoint: &str,
    deadline: Duration,
    max_response_bytes: usize,
) -> Result<RootProvider, ConfigError> {
    let transport = BoundedHttp::new(endpoint, deadline, max_response_bytes)?;
    Ok(RootProvider::new(RpcClient::new(transport, false)))
}

/// The transport's own reason inside an alloy error, if it gave one.
pub(crate) fn exchange_error(error: &TransportError) -> Option<&ExchangeError> {
    match error {
        TransportError::Transport(kind) => kind.as_custom()?.downcast_ref(),
        _ => None,
    }
}
