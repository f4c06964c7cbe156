//! The JSON-RPC methods of a node of the parent that are used here, over a view of a branch.
//!
//! Blocks have the fields that clients of the peg read. Any other method is refused, so that a client which
//! begins to use one is noticed.

use std::fmt::Write;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    chain::{Block, Chain, PlacedLog},
    evm::{Call, End},
    faults::Lie,
    lies,
};

/// An answer: JSON, or an error object's fields.
pub(super) type Reply = Result<String, Refused>;

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Bytes>,
}

impl Refused {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn params() -> Self {
        Self::new(-32_602, "invalid params")
    }
}

/// One request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) id: Value,
    pub(super) method: String,
    #[serde(default)]
    pub(super) params: Value,
}

/// A branch, as one endpoint shows it.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) chain: &'a Chain,
    /// Newest block it knows.
    pub(super) head: u64,
    /// Newest block whose logs it has.
    pub(super) indexed: u64,
    /// Most blocks a log query may span; 0 is no limit.
    pub(super) max_log_range: u64,
    pub(super) chain_id: u64,
    pub(super) lie: Option<&'a Lie>,
}

/// A block in an answer.
#[derive(Debug)]
pub(super) struct BlockAnswer {
    pub(super) height: u64,
    pub(super) hash: B256,
}

/// A query of logs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    address: Option<Address>,
    #[serde(default)]
    topics: Vec<Option<B256>>,
    from_block: Value,
    to_block: Value,
}

#[derive(Debug, Deserialize)]
struct CallParams {
    from: Option<Address>,
    to: Option<Address>,
    value: Option<U256>,
    #[serde(alias = "input")]
    data: Option<Bytes>,
}

impl CallParams {
    fn call(self) -> Call {
        Call {
            from: self.from.unwrap_or_default(),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value.unwrap_or_default(),
            input: self.data.unwrap_or_default(),
        }
    }
}

/// A parameter by its position.
pub(super) fn parameter<T: for<'de> Deserialize<'de>>(params: &Value, place: usize) -> Result<T, Refused> {
    params.get(place).and_then(|value| T::deserialize(value).ok()).ok_or_else(Refused::params)
}

fn hex(number: impl Into<u128>) -> String {
    format!("\"{:#x}\"", number.into())
}

