//! A JSON-RPC client for the commands: one URL, a deadline, errors that name the URL.

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use alloy_provider::{Provider, RootProvider, transport::TransportError};

use clap::Args;
use eyre::{Report, eyre};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Time limit of one request.
const DEADLINE: Duration = Duration::from_secs(15);

/// Which node is asked.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// The node's JSON-RPC URL.
    #[arg(long, env = "CAUSEWAY_RPC", default_value = "http://127.0.0.1:8545")]
    pub(super) rpc: String,
}

/// A node's JSON-RPC endpoint.
pub(super) struct RpcClient {
    url: String,
    provider: RootProvider,
}

/// Why a call failed.
pub(super) enum CallFailure {
    /// The node answered with an error.
    Refused {
        /// Its message.
        message: String,
        /// Revert data; empty when the call did not revert.
        data: Bytes,
    },
    /// There was no answer, or it could not be decoded.
    Unanswered(Report),
}

/// The fields of `consensus_status` that commands use.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    genesis_hash: B256,
}

impl RpcClient {
    /// A client; nothing is sent yet.
    pub(super) fn new(url: &str) -> eyre::Result<Self> {
        let parsed = url.parse().map_err(|error| eyre!("{url:?} is not a URL: {error}"))?;
        Ok(Self { url: url.to_owned(), provider: RootProvider::new_http(parsed) })
    }

    /// The URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method.
    pub(super) async fn call<P, R>(&self, method: &'static str, params: P) -> eyre::Result<R>
    where
        P: Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
        R: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        self.attempt(method, params).await.map_err(|failure| match failure {
            CallFailure::Refused { message, .. } => eyre!("{method} at {}: {message}", self.url),
            CallFailure::Unanswered(error) => error,
        })
    }

    /// Calls a method and distinguishes an error answer from no answer.
    pub(super) async fn attempt<P, R>(&self, method: &'static str, params: P) -> Result<R, CallFailure>
    where
        P: Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
        R: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        let request = self.provider.raw_request::<P, R>(method.into(), params);
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(TransportError::ErrorResp(payload))) => {
                let data = payload.data.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
                let data = data.as_ref().and_then(Value::as_str).and_then(|text| text.parse().ok());
                Err(CallFailure::Refused { message: payload.message.to_string(), data: data.unwrap_or_default() })
            }
            Ok(Err(error)) => {
                Err(CallFailure::Unanswered(Report::new(error).wrap_err(format!("{method} at {}", self.url))))
            }
            Err(_) => {
                let seconds = DEADLINE.as_secs();
                Err(CallFailure::Unanswered(eyre!("{} did not answer {method} within {seconds} s", self.url)))
            }
        }
    }

    /// Hash of the genesis block of the node's chain.
    pub(super) async fn genesis_hash(&self) -> eyre::Result<B256> {
        Ok(self.call::<_, Identity>("consensus_status", ()).await?.genesis_hash)
    }
}
