//! Slow clients: bodies that never end, and answers that are not read.

use std::future::{Future, poll_fn, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body as _;
use jsonrpsee::core::BoxError;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tower::{Layer, Service};

use super::fixture::*;
use crate::RpcLimits;
use crate::budget::Budgets;
use crate::connection_budget::ConnectionBudget;
use crate::transport::http_budget::{HttpBudget, HttpBudgetLayer};

const CHAIN_ID_CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;

/// Answers every request with this many bytes.
#[derive(Clone)]
struct Zeros(usize);

impl Service<HttpRequest> for Zeros {
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = std::future::Ready<Result<HttpResponse, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: HttpRequest) -> Self::Future {
        ready(Ok(HttpResponse::new(HttpBody::from(vec![0; self.0]))))
    }
}

fn server(answer: usize, change: impl FnOnce(&mut RpcLimits)) -> HttpBudget<Zeros> {
    let mut limits = RpcLimits::default();
    change(&mut limits);
    let budgets = Arc::new(Budgets::new(&limits));
    let connection = Arc::new(ConnectionBudget::new(limits.websocket_bytes_in_flight, budgets.clone()));
    HttpBudgetLayer::new(&limits, budgets, connection, Arc::default()).layer(Zeros(answer))
}

fn ask(server: &mut HttpBudget<Zeros>, body: &str) -> impl Future<Output = HttpResponse> + use<> {
    let answer = server.call(HttpRequest::new(HttpBody::from(body.to_owned())));
    async { answer.await.unwrap() }
}

/// The sizes of the frames of a body, or its error.
async fn frames(answer: HttpResponse) -> Result<Vec<usize>, String> {
    let mut body = pin!(answer.into_body());
    let mut sizes = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        sizes.push(frame.map_err(|error| error.to_string())?.into_data().unwrap().len());
    }
    Ok(sizes)
}

