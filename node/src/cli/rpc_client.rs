//! A JSON-RPC client for the commands: one URL, a deadline, errors that name the URL.

use std::time::Duration;

use alloy_provider::{Provider, RootProvider};
use eyre::{WrapErr, eyre};
use serde::{Serialize, de::DeserializeOwned};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// A node's JSON-RPC endpoint.
pub(super) struct RpcClient {
    url: String,
    provider: RootProvider,
}

impl RpcClient {
    /// A client; nothing is sent yet.
    pub(super) fn new(url: &str) -> eyre::Result<Self> {
        let parsed = url.parse().map_err(|error| eyre!("{url:?} is not a URL: {error}"))?;
        Ok(Self { url: url.to_owned(), provider: RootProvider::new_http(parsed) })
    }

    /// Calls a method.
    pub(super) async fn call<P, R>(&self, method: &'static str, params: P) -> eyre::Result<R>
    where
        P: Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
        R: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let request = self.provider.raw_request::<P, R>(method.into(), params);
        tokio::time::timeout(DEADLINE, request)
            .await
            .map_err(|_| eyre!("{} did not answer {method} within {} s", self.url, DEADLINE.as_secs()))?
            .wrap_err_with(|| format!("{method} at {}", self.url))
    }
}
