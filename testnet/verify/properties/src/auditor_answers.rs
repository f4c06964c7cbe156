//! Both chains' JSON-RPC answers to an auditor that collects a bundle: any answers lead to a bundle or an error, and every
//! collected bundle can be audited.
//!
//! The sidechain's honest answers come from the production server. The change of an answer depends on the request and not on
//! the order of arrival, so that an input always means the same.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolValue as _};
use causeway_contracts::{CheckpointRegistry, PegVault};
use causeway_genesis::Genesis;
use causeway_peg_audit::{Bundle, CollectError, Endpoints, collect};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::audit_bundle::judge;
use crate::chain::GENESES;
use crate::parent_wire::alter;
use crate::reader::Reader;
use crate::rpc_fixture::Served;
use crate::{Target, answers};

/// See the module. Rules: the number of a request, a shape, and the bytes that change its answer.
pub const TARGET: Target = Target { name: "auditor_answers", check, seeds, max_bytes: 512 };

/// Number of requests after which both endpoints only refuse.
const MAX_QUESTIONS: usize = 400;
const MAX_RULES: usize = 8;
/// Number of different request numbers.
const NUMBERS: u8 = 64;
const DEADLINE: Duration = Duration::from_secs(10);
const PARENT_HEIGHT: u64 = 12;

/// The change of the answers to requests with a number.
struct Rule {
    number: u8,
    shape: u8,
    script: Vec<u8>,
}

#[derive(Default)]
struct Script {
    rules: Vec<Rule>,
    asked: usize,
}

struct Serving {
    served: Served,
    sidechain: String,
    parent: String,
    script: Mutex<Script>,
}

static SERVING: LazyLock<Serving> = LazyLock::new(|| {
    let served = Served::new();
    let listen = |is_parent: bool| {
        let listener = served.runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it listens"));
        served.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, is_parent));
            }
        });
        url
    };
    let (sidechain, parent) = (listen(false), listen(true));
    Serving { served, sidechain, parent, script: Mutex::default() }
});

/// See the module.
pub fn check(bytes: &[u8]) {
    match gather(bytes) {
        Ok(bundle) => judge(&bundle),
        Err(error) => answers(error.to_string()),
    }
}

fn genesis() -> &'static Genesis {
    &GENESES[1]
}

fn gather(bytes: &[u8]) -> Result<Bundle, CollectError> {
    let serving = &*SERVING;
    let mut reader = Reader::new(bytes);
    let mut script = Script::default();
    while !reader.is_empty() && script.rules.len() < MAX_RULES {
        let (number, shape) = (reader.u8() % NUMBERS, reader.u8());
        script.rules.push(Rule { number, shape, script: reader.short().to_vec() });
    }
    *serving.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    let endpoints = Endpoints {
        sidechain: serving.sidechain.clone(),
        parent: serving.parent.clone(),
        parent_from: 0,
        deadline: DEADLINE,
    };
    serving.served.runtime.block_on(collect(&endpoints, genesis()))
}

/// One connection: requests with a content length, one after the other.
async fn serve(stream: TcpStream, is_parent: bool) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = None;
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line).await {
                Ok(1..) => {}
                _ => return,
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length:").and_then(|text| text.trim().parse().ok()).or(length);
        }
        let mut body = vec![0; length.unwrap_or(0usize)];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let answer = answer(&body, is_parent).await;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        if stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await.is_err() {
            return;
        }
    }
}

