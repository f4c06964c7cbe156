//! Sends transactions to the parent: one at a time for each key, with capped fees, until they are in a block.

use crate::{
    config::{ConfigError, redact},
    endpoint::{EndpointError, quote},
    fees::Fees,
    transport::provider,
    wire::{ExchangeError, Wire},
};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_json_rpc::{RpcRecv, RpcSend};
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolInterface, decode_revert_reason};
use alloy_transport::TransportError;
use causeway_contracts::{CheckpointRegistry, PegVault};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How often a transaction is sent again with other fees or another nonce before the submitter gives up.
const MAX_ATTEMPTS: usize = 8;
/// Tip used when the endpoint suggests none, wei per gas.
const DEFAULT_TIP: u128 = 1_000_000_000;

/// Settings of a [`Submitter`]. [`SubmitterConfig::new`] gives the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitterConfig {
    /// HTTP(S) JSON-RPC endpoint.
    pub endpoint: String,
    /// Chain id that the endpoint must serve; also signed into every transaction.
    pub chain_id: u64,
    /// Highest price paid, wei per gas.
    pub max_fee_per_gas: u128,
    /// How long an attempt may wait for its receipt before its fees are raised, ms.
    pub receipt_timeout_ms: u64,
    /// Pause between two queries for a receipt, ms.
    pub poll_ms: u64,
    /// Deadline of a single request, ms.
    pub request_timeout_ms: u64,
    /// Longest answer read, bytes.
    pub max_response_bytes: usize,
}

impl SubmitterConfig {
    /// Defaults: at most 500 gwei, 60 s per attempt, a query every 500 ms, 10 s and 16 MiB per answer.
    pub fn new(endpoint: String, chain_id: u64) -> Self {
        Self {
            endpoint,
            chain_id,
            max_fee_per_gas: 500_000_000_000,
            receipt_timeout_ms: 60_000,
            poll_ms: 500,
            request_timeout_ms: 10_000,
            max_response_bytes: 16 << 20,
        }
    }
}

/// Why a transaction failed. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Settings that can never work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The endpoint failed; try again later or use another.
    #[error("parent endpoint {endpoint}: {error}")]
    Endpoint {
        /// The endpoint without secrets.
        endpoint: String,
        /// The failure.
        error: EndpointError,
    },
    /// The local key cannot sign.
    #[error("the parent key cannot sign: {0}")]
    Key(String),
    /// The parent is too expensive at the moment.
    #[error("the parent's base fee of {base_fee} wei per gas is above the limit of {cap}: wait, or raise the limit")]
    FeeAboveCap {
        /// Current base fee.
        base_fee: u128,
        /// The configured cap.
        cap: u128,
    },
    /// The account cannot pay.
    #[error("{address} cannot pay: send parent coin to it ({reason})")]
    InsufficientFunds {
        /// The key's address.
        address: Address,
        /// The endpoint's message.
        reason: String,
    },
    /// The call would revert, so it was not sent.
    #[error("the parent would refuse the call: {reason}")]
    WouldRevert {
        /// The contract's error, decoded when known.
        reason: String,
    },
    /// The transaction is in a block and failed.
    #[error("transaction {hash} failed in parent block {height}: another transaction came first, or the gas ran out")]
    Reverted {
        /// Transaction hash.
        hash: B256,
        /// Block number.
        height: u64,
    },
    /// No attempt was included in a block in time.
    #[error("transaction {hash} is in no parent block after {attempts} attempts: check the endpoint and the fee limit")]
    NotIncluded {
        /// Hash of the last attempt; it may still be included.
        hash: B256,
        /// Attempts made.
        attempts: usize,
    },
    /// Another process uses the key.
    #[error("nonce {nonce} of {address} was used by another process: give each process its own parent key")]
    NonceTaken {
        /// The key's address.
        address: Address,
        /// The nonce.
        nonce: u64,
    },
    /// The chain's state contradicts a successful transaction or the deployment.
    #[error("{0}")]
    Unexpected(String),
}

/// A transaction in a block of the parent. Not yet final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Transaction hash.
    pub hash: B256,
    /// Block number.
    pub height: u64,
    /// Gas used.
    pub gas_used: u64,
    /// Address of the created contract.
    pub contract: Option<Address>,
    /// Events.
    pub logs: Vec<IncludedLog>,
}

