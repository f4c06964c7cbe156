//! The answers to messages that are no request, to notifications and to batches, over HTTP and WebSocket. They are those of geth,
//! from its `rpc/testdata`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::fixture::*;
use super::limits::exchange;

fn invalid(id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32600, "message": "invalid request" } })
}

fn chain_id(id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": "0x1092" })
}

fn unknown(id: &Value) -> Value {
    let message = "the method test_unknown does not exist/is not available";
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": message } })
}

/// Messages with geth's answer; `None` if geth sends none.
fn table() -> Vec<(&'static str, Option<Value>)> {
    let null = &Value::Null;
    let empty_batch = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "empty batch" } });
    vec![
        // invalid-nonobj.js
        ("1", Some(invalid(null))),
        ("null", Some(invalid(null))),
        ("\"text\"", Some(invalid(null))),
        ("true", Some(invalid(null))),
        ("{}", Some(invalid(null))),
        (" \t\r\n{} \t\r\n", Some(invalid(null))),
        (r#"{"foo":"bar"}"#, Some(invalid(null))),
        // invalid-idonly.js
        (r#"{"id":1}"#, Some(invalid(&json!(1)))),
        (r#"{"id":"x"}"#, Some(invalid(&json!("x")))),
        (r#"{"jsonrpc":"2.0"}"#, Some(invalid(null))),
        (r#"{"jsonrpc":"2.0","id":1}"#, Some(invalid(&json!(1)))),
        // invalid-badid.js
        (r#"{"id":[],"method":"eth_chainId"}"#, Some(invalid(null))),
        (r#"{"id":{},"method":"eth_chainId"}"#, Some(invalid(null))),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, Some(invalid(null))),
        // invalid-badversion.js
        (r#"{"jsonrpc":"2.1","id":1,"method":"eth_chainId"}"#, Some(invalid(&json!(1)))),
        (r#"{"jsonrpc":1,"id":1,"method":"eth_chainId"}"#, Some(invalid(&json!(1)))),
        (r#"{"jsonrpc":2.0,"id":1,"method":"eth_chainId"}"#, Some(invalid(&json!(1)))),
        (r#"{"id":1,"method":"eth_chainId"}"#, Some(invalid(&json!(1)))),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, Some(invalid(&json!(1)))),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Some(invalid(&json!(1)))),
        (r#"{"jsonrpc":"2.0","method":""}"#, Some(invalid(null))),
        // invalid-batch.js
        ("[]", Some(empty_batch)),
        ("[{}]", Some(json!([invalid(null)]))),
        ("[1]", Some(json!([invalid(null)]))),
        ("[1,2,3]", Some(json!([invalid(null), invalid(null), invalid(null)]))),
        ("[null]", Some(json!([invalid(null)]))),
        ("[[]]", Some(json!([invalid(null)]))),
        (r#"[["2.0",1,"eth_chainId"]]"#, Some(json!([invalid(null)]))),
        (r#"[{"id":1}]"#, Some(json!([invalid(&json!(1))]))),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},55,{"jsonrpc":"2.0","id":2,"method":"test_unknown"},{"foo":"bar"}]"#,
            Some(json!([chain_id(&json!(1)), invalid(null), unknown(&json!(2)), invalid(null)])),
        ),
        // reqresp-*.js
        (r#"{"jsonrpc":"2.0","id":"foo","method":"eth_chainId"}"#, Some(chain_id(&json!("foo")))),
        (r#"{"jsonrpc":"2.0","id":null,"method":"eth_chainId"}"#, Some(chain_id(null))),
        (r#"{"jsonrpc":"2.0","id":3,"method":"test_unknown"}"#, Some(unknown(&json!(3)))),
        (r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#, None),
        (r#"[{"jsonrpc":"2.0","method":"eth_chainId"}]"#, None),
        (
            r#"[{"jsonrpc":"2.0","method":"eth_chainId"},{"jsonrpc":"2.0","id":4,"method":"eth_chainId"}]"#,
            Some(json!([chain_id(&json!(4))])),
        ),
    ]
}

#[tokio::test]
async fn messages_over_http_get_the_answers_of_geth() {
    let f = Fixture::standalone().await;
    for (message, expected) in table() {
        let (status, body) = exchange(f.address, &[("Host", "localhost")], message.to_owned()).await;
        assert_eq!(status, 200, "{message}: {body}");
        match expected {
            Some(expected) => assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected, "{message}"),
            None => assert_eq!(body, "", "{message}"),
        }
    }
}

#[tokio::test]
async fn messages_over_a_websocket_get_the_answers_of_geth() {
    let f = Fixture::standalone().await;
    let address = f.address;
    tokio::task::spawn_blocking(move || {
        let mut socket = RawWebSocket::open(address);
        for (message, expected) in table() {
            socket.send(message);
            match expected {
                Some(expected) => assert_eq!(socket.receive(), expected, "{message}"),
                None => {
                    // The next answer belongs to the next call.
                    socket.send(r#"{"jsonrpc":"2.0","id":"next","method":"eth_chainId"}"#);
                    assert_eq!(socket.receive(), chain_id(&json!("next")), "{message}");
                }
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_not_json_is_minus_32700() {
    let f = Fixture::standalone().await;
    let address = f.address;
    for body in ["{", "'f", "[1", "{}{}", "", "\"\\x\"", r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}x"#] {
        let (_, answer) = exchange(address, &[("Host", "localhost")], body.to_owned()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{body}: {answer}"));
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null), "{body}");
        tokio::task::spawn_blocking(move || {
            let mut socket = RawWebSocket::open(address);
            socket.send(body);
            let answer = socket.receive();
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null), "{body}");
        })
        .await
        .unwrap();
    }
}

/// A WebSocket client that can send any text. The client library sends only valid requests.
struct RawWebSocket(BufReader<TcpStream>);

impl RawWebSocket {
    fn open(address: SocketAddr) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        Self(stream)
    }

    /// Sends one masked text frame of less than 64 KiB.
    fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        let mask = [9, 8, 7, 6];
        frame.extend(mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.0.get_mut().write_all(&frame).unwrap();
    }

    /// The next text frame. Pings are skipped.
    fn receive(&mut self) -> Value {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).unwrap();
            let length = match head[1] {
                126 => {
                    let mut extended = [0; 2];
                    self.0.read_exact(&mut extended).unwrap();
                    usize::from(u16::from_be_bytes(extended))
                }
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).unwrap();
            if head[0] == 0x81 {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    }
}
