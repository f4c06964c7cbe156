//! A scripted parent endpoint for tests: a few blocks, a vault, a registry, and all kinds of wrong answers.

#![allow(clippy::unwrap_used)]

use crate::{Http, Wire, cuts::DepositLog, watcher::VAULT_SNAPSHOTS};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, LogData, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_peg::{Deposit, deposit::fold_deposits};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

pub(crate) const CHAIN_ID: u64 = 31337;
pub(crate) const VAULT: Address = Address::repeat_byte(0xaa);
pub(crate) const REGISTRY: Address = Address::repeat_byte(0xbb);

/// How the endpoint answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Mood {
    #[default]
    Honest,
    Http500,
    NotJson,
    Hang,
    Endless,
    /// The result of this method is replaced.
    Instead(&'static str, Value),
    /// This method is refused with a JSON-RPC error.
    Refuse(&'static str, &'static str),
}

/// The chain behind one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    pub(crate) mood: Mood,
    pub(crate) chain_id: u64,
    pub(crate) finalized: u64,
    /// From this height on, the hashes differ from those of other chains by this byte.
    pub(crate) fork: Option<(u64, u8)>,
    pub(crate) logs: Vec<DepositLog>,
    /// Withdrawals paid, by height and index.
    pub(crate) paid: Vec<(u64, u64)>,
    /// Nonces whose logs are left out of answers.
    pub(crate) hidden: Vec<u64>,
    /// Most blocks a log query may span; 0 is no limit.
    pub(crate) max_range: u64,
    pub(crate) checkpoint: (u64, B256),
    /// Epoch of the registry from a height on, and the commitments of the sets it knows.
    pub(crate) epochs: BTreeMap<u64, u64>,
    pub(crate) sets: BTreeMap<u64, B256>,
    /// Requests by method.
    pub(crate) requests: BTreeMap<String, usize>,
    /// Transactions sent, raw.
    pub(crate) sent: Vec<Bytes>,
    /// Position in `sent` of the included transaction, with its status.
    pub(crate) included: Option<(usize, u64)>,
    /// Includes every sent transaction at once, with success.
    pub(crate) includes_all: bool,
    /// Applies submitted checkpoints to the registry.
    pub(crate) follows: bool,
    /// Accumulators the registry has linked, by nonce.
    pub(crate) linked: BTreeMap<u64, B256>,
    /// Data with which gas estimates revert.
    pub(crate) revert: Option<Bytes>,
    /// Scripted answers by method, used before everything else: each request removes the first one, the last one stays.
    /// `{"error": text}` is an error.
    pub(crate) script: BTreeMap<&'static str, Vec<Value>>,
}

impl Chain {
    /// Ten blocks, empty contracts, a registry in epoch 0.
    pub(crate) fn new() -> Self {
        let sets = BTreeMap::from([(0, B256::repeat_byte(0x5e))]);
        Self { chain_id: CHAIN_ID, finalized: 10, sets, ..Self::default() }
    }

    pub(crate) fn hash(&self, height: u64) -> B256 {
        let salt = self.fork.filter(|(from, _)| height >= *from).map_or(0, |(_, salt)| salt);
        keccak256([&height.to_be_bytes()[..], &[salt]].concat())
    }

    /// Puts `count` deposits into block `height`.
    pub(crate) fn deposit(&mut self, height: u64, count: u64) {
        for index in 0..count {
            let (nonce, acc) = self.logs.last().map_or((0, B256::ZERO), |l| (l.deposit.nonce, l.deposit_acc));
            let deposit = Deposit {
                nonce: nonce + 1,
                token: Address::ZERO,
                sender: Address::repeat_byte(3),
                recipient: Address::repeat_byte(4),
                amount: U256::from(1_000 + nonce),
            };
            self.logs.push(DepositLog {
                deposit,
                deposit_acc: fold_deposits(acc, [&deposit]),
                height,
                block_hash: self.hash(height),
                log_index: index,
            });
        }
    }

    /// Accepts the last transaction's checkpoint, as the registry would.
    fn follow(&mut self) {
        let transaction = TxEnvelope::decode_2718(&mut self.sent.last().unwrap().as_ref()).unwrap();
        if let Ok(call) = CheckpointRegistry::submitCall::abi_decode(transaction.input()) {
            self.accept(call.c.number, call.c.epoch, call.c.nextValset);
        }
    }