async fn text(answer: HttpResponse) -> String {
    let mut body = pin!(answer.into_body());
    let mut text = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Sends a part of a request and waits until the server closes the connection. Returns everything that the server sent.
async fn raw_exchange(address: SocketAddr, declared: usize, sent: String) -> String {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        write!(stream, "{head}Content-Length: {declared}\r\n\r\n{sent}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_body_that_never_completes_is_refused_in_time_and_the_connection_closed() {
    let f = Fixture::limited(|limits| limits.body_ms = 50).await;
    let answer = raw_exchange(f.address, 100, "{".to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("-32005") && answer.contains("body_ms, the limit of 50 ms"), "{answer}");
    assert_eq!(f.ok("eth_chainId", json!([])).await, "0x1092");
}

#[tokio::test]
async fn bodies_above_the_budget_are_refused_with_its_name_and_give_their_share_back() {
    let f = Fixture::limited(|limits| limits.body_bytes_in_flight = 1_000).await;
    for _ in 0..3 {
        let answer = raw_exchange(f.address, 2_000, "[".repeat(2_000)).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("body_bytes_in_flight limits them to 1000"), "{answer}");
    }
    for _ in 0..50 {
        assert_eq!(f.ok("eth_chainId", json!([])).await, "0x1092");
    }
}

#[tokio::test]
async fn a_body_holds_its_share_until_its_answer_exists() {
    let body = "x".repeat(600);
    let mut server = server(1, |limits| limits.body_bytes_in_flight = 1_000);
    // A body of 600 bytes that does not end.
    let mut stuck = Box::pin(server.call(HttpRequest::new(HttpBody::new(Stuck(Some(body.clone()))))));
    assert!(poll_fn(|cx| Poll::Ready(stuck.as_mut().poll(cx).is_pending())).await);
    assert_eq!(ask(&mut server, &body).await.status(), 503);
    drop(stuck);
    assert_eq!(ask(&mut server, &body).await.status(), 200);
}

struct Stuck(Option<String>);

impl http_body::Body for Stuck {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>> {
        match self.0.take() {
            Some(text) => Poll::Ready(Some(Ok(http_body::Frame::data(text.into())))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_body_above_its_own_limit_is_413_with_and_without_a_declared_length() {
    let mut server = server(1, |limits| limits.request_bytes = 1_000);
    assert_eq!(ask(&mut server, &"x".repeat(1_000)).await.status(), 200);
    assert_eq!(ask(&mut server, &"x".repeat(1_001)).await.status(), 413);
    let undeclared = HttpRequest::new(HttpBody::new(Stuck(Some("x".repeat(1_001)))));
    assert_eq!(server.call(undeclared).await.unwrap().status(), 413);
}

#[tokio::test]
async fn unread_answers_above_the_budget_are_refused_until_a_reader_drains_or_goes() {
    let mut server = server(600, |limits| limits.answer_bytes_in_flight = 1_000);
    let unread = ask(&mut server, "").await;
    assert_eq!(unread.status(), 200);
    let refused = ask(&mut server, "").await;
    assert_eq!(refused.status(), 503);
    let refused: Value = serde_json::from_str(&text(refused).await).unwrap();
    assert_eq!(refused["error"]["code"], -32005);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("answer_bytes_in_flight limits them to 1000"), "{message}");
    drop(unread);
    let read = ask(&mut server, "").await;
    assert_eq!(frames(read).await.unwrap(), [600]);
    assert_eq!(ask(&mut server, "").await.status(), 200);
}

#[tokio::test]
async fn an_answer_leaves_in_small_frames_and_declares_its_length() {
    let answer = ask(&mut server(150_000, |_| {}), "").await;
    assert_eq!(answer.body().size_hint().exact(), Some(150_000));
    assert_eq!(frames(answer).await.unwrap(), [65_536, 65_536, 18_928]);
}

#[tokio::test]
async fn an_answer_that_is_not_read_in_time_frees_its_share_and_then_fails() {
    let mut server = server(600, |limits| {
        limits.answer_bytes_in_flight = 1_000;
        limits.answer_ms = 20;
    });
    let unread = ask(&mut server, "").await;
    while ask(&mut server, "").await.status() == 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(frames(unread).await.unwrap_err(), std::io::Error::from(std::io::ErrorKind::TimedOut).to_string());
}

#[tokio::test]
async fn answers_of_many_frames_arrive_whole_and_answers_beyond_the_budget_name_it() {
    let f = Fixture::limited(|limits| limits.answer_bytes_in_flight = 4_000_000).await;
    f.push_all(&(0..100).map(|nonce| invoke(nonce, LOGGER, word(nonce))).collect::<Vec<_>>());
    let block = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",true]}"#;
    for (times, status) in [(20, 200), (200, 503), (20, 200)] {
        let body = format!("[{}]", vec![block; times].join(","));
        let answer = post(f.address, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{}", &answer[..200]);
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        if status == 200 {
            assert!(answer.len() > 10 * 65_536, "{} bytes are too few to tell", answer.len());
            assert_eq!(body.as_array().unwrap().len(), times);
        } else {
            assert!(body["error"]["message"].as_str().unwrap().contains("answer_bytes_in_flight"), "{body}");
        }
    }
    assert!(post(f.address, CHAIN_ID_CALL.to_owned()).await.contains("0x1092"));
}

/// A WebSocket on which nothing after the handshake is read.
fn deaf_websocket(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    write!(stream, "{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A text frame of at most 125 bytes, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length <= 125);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

const BLOCK_CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["latest",true]}"#;

#[tokio::test]
async fn a_websocket_that_never_reads_is_not_read_from_and_then_closed_and_gives_its_share_back() {
    let f = Fixture::limited(|limits| {
        limits.websocket_bytes_in_flight = 1_000_000;
        limits.answer_bytes_in_flight = 2_000_000;
        limits.answer_ms = 300;
    })
    .await;
    f.push_all(&(0..100).map(|nonce| invoke(nonce, LOGGER, word(nonce))).collect::<Vec<_>>());
    let address = f.address;
    let deaf = tokio::task::spawn_blocking(move || {
        let mut stream = deaf_websocket(address);
        let asked = frame(BLOCK_CALL);
        // A write fails only after the server has closed the connection.
        let mut sent = 0usize;
        while stream.write_all(&asked).is_ok() {
            sent += 1;
            assert!(sent < 10_000_000, "the server reads on");
        }
    });
    // Other clients are served meanwhile. Afterwards one batch can use the whole budget.
    while !deaf.is_finished() {
        assert_eq!(f.ok("eth_chainId", json!([])).await, "0x1092");
    }
    deaf.await.unwrap();
    let batch = format!("[{}]", vec![BLOCK_CALL; 20].join(","));
    loop {
        let answer = post(f.address, batch.clone()).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(answer.contains("answer_bytes_in_flight"), "{answer}");
    }
}

#[tokio::test]
async fn a_websocket_whose_client_reads_has_as_many_answers_as_it_asks_for() {
    use jsonrpsee::core::client::ClientT;
    let f = Fixture::limited(|limits| {
        limits.websocket_bytes_in_flight = 200_000;
        limits.answer_bytes_in_flight = 200_000;
    })
    .await;
    f.push_all(&(0..100).map(|nonce| invoke(nonce, LOGGER, word(nonce))).collect::<Vec<_>>());
    let ws = f.ws().await;
    for _ in 0..50 {
        let block: Value = ws.request("eth_getBlockByNumber", jsonrpsee::rpc_params!["latest", true]).await.unwrap();
        assert_eq!(block["transactions"].as_array().unwrap().len(), 100);
    }
}

#[tokio::test]
async fn an_answer_that_a_websocket_may_not_hold_is_refused_with_the_limits_name() {
    use jsonrpsee::core::client::{ClientT, Error};
    use jsonrpsee::core::params::BatchRequestBuilder;
    let f = Fixture::limited(|limits| limits.websocket_bytes_in_flight = 1_000).await;
    f.push_all(&(0..100).map(|nonce| invoke(nonce, LOGGER, word(nonce))).collect::<Vec<_>>());
    let ws = f.ws().await;
    let refusal = ws.request::<Value, _>("eth_getBlockByNumber", jsonrpsee::rpc_params!["latest", true]).await;
    let Err(Error::Call(refusal)) = refusal else { panic!("{refusal:?}") };
    assert_eq!(refusal.code(), -32005);
    assert!(refusal.message().contains("websocket_bytes_in_flight limits them to 1000"), "{refusal}");
    // A request that is too large is not run.
    let data = format!("0x{}", "00".repeat(600));
    let refusal = ws.request::<Value, _>("web3_sha3", jsonrpsee::rpc_params![data]).await;
    let Err(Error::Call(refusal)) = refusal else { panic!("{refusal:?}") };
    assert!(refusal.message().contains("websocket_bytes_in_flight"), "{refusal}");
    let mut small = BatchRequestBuilder::new();
    small.insert("eth_chainId", jsonrpsee::rpc_params![]).unwrap();
    small.insert("eth_blockNumber", jsonrpsee::rpc_params![]).unwrap();
    for _ in 0..100 {
        assert_eq!(ws.batch_request::<Value>(small.clone()).await.unwrap().num_successful_calls(), 2);
    }
}

/// A request after which the server closes.
async fn post(address: SocketAddr, body: String) -> String {
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap()
}
