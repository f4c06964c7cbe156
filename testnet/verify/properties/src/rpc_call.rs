//! Every JSON-RPC method with any JSON: a result or an error of the caller, never a panic or an internal error.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::Target;
use crate::chain::{places, user};
use crate::reader::Reader;
use crate::rpc_fixture::Served;

/// See the module. After a first byte of 255 comes the text of a request; any other byte chooses the method.
pub const TARGET: Target = Target { name: "rpc_call", check, seeds, max_bytes: 1024 };

const CODE_INTERNAL: i64 = -32603;

static SERVED: LazyLock<Served> = LazyLock::new(Served::new);

static METHODS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<_> = SERVED.server.methods().method_names().collect();
    names.sort_unstable();
    names
});

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let request = match reader.u8() {
        255 => match std::str::from_utf8(reader.rest()) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
        method => {
            let method = METHODS[usize::from(method) % METHODS.len()];
            let count = reader.below(5);
            let params: Vec<Value> = (0..count).map(|_| value(&mut reader, 0)).collect();
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
        }
    };
    let answer = SERVED.runtime.block_on(async { SERVED.server.methods().raw_json_request(&request, 1).await });
    SERVED.unchanged();
    let Ok((answer, _)) = answer else { return };
    let answer: Value = serde_json::from_str(answer.get()).expect("an answer in JSON");
    let code = answer["error"]["code"].as_i64();
    assert_ne!(code, Some(CODE_INTERNAL), "{request} -> {answer}");
    assert_eq!(code.is_some(), answer.get("result").is_none(), "a result or an error");
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Value {
    const FIELDS: [&str; 26] = [
        "to",
        "from",
        "data",
        "input",
        "value",
        "gas",
        "gasPrice",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
        "accessList",
        "authorizationList",
        "fromBlock",
        "toBlock",
        "blockHash",
        "address",
        "topics",
        "state",
        "stateDiff",
        "balance",
        "nonce",
        "code",
        "number",
        "time",
        "tracer",
        "storageKeys",
        "requireCanonical",
    ];
    let places = places();
    match reader.u8() {
        n @ 0..=15 => json!(format!("{n:#x}")),
        n @ 16..=79 => json!(places[usize::from(n - 16) % places.len()]),
        80..=83 => json!("latest"),
        84 => json!("pending"),
        85 => json!("earliest"),
        86 => json!("finalized"),
        87 => json!("0x10000000000000000"),
        88 => json!("0xffffffffffffffff"),
        89 => json!(alloy_primitives::B256::from(reader.array())),
        90 => json!(true),
        91 => json!(false),
        92 => json!(-1),
        93 => json!(1.5),
        94 => json!("callTracer"),
        95 => json!(Served::raw_transaction()),
        96 => json!("newHeads"),
        97 => json!(user(0)),
        98..=119 => json!(alloy_primitives::Bytes::copy_from_slice(reader.short())),
        120..=139 => json!(format!("{:#x}", reader.u64())),
        140..=149 => json!(String::from_utf8_lossy(reader.short())),
        150..=159 => json!(reader.u64()),
        160..=189 if depth < 4 => (0..reader.below(5)).map(|_| value(reader, depth + 1)).collect(),
        190..=249 if depth < 4 => (0..reader.below(6))
            .map(|_| {
                let name = match reader.u8() {
                    n @ 0..=200 => FIELDS[usize::from(n) % FIELDS.len()].to_owned(),
                    n => places[usize::from(n) % places.len()].to_string(),
                };
                (name, value(reader, depth + 1))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => Value::Null,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let text = |value: Value| [vec![255], value.to_string().into_bytes()].concat();
    let mut seeds: Vec<Vec<u8>> = vec![
        text(
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{ "to": user(0), "data": "0x" }, "latest"] }),
        ),
        text(json!({ "jsonrpc": "2.0", "id": "a", "method": "eth_blockNumber" })),
        text(
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{ "fromBlock": "0x0", "toBlock": "latest" }] }),
        ),
        text(
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [Served::raw_transaction()] }),
        ),
    ];
    // Some methods with an account and a block, or with an object.
    for method in (0..96u8).step_by(4) {
        seeds.push(vec![method, 2, 20, 80, 3]);
        if method % 12 == 0 {
            seeds.push(vec![method, 3, 200, 2, 0, 20, 11, 1, 80, 90]);
        }
    }
    seeds
}
