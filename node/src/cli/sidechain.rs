//! Sends a transaction to the sidechain and waits until it is final: on this chain, until it is in a block.

use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use eyre::{Report, eyre};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    refusals,
    rpc_client::{CallFailure, RpcClient},
};

/// Time limit until a transaction is in a block.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two requests for the receipt.
const POLL: Duration = Duration::from_millis(250);

/// A node with the account that sends through it.
pub(super) struct Sidechain {
    client: RpcClient,
    chain_id: u64,
    signer: PrivateKeySigner,
}

/// A transaction in a block, which is final.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Landed {
    /// Transaction hash.
    #[serde(rename = "transactionHash")]
    pub(super) hash: B256,
    block_number: U64,
    gas_used: U64,
    status: U64,
    /// Its events.
    pub(super) logs: Vec<LandedLog>,
}

/// An event.
#[derive(Debug, Deserialize)]
pub(super) struct LandedLog {
    pub(super) address: Address,
    pub(super) topics: Vec<B256>,
    pub(super) data: Bytes,
}

impl Landed {
    /// Block number.
    pub(super) fn height(&self) -> u64 {
        self.block_number.to()
    }

    /// Gas used.
    pub(super) fn gas_used(&self) -> u64 {
        self.gas_used.to()
    }

    /// The first event of `emitter` that decodes as `E`.
    pub(super) fn event<E: alloy_sol_types::SolEvent>(&self, emitter: Address) -> Option<E> {
        let own = self.logs.iter().filter(|log| log.address == emitter);
        own.filter_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok()).next()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    base_fee_per_gas: U256,
}

impl Sidechain {
    /// Asks the node which chain it serves.
    pub(super) async fn connect(url: &str, signer: PrivateKeySigner) -> eyre::Result<Self> {
        let client = RpcClient::new(url)?;
        let chain_id = client.call::<_, U64>("eth_chainId", ()).await?.to();
        Ok(Self { client, chain_id, signer })
    }

    /// The account that signs and pays.
    pub(super) fn address(&self) -> Address {
        self.signer.address()
    }

    /// The node.
    pub(super) fn client(&self) -> &RpcClient {
        &self.client
    }

    /// Sends a call and waits until it is in a block and succeeded. A call that would fail now is not sent.
    ///
    /// # Errors
    /// The called module's refusal as a sentence; the node's error; or that the transaction is in no block in time.
    pub(super) async fn send(&self, to: Address, value: U256, input: Bytes) -> eyre::Result<Landed> {
        let call = json!({ "from": self.address(), "to": to, "value": value, "data": input });
        let estimate: U64 = self.asked(to, "eth_estimateGas", (call.clone(),)).await?;
        let head: Head = self.client.call("eth_getBlockByNumber", ("latest", false)).await?;
        let tip: U256 = self.client.call("eth_maxPriorityFeePerGas", ()).await?;
        let base_fee = u128::try_from(head.base_fee_per_gas)?;
        let tip = u128::try_from(tip)?;
        let nonce: U64 = self.client.call("eth_getTransactionCount", (self.address(), "pending")).await?;
        let estimate = estimate.to::<u64>();
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: nonce.to(),
            // The state may change until inclusion, so a quarter is added; unused gas is not paid.
            gas_limit: estimate.saturating_add(estimate / 4),
            // Room for the base fee to double.
            max_fee_per_gas: base_fee.saturating_mul(2).saturating_add(tip),
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(to),
            value,
            access_list: Default::default(),
            input,
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let hash: B256 = self.asked(to, "eth_sendRawTransaction", (Bytes::from(envelope.encoded_2718()),)).await?;
        let landed = self.landed(hash).await?;
        if landed.status.to::<u64>() == 1 {
            return Ok(landed);
        }
        // The state changed before the block: the same call on the current state shows the reason.
        let why = match self.client.attempt::<_, Bytes>("eth_call", (call, "latest")).await {
            Err(CallFailure::Refused { message, data }) => refusals::sentence(to, &data).unwrap_or(message),
            _ => "another transaction came first".to_owned(),
        };
        Err(eyre!("transaction {hash} failed in block {}: {why}", landed.height()))
    }

    async fn landed(&self, hash: B256) -> eyre::Result<Landed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(landed) = self.client.call::<_, Option<Landed>>("eth_getTransactionReceipt", (hash,)).await? {
                return Ok(landed);
            }
            if Instant::now() >= deadline {
                return Err(eyre!(
                    "transaction {hash} is in no block after {} s; it may still be included. Does the chain make blocks \
                     (causeway status)?",
                    PATIENCE.as_secs()
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A call that the module or the pool may refuse; the refusal is reported to the user.
    async fn asked<P, R>(&self, called: Address, method: &'static str, params: P) -> eyre::Result<R>
    where
        P: serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
        R: serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        self.client.attempt(method, params).await.map_err(|failure| self.told(called, failure))
    }

    fn told(&self, called: Address, failure: CallFailure) -> Report {
        match failure {
            CallFailure::Unanswered(error) => error,
            CallFailure::Refused { message, data } => match refusals::sentence(called, &data) {
                Some(sentence) => eyre!("the sidechain refuses: {sentence}"),
                None if message.contains("insufficient funds") || message.contains("exceeds allowance") => {
                    eyre!("{} cannot pay on the sidechain: {message}", self.address())
                }
                None => eyre!("the sidechain at {} refuses: {message}", self.client.url()),
            },
        }
    }
}
