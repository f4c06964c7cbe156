//! One JSON-RPC endpoint of the parent: typed reads, each of which checks the form of the answer.
//!
//! Only the used fields are parsed, so a parent whose blocks have unknown fields still works.

use crate::{
    config::{ConfigError, ParentConfig, redact},
    cuts::DepositLog,
    transport::{exchange_error, provider},
    update::BlockRef,
    wire::{ExchangeError, Wire},
};
use alloy_json_rpc::{RpcRecv, RpcSend};
use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_provider::{Provider, RootProvider};
use alloy_sol_types::{SolCall, SolEvent};
use alloy_transport::TransportError;
use causeway_contracts::{CheckpointRegistry, PegVault};
use serde::Deserialize;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Longest text from an endpoint that an error quotes, characters.
const MAX_QUOTE: usize = 200;

/// Why a read failed. The endpoint is always at fault, never the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No JSON-RPC answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The endpoint answered with a JSON-RPC error.
    #[error("the endpoint refused the request with code {code}: {message}")]
    Refused {
        /// JSON-RPC error code.
        code: i64,
        /// Its message, shortened.
        message: String,
    },
    /// The answer has the wrong type or contradicts the request.
    #[error("invalid answer: {0}")]
    InvalidAnswer(String),
    /// The endpoint serves another chain.
    #[error("it serves chain {found}, not {expected}: correct the endpoint or the parent chain id")]
    WrongChain {
        /// The configured id.
        expected: u64,
        /// The endpoint's chain id.
        found: u64,
    },
    /// There is no contract at an address of the deployment at that block.
    #[error(
        "no contract at {address} in block {height}: the deployment is not final yet, or this is another parent chain"
    )]
    NoContract {
        /// The address.
        address: Address,
        /// The block asked at.
        height: u64,
    },
}

impl EndpointError {
    /// Whether a request for logs of fewer blocks may succeed.
    pub(crate) fn may_be_range(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Exchange(ExchangeError::TooLarge(_) | ExchangeError::Deadline(_)))
    }
}

/// Shortens a text from an endpoint so that it fits a log line.
pub(crate) fn quote(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTE).collect()
}

impl From<TransportError> for EndpointError {
    fn from(error: TransportError) -> Self {
        if let Some(exchange) = exchange_error(&error) {
            return Self::Exchange(exchange.clone());
        }
        match error {
            TransportError::ErrorResp(payload) => {
                Self::Refused { code: payload.code, message: quote(&payload.message) }
            }
            TransportError::NullResp => Self::InvalidAnswer("null".to_owned()),
            TransportError::DeserError { err, .. } => Self::InvalidAnswer(quote(&err.to_string())),
            other => Self::InvalidAnswer(quote(&other.to_string())),
        }
    }
}

#[derive(Debug, Deserialize)]
struct RawBlock {
    number: U64,
    hash: B256,
    timestamp: U64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_number: U64,
    block_hash: B256,
    log_index: U64,
    #[serde(default)]
    removed: bool,
}

/// The registry at the end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegistryView {
    /// Number and digest of the latest checkpoint; number 0 before the first.
    pub(crate) checkpoint: (u64, B256),
    /// Epoch and commitment of the set in force.
    pub(crate) set: (u64, B256),
}

/// An endpoint of the parent chain.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    name: String,
    provider: RootProvider,
    chain_id: u64,
    vault: Address,
    registry: Address,
}

impl Endpoint {
    /// Creates the client; does not connect yet. `position` is the endpoint's place in the configuration.
    pub(crate) fn new(config: &ParentConfig, position: usize, wire: Arc<dyn Wire>) -> Result<Self, ConfigError> {
        let url = config.endpoints.get(position).ok_or(ConfigError::NoEndpoint)?;
        let deadline = Duration::from_millis(config.request_timeout_ms);
        Ok(Self {
            name: format!("parent endpoint {} ({})", position.saturating_add(1), redact(url)),
            provider: provider(url, deadline, config.max_response_bytes, wire)?,
            chain_id: config.chain_id,
            vault: config.vault,
            registry: config.registry,
        })
    }