impl View<'_> {
    /// Answers a read.
    pub(super) fn answer(&self, method: &str, params: &Value) -> Reply {
        match method {
            "eth_chainId" => Ok(hex(lies::chain_id(self.lie, self.chain_id))),
            "eth_blockNumber" => Ok(hex(self.head)),
            "eth_getBlockByNumber" => self.block_by_number(params),
            "eth_getBlockByHash" => self.block_by_hash(params),
            "eth_getLogs" => self.logs(params),
            "eth_call" => self.call(params),
            "eth_estimateGas" => self.estimate(params),
            "eth_getBalance" => {
                let (address, height) = (parameter(params, 0)?, self.state_height(params.get(1))?);
                let info = self.chain.state().account(address, height).unwrap_or_default();
                Ok(format!("\"{:#x}\"", info.balance))
            }
            "eth_getTransactionCount" => self.transaction_count(params),
            "eth_getCode" => {
                let (address, height) = (parameter(params, 0)?, self.state_height(params.get(1))?);
                let code = self.chain.state().account(address, height).and_then(|info| info.code);
                Ok(format!("\"{}\"", code.unwrap_or_default().original_bytes()))
            }
            "eth_getStorageAt" => {
                let (address, slot) = (parameter(params, 0)?, parameter(params, 1)?);
                let height = self.state_height(params.get(2))?;
                Ok(format!("\"{}\"", B256::from(self.chain.state().slot(address, slot, height))))
            }
            "eth_gasPrice" => Ok(hex(self.base_fee().saturating_add(self.tip()))),
            "eth_maxPriorityFeePerGas" => Ok(hex(self.tip())),
            "eth_getTransactionReceipt" => self.receipt(params),
            other => Err(Refused::new(-32_601, format!("the method {other} does not exist/is not available"))),
        }
    }

    fn base_fee(&self) -> u64 {
        self.chain.block(self.head).map_or(0, |block| block.base_fee)
    }

    /// A tenth of the base fee: higher when the base fee is high.
    fn tip(&self) -> u64 {
        self.base_fee() / 10
    }

    /// Height of a block parameter; `None` when this endpoint has no such block.
    fn height(&self, tag: &Value) -> Result<Option<u64>, Refused> {
        let finalized = || {
            let honest = self.chain.block(self.head).map_or(0, |head| head.finalized);
            lies::finalized(self.lie, honest, self.head)
        };
        let height = match tag.as_str() {
            None | Some("latest" | "pending") => self.head,
            Some("finalized") => finalized(),
            Some("safe") => finalized().midpoint(self.head),
            Some("earliest") => 0,
            Some(number) => {
                let digits = number.strip_prefix("0x").ok_or_else(Refused::params)?;
                u64::from_str_radix(digits, 16).map_err(|_| Refused::params())?
            }
        };
        Ok((height <= self.head).then_some(height))
    }

    /// A height whose state is still available.
    fn state_height(&self, tag: Option<&Value>) -> Result<u64, Refused> {
        let height = self.height(tag.unwrap_or(&Value::Null))?;
        let height = height.ok_or_else(|| Refused::new(-32_000, "header not found"))?;
        if height < self.chain.state().floor() {
            return Err(Refused::new(-32_000, format!("historical state of block {height} is not available")));
        }
        Ok(height)
    }

    fn block_by_number(&self, params: &Value) -> Reply {
        let height = self.height(params.get(0).unwrap_or(&Value::Null))?;
        Ok(self.shown(height.and_then(|height| self.chain.block(height))))
    }

    fn block_by_hash(&self, params: &Value) -> Reply {
        let hash: B256 = parameter(params, 0)?;
        let known = (0..=self.head).rev().filter_map(|height| self.chain.block(height));
        Ok(self.shown(known.into_iter().find(|block| block.hash == hash)))
    }

    fn shown(&self, block: Option<&Block>) -> String {
        let Some(block) = block else { return "null".to_owned() };
        let BlockAnswer { height, hash } = lies::block(self.lie, block);
        let transactions = json!(block.transactions);
        format!(
            r#"{{"number":"{height:#x}","hash":"{hash}","parentHash":"{}","timestamp":"{:#x}","baseFeePerGas":"{:#x}","gasUsed":"{:#x}","transactions":{transactions}}}"#,
            block.parent_hash, block.timestamp, block.base_fee, block.gas_used
        )
    }

    fn logs(&self, params: &Value) -> Reply {
        let filter: Filter = parameter(params, 0)?;
        let from = self.height(&filter.from_block)?;
        let to = self.height(&filter.to_block)?.unwrap_or(self.head);
        let Some(from) = from.filter(|from| *from <= to) else { return Ok("[]".to_owned()) };
        if self.max_log_range != 0 && to - from >= self.max_log_range {
            return Err(Refused::new(-32_005, format!("query exceeds max block range {}", self.max_log_range)));
        }
        let wanted = |placed: &&PlacedLog| {
            let topics = placed.log.topics();
            filter.address.is_none_or(|address| address == placed.log.address)
                && filter
                    .topics
                    .iter()
                    .enumerate()
                    .all(|(at, want)| want.is_none_or(|want| topics.get(at) == Some(&want)))
        };
        let found = self.chain.logs(from, to.min(self.indexed)).iter().filter(wanted).cloned().collect();
        let mut json = String::from("[");
        for (at, placed) in lies::logs(self.lie, found).iter().enumerate() {
            let separator = if at == 0 { "" } else { "," };
            json.push_str(separator);
            self.write_log(&mut json, placed);
        }
        json.push(']');
        Ok(json)
    }

    fn write_log(&self, json: &mut String, placed: &PlacedLog) {
        let PlacedLog { log, height, index, transaction } = placed;
        let hash = self.chain.block(*height).map_or(B256::ZERO, |block| lies::block(self.lie, block).hash);
        let (address, data, topics) = (log.address, &log.data.data, json!(log.topics()));
        let written = write!(
            json,
            r#"{{"address":"{address:#x}","topics":{topics},"data":"{data}","blockNumber":"{height:#x}","blockHash":"{hash}","transactionHash":"{transaction}","logIndex":"{index:#x}","removed":false}}"#,
        );
        written.expect("a string takes all text");
    }

    fn call(&self, params: &Value) -> Reply {
        let call = parameter::<CallParams>(params, 0)?.call();
        let height = self.state_height(params.get(1))?;
        let end = self.chain.call(height, &call).map_err(|why| Refused::new(-32_000, why))?;
        let output = ended(end)?;
        Ok(format!("\"{}\"", lies::output(self.lie, &call, output)))
    }

    fn estimate(&self, params: &Value) -> Reply {
        let call = parameter::<CallParams>(params, 0)?.call();
        let height = self.state_height(params.get(1))?;
        match self.chain.estimate(height, &call) {
            Ok(gas) => Ok(hex(gas)),
            Err(end) => ended(end).map(|_| hex(0u64)),
        }
    }

    fn transaction_count(&self, params: &Value) -> Reply {
        let address: Address = parameter(params, 0)?;
        let tag = params.get(1);
        let nonce = self.chain.state().account(address, self.state_height(tag)?).map_or(0, |info| info.nonce);
        let pending = tag.and_then(Value::as_str) == Some("pending");
        Ok(hex(if pending { self.chain.pool().free_nonce(address, nonce) } else { nonce }))
    }

    fn receipt(&self, params: &Value) -> Reply {
        let hash: B256 = parameter(params, 0)?;
        let Some(receipt) = self.chain.receipt(&hash).filter(|receipt| receipt.height <= self.head) else {
            return Ok("null".to_owned());
        };
        let mut logs = String::from("[");
        for (log, index) in receipt.logs.iter().zip(receipt.first_log..) {
            if index > receipt.first_log {
                logs.push(',');
            }
            let placed = PlacedLog { log: log.clone(), height: receipt.height, index, transaction: hash };
            self.write_log(&mut logs, &placed);
        }
        logs.push(']');
        let (status, contract) = (u8::from(receipt.success), json!(receipt.contract));
        Ok(format!(
            r#"{{"transactionHash":"{hash}","blockNumber":"{:#x}","status":"{status:#x}","gasUsed":"{:#x}","contractAddress":{contract},"logs":{logs},"type":"0x2"}}"#,
            receipt.height, receipt.gas_used
        ))
    }
}

/// A call's output, or the error that nodes answer with.
fn ended(end: End) -> Result<Bytes, Refused> {
    match end {
        End::Success { output, .. } => Ok(output),
        End::Revert(data) => Err(Refused { code: 3, message: "execution reverted".to_owned(), data: Some(data) }),
        End::Halt(why) => Err(Refused::new(-32_000, why)),
    }
}

/// The JSON-RPC response to a request.
pub(super) fn response(id: &Value, reply: &Reply) -> String {
    match reply {
        Ok(result) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        Err(Refused { code, message, data }) => {
            let mut error = json!({ "code": code, "message": message });
            if let Some(data) = data {
                error["data"] = json!(data);
            }
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
        }
    }
}
