//! Nodes die, hang, come late and come back; nothing that was acknowledged is lost.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Net, block, eventually, launcher, quantity, run, sibling, transfer};
use alloy_primitives::{Address, B256, U256};
use causeway_consensus::ValidatorId;
use causeway_genesis::NodeKeys;
use causeway_testnet::{accounts, funding, rpc::Rpc};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// The bound: signing again this long after a restart.
const REJOIN: Duration = Duration::from_secs(10);

/// Load in the background, by the launcher itself.
fn load(net: &Net, seconds: u64) -> Child {
    let dir = net.dir().display().to_string();
    let seconds = seconds.to_string();
    let arguments = ["load", "--rate", "100", "--seconds", &seconds, "--accounts", "40", "--json", "--dir", &dir];
    Command::new(launcher()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether a validator's signature is in the certificate of a block. Certificates hold a quorum, so not each time.
async fn signed(rpc: &Rpc, height: u64, validator: ValidatorId) -> bool {
    let certificate: Value = rpc.call("consensus_getCertificate", json!([format!("{height:#x}")])).await.unwrap();
    let signatures = certificate["signatures"].as_array().cloned().unwrap_or_default();
    signatures.iter().any(|signature| signature["validator"] == json!(validator))
}

#[tokio::test]
async fn blocks_go_on_without_one_validator_and_it_signs_again_after_a_restart() {
    let mut net = Net::up(&[]).await;
    let mut load = load(&net, 20);
    net.fault("kill", "3");
    assert_eq!(net.record.validators[3].pid, None);
    let height = net.rpc(0).block_number().await.unwrap();
    net.at_height(0, height + 5, SOON).await;

    net.fault("restart", "validator-3");
    let back = net.rpc(0).block_number().await.unwrap();
    net.at_height(3, back, REJOIN).await;
    let validator = NodeKeys::load(&net.record.validators[3].dir.join("keys")).unwrap().validator_id();
    let (rpc, mut next) = (net.rpc(0), back);
    let deadline = tokio::time::Instant::now() + REJOIN;
    while !signed(&rpc, next, validator).await {
        assert!(tokio::time::Instant::now() < deadline, "validator-3 does not sign again");
        net.at_height(0, next + 2, SOON).await;
        next += 1;
    }

    net.fault("pause", "1");
    let height = net.rpc(0).block_number().await.unwrap();
    net.at_height(0, height + 3, SOON).await;
    net.fault("resume", "1");
    let height = net.rpc(0).block_number().await.unwrap();
    net.at_height(1, height + 2, SOON).await;
    assert!(load.wait().unwrap().success(), "the load survived the faults, and all of it is final");
}

/// Sends transfers one after the other until told to stop, and remembers those whose receipt was returned.
async fn acknowledged(urls: Vec<String>, key: B256, stop: tokio::sync::watch::Receiver<bool>) -> Vec<(B256, u64)> {
    let rpc = Rpc::new(&urls[0]).unwrap();
    let signer = accounts::signer(&key);
    let mut found = Vec::new();
    let mut pending: Vec<B256> = Vec::new();
    let Ok(mut nonce) = rpc.nonce(signer.address()).await else { return found };
    let Ok(fees) = funding::Fees::ample(&rpc).await else { return found };
    while !*stop.borrow() {
        let call = funding::Call {
            to: alloy_primitives::TxKind::Call(Address::repeat_byte(0x55)),
            value: U256::from(1),
            input: Default::default(),
            gas_limit: 21_000,
        };
        let (hash, raw) = funding::sign(&signer, fees, nonce, &call).unwrap();
        if rpc.call::<B256>("eth_sendRawTransaction", json!([raw])).await.is_ok() {
            pending.push(hash);
            nonce += 1;
        }
        let mut waiting = Vec::new();
        for hash in pending {
            match rpc.call::<Value>("eth_getTransactionReceipt", json!([hash])).await {
                Ok(receipt) if receipt.is_object() => found.push((hash, quantity(&receipt["blockNumber"]))),
                _ => waiting.push(hash),
            }
        }
        pending = waiting;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    found
}

#[tokio::test]
async fn killing_all_validators_twenty_times_under_load_loses_nothing_acknowledged() {
    // Short blocks: the kills fall into every phase of a height.
    let mut net = Net::up(&["--block-interval-ms", "250", "--checkpoint-interval", "5"]).await;
    let mut returned: Vec<(B256, u64)> = Vec::new();
    for round in 0..20u64 {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let key = net.record.accounts[usize::try_from(round % 4).unwrap()].private_key;
        let sender = tokio::spawn(acknowledged(net.record.rpc.clone(), key, stopped));
        // Different moments: the delays are spread over more than a block interval, and repeat in no round.
        tokio::time::sleep(Duration::from_millis(700 + round * 37)).await;
        let pids: Vec<String> =
            net.record.validators.iter().filter_map(|validator| validator.pid).map(|pid| pid.to_string()).collect();
        let kill: Vec<&str> = std::iter::once("-KILL").chain(pids.iter().map(String::as_str)).collect();
        run(Path::new("kill"), &kill);
        stop.send(true).unwrap();
        returned.extend(sender.await.unwrap());
        for validator in 0..4 {
            net.fault("restart", &validator.to_string());
        }
        let rpc = net.rpc(0);
        eventually(SOON, "validator-0 answers", || async { rpc.block_number().await.is_ok() }).await;
        let height = rpc.block_number().await.unwrap();
        net.at_height(3, height + 2, SOON).await;
    }
    assert!(returned.len() > 40, "only {} receipts were returned: the test shows nothing", returned.len());

    // Every acknowledged transaction is still there, in the block that its receipt named, on every validator.
    let head = net.rpc(0).block_number().await.unwrap();
    for validator in 0..4 {
        net.at_height(validator, head, SOON).await;
        let rpc = net.rpc(validator);
        for (hash, height) in &returned {
            let receipt: Value = rpc.call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
            assert_eq!(quantity(&receipt["blockNumber"]), *height, "{hash} on validator-{validator}");
        }
    }
    // State roots agree at every height.
    for height in 0..=head {
        let reference = block(&net.rpc(0), height).await;
        for validator in 1..4 {
            let theirs = block(&net.rpc(validator), height).await;
            assert_eq!(
                (&theirs["hash"], &theirs["stateRoot"]),
                (&reference["hash"], &reference["stateRoot"]),
                "height {height} on validator-{validator}"
            );
        }
    }
    // Nobody was seen to sign twice.
    for validator in &net.record.validators {
        let log = std::fs::read_to_string(validator.dir.join("node.log")).unwrap();
        assert!(!log.contains("signed two conflicting"), "{} saw somebody sign twice", validator.name);
    }
}

/// A node that is no validator: genesis file and one bootnode, nothing else.
struct Follower {
    dir: tempfile::TempDir,
    process: Option<Child>,
}

impl Follower {
    fn new(net: &Net) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node").display().to_string();
        let bootnode = net.record.validators[0].p2p.clone();
        run(&sibling("causeway"), &["init", "--dir", &path, "--genesis", &net.genesis(), "--bootnode", &bootnode]);
        Self { dir, process: None }
    }

    /// Starts on free ports and answers once it serves.
    async fn start(&mut self) -> Rpc {
        let path = self.dir.path().join("node");
        let served = path.join("run/node.json");
        if served.exists() {
            std::fs::remove_file(&served).unwrap();
        }
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let process = Command::new(sibling("causeway"))
            .args(["start", "--dir", path.to_str().unwrap()])
            .args(["--rpc-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(["--p2p-listen", "/ip4/127.0.0.1/tcp/0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        eventually(SOON, "the follower serves", || async { served.exists() }).await;
        let text = std::fs::read_to_string(&served).unwrap();
        let served: Value = serde_json::from_str(&text).unwrap();
        Rpc::new(&format!("http://{}", served["rpc"].as_str().unwrap())).unwrap()
    }

    fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        run(Path::new("kill"), &["-TERM", &process.id().to_string()]);
        assert!(process.wait().unwrap().success(), "a stop on SIGTERM is orderly");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

#[tokio::test]
async fn a_node_from_nothing_syncs_follows_and_catches_up_after_200_blocks() {
    let net = Net::up(&["--block-interval-ms", "100"]).await;
    let hash = transfer::send(&net.rpc(0), &net.record.accounts[0].private_key, net.account(1), U256::from(5)).await;
    transfer::receipt(&net.rpc(0), hash).await;
    net.at_height(0, 40, SOON).await;

    let mut follower = Follower::new(&net);
    let rpc = follower.start().await;
    let reaches_head = async |rpc: &Rpc| {
        let head = net.rpc(0).block_number().await.unwrap();
        eventually(SOON, "the follower is at the head", || async {
            rpc.block_number().await.is_ok_and(|number| number >= head)
        })
        .await;
        assert_eq!(block(rpc, head).await, block(&net.rpc(0), head).await);
    };
    reaches_head(&rpc).await;
    let receipt: Value = rpc.call("eth_getTransactionReceipt", json!([hash])).await.unwrap();
    assert!(receipt.is_object(), "old blocks came with their receipts");
    // It follows: again at a later head.
    reaches_head(&rpc).await;

    follower.stop();
    let stopped = net.rpc(0).block_number().await.unwrap();
    net.at_height(0, stopped + 200, Duration::from_secs(60)).await;
    let rpc = follower.start().await;
    reaches_head(&rpc).await;
}