    /// Makes the registry accept a checkpoint. The order must be one that the real registry accepts.
    pub(crate) fn accept(&mut self, number: u64, epoch: u64, next: B256) {
        let before = self.epochs.get(&0).copied().unwrap_or_default();
        assert!(number > self.checkpoint.0 && (epoch == before || epoch == before + 1), "{number} of epoch {epoch}");
        assert!(self.sets.contains_key(&epoch), "the set of epoch {epoch} is known");
        self.checkpoint = (number, keccak256(number.to_be_bytes()));
        self.epochs.insert(0, epoch);
        self.sets.insert(epoch + 1, next);
    }

    fn height(&self, tag: &Value) -> u64 {
        match tag.as_str().unwrap() {
            "finalized" | "latest" => self.finalized,
            number => height_of(number),
        }
    }

    /// The JSON-RPC answer to a request.
    pub(crate) fn respond(&mut self, body: &str) -> String {
        let request: Value = serde_json::from_str(body).unwrap();
        let method = request["method"].as_str().unwrap();
        let id = request["id"].clone();
        if let (Some(data), "eth_estimateGas") = (&self.revert, method) {
            let error = json!({ "code": 3, "message": "execution reverted", "data": data });
            return json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string();
        }
        match self.answer(method, &request["params"]) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
        }
        .to_string()
    }

    fn answer(&mut self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        *self.requests.entry(method.to_owned()).or_default() += 1;
        match &self.mood {
            Mood::Instead(which, value) if *which == method => return Ok(value.clone()),
            Mood::Refuse(which, message) if *which == method => return Err((-32000, (*message).to_owned())),
            _ => {}
        }
        if method == "eth_sendRawTransaction" {
            self.sent.push(params[0].as_str().unwrap().parse().unwrap());
            if self.follows {
                self.follow();
            }
        }
        if let Some(script) = self.script.get_mut(method) {
            let answer = if script.len() > 1 { script.remove(0) } else { script[0].clone() };
            if let Some(message) = answer.get("error").and_then(Value::as_str) {
                return Err((-32000, message.to_owned()));
            }
            return Ok(answer);
        }
        match method {
            "eth_chainId" => Ok(json!(format!("{:#x}", self.chain_id))),
            "eth_getBlockByNumber" => {
                let height = self.height(&params[0]);
                Ok(json!({
                    "number": format!("{height:#x}"), "hash": self.hash(height), "timestamp": "0x10",
                    "baseFeePerGas": "0x64", "extra": [1, 2],
                }))
            }
            "eth_getLogs" => {
                let (from, to) = (
                    height_of(params[0]["fromBlock"].as_str().unwrap()),
                    height_of(params[0]["toBlock"].as_str().unwrap()),
                );
                if self.max_range != 0 && to - from + 1 > self.max_range {
                    return Err((-32005, "block range too wide".to_owned()));
                }
                if params[0]["topics"][0] == json!(PegVault::Claimed::SIGNATURE_HASH) {
                    let paid = self.paid.iter().filter(|(height, _)| (from..=to).contains(height));
                    return Ok(paid.map(|(height, index)| claim_json(*height, *index)).collect());
                }
                let logs = self.logs.iter().filter(|l| l.height >= from && l.height <= to);
                Ok(logs.filter(|l| !self.hidden.contains(&l.deposit.nonce)).map(log_json).collect())
            }
            "eth_call" => {
                let data: Bytes = params[0]["data"].as_str().unwrap().parse().unwrap();
                let height = self.height(&params[1]);
                let known: Vec<_> = self.logs.iter().filter(|l| l.height <= height).collect();
                let output = if PegVault::depositNonceCall::abi_decode(&data).is_ok() {
                    (known.len() as u64).abi_encode()
                } else if let Ok(call) = PegVault::depositAccAtCall::abi_decode(&data) {
                    if (known.len() as u64).saturating_sub(call.nonce) >= VAULT_SNAPSHOTS {
                        return Err((3, "execution reverted".to_owned()));
                    }
                    let log = known.iter().find(|l| l.deposit.nonce == call.nonce);
                    log.map_or(B256::ZERO, |l| l.deposit_acc).abi_encode()
                } else if CheckpointRegistry::latestCall::abi_decode(&data).is_ok() {
                    let epoch = self.epochs.range(..=height).next_back().map_or(0, |(_, epoch)| *epoch);
                    (self.checkpoint.0, 7u64, 0u64, epoch).abi_encode()
                } else if let Ok(call) = CheckpointRegistry::linkedAccCall::abi_decode(&data) {
                    self.linked.get(&call.nonce).copied().unwrap_or_default().abi_encode()
                } else if let Ok(call) = CheckpointRegistry::validatorSetOfCall::abi_decode(&data) {
                    self.sets.get(&call.epoch).copied().unwrap_or_default().abi_encode()
                } else {
                    self.checkpoint.1.abi_encode()
                };
                Ok(json!(Bytes::from(output)))
            }
            "eth_getTransactionCount" => Ok(json!("0x7")),
            "eth_estimateGas" => Ok(json!("0x186a0")),
            "eth_maxPriorityFeePerGas" => Ok(json!("0x5")),
            "eth_sendRawTransaction" => Ok(json!(keccak256(self.sent.last().unwrap()))),
            "eth_getTransactionReceipt" => {
                let all = self.sent.iter().find(|raw| self.includes_all && params[0] == json!(keccak256(raw)));
                let one = self.included.and_then(|(at, status)| Some((self.sent.get(at)?, status)));
                let included = all.map(|raw| (raw, 1)).or(one);
                let Some((raw, status)) = included.filter(|(raw, _)| params[0] == json!(keccak256(raw))) else {
                    return Ok(Value::Null);
                };
                let logs: Vec<Value> = self.logs.iter().map(log_json).collect();
                Ok(json!({
                    "transactionHash": keccak256(raw), "blockNumber": "0xb", "status": format!("{status:#x}"),
                    "gasUsed": "0x5208", "contractAddress": null, "logs": logs, "type": "0x2",
                }))
            }
            other => Err((-32601, format!("no method {other}"))),
        }
    }
}

