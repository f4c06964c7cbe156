//! A transaction that one validator took is final on all of them, within a block interval.

use std::time::Duration;

use crate::support::{Net, eventually, launcher, quantity, run, transfer};
use alloy_primitives::{Address, U256};
use serde_json::{Value, json};

#[tokio::test]
async fn a_transfer_sent_to_one_validator_is_final_and_readable_on_the_others() {
    let net = Net::up(&[]).await;
    let stranger = Address::repeat_byte(0x77);
    let hash = transfer::send(&net.rpc(1), &net.record.accounts[0].private_key, stranger, U256::from(12_345)).await;
    let receipt = transfer::receipt(&net.rpc(1), hash).await;
    let height = quantity(&receipt["blockNumber"]);
    for validator in 0..4 {
        net.at_height(validator, height, Duration::from_secs(5)).await;
        let rpc = net.rpc(validator);
        let theirs: Value = rpc.call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        assert_eq!(theirs, receipt, "validator-{validator}");
        assert_eq!(rpc.balance(stranger).await.unwrap(), U256::from(12_345));
        let finalized: Value = rpc.call("eth_getBlockByNumber", json!(["finalized", false])).await.unwrap();
        assert!(quantity(&finalized["number"]) >= height, "what is shown is final");
    }

    // Half the transactions of a steady load are final before a block interval has passed.
    let dir = net.dir().display().to_string();
    let load =
        ["load", "--kind", "mixed", "--rate", "50", "--seconds", "8", "--accounts", "20", "--json", "--dir", &dir];
    let report: Value = serde_json::from_str(&run(launcher(), &load)).unwrap();
    assert_eq!(
        (report["missing"].as_u64(), report["rejected"].as_object().map(serde_json::Map::len)),
        (Some(0), Some(0))
    );
    assert!(report["included"].as_u64().unwrap() >= 390, "{report}");
    assert!(report["latencyMs"]["p50"].as_u64().unwrap() < 1_000, "{report}");

    // Every validator holds the same chain.
    let height = net.rpc(0).block_number().await.unwrap();
    let reference = crate::support::block(&net.rpc(0), height).await;
    for validator in 1..4 {
        let rpc = net.rpc(validator);
        eventually(Duration::from_secs(5), "the same block everywhere", || async {
            crate::support::block(&rpc, height).await["hash"] == reference["hash"]
        })
        .await;
    }
}
