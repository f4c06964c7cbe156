//! `eth_call` and `eth_estimateGas`: reverts, halts, overrides and caps, with geth's error texts.

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{Panic, PanicKind, Revert, SolError};
use serde_json::{Value, json};

use super::fixture::*;

#[tokio::test]
async fn a_call_returns_what_the_contract_returns_at_the_block_asked_for() {
    let f = Fixture::standalone().await;
    f.push_all(&[invoke(0, STORE, word(9))]);
    for request in [
        json!({ "to": STORE }),
        json!({ "to": STORE, "data": "0x" }),
        json!({ "to": STORE, "input": "0x", "data": "0x" }),
    ] {
        assert_eq!(f.ok("eth_call", json!([request, "latest"])).await, json!(word(9)));
    }
    assert_eq!(f.ok("eth_call", json!([{ "to": STORE }, "0x0"])).await, json!(word(7)));
    assert_eq!(f.ok("eth_call", json!([{ "to": STORE }])).await, json!(word(9)));
    assert_eq!(f.ok("eth_call", json!([{ "to": Address::repeat_byte(0xee) }, "latest"])).await, "0x");
    let error = f.fails("eth_call", json!([{ "to": STORE }, "0x9"])).await;
    assert_eq!(error, (-32000, "header not found".to_owned()));
}

#[tokio::test]
async fn a_revert_is_code_3_with_its_reason_and_data() {
    let f = Fixture::standalone().await;
    for (data, message) in [
        (Revert::from("no money").abi_encode(), "execution reverted: no money"),
        (
            Panic::from(PanicKind::UnderOverflow).abi_encode(),
            "execution reverted: panic: arithmetic underflow or overflow (0x11)",
        ),
        (vec![0xde, 0xad, 0xbe, 0xef], "execution reverted"),
        (Vec::new(), "execution reverted"),
    ] {
        let data = Bytes::from(data);
        for method in ["eth_call", "eth_estimateGas"] {
            let error = f.error(method, json!([{ "to": REVERTER, "data": data }, "latest"])).await;
            assert_eq!((error.code(), error.message()), (3, message), "{method}");
            assert_eq!(serde_json::from_str::<Value>(error.data().unwrap().get()).unwrap(), json!(data));
        }
    }
}

#[tokio::test]
async fn refusals_have_geths_words() {
    let f = Fixture::standalone().await;
    f.push_empty(1);
    let poor = Address::repeat_byte(0xee);
    for (request, start) in [
        (json!({ "from": poor, "to": STORE, "value": "0x1" }), "insufficient funds for gas * price + value: address"),
        (
            json!({ "from": rich().address(), "to": STORE, "maxFeePerGas": "0x1" }),
            "max fee per gas less than block base fee",
        ),
        (json!({ "to": STORE, "gas": "0x1" }), "intrinsic gas too low"),
        (
            json!({ "to": STORE, "gasPrice": "0x1", "maxFeePerGas": "0x1" }),
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas)",
        ),
        (json!({ "to": LOOP, "gas": "0x186a0" }), "out of gas"),
    ] {
        let (code, message) = f.fails("eth_call", json!([request, "latest"])).await;
        assert_eq!(code, -32000, "{request}");
        assert!(message.starts_with(start), "{request}: {message}");
    }
    let both = json!({ "to": STORE, "data": "0x01", "input": "0x02" });
    let (code, message) = f.fails("eth_call", json!([both, "latest"])).await;
    assert_eq!(code, -32602);
    assert!(message.starts_with("both \"data\" and \"input\" are set and not equal"));
    let blobs = json!({ "to": STORE, "blobVersionedHashes": [word(1)] });
    let error = f.fails("eth_call", json!([blobs, "latest"])).await;
    assert_eq!(error, (-32602, "blob transactions are not supported".to_owned()));
}

#[tokio::test]
async fn gas_is_capped_below_what_the_caller_asks() {
    let f = Fixture::limited(|limits| limits.call_gas = 1_000_000).await;
    let (code, message) = f.fails("eth_call", json!([{ "to": LOOP, "gas": "0xffffffffffff" }, "latest"])).await;
    assert_eq!((code, message.as_str()), (-32000, "out of gas"));
}

