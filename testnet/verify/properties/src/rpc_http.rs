//! The JSON-RPC port's bytes: anything instead of HTTP, requests cut anywhere, any headers and bodies, batches.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Target;
use crate::reader::Reader;
use crate::rpc_fixture::Served;

/// See the module. After a first byte of 0 come the bytes of a connection, after any other byte a body.
pub const TARGET: Target = Target { name: "rpc_http", check, seeds, max_bytes: 2048 };

const MAX_ANSWER_BYTES: u64 = 4 << 20;
const BUFFER_BYTES: usize = 64 * 1024;
/// Time for which a client reads from a connection that stays open.
const PATIENCE: Duration = Duration::from_millis(200);

static SERVED: LazyLock<Served> = LazyLock::new(Served::new);

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let shape = reader.u8();
    let request = if shape == 0 { reader.rest().to_vec() } else { post(shape, reader.rest()) };
    let whole = shape != 0 && shape & 8 == 0;
    let answer = SERVED.runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(BUFFER_BYTES);
        let serving = tokio::spawn(SERVED.server.serve(server));
        // The server may close the connection in the middle.
        client.write_all(&request).await.ok();
        if !whole {
            client.shutdown().await.ok();
        }
        let mut answer = Vec::new();
        let mut client = client.take(MAX_ANSWER_BYTES);
        let ended = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer)).await;
        serving.abort();
        ended.is_ok().then_some(answer)
    });
    SERVED.unchanged();
    if let (Some(answer), true) = (answer, whole) {
        assert!(answer.starts_with(b"HTTP/1.1 "), "an answer in HTTP");
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("-32603"), "an error of the node's own: {text}");
    }
}

fn post(shape: u8, body: &[u8]) -> Vec<u8> {
    let host = ["localhost", "127.0.0.1:8545", "evil.example", "[::1]"][usize::from(shape & 3)];
    let kind = if shape & 4 == 0 { "application/json" } else { "text/plain" };
    let length = if shape & 8 == 0 { body.len() } else { body.len() + 1 };
    let origin = if shape & 16 == 0 { "" } else { "Origin: http://elsewhere.example\r\n" };
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n{origin}Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let body = |text: &str| [vec![32], text.as_bytes().to_vec()].concat();
    let raw = |text: &str| [vec![0], text.as_bytes().to_vec()].concat();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
    let socket = |frames: &[u8]| {
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        [&[0], head.as_bytes(), frames].concat()
    };
    // A whole client frame, masked with zeros.
    let masked = |kind: u8, text: &str| {
        let length = u8::try_from(text.len()).expect("short");
        [&[0x80 | kind, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
    };
    vec![
        body(call),
        body(&format!("[{call},{call}]")),
        body("[]"),
        body(r#"[1,{"jsonrpc":"2.0","method":"eth_chainId"},{"id":null}]"#),
        body(r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#),
        socket(b"\x01\x05{}"),
        socket(&masked(1, call)),
        socket(&masked(1, r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#)),
        socket(&[masked(9, "ping"), masked(2, call), masked(8, "")].concat()),
        raw("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n"),
        raw(
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n3\r\n[1]\r\n0\r\n\r\n",
        ),
        raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ]
}
