//! JSON-RPC over a [`Wire`], in the form that alloy's client needs.

use crate::{
    config::{ConfigError, redact},
    wire::{Answer, ExchangeError, Wire},
};
use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_provider::RootProvider;
use alloy_rpc_client::RpcClient;
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use reqwest::Url;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// One endpoint and the limits of an answer. Cheap to clone.
#[derive(Clone, Debug)]
struct Transport {
    wire: Arc<dyn Wire>,
    endpoint: Url,
    deadline: Duration,
    max_response_bytes: usize,
}

impl Transport {
    async fn exchange(self, request: RequestPacket) -> Result<ResponsePacket, ExchangeError> {
        let body = serde_json::to_vec(&request).map_err(|_| ExchangeError::NotJsonRpc)?;
        let Answer { status, body } =
            self.wire.exchange(&self.endpoint, body, self.deadline, self.max_response_bytes).await?;
        // Many servers put a JSON-RPC error into the body of a 4xx or 5xx answer; it is more precise than the status.
        match serde_json::from_slice(&body) {
            Ok(packet) => Ok(packet),
            Err(_) if !(200..300).contains(&status) => Err(ExchangeError::Status(status)),
            Err(_) => Err(ExchangeError::NotJsonRpc),
        }
    }
}

impl Service<RequestPacket> for Transport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let exchange = self.clone().exchange(request);
        Box::pin(async move { exchange.await.map_err(TransportErrorKind::custom) })
    }
}

/// An alloy provider over `wire`. Only its requests are used, which need no runtime.
pub(crate) fn provider(
    endpoint: &str,
    deadline: Duration,
    max_response_bytes: usize,
    wire: Arc<dyn Wire>,
) -> Result<RootProvider, ConfigError> {
    let bad = |reason: String| ConfigError::BadUrl { endpoint: redact(endpoint), reason };
    let url = Url::parse(endpoint).map_err(|e| bad(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("a host and the scheme http or https are required".to_owned()));
    }
    let transport = Transport { wire, endpoint: url, deadline, max_response_bytes };
    Ok(RootProvider::new(RpcClient::new(transport, false)))
}

/// The transport's own error inside an alloy error, if there is one.
pub(crate) fn exchange_error(error: &TransportError) -> Option<&ExchangeError> {
    match error {
        TransportError::Transport(kind) => kind.as_custom()?.downcast_ref(),
        _ => None,
    }
}
