//! Foundry's cast and viem, unmodified, against any validator.

use std::path::Path;

use crate::support::{Net, clients, run_failing};
use serde_json::Value;

const STRANGER: &str = "0x00000000000000000000000000000000000beef0";

fn artifact(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peg/contracts/artifacts/test").join(name);
    path.canonicalize().unwrap().display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viem_works_unmodified() {
    let net = Net::up(&[]).await;
    let (record, token) = (&net.record, artifact("TestToken.json"));
    let arguments = [record.rpc[2].as_str(), &record.ws[2], &record.chain_id.to_string(), &net.key(4), &token];
    let said = clients::node("viem.mjs", &arguments);
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cast_works_unmodified() {
    let net = Net::up(&[]).await;
    let (rpc, key) = (net.record.rpc[1].as_str(), net.key(5));
    let account = net.account(5).to_string();
    // The URL comes right after the command: `send --create` takes all that follows it.
    let with_url = |arguments: &[&str]| -> Vec<String> {
        let (command, rest) = arguments.split_first().unwrap();
        [&[*command, "--rpc-url", rpc], rest].concat().iter().map(|argument| (*argument).to_owned()).collect()
    };
    let cast = |arguments: &[&str]| clients::cast(&with_url(arguments).iter().map(String::as_str).collect::<Vec<_>>());
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&cast(arguments)).unwrap() };

    assert_eq!(cast(&["chain-id"]), net.record.chain_id.to_string());
    assert_eq!(cast(&["balance", &account]), crate::support::coins(10_000).to_string());

    let receipt = json(&["send", STRANGER, "--value", "1.5ether", "--private-key", &key, "--json"]);
    assert_eq!((receipt["status"].as_str(), receipt["gasUsed"].as_str()), (Some("0x1"), Some("0x5208")));
    assert_eq!(cast(&["balance", STRANGER, "--ether"]).parse::<f64>().unwrap().to_string(), "1.5");
    let hash = receipt["transactionHash"].as_str().unwrap();
    assert_eq!(json(&["receipt", hash, "--json"])["blockHash"], receipt["blockHash"]);
    assert_eq!(json(&["tx", hash, "--json"])["blockNumber"], receipt["blockNumber"]);

    let artifact: Value = serde_json::from_str(&std::fs::read_to_string(artifact("TestToken.json")).unwrap()).unwrap();
    let supply = format!("{:064x}", 1_000_000u64);
    let creation = format!("{}{supply}", artifact["bytecode"].as_str().unwrap());
    let deployed = json(&["send", "--private-key", &key, "--json", "--create", &creation]);
    let token = deployed["contractAddress"].as_str().unwrap();
    assert_eq!(cast(&["call", token, "balanceOf(address)(uint256)", &account]).split(' ').next(), Some("1000000"));

    let moved = json(&["send", token, "transfer(address,uint256)", STRANGER, "77", "--private-key", &key, "--json"]);
    let block = moved["blockNumber"].as_str().unwrap();
    let event = "Transfer(address indexed,address indexed,uint256)";
    let logs = json(&["logs", event, "--address", token, "--from-block", block, "--to-block", block, "--json"]);
    assert_eq!(logs[0]["transactionHash"], moved["transactionHash"]);
    assert_eq!(logs[0]["data"].as_str().map(|data| data.ends_with("4d")), Some(true), "77 = 0x4d");

    let estimate: u64 =
        cast(&["estimate", token, "transfer(address,uint256)", STRANGER, "1", "--from", &account]).parse().unwrap();
    assert!((21_000..100_000).contains(&estimate), "{estimate}");
    assert!(cast(&["base-fee"]).parse::<u64>().unwrap() > 0);
    let history = json(&["rpc", "eth_feeHistory", "0x4", "latest", "[25,75]"]);
    assert!(history["baseFeePerGas"].as_array().unwrap().len() >= 2);

    let cast_fails = |arguments: &[&str]| {
        run_failing(&clients::foundry("cast"), &with_url(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    };
    let reverted = cast_fails(&["call", token, "transfer(address,uint256)", STRANGER, "2000000", "--from", &account]);
    assert!(reverted.contains("revert"), "{reverted}");
    let low = ["send", STRANGER, "--value", "1", "--nonce", "0", "--gas-limit", "21000", "--private-key", &key];
    let refused = cast_fails(&low);
    assert!(refused.contains("nonce too low"), "{refused}");
}