/// An event of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IncludedLog {
    /// Emitter.
    pub address: Address,
    /// Topics.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReceipt {
    transaction_hash: B256,
    block_number: U64,
    status: U64,
    gas_used: U64,
    contract_address: Option<Address>,
    logs: Vec<IncludedLog>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHead {
    base_fee_per_gas: Option<U256>,
}

/// The endpoint's reaction to a signed transaction.
enum Offer {
    Taken,
    Underpriced,
    NonceUsed,
}

/// Sends transactions with one local key. Calls from several tasks take turns.
#[derive(Debug)]
pub struct Submitter {
    config: SubmitterConfig,
    provider: RootProvider,
    wire: Arc<dyn Wire>,
    signer: PrivateKeySigner,
    /// One permit: only one transaction at a time may use a nonce.
    turn: Semaphore,
}

impl Submitter {
    /// Creates the client and checks that the endpoint serves the configured chain.
    ///
    /// # Errors
    /// `Config`, `Endpoint`.
    pub async fn connect(
        config: SubmitterConfig,
        signer: PrivateKeySigner,
        wire: Arc<dyn Wire>,
    ) -> Result<Self, SubmitError> {
        let deadline = Duration::from_millis(config.request_timeout_ms);
        let provider = provider(&config.endpoint, deadline, config.max_response_bytes, wire.clone())?;
        let submitter = Self { config, provider, wire, signer, turn: Semaphore::new(1) };
        let (found, expected) = (submitter.chain_id().await?, submitter.config.chain_id);
        if found != expected {
            return Err(submitter.failed(EndpointError::WrongChain { expected, found }));
        }
        Ok(submitter)
    }

    /// Address that sends and pays.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// The wire that it uses, with its clock.
    pub fn wire(&self) -> &Arc<dyn Wire> {
        &self.wire
    }

    /// Chain id the endpoint serves.
    ///
    /// # Errors
    /// `Endpoint`.
    pub async fn chain_id(&self) -> Result<u64, SubmitError> {
        Ok(self.request::<_, U64>("eth_chainId", ()).await?.to())
    }

    /// Latest balance of an account, wei.
    ///
    /// # Errors
    /// `Endpoint`.
    pub async fn balance(&self, of: Address) -> Result<U256, SubmitError> {
        self.request("eth_getBalance", (of, "latest")).await
    }

    /// Number of an account's transactions in blocks: its next nonce.
    ///
    /// # Errors
    /// `Endpoint`.
    pub async fn nonce(&self, of: Address) -> Result<u64, SubmitError> {
        Ok(self.request::<_, U64>("eth_getTransactionCount", (of, "latest")).await?.to())
    }

    /// Latest code of an account.
    ///
    /// # Errors
    /// `Endpoint`.
    pub async fn code(&self, of: Address) -> Result<Bytes, SubmitError> {
        self.request("eth_getCode", (of, "latest")).await
    }

    /// Calls a view at the latest block.
    ///
    /// # Errors
    /// `WouldRevert`, `Endpoint` (also when there is no contract at the address).
    pub async fn view<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, SubmitError> {
        let transaction = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let output: Bytes = self.attempt("eth_call", (transaction, "latest")).await.map_err(|e| self.explained(e))?;
        C::abi_decode_returns_validate(&output).map_err(|e| {
            let text = format!("{to} is not the expected contract: {}: {}", C::SIGNATURE, quote(&e.to_string()));
            self.failed(EndpointError::InvalidAnswer(text))
        })
    }