async fn answer(body: &[u8], is_parent: bool) -> String {
    let request: Value = serde_json::from_slice(body).expect("the auditor asks in JSON");
    let (method, params) = (request["method"].as_str().unwrap_or_default(), &request["params"]);
    let honest = if is_parent {
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": parent(method, params) })
    } else {
        let text = String::from_utf8_lossy(body);
        let answer = SERVING.served.server.methods().raw_json_request(&text, 1).await;
        answer.ok().and_then(|(text, _)| serde_json::from_str(text.get()).ok()).unwrap_or_default()
    };
    let number = keccak256(format!("{is_parent} {method} {params}"))[0] % NUMBERS;
    let mut script = SERVING.script.lock().unwrap_or_else(PoisonError::into_inner);
    script.asked += 1;
    let refusal = || json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": -32_000, "message": "no" } });
    if script.asked > MAX_QUESTIONS {
        return refusal().to_string();
    }
    let mut response = honest;
    for rule in script.rules.iter().filter(|rule| rule.number == number) {
        let mut reader = Reader::new(&rule.script);
        let mut result = response["result"].take();
        match rule.shape & 15 {
            0 => return refusal().to_string(),
            1 => result = serde_json::from_slice(reader.rest()).unwrap_or_default(),
            depth => alter(&mut result, usize::from(depth), &mut reader),
        }
        if rule.shape & 16 != 0 {
            seal(&mut result);
        }
        // Never both a result and an error: that is no answer, and the auditor waits before it asks again.
        response = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    }
    response.to_string()
}

/// Sets the hash of a changed header: a consistent lie.
fn seal(block: &mut Value) {
    if let Ok(header) = serde_json::from_value::<Header>(block.clone()) {
        block["hash"] = json!(header.hash_slow());
    }
}

/// A parent whose deposits match the sidechain's mints.
fn parent(method: &str, params: &Value) -> Value {
    let spec = genesis().spec.peg.as_ref().expect("a pegged chain");
    match method {
        "eth_chainId" => json!(format!("{:#x}", spec.parent_chain_id)),
        "eth_getBlockByNumber" => json!({
            "number": format!("{PARENT_HEIGHT:#x}"), "hash": B256::repeat_byte(3), "stateRoot": B256::repeat_byte(4),
        }),
        "eth_getLogs" => json!([]),
        "eth_getCode" => json!("0x00"),
        "eth_getBalance" => json!("0xde0b6b3a7640000"),
        "eth_getProof" => json!({
            "address": params[0], "balance": "0x0", "codeHash": B256::ZERO, "nonce": "0x1", "storageHash": B256::ZERO,
            "accountProof": ["0xc0"],
            "storageProof": [{ "key": B256::ZERO, "value": "0x0", "proof": ["0x80"] }],
        }),
        "eth_call" => {
            let data: Bytes = params[0]["data"].as_str().unwrap_or_default().parse().unwrap_or_default();
            json!(view(&data))
        }
        _ => Value::Null,
    }
}

fn view(data: &[u8]) -> Bytes {
    let output = if CheckpointRegistry::latestCall::abi_decode(data).is_ok() {
        (1u64, 2u64, 0u64, 0u64).abi_encode_params()
    } else if CheckpointRegistry::validatorSetOfCall::abi_decode(data).is_ok_and(|call| call.epoch > 0) {
        B256::ZERO.abi_encode()
    } else if PegVault::depositNonceCall::abi_decode(data).is_ok() || PegVault::claimDelayCall::abi_decode(data).is_ok()
    {
        U256::from(9).abi_encode()
    } else {
        B256::repeat_byte(0x5e).abi_encode()
    };
    output.into()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for number in (0..NUMBERS).step_by(4) {
        seeds.push(vec![number, 0, 0]);
        seeds.push(vec![number + 1, 2, 2, 0, 2, number + 2, 18, 4, 3, 0, 1, 7]);
        seeds.push(vec![number + 3, 0x13, 12, number, 3, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_answers_make_a_bundle() {
        let bundle = gather(&[]).expect("honest answers");
        assert_eq!(bundle.sidechain.head, 5);
        assert!(!bundle.sidechain.proofs.is_empty() && !bundle.sidechain.blocks.is_empty());
        judge(&bundle);
    }

    #[test]
    fn seeds_lead_to_lies() {
        let failed = seeds().iter().filter(|seed| gather(seed).is_err()).count();
        assert!(failed > 8, "{failed}");
    }
}