#[tokio::test]
async fn estimates_suffice_and_are_not_far_off() {
    let f = Fixture::standalone().await;
    let transfer = json!({ "from": rich().address(), "to": Address::repeat_byte(9), "value": "0x1" });
    assert_eq!(f.ok("eth_estimateGas", json!([transfer])).await, "0x5208");
    let store = json!({ "from": rich().address(), "to": STORE, "data": word(9) });
    let estimate = f.ok("eth_estimateGas", json!([store, "latest"])).await;
    let estimate = u64::from_str_radix(estimate.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let executed = f.push_all(&[invoke(0, STORE, word(9))]);
    let used = executed.receipts[0].gas_used;
    assert!(estimate >= used && estimate < used * 5 / 4, "{estimate} for {used}");
    let (code, message) = f.fails("eth_estimateGas", json!([{ "to": LOOP }])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("gas required exceeds allowance") || message == "out of gas", "{message}");
}

#[tokio::test]
async fn state_overrides_last_for_one_call() {
    let f = Fixture::standalone().await;
    let poor = Address::repeat_byte(0xee);
    let value = json!({ "from": poor, "to": Address::repeat_byte(9), "value": "0x64" });
    assert_eq!(f.ok("eth_call", json!([value, "latest", { poor.to_string(): { "balance": "0x64" } }])).await, "0x");
    let read = json!({ "to": STORE });
    let slot = word(0).to_string();
    for (change, expected) in [
        (json!({ "stateDiff": { slot.clone(): word(5) } }), word(5)),
        (json!({ "state": { slot.clone(): word(6) } }), word(6)),
        (json!({ "state": {} }), word(0)),
        (json!({ "code": "0x60055f5260205ff3" }), word(5)),
    ] {
        let answer = f.ok("eth_call", json!([read, "latest", { STORE.to_string(): change }])).await;
        assert_eq!(answer, json!(expected), "{change}");
    }
    assert_eq!(f.ok("eth_call", json!([read, "latest"])).await, json!(word(7)));
    let both = json!({ STORE.to_string(): { "state": {}, "stateDiff": {} } });
    let (code, message) = f.fails("eth_call", json!([read, "latest", both])).await;
    assert_eq!(code, -32602);
    assert!(message.contains("has both 'state' and 'stateDiff'"), "{message}");
    let moved = json!({ Address::with_last_byte(1).to_string(): { "movePrecompileToAddress": STORE } });
    let error = f.fails("eth_call", json!([read, "latest", moved])).await;
    assert_eq!(error, (-32602, "movePrecompileToAddress is not supported".to_owned()));
}

#[tokio::test]
async fn block_overrides_change_what_the_call_sees() {
    let f = Fixture::standalone().await;
    let overrides = json!({
        "number": "0x7b", "time": "0x1c8", "baseFeePerGas": "0x315", "feeRecipient": Address::repeat_byte(3),
    });
    // A call with a gas price sees the base fee. A call without one sees 0.
    for (price, base_fee) in [(0u64, 0u64), (0x400, 0x315)] {
        let request =
            json!({ "from": rich().address(), "to": BLOCK_ENV, "gas": "0x186a0", "gasPrice": format!("{price:#x}") });
        let answer = f.ok("eth_call", json!([request, "latest", null, overrides])).await;
        let beneficiary = Address::repeat_byte(3).into_word().into();
        let expected = [U256::from(0x7b), U256::from(0x1c8), U256::from(base_fee), beneficiary];
        let expected: Vec<u8> = expected.iter().flat_map(|word| word.to_be_bytes::<32>()).collect();
        assert_eq!(answer, json!(Bytes::from(expected)));
    }
    for unsupported in [json!({ "beaconRoot": word(1) }), json!({ "blockHash": { "1": word(1) } })] {
        let (code, message) = f.fails("eth_call", json!([{ "to": BLOCK_ENV }, "latest", null, unsupported])).await;
        assert_eq!(code, -32602, "{unsupported}: {message}");
    }
}

#[tokio::test]
async fn an_access_list_names_what_the_call_touches() {
    let f = Fixture::standalone().await;
    let answer = f.ok("eth_createAccessList", json!([{ "to": STORE }, "latest"])).await;
    assert_eq!(answer["accessList"], json!([{ "address": STORE, "storageKeys": [word(0)] }]));
    assert!(answer["gasUsed"].as_str().unwrap().starts_with("0x"));
    assert_eq!(answer.get("error"), None);
    let reverted = f.ok("eth_createAccessList", json!([{ "to": REVERTER, "data": "0x01" }])).await;
    assert_eq!((&reverted["accessList"], &reverted["error"]), (&json!([]), &json!("execution reverted")));
}
