//! JSON-RPC reads of either chain, with deadlines and a few retries.

use crate::bundle::{AccountEvidence, LogEvidence, SlotEvidence};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use alloy_sol_types::SolCall;
use alloy_transport::TransportError;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// Attempts before an endpoint counts as unreachable.
const ATTEMPTS: u32 = 3;
/// Pause before another attempt.
const PAUSE: Duration = Duration::from_millis(500);
/// Most blocks in one log query.
const MAX_LOG_RANGE: u64 = 50_000;
/// Log queries that may time out before the endpoint counts as hung; the range of each is halved before the next attempt.
const LATE_LOG_QUERIES: u32 = 4;
/// Most slots in one proof request.
const MAX_SLOTS: usize = 128;
/// Longest part of an endpoint's text that is shown, characters.
const MAX_QUOTE: usize = 300;

/// The chain of an endpoint, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The sidechain.
    Sidechain,
    /// The parent chain.
    Parent,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidechain => "sidechain",
            Self::Parent => "parent",
        })
    }
}

/// Why the evidence could not be read; names the endpoint and the request.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not a URL, or no HTTP client.
    #[error("the {side} endpoint cannot be used: {reason}")]
    Endpoint {
        /// The endpoint.
        side: Side,
        /// The error.
        reason: String,
    },
    /// No answer, or an error.
    #[error("the {side} endpoint failed on {method}: {reason}")]
    Request {
        /// The endpoint.
        side: Side,
        /// JSON-RPC method.
        method: &'static str,
        /// The failure.
        reason: String,
    },
    /// No answer in time.
    #[error(
        "the {side} endpoint did not answer {method} within {} s: is it up, and does the URL lead to it? (--timeout SECONDS \
         waits longer)",
        deadline.as_secs_f32()
    )]
    Late {
        /// The endpoint.
        side: Side,
        /// JSON-RPC method.
        method: &'static str,
        /// The time limit.
        deadline: Duration,
    },
    /// The answer does not match the request.
    #[error("the {side} endpoint gave an invalid answer: {reason}")]
    InvalidAnswer {
        /// The endpoint.
        side: Side,
        /// The mismatch.
        reason: String,
    },
    /// One chain advanced past the other while they were read.
    #[error("the two endpoints are not at matching blocks: {reason}; wait until the lagging one has caught up")]
    Unpaired {
        /// The mismatch.
        reason: String,
    },
}

/// An endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Rpc {
    side: Side,
    /// Kept in order to remove it from errors: providers put keys into URLs.
    url: String,
    client: RpcClient,
    /// Time limit of one request, including all attempts.
    deadline: Duration,
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
}

impl Rpc {
    pub(crate) fn new(side: Side, url: &str, deadline: Duration) -> Result<Self, ReadError> {
        let bad = |reason: String| ReadError::Endpoint { side, reason };
        let url: reqwest::Url = url.parse().map_err(|e| bad(format!("not a URL: {e}")))?;
        let http = reqwest::Client::builder().build().map_err(|e| bad(e.to_string()))?;
        Ok(Self { side, url: url.to_string(), client: RpcClient::new_http_with_client(http, url), deadline })
    }

    pub(crate) fn invalid(&self, reason: impl Into<String>) -> ReadError {
        ReadError::InvalidAnswer { side: self.side, reason: reason.into() }
    }

    /// Sends one request.
    pub(crate) async fn ask<R: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<R, ReadError> {
        let late = |_| ReadError::Late { side: self.side, method, deadline: self.deadline };
        let answer = tokio::time::timeout(self.deadline, self.attempt(method, &params)).await.map_err(late)??;
        serde_json::from_value(answer).map_err(|e| self.invalid(format!("{method}: {e}")))
    }

