//! Log queries, installed filters and subscriptions.

use alloy_primitives::{Address, B256};
use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

use super::fixture::*;

/// Three blocks. The logger emits 1 and 2 in the first, nothing in the second, and 3 in the third.
async fn chain_with_logs() -> Fixture {
    let f = Fixture::standalone().await;
    f.push_all(&[invoke(0, LOGGER, word(1)), invoke(1, LOGGER, word(2))]);
    f.push_all(&[transfer(2, Address::repeat_byte(9), 1)]);
    f.push_all(&[invoke(3, LOGGER, word(3))]);
    f
}

fn topics(logs: &Value) -> Vec<B256> {
    let logs = logs.as_array().unwrap();
    logs.iter().map(|log| serde_json::from_value(log["topics"][0].clone()).unwrap()).collect()
}

#[tokio::test]
async fn logs_are_found_by_range_address_and_topic() {
    let f = chain_with_logs().await;
    for (query, expected) in [
        (json!({ "fromBlock": "0x0", "toBlock": "latest" }), vec![1, 2, 3]),
        (json!({ "fromBlock": "earliest" }), vec![1, 2, 3]),
        (json!({}), vec![3]),
        (json!({ "fromBlock": "0x1", "toBlock": "0x2" }), vec![1, 2]),
        (json!({ "fromBlock": "0x2", "toBlock": "0x99" }), vec![3]),
        (json!({ "fromBlock": "0x99" }), vec![]),
        (json!({ "fromBlock": "0x0", "address": LOGGER }), vec![1, 2, 3]),
        (json!({ "fromBlock": "0x0", "address": [STORE, LOGGER] }), vec![1, 2, 3]),
        (json!({ "fromBlock": "0x0", "address": STORE }), vec![]),
        (json!({ "fromBlock": "0x0", "topics": [word(2)] }), vec![2]),
        (json!({ "fromBlock": "0x0", "topics": [[word(2), word(3)]] }), vec![2, 3]),
        (json!({ "fromBlock": "0x0", "topics": [null, word(2)] }), vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(word).collect();
        assert_eq!(topics(&f.ok("eth_getLogs", json!([query])).await), expected, "{query}");
    }
}

#[tokio::test]
async fn log_queries_are_refused_in_known_words() {
    let f = chain_with_logs().await;
    let hash = f.ctx.genesis.hash;
    for (query, code, message) in [
        (json!({ "fromBlock": "0x2", "toBlock": "0x1" }), -32602, "invalid block range params"),
        (json!({ "blockHash": B256::ZERO }), -32000, "unknown block"),
        (
            json!({ "blockHash": hash, "fromBlock": "0x1" }),
            -32602,
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
        ),
        (json!({ "topics": [[], [], [], [], []] }), -32602, "exceed max topics: 4"),
    ] {
        assert_eq!(f.fails("eth_getLogs", json!([query])).await, (code, message.to_owned()));
    }
}

#[tokio::test]
async fn each_cap_on_logs_is_named() {
    let f = Fixture::limited(|limits| {
        limits.log_blocks = 3;
        limits.logs = 2;
    })
    .await;
    f.push_all(&[invoke(0, LOGGER, word(1)), invoke(1, LOGGER, word(2))]);
    f.push_all(&[invoke(2, LOGGER, word(3))]);
    f.push_empty(1);
    let all = json!([{ "fromBlock": "0x1", "toBlock": "0x3" }]);
    let error = f.fails("eth_getLogs", all).await;
    assert_eq!(error, (-32005, "query exceeds max results 2, retry with the range 1-1".to_owned()));
    let error = f.fails("eth_getLogs", json!([{ "fromBlock": "0x0" }])).await;
    assert_eq!(error, (-32005, "query exceeds max block range 3".to_owned()));
    assert_eq!(topics(&f.ok("eth_getLogs", json!([{ "fromBlock": "0x1", "toBlock": "0x1" }])).await).len(), 2);
}

#[tokio::test]
async fn filters_report_what_came_since_the_last_poll() {
    let f = Fixture::standalone().await;
    let logs = f.ok("eth_newFilter", json!([{ "address": LOGGER }])).await;
    let late = f.ok("eth_newFilter", json!([{ "address": LOGGER, "fromBlock": "0x2", "toBlock": "0x2" }])).await;
    let blocks = f.ok("eth_newBlockFilter", json!([])).await;
    let pending = f.ok("eth_newPendingTransactionFilter", json!([])).await;
    let poll = async |id: &Value| f.ok("eth_getFilterChanges", json!([id])).await;
    for id in [&logs, &late, &blocks, &pending] {
        assert_eq!(poll(id).await, json!([]));
    }
    let tx = invoke(0, LOGGER, word(1));
    f.ok("eth_sendRawTransaction", json!([raw(&tx)])).await;
    let first = f.push_all(std::slice::from_ref(&tx));
    let second = f.push_all(&[invoke(1, LOGGER, word(2))]);
    assert_eq!(poll(&pending).await, json!([tx.hash]));
    assert_eq!(poll(&blocks).await, json!([first.hash, second.hash]));
    assert_eq!(topics(&poll(&logs).await), [word(1), word(2)]);
    assert_eq!(topics(&poll(&late).await), [word(2)]);
    for id in [&logs, &late, &blocks, &pending] {
        assert_eq!(poll(id).await, json!([]));
    }
    // The result always covers the whole range.
    assert_eq!(topics(&f.ok("eth_getFilterLogs", json!([late])).await), [word(2)]);
    assert_eq!(f.fails("eth_getFilterLogs", json!([blocks])).await, (-32000, "filter not found".to_owned()));
    assert_eq!(f.ok("eth_uninstallFilter", json!([logs])).await, true);
    assert_eq!(f.ok("eth_uninstallFilter", json!([logs])).await, false);
    assert_eq!(f.fails("eth_getFilterChanges", json!([logs])).await, (-32000, "filter not found".to_owned()));
}

#[tokio::test]
async fn a_filter_that_is_not_polled_expires() {
    let f = Fixture::standalone().await;
    let id = f.ok("eth_newBlockFilter", json!([])).await;
    f.advance_ms(5 * 60 * 1_000);
    f.ok("eth_getFilterChanges", json!([id])).await;
    f.advance_ms(5 * 60 * 1_000 + 1);
    assert_eq!(f.fails("eth_getFilterChanges", json!([id])).await, (-32000, "filter not found".to_owned()));
}

#[tokio::test]
async fn ids_of_other_nodes_are_just_not_found() {
    let f = Fixture::standalone().await;
    let foreign = "0x2ce6a5b3c1d4e5f60718293a4b5c6d7e";
    assert_eq!(f.fails("eth_getFilterChanges", json!([foreign])).await, (-32000, "filter not found".to_owned()));
    assert_eq!(f.ok("eth_uninstallFilter", json!([foreign])).await, false);
}

#[tokio::test]
async fn subscribers_receive_heads_logs_and_pending_transactions() {
    let f = Fixture::standalone().await;
    let ws = f.ws().await;
    let subscribe = async |params| -> Subscription<Value> {
        ws.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap()
    };
    let mut heads = subscribe(rpc_params!["newHeads"]).await;
    let mut logs = subscribe(rpc_params!["logs", json!({ "topics": [word(2)] })]).await;
    let mut hashes = subscribe(rpc_params!["newPendingTransactions"]).await;
    let mut whole = subscribe(rpc_params!["newPendingTransactions", true]).await;
    let tx = invoke(0, LOGGER, word(1));
    f.ok("eth_sendRawTransaction", json!([raw(&tx)])).await;
    let executed = f.push_all(&[tx.clone(), invoke(1, LOGGER, word(2))]);
    let head = heads.next().await.unwrap().unwrap();
    assert_eq!(head, f.ok("eth_getHeaderByNumber", json!(["latest"])).await);
    assert_eq!(head["hash"], json!(executed.hash));
    let log = logs.next().await.unwrap().unwrap();
    assert_eq!(json!([log]), f.ok("eth_getLogs", json!([{ "topics": [word(2)] }])).await);
    assert_eq!(log["logIndex"], "0x1");
    assert_eq!(hashes.next().await.unwrap().unwrap(), json!(tx.hash));
    assert_eq!(whole.next().await.unwrap().unwrap()["hash"], json!(tx.hash));
    // The socket also carries calls. One subscription can end without the others.
    assert_eq!(ws.request::<Value, _>("eth_blockNumber", rpc_params![]).await.unwrap(), "0x1");
    logs.unsubscribe().await.unwrap();
    f.push_empty(1);
    assert_eq!(heads.next().await.unwrap().unwrap()["number"], "0x2");
}

#[tokio::test]
async fn a_subscription_to_something_else_is_refused() {
    let f = Fixture::standalone().await;
    let ws = f.ws().await;
    for params in [rpc_params!["newDreams"], rpc_params![], rpc_params!["logs", json!({ "address": "0x12" })]] {
        let result: Result<Subscription<Value>, _> = ws.subscribe("eth_subscribe", params, "eth_unsubscribe").await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains("argument"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_has_so_many_subscriptions_and_filters_and_no_more() {
    let f = Fixture::limited(|limits| {
        limits.subscriptions_per_connection = 1;
        limits.filters_per_connection = 1;
    })
    .await;
    let ws = f.ws().await;
    let first: Subscription<Value> =
        ws.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await.unwrap();
    let second: Result<Subscription<Value>, _> =
        ws.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await;
    assert!(second.unwrap_err().to_string().contains("Exceeded max limit of 1"));
    drop(first);
    ws.request::<Value, _>("eth_newBlockFilter", rpc_params![]).await.unwrap();
    let error = ws.request::<Value, _>("eth_newBlockFilter", rpc_params![]).await.unwrap_err().to_string();
    assert!(error.contains("the connection has 1 filters, its maximum"), "{error}");
}
