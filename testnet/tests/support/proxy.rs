//! A relay in front of a JSON-RPC endpoint that can fail in the ways endpoints do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use causeway_testnet::rpc::Rpc;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// How the endpoint behaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// As it is.
    Honest,
    /// Closes every connection.
    Dead,
    /// Takes requests and never answers.
    Silent,
    /// Answers every request with this text.
    Nonsense(String),
    /// Tells the truth of the past: `finalized` and `latest` never pass this height.
    Stuck(u64),
    /// Gives every block above this height another hash.
    Forked(u64),
}

/// A relay on a port of its own.
pub struct Proxy {
    pub url: String,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Proxy {
    /// Relays to `upstream`, honestly at first. Runs on the test's runtime.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Arc::new(Mutex::new(Behaviour::Honest));
        let (shared, upstream) = (Arc::clone(&behaviour), Rpc::new(upstream).unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that hangs up in the middle is no fault of the relay.
                let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
                tokio::spawn(async move { drop(serve(stream, shared, upstream).await) });
            }
        });
        Self { url, behaviour }
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }
}

async fn serve(stream: TcpStream, behaviour: Arc<Mutex<Behaviour>>, upstream: Rpc) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(body) = read_request(&mut stream).await? else { return Ok(()) };
        let now = behaviour.lock().unwrap().clone();
        let answer = match &now {
            Behaviour::Dead => return Ok(()),
            Behaviour::Silent => {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                return Ok(());
            }
            Behaviour::Nonsense(text) => text.clone(),
            _ => relay(&body, &now, &upstream).await,
        };
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.get_mut().write_all(head.as_bytes()).await?;
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = 0usize;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

async fn relay(body: &[u8], behaviour: &Behaviour, upstream: &Rpc) -> String {
    let request: Value = serde_json::from_slice(body).unwrap();
    match request {
        Value::Array(requests) => {
            let mut answers = Vec::new();
            for request in requests {
                answers.push(one(request, behaviour, upstream).await);
            }
            Value::Array(answers).to_string()
        }
        request => one(request, behaviour, upstream).await.to_string(),
    }
}

async fn one(request: Value, behaviour: &Behaviour, upstream: &Rpc) -> Value {
    let method = request["method"].as_str().unwrap().to_owned();
    let mut params = match request["params"].clone() {
        Value::Null => json!([]),
        params => params,
    };
    if let (Behaviour::Stuck(height), "eth_getBlockByNumber") = (behaviour, method.as_str())
        && matches!(params[0].as_str(), Some("finalized" | "latest" | "safe"))
    {
        params[0] = json!(format!("{height:#x}"));
    }
    let id = request["id"].clone();
    match upstream.call::<Value>(&method, params).await {
        Ok(mut result) => {
            if let Behaviour::Forked(above) = behaviour {
                fork(&mut result, *above);
            }
            json!({ "jsonrpc": "2.0", "id": id, "result": result })
        }
        Err(error) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": error.root_cause().to_string() } })
        }
    }
}

/// Gives blocks and logs above a height other hashes, as a chain that split there would have.
fn fork(value: &mut Value, above: u64) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| fork(item, above));
        return;
    }
    let is_block = value.get("stateRoot").is_some();
    let height = value.get(if is_block { "number" } else { "blockNumber" }).and_then(Value::as_str);
    let height = height.and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    if height.is_some_and(|height| height > above) {
        for key in ["hash", "blockHash"] {
            if let Some(Value::String(hash)) = value.get_mut(key)
                && (is_block || key == "blockHash")
            {
                *hash = alloy_primitives::keccak256(hash.as_bytes()).to_string();
            }
        }
    }
}