    /// Sends a transaction and waits until it is included with success. A transaction that would revert now is not sent.
    ///
    /// # Errors
    /// All variants of [`SubmitError`] except `Config`.
    pub async fn send(&self, to: TxKind, value: U256, input: Bytes) -> Result<Included, SubmitError> {
        let _turn = self.turn.acquire().await.map_err(|e| SubmitError::Unexpected(e.to_string()))?;
        let gas_limit = self.gas_limit(to, value, &input).await?;
        let mut fees = self.fees().await?;
        let mut nonce = self.nonce(self.address()).await?;
        let mut sent: Vec<B256> = Vec::new();
        for _ in 0..MAX_ATTEMPTS {
            let transaction = TxEip1559 {
                chain_id: self.config.chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fees.max_fee,
                max_priority_fee_per_gas: fees.tip,
                to,
                value,
                access_list: Default::default(),
                input: input.clone(),
            };
            let (hash, raw) = self.sign(transaction)?;
            match self.offer(raw).await? {
                Offer::Taken => {
                    sent.push(hash);
                    if let Some(included) = self.wait(&sent, nonce).await? {
                        return Ok(included);
                    }
                }
                Offer::Underpriced => {}
                Offer::NonceUsed => {
                    if let Some(included) = self.find(&sent).await? {
                        return Ok(included);
                    }
                    if !sent.is_empty() {
                        return Err(SubmitError::NonceTaken { address: self.address(), nonce });
                    }
                    // None of our transactions is pending: the nonce was stale (a node behind a load balancer).
                    nonce = self.nonce(self.address()).await?.max(nonce.saturating_add(1));
                    continue;
                }
            }
            // At the cap the same transaction is sent again, because pools drop transactions.
            fees = fees.bumped(self.config.max_fee_per_gas).unwrap_or(fees);
            tracing::info!(
                nonce,
                max_fee = fees.max_fee,
                "the parent transaction is not included yet; raising its fees"
            );
        }
        match sent.last() {
            Some(hash) => Err(SubmitError::NotIncluded { hash: *hash, attempts: MAX_ATTEMPTS }),
            None => Err(SubmitError::WouldRevert {
                reason: format!(
                    "{MAX_ATTEMPTS} attempts with nonce {nonce} were refused as underpriced or already used"
                ),
            }),
        }
    }

    fn sign(&self, transaction: TxEip1559) -> Result<(B256, Bytes), SubmitError> {
        let signature = self
            .signer
            .sign_hash_sync(&transaction.signature_hash())
            .map_err(|e| SubmitError::Key(quote(&e.to_string())))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok((*envelope.tx_hash(), envelope.encoded_2718().into()))
    }

    async fn gas_limit(&self, to: TxKind, value: U256, input: &Bytes) -> Result<u64, SubmitError> {
        let mut call = json!({ "from": self.address(), "value": value, "data": input });
        if let TxKind::Call(to) = to {
            call["to"] = json!(to);
        }
        let estimate: U64 = self.attempt("eth_estimateGas", (call,)).await.map_err(|e| self.explained(e))?;
        // State may change before inclusion, so a quarter is added; unused gas is not paid.
        let estimate = estimate.to::<u64>();
        Ok(estimate.saturating_add(estimate / 4))
    }

    async fn fees(&self) -> Result<Fees, SubmitError> {
        let head: RawHead = self.request("eth_getBlockByNumber", ("latest", false)).await?;
        let base_fee = head.base_fee_per_gas.unwrap_or_default();
        let base_fee = u128::try_from(base_fee)
            .map_err(|_| self.failed(EndpointError::InvalidAnswer(format!("base fee {base_fee}"))))?;
        // Suggestions are optional in the protocol and sometimes far too high; the cap limits them.
        let tip = match self.request::<_, U256>("eth_maxPriorityFeePerGas", ()).await {
            Ok(tip) => u128::try_from(tip).unwrap_or(DEFAULT_TIP),
            Err(_) => DEFAULT_TIP,
        };
        let cap = self.config.max_fee_per_gas;
        Fees::new(base_fee, tip, cap).ok_or(SubmitError::FeeAboveCap { base_fee, cap })
    }

