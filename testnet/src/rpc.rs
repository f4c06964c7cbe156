//! A JSON-RPC client for one endpoint.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use eyre::{WrapErr as _, bail};
use jsonrpsee::{
    core::{
        client::ClientT,
        params::{ArrayParams, BatchRequestBuilder},
    },
    http_client::{HttpClient, HttpClientBuilder},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Deadline of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest request or answer in bytes.
const MAX_BYTES: u32 = 64 * 1024 * 1024;
/// Pause between two checks while waiting.
const POLL: Duration = Duration::from_millis(100);

/// A client for one endpoint.
#[derive(Clone, Debug)]
pub struct Rpc {
    url: String,
    client: HttpClient,
}

/// Answers of a batch in the order of its calls: the result, or the error's text.
pub type BatchAnswers = Vec<Result<Value, String>>;

impl Rpc {
    /// A client that connects when it is first used.
    pub fn new(url: &str) -> eyre::Result<Self> {
        let builder = HttpClientBuilder::default()
            .request_timeout(REQUEST_TIMEOUT)
            .max_request_size(MAX_BYTES)
            .max_response_size(MAX_BYTES);
        let client = builder.build(url).wrap_err_with(|| format!("{url} is no JSON-RPC URL"))?;
        Ok(Self { url: url.to_owned(), client })
    }

    /// The endpoint's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method. `params` is a JSON array.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> eyre::Result<T> {
        let answer = self.client.request(method, array(params)?).await;
        answer.wrap_err_with(|| format!("{method} at {}", self.url))
    }

    /// Calls one method many times in one HTTP request.
    pub async fn batch(&self, method: &'static str, calls: Vec<Value>) -> eyre::Result<BatchAnswers> {
        let mut batch = BatchRequestBuilder::new();
        for params in calls {
            batch.insert(method, array(params)?)?;
        }
        let answers = self.client.batch_request::<Value>(batch).await;
        let answers = answers.wrap_err_with(|| format!("a batch of {method} at {}", self.url))?;
        Ok(answers.into_iter().map(|answer| answer.map_err(|error| error.message().to_owned())).collect())
    }

    /// EIP-155 chain id.
    pub async fn chain_id(&self) -> eyre::Result<u64> {
        Ok(self.call::<U64>("eth_chainId", Value::Array(vec![])).await?.to())
    }

    /// Number of the newest block.
    pub async fn block_number(&self) -> eyre::Result<u64> {
        Ok(self.call::<U64>("eth_blockNumber", Value::Array(vec![])).await?.to())
    }

    /// Balance in wei at the newest block.
    pub async fn balance(&self, of: Address) -> eyre::Result<U256> {
        self.call("eth_getBalance", serde_json::json!([of, "latest"])).await
    }

    /// Next nonce, counting pending transactions.
    pub async fn nonce(&self, of: Address) -> eyre::Result<u64> {
        Ok(self.call::<U64>("eth_getTransactionCount", serde_json::json!([of, "pending"])).await?.to())
    }

    /// Code of an account.
    pub async fn code(&self, of: Address) -> eyre::Result<Bytes> {
        self.call("eth_getCode", serde_json::json!([of, "latest"])).await
    }

    /// Base fee of the newest block in wei.
    pub async fn base_fee(&self) -> eyre::Result<u128> {
        let block: Value = self.call("eth_getBlockByNumber", serde_json::json!(["latest", false])).await?;
        let fee: U256 = serde_json::from_value(block["baseFeePerGas"].clone()).wrap_err("a block without base fee")?;
        u128::try_from(fee).wrap_err("the base fee is absurd")
    }

    /// Waits until a transaction has a receipt, and answers it. Fails when the transaction failed.
    pub async fn receipt(&self, hash: B256, patience: Duration) -> eyre::Result<Value> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let receipt: Value = self.call("eth_getTransactionReceipt", serde_json::json!([hash])).await?;
            if !receipt.is_null() {
                if receipt["status"] != "0x1" {
                    bail!("transaction {hash} at {} failed: {receipt}", self.url);
                }
                return Ok(receipt);
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("transaction {hash} at {} has no receipt after {} s", self.url, patience.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn array(params: Value) -> eyre::Result<ArrayParams> {
    let Value::Array(params) = params else { bail!("parameters must be an array") };
    let mut array = ArrayParams::new();
    params.into_iter().try_for_each(|param| array.insert(param))?;
    Ok(array)
}
