//! Reading from endpoints that are silent, swapped, of other chains, or read from too late a block: each error helps the
//! user.

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolValue;
use causeway_genesis::Genesis;
use causeway_peg_audit::{CollectError, Endpoints, ReadError, Side, collect};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

/// An endpoint's answer to a method; `None` is an error.
type Answers = fn(&Genesis, &str) -> Option<Value>;

/// A JSON-RPC endpoint; its thread ends with the test's process.
fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let genesis = crate::world::genesis(Vec::new());
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that disconnects ends its connection, but not the endpoint.
            let _gone = answer_all(stream, &genesis, answers);
        }
    });
    url
}

fn answer_all(stream: TcpStream, genesis: &Genesis, answers: Answers) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let question: Value = serde_json::from_slice(&body)?;
    let mut answer = json!({ "jsonrpc": "2.0", "id": question["id"] });
    match answers(genesis, question["method"].as_str().unwrap()) {
        Some(result) => answer["result"] = result,
        None => answer["error"] = json!({ "code": -32_601, "message": "no such method" }),
    }
    let body = answer.to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    (&stream).write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())
}

/// A socket that accepts connections and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn sidechain(genesis: &Genesis, method: &str) -> Option<Value> {
    match method {
        "eth_chainId" => Some(json!(format!("{:#x}", genesis.spec.chain_id))),
        "eth_getBlockByNumber" => {
            let header = alloy_rpc_types_eth::Header::new(genesis.header.clone());
            Some(serde_json::to_value(header).unwrap())
        }
        _ => None,
    }
}

/// A parent with the contracts, but without events in the read range.
fn parent(genesis: &Genesis, method: &str) -> Option<Value> {
    let spec = genesis.spec.peg.as_ref().unwrap();
    match method {
        "eth_chainId" => Some(json!(format!("{:#x}", spec.parent_chain_id))),
        "eth_getBlockByNumber" => {
            Some(json!({ "number": "0x64", "hash": B256::repeat_byte(1), "stateRoot": B256::repeat_byte(2) }))
        }
        "eth_getLogs" => Some(json!([])),
        "eth_getCode" => Some(json!("0xfe")),
        "eth_getBalance" => Some(json!("0x0")),
        "eth_call" => Some(json!(alloy_primitives::Bytes::from([U256::ZERO; 4].abi_encode()))),
        _ => None,
    }
}

fn read(sidechain: String, parent: String, parent_from: u64, deadline: Duration) -> CollectError {
    let endpoints = Endpoints { sidechain, parent, parent_from, deadline };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(collect(&endpoints, &crate::world::genesis(Vec::new()))).unwrap_err()
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_hung_endpoint_fails_after_one_deadline_with_an_explanation() {
    let deadline = Duration::from_millis(200);
    let (_listener, hung) = silent();
    let error = read(serve(sidechain), hung.clone(), 0, deadline);
    let CollectError::Read(ReadError::Late { side: Side::Parent, method: "eth_chainId", .. }) = &error else {
        panic!("{error:?}");
    };
    let words = error.to_string();
    assert!(words.contains("parent") && words.contains("0.2 s") && words.contains("--timeout"), "{words}");
    let error = read(hung, serve(parent), 0, deadline);
    assert!(matches!(error, CollectError::Read(ReadError::Late { side: Side::Sidechain, .. })), "{error:?}");
}

#[test]
fn swapped_urls_are_recognised() {
    let error = read(serve(parent), serve(sidechain), 0, PATIENCE);
    assert!(matches!(error, CollectError::SwappedUrls { parent: 31_337, sidechain: 4_242 }), "{error:?}");
    assert!(error.to_string().contains("swapped"), "{error}");
}

#[test]
fn one_chain_for_both_and_other_chains_are_recognised() {
    let twice = serve(sidechain);
    let error = read(twice.clone(), twice, 0, PATIENCE);
    assert!(matches!(error, CollectError::OtherChainId { side: Side::Parent, found: 4_242, .. }), "{error:?}");
    assert!(error.to_string().contains("which is the sidechain"), "{error}");
    let twice = serve(parent);
    let error = read(twice.clone(), twice, 0, PATIENCE);
    assert!(error.to_string().contains("which is the parent"), "{error}");
    let mainnet: Answers = |_, _| Some(json!("0x1"));
    let error = read(serve(sidechain), serve(mainnet), 0, PATIENCE);
    let words = error.to_string();
    assert!(words.contains("id 1,") && words.contains("31337"), "{words}");
}

#[test]
fn reading_from_after_the_deployment_is_refused_with_advice() {
    let error = read(serve(sidechain), serve(parent), 50, PATIENCE);
    assert!(matches!(error, CollectError::StartsLate { from: 50 }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("--parent-from") && words.contains("before parent block 50"), "{words}");
    // From the first block on, a late start is no longer the reason, so reading continues until data is missing.
    let error = read(serve(sidechain), serve(parent), 0, PATIENCE);
    assert!(!matches!(error, CollectError::StartsLate { .. }), "{error:?}");
}
