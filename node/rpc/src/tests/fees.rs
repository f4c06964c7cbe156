//! Prices and their history.

use alloy_primitives::Address;
use serde_json::{Value, json};

use super::fixture::*;
use crate::eth::QUIET_TIP_WEI;

#[tokio::test]
async fn a_quiet_chain_suggests_the_quiet_tip_over_the_next_base_fee() {
    let f = Fixture::standalone().await;
    assert_eq!(f.ok("eth_maxPriorityFeePerGas", json!([])).await, json!(format!("{QUIET_TIP_WEI:#x}")));
    assert_eq!(f.ok("eth_gasPrice", json!([])).await, json!(format!("{:#x}", 875_000_000 + QUIET_TIP_WEI)));
    // High tips in blocks with room do not raise it.
    f.push_all(&[transfer(0, Address::repeat_byte(9), 1)]);
    assert_eq!(f.ok("eth_maxPriorityFeePerGas", json!([])).await, json!(format!("{QUIET_TIP_WEI:#x}")));
    assert_eq!(f.ok("eth_blobBaseFee", json!([])).await, "0x1");
}

#[tokio::test]
async fn history_has_one_more_base_fee_than_blocks() {
    let f = Fixture::standalone().await;
    f.push_all(&[transfer(0, Address::repeat_byte(9), 1)]);
    f.push_empty(1);
    let history = f.ok("eth_feeHistory", json!(["0x2", "latest", [25.0, 75.0]])).await;
    assert_eq!(
        history,
        json!({
            "oldestBlock": "0x1",
            "baseFeePerGas": ["0x342770c0", history["baseFeePerGas"][1], history["baseFeePerGas"][2]],
            "gasUsedRatio": [21_000.0 / 60_000_000.0, 0.0],
            "baseFeePerBlobGas": ["0x1", "0x1", "0x1"],
            "blobGasUsedRatio": [0.0, 0.0],
            "reward": [["0x77359400", "0x77359400"], ["0x0", "0x0"]],
        })
    );
    let latest = f.ok("eth_getBlockByNumber", json!(["latest"])).await;
    assert_eq!(history["baseFeePerGas"][1], latest["baseFeePerGas"]);
    // Without percentiles there are no rewards. A count may be a number, and may exceed the number of blocks.
    let history = f.ok("eth_feeHistory", json!([10, "latest"])).await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 3);
    assert_eq!(history.get("reward"), None);
    let none = f.ok("eth_feeHistory", json!(["0x0", "latest", []])).await;
    assert_eq!(none["gasUsedRatio"], json!([]));
    assert_eq!(f.ok("eth_feeHistory", json!(["0x1", "pending", []])).await["oldestBlock"], "0x2");
}

#[tokio::test]
async fn history_refuses_what_geth_refuses() {
    let f = Fixture::standalone().await;
    for (params, message) in [
        (json!(["0x1", "0x9", []]), "request beyond head block: requested 9, head 0"),
        (json!(["0x1", "latest", [101]]), "invalid reward percentile: 101"),
        (json!(["0x1", "latest", [50, 10]]), "invalid reward percentile: #0:50 > #1:10"),
    ] {
        assert_eq!(f.fails("eth_feeHistory", params).await, (-32000, message.to_owned()));
    }
    let capped = Fixture::limited(|limits| limits.fee_history_blocks = 2).await;
    capped.push_empty(4);
    let history = capped.ok("eth_feeHistory", json!(["0x4", "latest", Value::Null])).await;
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 2);
}