    /// Retries transport failures, but not refusals.
    async fn attempt(&self, method: &'static str, params: &Value) -> Result<Value, ReadError> {
        let mut attempt = 1;
        loop {
            match self.client.request::<_, Value>(method, params).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    if attempt == ATTEMPTS || matches!(error, TransportError::ErrorResp(_)) {
                        let reason = error.to_string().replace(&self.url, "the configured URL");
                        let reason = reason.chars().take(MAX_QUOTE).collect();
                        return Err(ReadError::Request { side: self.side, method, reason });
                    }
                }
            }
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, ReadError> {
        Ok(self.ask::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// A block's JSON by tag or number, with whole transactions if `full`.
    pub(crate) async fn block(&self, tag: &str, full: bool) -> Result<Value, ReadError> {
        let block: Value = self.ask("eth_getBlockByNumber", json!([tag, full])).await?;
        if block.is_object() { Ok(block) } else { Err(self.invalid(format!("no block {tag}"))) }
    }

    /// A view's result at a block.
    pub(crate) async fn call<C: SolCall>(&self, to: Address, call: C, height: u64) -> Result<C::Return, ReadError> {
        let transaction = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let output: Bytes = self.ask("eth_call", json!([transaction, hex(height)])).await?;
        C::abi_decode_returns_validate(&output)
            .map_err(|e| self.invalid(format!("{} of {to} at block {height}: {e}", C::SIGNATURE)))
    }

    /// All events of `addresses` in `from..=to`, in ranges that the endpoint accepts.
    pub(crate) async fn logs(&self, addresses: &[Address], from: u64, to: u64) -> Result<Vec<LogEvidence>, ReadError> {
        let mut logs = Vec::new();
        let (mut next, mut range, mut late) = (from, MAX_LOG_RANGE, 0);
        while next <= to {
            let last = next.saturating_add(range - 1).min(to);
            let filter = json!([{ "address": addresses, "fromBlock": hex(next), "toBlock": hex(last) }]);
            let raw: Vec<RawLog> = match self.ask("eth_getLogs", filter).await {
                Ok(raw) => raw,
                Err(error @ (ReadError::Request { .. } | ReadError::Late { .. })) if range > 1 => {
                    late += u32::from(matches!(error, ReadError::Late { .. }));
                    if late == LATE_LOG_QUERIES {
                        return Err(error);
                    }
                    range /= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for log in raw {
                let height = log.block_number.to();
                if !(next..=last).contains(&height) || !addresses.contains(&log.address) {
                    return Err(self.invalid(format!("an event in block {height} that was not requested")));
                }
                logs.push(LogEvidence {
                    address: log.address,
                    topics: log.topics,
                    data: log.data,
                    height,
                    block_hash: log.block_hash,
                    log_index: log.log_index.to(),
                });
            }
            next = last.saturating_add(1);
            range = range.saturating_mul(2).min(MAX_LOG_RANGE);
        }
        Ok(logs)
    }

    /// A slot of an account after a block.
    pub(crate) async fn slot(&self, address: Address, slot: U256, height: u64) -> Result<U256, ReadError> {
        let word: B256 = self.ask("eth_getStorageAt", json!([address, B256::from(slot), hex(height)])).await?;
        Ok(word.into())
    }

    /// `eth_getProof`, in parts that endpoints accept.
    pub(crate) async fn proof(
        &self,
        address: Address,
        slots: &[U256],
        height: u64,
    ) -> Result<AccountEvidence, ReadError> {
        let (first, rest) = slots.split_at(slots.len().min(MAX_SLOTS));
        let mut account = self.proof_of(address, first, height).await?;
        for part in rest.chunks(MAX_SLOTS) {
            // A changed storage root would be noticed: the slots would not verify against the first one's.
            account.storage.extend(self.proof_of(address, part, height).await?.storage);
        }
        Ok(account)
    }

    async fn proof_of(&self, address: Address, slots: &[U256], height: u64) -> Result<AccountEvidence, ReadError> {
        let keys: Vec<B256> = slots.iter().copied().map(B256::from).collect();
        let proof: EIP1186AccountProofResponse = self.ask("eth_getProof", json!([address, keys, hex(height)])).await?;
        let storage = proof.storage_proof.into_iter();
        Ok(AccountEvidence {
            height,
            address: proof.address,
            nonce: proof.nonce,
            balance: proof.balance,
            code_hash: proof.code_hash,
            storage_root: proof.storage_hash,
            account_proof: proof.account_proof,
            storage: storage
                .map(|slot| SlotEvidence { slot: slot.key.as_b256().into(), value: slot.value, proof: slot.proof })
                .collect(),
        })
    }
}

/// A quantity in JSON-RPC's format.
pub(crate) fn hex(number: u64) -> String {
    format!("{number:#x}")
}
