//! Traces, which execute blocks again.

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use super::fixture::*;

fn call_tracer() -> Value {
    json!({ "tracer": "callTracer" })
}

#[tokio::test]
async fn a_transaction_is_traced_as_it_ran() {
    let f = Fixture::standalone().await;
    let executed = f.push_all(&[invoke(0, LOGGER, word(1)), invoke(1, REVERTER, word(2)), invoke(2, STORE, word(3))]);
    let hashes: Vec<_> = executed.block.transactions.iter().map(|tx| tx.hash()).collect();
    let frame = f.ok("debug_traceTransaction", json!([hashes[0], call_tracer()])).await;
    assert_eq!(
        frame,
        json!({
            "type": "CALL", "from": rich().address(), "to": LOGGER, "value": "0x0", "input": word(1),
            "gas": "0x30d40", "gasUsed": format!("{:#x}", executed.receipts[0].gas_used),
        })
    );
    let with_log = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true, "onlyTopCall": true } });
    let logged = f.ok("debug_traceTransaction", json!([hashes[0], with_log])).await;
    assert_eq!((&logged["logs"][0]["address"], &logged["logs"][0]["topics"]), (&json!(LOGGER), &json!([word(1)])));
    let reverted = f.ok("debug_traceTransaction", json!([hashes[1], call_tracer()])).await;
    assert_eq!((&reverted["error"], &reverted["output"]), (&json!("execution reverted"), &json!(word(2))));

    let block = f.ok("debug_traceBlockByNumber", json!(["0x1", call_tracer()])).await;
    assert_eq!(block, f.ok("debug_traceBlockByHash", json!([executed.hash, call_tracer()])).await);
    let all = block.as_array().unwrap();
    assert_eq!(
        all.iter().map(|one| one["txHash"].clone()).collect::<Vec<_>>(),
        hashes.iter().map(|hash| json!(hash)).collect::<Vec<_>>()
    );
    assert_eq!(all[0]["result"], frame);
    assert_eq!(all[1]["result"], reverted);
}

#[tokio::test]
async fn a_call_is_traced_with_overrides() {
    let f = Fixture::standalone().await;
    let request = json!({ "to": STORE });
    let frame = f.ok("debug_traceCall", json!([request, "latest", call_tracer()])).await;
    assert_eq!((&frame["output"], &frame["to"]), (&json!(word(7)), &json!(STORE)));
    let changed = json!({
        "tracer": "callTracer",
        "stateOverrides": { STORE.to_string(): { "stateDiff": { word(0).to_string(): word(5) } } },
    });
    assert_eq!(f.ok("debug_traceCall", json!([request, "latest", changed])).await["output"], json!(word(5)));
    let poor = json!({ "from": Address::repeat_byte(0xee), "to": STORE, "value": "0x1" });
    let (code, message) = f.fails("debug_traceCall", json!([poor, "latest", call_tracer()])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("insufficient funds"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_traced_is_refused() {
    let f = Fixture::standalone().await;
    for (method, params, code, message) in [
        ("debug_traceTransaction", json!([B256::ZERO, call_tracer()]), -32000, "transaction not found"),
        ("debug_traceBlockByNumber", json!(["0x0", call_tracer()]), -32000, "genesis is not traceable"),
        ("debug_traceBlockByNumber", json!(["0x9", call_tracer()]), -32000, "header not found"),
        ("debug_traceBlockByHash", json!([B256::ZERO, call_tracer()]), -32000, "header not found"),
        (
            "debug_traceCall",
            json!([{ "to": STORE }, "latest", { "tracer": "prestateTracer" }]),
            -32602,
            "tracer not supported: this node has callTracer only",
        ),
        ("debug_traceCall", json!([{ "to": STORE }]), -32602, "tracer not supported: this node has callTracer only"),
    ] {
        assert_eq!(f.fails(method, params).await, (code, message.to_owned()), "{method}");
    }
}
