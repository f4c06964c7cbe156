//! Refusals of the server: unknown methods, invalid or huge parameters, foreign hosts, and requests beyond its limits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use jsonrpsee::core::client::ClientT;
use jsonrpsee::core::params::BatchRequestBuilder;
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

use super::fixture::*;

/// Sends one HTTP request. Returns status and body of the response.
pub(super) async fn exchange(address: SocketAddr, headers: &[(&str, &str)], body: String) -> (u16, String) {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "POST / HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        // If the server refuses early, it may close before everything is written.
        stream.write_all(request.as_bytes()).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    })
    .await
    .unwrap()
}

async fn post(f: &Fixture, body: impl Into<String>) -> Value {
    let host = f.address.to_string();
    let (status, body) = exchange(f.address, &[("Host", &host)], body.into()).await;
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}"))
}

#[tokio::test]
async fn unknown_methods_are_minus_32601_at_once() {
    let f = Fixture::standalone().await;
    for method in ["eth_fillTransaction", "eth_sendTransaction", "eth_sign", "personal_sign", "admin_peers", "nonsense"]
    {
        let message = format!("the method {method} does not exist/is not available");
        assert_eq!(f.fails(method, json!([])).await, (-32601, message));
    }
}

#[tokio::test]
async fn wrong_parameters_are_minus_32602_and_name_the_argument() {
    let f = Fixture::standalone().await;
    for (method, params, start) in [
        ("eth_getBalance", json!([]), "missing value for required argument 0"),
        ("eth_getBalance", json!(["0x12", "latest"]), "invalid argument 0: "),
        ("eth_getBalance", json!([LOGGER, "newest"]), "invalid argument 1: "),
        ("eth_getBalance", json!([LOGGER, "latest", 1]), "too many arguments, want at most 2"),
        ("eth_getBlockByNumber", json!(["0x1", "yes"]), "invalid argument 1: "),
        ("eth_getBlockByHash", json!(["0x1", true]), "invalid argument 0: "),
        ("eth_getStorageAt", json!([LOGGER, "zz", "latest"]), "invalid argument 1: "),
        ("eth_call", json!([[]]), "invalid argument 0: "),
        ("eth_call", json!([{}, "latest", []]), "invalid argument 2: "),
        ("eth_getLogs", json!([{ "address": 5 }]), "invalid argument 0: "),
        ("eth_feeHistory", json!([-1, "latest", []]), "invalid argument 0: "),
        ("eth_newFilter", json!([]), "missing value for required argument 0"),
        ("eth_getFilterChanges", json!(["x"]), "invalid argument 0: "),
        ("eth_chainId", json!([1]), "too many arguments, want at most 0"),
        ("peg_status", json!([]), ""),
        ("consensus_getCertificate", json!([]), "missing value for required argument 0"),
    ] {
        let (code, message) = f.fails(method, params.clone()).await;
        assert!(code == -32602 || method == "peg_status", "{method}{params}: {code} {message}");
        assert!(message.starts_with(start), "{method}{params}: {message}");
    }
    let named = post(&f, r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{"address":"0x00"}}"#).await;
    assert_eq!(named["error"]["message"], "non-array args");
}

