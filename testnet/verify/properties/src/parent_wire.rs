//! Endpoints of the parent whose answers are cut, changed, replaced or refused by a script.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_consensus::TxEnvelope;
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{B256, Bytes};
use causeway_parent::{Answer, ExchangeError, Url, Wire};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::audit_bundle::inner;
use crate::reader::Reader;

/// Number of exchanges and pauses after which the endpoints stop answering.
const MAX_EXCHANGES: usize = 96;

#[derive(Debug, Default)]
struct State {
    script: Vec<u8>,
    at: usize,
    exchanges: usize,
    now: Duration,
    asked: Vec<(String, Value)>,
}

/// An honest endpoint's answer when it does not depend on earlier requests; `None` when it does.
pub(crate) fn ordinary(chain_id: u64, method: &str) -> Option<Value> {
    match method {
        "eth_chainId" => Some(json!(format!("{chain_id:#x}"))),
        "eth_estimateGas" => Some(json!("0x186a0")),
        "eth_getBlockByNumber" => Some(
            json!({ "number": "0x5", "hash": B256::repeat_byte(1), "timestamp": "0x10", "baseFeePerGas": "0x3b9aca00" }),
        ),
        "eth_maxPriorityFeePerGas" => Some(json!("0x3b9aca00")),
        _ => None,
    }
}

/// The transaction of an `eth_sendRawTransaction`.
pub(crate) fn offered(params: &Value) -> TxEnvelope {
    TxEnvelope::decode_2718(&mut offered_bytes(params).as_ref()).expect("a signed transaction")
}

/// Its bytes.
pub(crate) fn offered_bytes(params: &Value) -> Bytes {
    params[0].as_str().unwrap_or_default().parse().unwrap_or_default()
}

/// The result of an honest endpoint for a method with its parameters.
type Honest = Box<dyn Fn(&str, &Value) -> Value + Send + Sync>;

/// Endpoints that answer by a script.
pub(crate) struct ScriptedParent {
    state: Mutex<State>,
    honest: Honest,
}

impl std::fmt::Debug for ScriptedParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedParent").field("state", &self.state).finish_non_exhaustive()
    }
}

impl ScriptedParent {
    pub(crate) fn new(script: &[u8], honest: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Arc<Self> {
        let state = State { script: script.to_vec(), ..State::default() };
        Arc::new(Self { state: Mutex::new(state), honest: Box::new(honest) })
    }

    /// Parameters of the requests of this method so far.
    pub(crate) fn asked(&self, method: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }
}

impl Wire for ScriptedParent {
    fn exchange(
        &self,
        _: &Url,
        body: Vec<u8>,
        deadline: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.exchanges += 1;
        if state.exchanges > MAX_EXCHANGES {
            return pending().boxed();
        }
        let request: Value = serde_json::from_slice(&body).expect("requests are JSON");
        let method = request["method"].as_str().unwrap_or_default().to_owned();
        let result = (self.honest)(&method, &request["params"]);
        state.asked.push((method, request["params"].clone()));
        let script = state.script.clone();
        let mut reader = Reader::new(script.get(state.at..).unwrap_or_default());
        let before = reader.len();
        let answer = answer(&request["id"], result, deadline, &mut reader);
        state.at += before - reader.len();
        let answer = answer.and_then(|answer| {
            if answer.body.len() > max_bytes { Err(ExchangeError::TooLarge(max_bytes)) } else { Ok(answer) }
        });
        ready(answer).boxed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now += time;
        state.exchanges += 1;
        if state.exchanges > MAX_EXCHANGES { pending().boxed() } else { ready(()).boxed() }
    }

    fn now(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn unix_ms(&self) -> u64 {
        1_700_000_000_000
    }
}

fn answer(id: &Value, mut result: Value, deadline: Duration, reader: &mut Reader<'_>) -> Result<Answer, ExchangeError> {
    let mut status = 200;
    let choice = reader.u8();
    match choice {
        1 => return Err(ExchangeError::Deadline(deadline.as_millis())),
        2 => return Ok(Answer { status: 500, body: reader.short().to_vec() }),
        3 => return Ok(Answer { status, body: reader.long().to_vec() }),
        4 => result = Value::Null,
        5 => result = serde_json::from_slice(reader.long()).unwrap_or(Value::Null),
        6 => {
            let error =
                json!({ "code": i64::from(reader.u8()) - 32_100, "message": String::from_utf8_lossy(reader.short()) });
            let body = json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string().into_bytes();
            return Ok(Answer { status, body });
        }
        7 => alter(&mut result, 3, reader),
        8 => status = 100 + reader.u16() % 500,
        _ => {}
    }
    let mut body = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string().into_bytes();
    match choice {
        9 => body.truncate(usize::from(reader.u16()) % (body.len() + 1)),
        10 | 11 => {
            for _ in 0..=reader.below(4) {
                let at = usize::from(reader.u16()) % body.len();
                body[at] = reader.u8();
            }
        }
        _ => {}
    }
    Ok(Answer { status, body })
}

/// Replaces one value in a result, up to this depth.
pub(crate) fn alter(place: &mut Value, depth: usize, reader: &mut Reader<'_>) {
    if let (Some(deeper), Some(inner)) = (depth.checked_sub(1), inner(place, usize::from(reader.u8()))) {
        return alter(inner, deeper, reader);
    }
    *place = match reader.u8() {
        0 => Value::Null,
        1 => json!(format!("{:#x}", reader.u64())),
        2 => json!("0xffffffffffffffff"),
        3 => json!("0x10000000000000000"),
        4 => json!(B256::repeat_byte(reader.u8())),
        5 => json!(reader.u64()),
        6 => json!([]),
        7 => json!(true),
        8 => json!(Bytes::copy_from_slice(reader.short())),
        n => json!(format!("{n:#x}")),
    };
}