    async fn offer(&self, raw: Bytes) -> Result<Offer, SubmitError> {
        let error = match self.attempt::<_, B256>("eth_sendRawTransaction", (raw,)).await {
            Ok(_) => return Ok(Offer::Taken),
            Err(error) => error,
        };
        let TransportError::ErrorResp(payload) = &error else {
            // The transaction may have arrived or not; the receipt will show it.
            return match EndpointError::from(error) {
                EndpointError::Exchange(ExchangeError::Deadline(_)) => Ok(Offer::Taken),
                error => Err(self.failed(error)),
            };
        };
        let message = payload.message.to_lowercase();
        if message.contains("already known") || message.contains("already imported") {
            Ok(Offer::Taken)
        } else if message.contains("nonce too low") {
            Ok(Offer::NonceUsed)
        } else if message.contains("underpriced") || message.contains("less than block base fee") {
            Ok(Offer::Underpriced)
        } else if message.contains("insufficient funds") {
            Err(SubmitError::InsufficientFunds { address: self.address(), reason: quote(&payload.message) })
        } else {
            Err(self.explained(error))
        }
    }

    /// Waits for one of `sent` to be included, at most the configured time.
    async fn wait(&self, sent: &[B256], nonce: u64) -> Result<Option<Included>, SubmitError> {
        let deadline = self.wire.now().saturating_add(Duration::from_millis(self.config.receipt_timeout_ms));
        loop {
            if let Some(included) = self.find(sent).await? {
                return Ok(Some(included));
            }
            if self.wire.now() >= deadline {
                // If another process used the nonce, no receipt of ours will ever come.
                if self.nonce(self.address()).await? > nonce && self.find(sent).await?.is_none() {
                    return Err(SubmitError::NonceTaken { address: self.address(), nonce });
                }
                return self.find(sent).await;
            }
            self.wire.sleep(Duration::from_millis(self.config.poll_ms)).await;
        }
    }

    async fn find(&self, sent: &[B256]) -> Result<Option<Included>, SubmitError> {
        for hash in sent {
            let receipt: Option<RawReceipt> = match self.attempt("eth_getTransactionReceipt", (*hash,)).await {
                Ok(receipt) => receipt,
                // Some servers answer with an error while a transaction is pending or not indexed yet.
                Err(TransportError::ErrorResp(_)) => None,
                Err(error) => return Err(self.failed(error.into())),
            };
            let Some(receipt) = receipt else { continue };
            if receipt.transaction_hash != *hash {
                return Err(self.failed(EndpointError::InvalidAnswer("a receipt of another transaction".to_owned())));
            }
            let height = receipt.block_number.to();
            if receipt.status.to::<u64>() != 1 {
                return Err(SubmitError::Reverted { hash: *hash, height });
            }
            return Ok(Some(Included {
                hash: *hash,
                height,
                gas_used: receipt.gas_used.to(),
                contract: receipt.contract_address,
                logs: receipt.logs,
            }));
        }
        Ok(None)
    }

    async fn attempt<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, TransportError> {
        self.provider.client().request(method, params).await
    }

    pub(crate) async fn request<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, SubmitError> {
        self.attempt(method, params).await.map_err(|e| self.failed(e.into()))
    }

    pub(crate) fn failed(&self, error: EndpointError) -> SubmitError {
        SubmitError::Endpoint { endpoint: redact(&self.config.endpoint), error }
    }

    /// Converts an error answer to a call: a revert with its reason, or a failure of the endpoint.
    fn explained(&self, error: TransportError) -> SubmitError {
        if let TransportError::ErrorResp(payload) = &error {
            let data = payload.data.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
            let data = data.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<Bytes>().ok());
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                return SubmitError::WouldRevert { reason: explain_revert(&data) };
            }
            let message = payload.message.to_lowercase();
            if message.contains("insufficient funds") || message.contains("gas required exceeds allowance") {
                let reason = quote(&payload.message);
                return SubmitError::InsufficientFunds { address: self.address(), reason };
            }
            if message.contains("revert") {
                return SubmitError::WouldRevert { reason: quote(&payload.message) };
            }
        }
        self.failed(error.into())
    }
}

/// Describes revert data: the peg contracts' own errors, `Error(string)`, `Panic(uint256)`, or the bytes.
fn explain_revert(data: &Bytes) -> String {
    if let Ok(error) = PegVault::PegVaultErrors::abi_decode(data) {
        return format!("{error:?}");
    }
    if let Ok(error) = CheckpointRegistry::CheckpointRegistryErrors::abi_decode(data) {
        return format!("{error:?}");
    }
    decode_revert_reason(data).map_or_else(|| quote(&data.to_string()), |reason| quote(&reason))
}