#[tokio::test]
async fn absent_parameters_are_an_empty_list() {
    let f = Fixture::standalone().await;
    for params in ["", r#","params":[]"#, r#","params":null"#] {
        let answer = post(&f, format!(r#"{{"jsonrpc":"2.0","id":"x","method":"eth_chainId"{params}}}"#)).await;
        assert_eq!(answer, json!({ "jsonrpc": "2.0", "id": "x", "result": "0x1092" }), "{params}");
    }
}

#[tokio::test]
async fn a_batch_answers_each_request_and_has_a_limit() {
    let f = Fixture::limited(|limits| limits.batch = 1_000).await;
    let mut batch = BatchRequestBuilder::new();
    for _ in 0..999 {
        batch.insert("eth_blockNumber", rpc_params![]).unwrap();
    }
    batch.insert("eth_nonsense", rpc_params![]).unwrap();
    let answers = f.http.batch_request::<Value>(batch).await.unwrap();
    assert_eq!((answers.num_successful_calls(), answers.num_failed_calls()), (999, 1));
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}"#;
    let refused = post(&f, format!("[{}]", vec![one; 1_001].join(","))).await;
    assert_eq!(refused["error"]["code"], -32010);
    assert!(refused["error"]["data"].as_str().unwrap().contains("1000"), "{refused}");
}

#[tokio::test]
async fn oversized_requests_and_answers_name_their_limits() {
    let f = Fixture::limited(|limits| {
        limits.request_bytes = 10_000;
        limits.params_bytes = 5_000;
        limits.response_bytes = 10_000;
    })
    .await;
    let data = "0".repeat(20_000);
    let (status, _) = exchange(
        f.address,
        &[("Host", "localhost")],
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{data}"]}}"#),
    )
    .await;
    assert_eq!(status, 413);
    let error = f.fails("web3_sha3", json!([format!("0x{}", "0".repeat(6_000))])).await;
    assert_eq!(error, (-32005, "parameters of 6006 bytes exceed the limit of 5000".to_owned()));
    let txs: Vec<_> = (0..200).map(|nonce| invoke(nonce, LOGGER, word(nonce))).collect();
    f.push_all(&txs);
    let error = f.error("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(error.code(), -32008);
    assert!(error.data().unwrap().get().contains("10000"));
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused() {
    let f = Fixture::configured(|config| {
        config.allowed_hosts = vec!["rpc.example.org".to_owned()];
        config.cors_origins = vec!["https://app.example.org".to_owned()];
    })
    .await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    for (headers, expected) in [
        (vec![("Host", "localhost:8545")], 200),
        (vec![("Host", "127.0.0.1")], 200),
        (vec![("Host", "rpc.example.org")], 200),
        (vec![("Host", "evil.example.com")], 403),
        (vec![("Host", "localhost"), ("Origin", "https://app.example.org")], 200),
        (vec![("Host", "localhost"), ("Origin", "https://evil.example.com")], 403),
    ] {
        assert_eq!(exchange(f.address, &headers, body.to_owned()).await.0, expected, "{headers:?}");
    }
    let upgrade = [
        ("Host", "evil.example.com"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    assert_eq!(exchange(f.address, &upgrade, String::new()).await.0, 403);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let f = Fixture::standalone().await;
    let config = crate::RpcConfig { listen: f.address, ..crate::RpcConfig::default() };
    let error = crate::start(config, f.ctx.clone()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen for JSON-RPC on {}", f.address)), "{error}");
}

#[tokio::test]
async fn a_subscription_over_http_is_refused() {
    let f = Fixture::standalone().await;
    let (code, message) = f.fails("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!((code, message.as_str()), (-32001, "notifications not supported"));
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_cut_off() {
    let f = Fixture::limited(|limits| limits.batch_ms = 0).await;
    let one = r#"{"jsonrpc":"2.0","id":7,"method":"eth_blockNumber"}"#;
    let answer = post(&f, format!("[{one},{one}]")).await;
    let late =
        json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32000, "message": "batch timed out after 0 ms" } });
    assert_eq!(answer, json!([late, late]));
}

#[tokio::test]
async fn deeply_nested_or_endless_parameters_cost_little_and_are_refused() {
    let f = Fixture::standalone().await;
    for params in [format!("[{}]", "[".repeat(50_000) + &"]".repeat(50_000)), format!("[{}1]", "1,".repeat(200_000))] {
        for method in ["eth_call", "eth_getLogs", "eth_getProof"] {
            let answer = post(&f, format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)).await;
            let code = answer["error"]["code"].as_i64().unwrap();
            assert!([-32602, -32700].contains(&code), "{method}: {answer}");
        }
    }
    assert_eq!(f.ok("eth_chainId", json!([])).await, "0x1092");
}

#[tokio::test]
async fn subscribing_and_leaving_many_times_leaves_nothing_behind() {
    use jsonrpsee::core::client::{Subscription, SubscriptionClientT};
    let f = Fixture::limited(|limits| limits.subscriptions_per_connection = 4).await;
    for _ in 0..50 {
        let ws = f.ws().await;
        for _ in 0..4 {
            let params = rpc_params!["logs", json!({ "address": LOGGER })];
            let one: Subscription<Value> = ws.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap();
            one.unsubscribe().await.unwrap();
        }
        let params = rpc_params!["newHeads"];
        let _left_open: Subscription<Value> = ws.subscribe("eth_subscribe", params, "eth_unsubscribe").await.unwrap();
    }
    f.push_empty(1);
    assert_eq!(f.ok("eth_blockNumber", json!([])).await, "0x1");
}

#[tokio::test]
async fn a_browsers_preflight_is_answered_for_allowed_origins() {
    let f = Fixture::standalone().await;
    let address = f.address;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example.org\r\n\
            Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_ascii_lowercase()
    })
    .await
    .unwrap();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for header in
        ["access-control-allow-origin: *", "access-control-allow-methods: *", "access-control-allow-headers: *"]
    {
        assert!(answer.contains(header), "{header} in {answer}");
    }
}