    /// The name for messages, without secrets.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    async fn request<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, EndpointError> {
        Ok(self.provider.client().request::<P, R>(method, params).await?)
    }

    /// Refuses an endpoint of another chain.
    pub(crate) async fn check_chain(&self) -> Result<(), EndpointError> {
        let found: U64 = self.request("eth_chainId", ()).await?;
        let (found, expected) = (found.to::<u64>(), self.chain_id);
        if found == expected { Ok(()) } else { Err(EndpointError::WrongChain { expected, found }) }
    }

    /// The endpoint's latest finalised block.
    pub(crate) async fn finalized(&self) -> Result<BlockRef, EndpointError> {
        self.block("finalized".to_owned()).await
    }

    /// The block at a height that the endpoint has already finalised.
    pub(crate) async fn block_at(&self, height: u64) -> Result<BlockRef, EndpointError> {
        let block = self.block(format!("{height:#x}")).await?;
        if block.height == height {
            Ok(block)
        } else {
            Err(EndpointError::InvalidAnswer(format!("asked for block {height}, got {}", block.height)))
        }
    }

    async fn block(&self, tag: String) -> Result<BlockRef, EndpointError> {
        let raw: Option<RawBlock> = self.request("eth_getBlockByNumber", (&tag, false)).await?;
        let raw = raw.ok_or_else(|| EndpointError::InvalidAnswer(format!("no block {tag}")))?;
        Ok(BlockRef { height: raw.number.to(), hash: raw.hash, timestamp: raw.timestamp.to() })
    }

    /// The vault's deposits in blocks `from..=to`, in chain order.
    pub(crate) async fn deposits(&self, from: u64, to: u64) -> Result<Vec<DepositLog>, EndpointError> {
        let raw = self.logs::<PegVault::Deposited>(from, to).await?;
        let mut logs = Vec::with_capacity(raw.len());
        for (log, event) in raw {
            logs.push(DepositLog {
                deposit: causeway_contracts::deposit_of(&event),
                deposit_acc: event.depositAcc,
                height: log.block_number.to(),
                block_hash: log.block_hash,
                log_index: log.log_index.to(),
            });
        }
        // Most endpoints answer in chain order, but none guarantees it.
        logs.sort_by_key(|log| (log.height, log.log_index));
        Ok(logs)
    }

    /// Indexes of the withdrawals that the vault has paid in blocks `from..=to`.
    pub(crate) async fn claims(&self, from: u64, to: u64) -> Result<Vec<u64>, EndpointError> {
        let logs = self.logs::<PegVault::Claimed>(from, to).await?;
        Ok(logs.into_iter().map(|(_, event)| event.index).collect())
    }

    /// The vault's events of one kind in blocks `from..=to`.
    async fn logs<E: SolEvent>(&self, from: u64, to: u64) -> Result<Vec<(RawLog, E)>, EndpointError> {
        let filter = json!({
            "address": self.vault,
            "topics": [E::SIGNATURE_HASH],
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
        });
        let raw: Vec<RawLog> = self.request("eth_getLogs", (filter,)).await?;
        let mut logs = Vec::with_capacity(raw.len());
        for log in raw {
            let height = log.block_number.to::<u64>();
            if log.removed || log.address != self.vault || !(from..=to).contains(&height) {
                return Err(EndpointError::InvalidAnswer(format!(
                    "a log of {} in block {height} (removed: {}) was not requested",
                    log.address, log.removed
                )));
            }
            let event = E::decode_raw_log(log.topics.iter().copied(), &log.data).map_err(|e| {
                EndpointError::InvalidAnswer(format!(
                    "block {height} holds no {}: {}",
                    E::SIGNATURE,
                    quote(&e.to_string())
                ))
            })?;
            logs.push((log, event));
        }
        Ok(logs)
    }

    async fn call<C: SolCall>(&self, to: Address, call: C, height: u64) -> Result<C::Return, EndpointError> {
        let transaction = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let output: Bytes = self.request("eth_call", (transaction, format!("{height:#x}"))).await?;
        if output.is_empty() {
            return Err(EndpointError::NoContract { address: to, height });
        }
        C::abi_decode_returns_validate(&output)
            .map_err(|e| EndpointError::InvalidAnswer(format!("{}: {}", C::SIGNATURE, quote(&e.to_string()))))
    }

    /// Number of deposits in the vault at the end of block `height`.
    pub(crate) async fn deposit_nonce(&self, height: u64) -> Result<u64, EndpointError> {
        self.call(self.vault, PegVault::depositNonceCall {}, height).await
    }

    /// The vault's accumulator after deposit `nonce`, read at the end of block `height`. The vault refuses nonces that it no
    /// longer stores.
    pub(crate) async fn deposit_acc_at(&self, nonce: u64, height: u64) -> Result<B256, EndpointError> {
        self.call(self.vault, PegVault::depositAccAtCall { nonce }, height).await
    }

    /// The registry's state at the end of block `height`.
    pub(crate) async fn registry(&self, height: u64) -> Result<RegistryView, EndpointError> {
        let latest = self.call(self.registry, CheckpointRegistry::latestCall {}, height).await?;
        let digest = self.call(self.registry, CheckpointRegistry::latestDigestCall {}, height).await?;
        let epoch = latest.epoch;
        let commitment = self.call(self.registry, CheckpointRegistry::validatorSetOfCall { epoch }, height).await?;
        if commitment.is_zero() {
            return Err(EndpointError::InvalidAnswer(format!(
                "the registry is in epoch {epoch} but has no set for it"
            )));
        }
        Ok(RegistryView { checkpoint: (latest.number, digest), set: (epoch, commitment) })
    }
}