fn height_of(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn log_json(log: &DepositLog) -> Value {
    let d = &log.deposit;
    let event = PegVault::Deposited {
        nonce: d.nonce,
        token: d.token,
        sender: d.sender,
        recipient: d.recipient,
        amount: d.amount,
        depositAcc: log.deposit_acc,
    };
    event_json(event.encode_log_data(), log.height, log.block_hash, log.log_index)
}

fn claim_json(height: u64, index: u64) -> Value {
    let event = PegVault::Claimed {
        index,
        token: Address::ZERO,
        recipient: Address::repeat_byte(4),
        amount: U256::from(1),
        relayerFee: U256::ZERO,
        relayer: Address::repeat_byte(5),
        checkpoint: 1,
    };
    event_json(event.encode_log_data(), height, B256::repeat_byte(1), index)
}

fn event_json(data: LogData, height: u64, block_hash: B256, log_index: u64) -> Value {
    json!({
        "address": VAULT, "topics": data.topics(), "data": data.data, "removed": false,
        "blockNumber": format!("{height:#x}"), "blockHash": block_hash, "logIndex": format!("{log_index:#x}"),
    })
}

/// The production wire.
pub(crate) fn http() -> Arc<dyn Wire> {
    Arc::new(Http::new().unwrap())
}

/// A running fake endpoint.
pub(crate) struct FakeParent {
    pub(crate) url: String,
    chain: Arc<Mutex<Chain>>,
    server: tokio::task::JoinHandle<()>,
}

impl FakeParent {
    pub(crate) async fn start() -> Self {
        let chain = Arc::new(Mutex::new(Chain::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(answer)).with_state(chain.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, chain, server }
    }

    pub(crate) fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap()
    }
}

impl Drop for FakeParent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(chain): State<Arc<Mutex<Chain>>>, body: String) -> axum::response::Response {
    let mood = chain.lock().unwrap().mood.clone();
    match mood {
        Mood::Http500 => return (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response(),
        Mood::NotJson => return "<html>\u{0}</html>".into_response(),
        Mood::Hang => std::future::pending::<()>().await,
        Mood::Endless => {
            let chunk = || futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'['; 4096]));
            return axum::body::Body::from_stream(chunk()).into_response();
        }
        _ => {}
    }
    chain.lock().unwrap().respond(&body).into_response()
}
