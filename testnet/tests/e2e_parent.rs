//! Parent endpoints that fail in every way: deposits wait, the chain goes on, nothing is minted on doubt.

use std::{path::PathBuf, time::Duration};

use crate::support::{
    Net, coins, eventually,
    pegged::{arrives, deposit},
    proxy::{Behaviour, Proxy},
};
use alloy_primitives::{Address, U256};
use causeway_testnet::node_files::NodeFiles;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The watcher asks a failed endpoint again after half a minute at the latest; then finality and minting.
const RECOVERY: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(15);

/// Lets all validators use other parent endpoints.
async fn rewire(net: &mut Net, endpoints: &[&Proxy]) {
    let urls: Vec<String> = endpoints.iter().map(|proxy| proxy.url.clone()).collect();
    let dirs: Vec<PathBuf> = net.record.validators.iter().map(|validator| validator.dir.clone()).collect();
    for (index, dir) in dirs.into_iter().enumerate() {
        let file = NodeFiles(dir).config();
        let mut settings: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        settings["parent"]["endpoints"] = urls.clone().into();
        std::fs::write(&file, settings.to_string()).unwrap();
        net.fault("restart", &index.to_string());
    }
    let rpc = net.rpc(0);
    eventually(SOON, "validator-0 answers", || async { rpc.block_number().await.is_ok() }).await;
    goes_on(net).await;
}

async fn goes_on(net: &Net) {
    let height = net.rpc(0).block_number().await.unwrap();
    net.at_height(net.record.validators.len() - 1, height + 5, SOON).await;
}

/// Deposits, watches the chain go on without minting, lets the endpoint recover, and waits for the coin.
async fn waits_then_arrives(net: &Net, proxy: &Proxy, behaviour: Behaviour, account: Address) {
    proxy.behave(behaviour.clone());
    deposit(net, 0, account, "2");
    goes_on(net).await;
    assert_eq!(net.rpc(0).balance(account).await.unwrap(), U256::ZERO, "{behaviour:?}");
    proxy.behave(Behaviour::Honest);
    arrives(&net.rpc(0), account, coins(2), RECOVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_endpoint_that_is_dead_lagging_or_mad_delays_deposits_and_nothing_else() {
    let mut net = Net::up(&["--validators", "3", "--block-interval-ms", "500"]).await;
    let proxy = Proxy::start(&net.record.parent.rpc).await;
    rewire(&mut net, &[&proxy]).await;
    let height = net.parent().block_number().await.unwrap();
    let nonsense = [
        "not json".to_owned(),
        json!({ "jsonrpc": "2.0", "id": 0, "result": { "number": "0xffffffffffffffffffff" } }).to_string(),
    ];
    waits_then_arrives(&net, &proxy, Behaviour::Dead, Address::repeat_byte(1)).await;
    waits_then_arrives(&net, &proxy, Behaviour::Silent, Address::repeat_byte(2)).await;
    waits_then_arrives(&net, &proxy, Behaviour::Stuck(height), Address::repeat_byte(3)).await;
    for (index, text) in (4..).zip(nonsense) {
        waits_then_arrives(&net, &proxy, Behaviour::Nonsense(text), Address::repeat_byte(index)).await;
    }
}

async fn metric(net: &Net, name: &str) -> f64 {
    let url = &net.record.validators[0].metrics;
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let line = text.lines().find(|line| line.split([' ', '{']).next().is_some_and(|own| own.ends_with(name)));
    let line = line.unwrap_or_else(|| panic!("no metric {name} in:\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_that_disagree_stop_minting_with_an_alarm_and_the_chain_goes_on() {
    let mut net = Net::up(&["--validators", "3", "--block-interval-ms", "500"]).await;
    let (honest, other) = (Proxy::start(&net.record.parent.rpc).await, Proxy::start(&net.record.parent.rpc).await);
    rewire(&mut net, &[&honest, &other]).await;
    let account = Address::repeat_byte(9);
    deposit(&net, 0, account, "1");
    arrives(&net.rpc(0), account, coins(1), RECOVERY).await;

    let height = net.parent().block_number().await.unwrap();
    other.behave(Behaviour::Forked(height));
    deposit(&net, 0, account, "1");
    let rpc = net.rpc(0);
    eventually(RECOVERY, "an alarm is raised", || async {
        let summary: Value = rpc.call("peg_summary", json!([])).await.unwrap();
        summary["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty())
    })
    .await;
    goes_on(&net).await;
    assert_eq!(rpc.balance(account).await.unwrap(), coins(1), "nothing is minted on doubt");
    assert!(metric(&net, "peg_parent_conflict").await > 0.0);
    let log = std::fs::read_to_string(net.record.validators[0].dir.join("node.log")).unwrap();
    assert!(log.contains("conflict"), "the log says so");

    other.behave(Behaviour::Honest);
    arrives(&rpc, account, coins(2), RECOVERY).await;
    eventually(RECOVERY, "the alarm is over", || async {
        let summary: Value = rpc.call("peg_summary", json!([])).await.unwrap();
        summary["alarms"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}
