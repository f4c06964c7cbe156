//! Answers about blocks before and after a change of the rules.

use alloy_primitives::Bytes;
use serde_json::{Value, json};

use super::fixture::*;

/// First block under Osaka, half the gas limit, a calmer base fee and a longer jail.
const CHANGE: u64 = 4;

async fn changing() -> Fixture {
    Fixture::under(json!([
        { "height": 0, "version": 1, "evm": { "fork": "prague" } },
        {
            "height": CHANGE, "version": 1, "evm": { "fork": "osaka" }, "block": { "gasLimit": 30_000_000 },
            "baseFee": { "changeDenominator": 16 }, "staking": { "jailSeconds": 700, "epochLength": 4_000 },
        },
    ]))
    .await
}

fn block(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

#[tokio::test]
async fn calls_and_traces_in_old_blocks_follow_the_rules_of_those_blocks() {
    let f = changing().await;
    for nonce in 0..CHANGE + 1 {
        f.push_all(&[invoke(nonce, CLZ, Bytes::new())]);
    }
    let tracer = json!({ "tracer": "callTracer" });
    for number in 1..=CHANGE + 1 {
        let request = json!({ "to": CLZ });
        let known = number >= CHANGE;
        if known {
            assert_eq!(f.ok("eth_call", json!([request, block(number)])).await, json!(word(255)), "{number}");
        } else {
            let error = f.fails("eth_call", json!([request, block(number)])).await;
            assert_eq!(error, (-32000, "invalid opcode".to_owned()), "{number}");
        }
        let error = if known { Value::Null } else { json!("invalid opcode") };
        let call = f.ok("debug_traceCall", json!([request, block(number), tracer])).await;
        assert_eq!(call["error"], error, "{number}");
        let traces = f.ok("debug_traceBlockByNumber", json!([block(number), tracer])).await;
        assert_eq!(traces[0]["result"]["error"], error, "{number}");
        let list = f.ok("eth_createAccessList", json!([request, block(number)])).await;
        assert_eq!(list["error"], error, "{number}");
    }
}

#[tokio::test]
async fn the_block_to_come_and_its_fee_follow_the_rules_of_its_height() {
    let f = changing().await;
    let mut fee = 1_000_000_000u64;
    for number in 1..=CHANGE + 1 {
        fee -= fee / if number < CHANGE { 8 } else { 16 };
        let limit = if number < CHANGE { 60_000_000u64 } else { 30_000_000 };
        let pending = f.ok("eth_getBlockByNumber", json!(["pending", false])).await;
        assert_eq!(pending["gasLimit"], block(limit), "{number}");
        assert_eq!(pending["baseFeePerGas"], block(fee), "{number}");
        assert_eq!(f.ok("eth_gasPrice", json!([])).await, json!(format!("{:#x}", fee + 1_000_000)), "{number}");
        let history = f.ok("eth_feeHistory", json!([1, "latest"])).await;
        assert_eq!(history["baseFeePerGas"][1], block(fee), "{number}");
        f.push_empty(1);
        let built = f.ok("eth_getBlockByNumber", json!([block(number), false])).await;
        assert_eq!((&built["gasLimit"], &built["baseFeePerGas"]), (&block(limit), &block(fee)), "{number}");
    }
    // Old blocks keep what they had.
    let history = f.ok("eth_feeHistory", json!([2, block(CHANGE - 1)])).await;
    let now = f.ok("eth_getBlockByNumber", json!([block(CHANGE), false])).await;
    assert_eq!(history["baseFeePerGas"][2], now["baseFeePerGas"]);
}

#[tokio::test]
async fn an_estimate_is_for_the_next_block() {
    let f = changing().await;
    f.push_empty(CHANGE - 2);
    assert_eq!(f.fails("eth_estimateGas", json!([{ "to": CLZ }])).await, (-32000, "invalid opcode".to_owned()));
    f.push_empty(1);
    assert!(f.ok("eth_estimateGas", json!([{ "to": CLZ }])).await.is_string());
    let at_old = json!([{ "to": CLZ }, block(CHANGE - 2)]);
    assert_eq!(f.fails("eth_estimateGas", at_old).await, (-32000, "invalid opcode".to_owned()));
}

#[tokio::test]
async fn figures_of_staking_are_those_of_the_block_asked_for() {
    let f = changing().await;
    f.push_empty(CHANGE);
    for (number, jail, length) in [(0, 600u64, 3_600u64), (CHANGE - 1, 600, 3_600), (CHANGE, 700, 4_000)] {
        let params = f.ok("staking_params", json!([block(number)])).await;
        assert_eq!((&params["jailSeconds"], &params["epochLength"]), (&block(jail), &block(length)), "{number}");
        assert_eq!(f.ok("staking_epoch", json!([block(number)])).await["length"], block(length), "{number}");
    }
    assert_eq!(f.ok("staking_params", json!([])).await["jailSeconds"], block(700));
    assert_eq!(f.fails("staking_params", json!(["0x99"])).await, (-32000, "header not found".to_owned()));
}

#[tokio::test]
async fn what_the_rules_of_the_next_block_say_is_refused_where_they_are_unknown() {
    let f = Fixture::under(json!([{ "height": 3, "version": 2, "unheard": ["of"] }])).await;
    f.push_empty(2);
    let text = "block 3 follows rules version 2, which this build (causeway ";
    for (method, params) in [
        ("eth_gasPrice", json!([])),
        ("eth_feeHistory", json!([1, "latest"])),
        ("eth_getBlockByNumber", json!(["pending", false])),
        ("eth_estimateGas", json!([{ "to": STORE }])),
    ] {
        let (code, message) = f.fails(method, params).await;
        assert_eq!(code, -32000, "{method}");
        assert!(message.starts_with(text), "{method}: {message}");
    }
    assert_eq!(f.ok("consensus_status", json!([])).await["stopsBefore"], block(3));
    assert_eq!(changing().await.ok("consensus_status", json!([])).await["stopsBefore"], Value::Null);
    assert_eq!(f.ok("eth_call", json!([{ "to": STORE }, "latest"])).await, json!(word(7)));
}
