//! Bad files, bad bytes and bad habits meet the real binary: a clear error or a refused peer, no panic, nothing lost.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use crate::support::{Net, alive, quantity, run, run_failing, sibling, transfer};
use causeway_genesis::ChainSpec;
use causeway_testnet::node_files::NodeFiles;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const SOON: Duration = Duration::from_secs(15);

/// Starts a node that must refuse to start, within seconds and without panic, and returns what it said.
fn refuses_to_start(dir: &Path) -> String {
    let causeway = sibling("causeway").display().to_string();
    let dir = dir.display().to_string();
    let free =
        ["--rpc-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--p2p-listen", "/ip4/127.0.0.1/tcp/0"];
    let arguments = [["20", &causeway, "start", "--dir", &dir].as_slice(), &free].concat();
    let said = run_failing(Path::new("timeout"), &arguments);
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn says(said: &str, words: &[&str]) {
    let lower = said.to_lowercase();
    assert!(words.iter().all(|word| lower.contains(&word.to_lowercase())), "expected {words:?} in:\n{said}");
}

fn init(dir: &Path, genesis: &str) {
    run(&sibling("causeway"), &["init", "--dir", &dir.display().to_string(), "--genesis", genesis]);
}

#[tokio::test]
async fn bad_files_are_refused_with_the_reason() {
    let mut net = Net::up(&["--validators", "1"]).await;
    let home = tempfile::tempdir().unwrap();
    let genesis = net.genesis();

    // Genesis: an unknown key, and no JSON at all.
    let text = fs::read_to_string(&genesis).unwrap();
    let bad = home.path().join("bad.json").display().to_string();
    let dir = home.path().join("bad").display().to_string();
    for (content, word) in [(text.replacen("\"name\"", "\"nmae\"", 1), "nmae"), ("{".into(), "chain spec")] {
        fs::write(&bad, content).unwrap();
        says(&run_failing(&sibling("causeway"), &["init", "--dir", &dir, "--genesis", &bad]), &[word]);
    }

    // Settings: an unknown key, and a value out of its range.
    let node = home.path().join("node");
    init(&node, &genesis);
    let config = NodeFiles(node.clone()).config();
    let good = fs::read_to_string(&config).unwrap();
    for (content, word) in
        [(format!("surprise = 1\n{good}"), "surprise"), (good.replace("poll_ms = 1000", "poll_ms = 1"), "poll_ms")]
    {
        fs::write(&config, content).unwrap();
        says(&refuses_to_start(&node), &[word]);
    }
    fs::write(&config, &good).unwrap();

    // Keys: readable by others, and no key.
    let keys = node.join("keys");
    fs::create_dir_all(&keys).unwrap();
    let key = keys.join("p2p.key");
    fs::write(&key, "11".repeat(32)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    says(&refuses_to_start(&node), &["p2p.key", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "no key").unwrap();
    says(&refuses_to_start(&node), &["p2p.key"]);

    // A directory that somebody uses.
    let validator = net.record.validators[0].dir.clone();
    let said = refuses_to_start(&validator);
    assert!(said.to_lowercase().contains("lock") || said.contains("another process"), "{said}");
    assert!(alive(net.record.validators[0].pid.unwrap()), "the node that runs is not disturbed");

    // Data of another chain.
    let height = net.rpc(0).block_number().await.unwrap();
    net.end_launcher("-INT");
    let copy = NodeFiles(validator.clone()).genesis();
    let original = fs::read_to_string(&copy).unwrap();
    let mut other = ChainSpec::from_json(&original).unwrap();
    other.name.push_str(" two");
    other.save(&copy).unwrap();
    says(&refuses_to_start(&validator), &["chain"]);
    fs::write(&copy, original).unwrap();

    // A validator that lost its sign state must not sign.
    let state = NodeFiles(validator.clone()).sign_state();
    let kept = home.path().join("sign_state");
    fs::rename(&state, &kept).unwrap();
    says(&refuses_to_start(&validator), &["sign"]);
    fs::rename(&kept, &state).unwrap();

    // After all that the chain goes on.
    net.resume().await;
    net.at_height(0, height + 2, SOON).await;
}

/// So many bytes has a log without entries: its header.
const LOG_HEADER_BYTES: u64 = 60;

#[tokio::test]
async fn a_torn_log_is_mended_and_the_chain_goes_on() {
    let mut net = Net::up(&["--validators", "1", "--block-interval-ms", "200"]).await;
    for cut in [1u64, 7, 40] {
        net.fault("kill", "0");
        let wal = NodeFiles(net.record.validators[0].dir.clone()).wal();
        // A log without entries is its header alone, which is never torn: the node was killed between two heights.
        let mut length = fs::metadata(&wal).unwrap().len();
        for _ in 0..50 {
            if length >= LOG_HEADER_BYTES + cut {
                break;
            }
            net.fault("restart", "0");
            net.fault("kill", "0");
            length = fs::metadata(&wal).unwrap().len();
        }
        assert!(length >= LOG_HEADER_BYTES + cut, "the log has no entry whenever the node is killed: {length} bytes");
        fs::OpenOptions::new().write(true).open(&wal).unwrap().set_len(length - cut).unwrap();
        net.fault("restart", "0");
        let rpc = net.rpc(0);
        crate::support::eventually(SOON, "the node answers", || async { rpc.block_number().await.is_ok() }).await;
        let height = rpc.block_number().await.unwrap();
        net.at_height(0, height + 3, SOON).await;
    }
}

async fn post(url: &str, body: &[u8], host: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // The server may hang up in the middle of a body that it does not want.
    if stream.write_all(head.as_bytes()).await.is_ok() {
        stream.write_all(body).await.ok();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bad_bytes_at_the_rpc_and_the_peer_ports_are_refused_and_harm_nobody() {
    let net = Net::up(&["--validators", "1"]).await;
    let url = net.record.rpc[0].clone();
    let host = url.trim_start_matches("http://").to_owned();
    for (body, code) in [
        ("{".as_bytes().to_vec(), "-32700"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing","params":[]}"#.to_vec(), "-32601"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#.to_vec(), "-32602"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x02ff"]}"#.to_vec(), "error"),
        ([vec![b'['; 200_000], vec![b']'; 200_000]].concat(), "-32"),
    ] {
        let answer = post(&url, &body, &host).await;
        assert!(answer.contains(code), "{code} in {answer}");
    }
    let huge = post(&url, &vec![b' '; 64 << 20], &host).await;
    assert!(!huge.contains("\"result\""), "{huge}");
    // A web page that points its own name here gets nothing.
    let rebound = post(&url, br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#, "evil.example").await;
    assert!(!rebound.contains("\"result\""), "{rebound}");

    // A transaction of another chain.
    let signer = causeway_testnet::accounts::signer(&net.record.accounts[0].private_key);
    let fees = causeway_testnet::funding::Fees { chain_id: 1, max_fee: 10_000_000_000, tip: 1 };
    let call = causeway_testnet::funding::Call {
        to: alloy_primitives::TxKind::Call(net.account(1)),
        value: alloy_primitives::U256::from(1),
        input: Default::default(),
        gas_limit: 21_000,
    };
    let (_, raw) = causeway_testnet::funding::sign(&signer, fees, 0, &call).unwrap();
    let refused = net.rpc(0).call::<Value>("eth_sendRawTransaction", json!([raw])).await.unwrap_err();
    assert!(format!("{refused:#}").to_lowercase().contains("chain"), "{refused:#}");

    // Noise at the peer port: short, long, and a connection that says nothing.
    let port = net.record.validators[0].p2p.split('/').nth(4).unwrap().to_owned();
    let peer = format!("127.0.0.1:{port}");
    let silent = TcpStream::connect(&peer).await.unwrap();
    for size in [1usize, 1_000, 1 << 20] {
        let mut stream = TcpStream::connect(&peer).await.unwrap();
        let noise: Vec<u8> = (0..size).map(|i| u8::try_from(i.wrapping_mul(31) % 251).unwrap()).collect();
        stream.write_all(&noise).await.ok();
    }
    let hash = transfer::send(
        &net.rpc(0),
        &net.record.accounts[0].private_key,
        net.account(1),
        alloy_primitives::U256::from(1),
    )
    .await;
    let receipt = transfer::receipt(&net.rpc(0), hash).await;
    assert!(quantity(&receipt["blockNumber"]) > 0);
    drop(silent);
    let log = fs::read_to_string(net.record.validators[0].dir.join("node.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}
