//! One command leads to a running testnet, and nothing of it outlives its launcher.

use std::{net::TcpListener, time::Duration};

use crate::support::{Net, alive, block, coins, eventually, launcher, run, run_failing};
use alloy_primitives::U256;
use causeway_testnet::record::TestnetRecord;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(15);

#[tokio::test]
async fn up_leads_to_a_running_network_whose_coin_came_through_the_vault() {
    let net = Net::up(&[]).await;
    assert!(net.took < Duration::from_secs(60), "took {:?}", net.took);
    assert_eq!((net.record.validators.len(), net.record.accounts.len()), (4, 10));
    for validator in 0..4 {
        assert_eq!(net.rpc(validator).chain_id().await.unwrap(), net.record.chain_id);
        assert_eq!(block(&net.rpc(validator), 0).await["hash"], json!(net.record.genesis_hash));
    }
    for account in &net.record.accounts {
        assert_eq!(net.rpc(0).balance(account.address).await.unwrap(), coins(10_000));
    }
    // All of it is locked, and nothing else exists.
    assert_eq!(net.parent().balance(net.record.parent.vault).await.unwrap(), coins(100_000));
    let summary: Value = net.rpc(0).call("peg_summary", json!([])).await.unwrap();
    assert_eq!(summary["supply"], json!(coins(100_000)));
    assert_eq!(summary["deposits"]["minted"], json!("0xa"));
}

#[tokio::test]
async fn an_interrupt_leaves_no_process_and_up_resumes_the_same_chain() {
    let mut net = Net::up(&["--validators", "2"]).await;
    let (pids, genesis) = (net.pids(), net.record.genesis_hash);
    assert_eq!(pids.len(), 4, "two validators, the parent and the launcher");
    let height = net.rpc(0).block_number().await.unwrap();
    net.end_launcher("-INT");
    assert!(pids.iter().all(|pid| !alive(*pid)), "{pids:?}");
    assert!(TestnetRecord::load(&net.dir()).unwrap().validators.iter().all(|validator| validator.pid.is_none()));

    net.resume().await;
    assert_eq!(net.record.genesis_hash, genesis);
    assert!(net.rpc(0).block_number().await.unwrap() >= height, "the chain went on from where it was");
    assert_eq!(net.rpc(1).balance(net.account(3)).await.unwrap(), coins(10_000), "and nobody was paid twice");
}

#[tokio::test]
async fn a_killed_launcher_leaves_no_process_and_up_resumes_after_it() {
    let mut net = Net::up(&["--validators", "2"]).await;
    let pids = net.pids();
    net.end_launcher("-KILL");
    eventually(SOON, "every node ends with its launcher", || async { pids.iter().all(|pid| !alive(*pid)) }).await;
    net.resume().await;
    let height = net.rpc(0).block_number().await.unwrap();
    net.at_height(1, height + 2, SOON).await;
}

#[tokio::test]
async fn taken_ports_are_avoided() {
    let wanted = TcpListener::bind("127.0.0.1:8545");
    let net = Net::up(&["--validators", "1"]).await;
    if wanted.is_ok() {
        assert_ne!(net.record.rpc[0], "http://127.0.0.1:8545");
    }
    assert!(net.rpc(0).block_number().await.unwrap() > 0);
}

#[tokio::test]
async fn a_second_launcher_and_other_settings_are_refused() {
    let mut net = Net::up(&["--validators", "1"]).await;
    let dir = net.dir().display().to_string();
    let said = run_failing(launcher(), &["up", "--dir", &dir]);
    assert!(said.contains(&format!("process {}", net.launcher_pid())), "{said}");
    net.end_launcher("-INT");
    let said = run_failing(launcher(), &["up", "--dir", &dir, "--validators", "3"]);
    assert!(said.contains("--validators 1") && said.contains("--clean"), "{said}");
}

#[tokio::test]
async fn an_added_node_follows_the_chain_and_comes_back_with_it() {
    let mut net = Net::up(&["--validators", "1", "--block-interval-ms", "200", "--relayers", "0"]).await;
    let (follower, relayer) = (net.add("follower", &[]), net.add("relayer", &["--relay"]));
    assert_eq!((net.record.rpc.len(), net.record.ws.len(), net.record.validators.len()), (3, 3, 3));
    assert_eq!(net.record.validators[follower].address, net.account(8), "an account with coin and stake operates it");
    for node in [follower, relayer] {
        let head = net.rpc(0).block_number().await.unwrap();
        net.at_height(node, head, SOON).await;
        assert_eq!(block(&net.rpc(node), head).await, block(&net.rpc(0), head).await);
    }
    let dir = net.dir().display().to_string();
    let said = run_failing(launcher(), &["node", "add", "follower", "--dir", &dir]);
    assert!(said.contains("there is a node follower already"), "{said}");

    let served: Vec<_> = net.record.validators.iter().map(|node| node.dir.join("run/node.json")).collect();
    assert!(served.iter().all(|file| file.exists()));
    net.end_launcher("-INT");
    assert!(served.iter().all(|file| !file.exists()), "nobody listens there any more");
    net.resume().await;
    let head = net.rpc(0).block_number().await.unwrap();
    net.at_height(follower, head + 1, SOON).await;
    assert_eq!(net.record.validators[relayer].name, "relayer");
}

#[tokio::test]
async fn a_restart_says_when_the_node_ended_at_once() {
    let mut net = Net::up(&["--validators", "2", "--block-interval-ms", "200"]).await;
    let config = net.record.validators[1].dir.join("config/node.toml");
    let sound = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("nonsense = 1\n{sound}")).unwrap();
    let dir = net.dir().display().to_string();
    let said = run_failing(launcher(), &["fault", "restart", "1", "--dir", &dir]);
    assert!(said.contains("validator-1 ended at its start") && said.contains("nonsense"), "{said}");
    assert_eq!(TestnetRecord::load(&net.dir()).unwrap().validators[1].pid, None);
    std::fs::write(&config, sound).unwrap();
    net.fault("restart", "1");
    let height = net.rpc(0).block_number().await.unwrap();
    net.at_height(1, height + 2, SOON).await;
}

#[tokio::test]
async fn detached_testnets_run_until_down_and_faults_name_what_is_wrong() {
    // Takes its turn like every other testnet.
    let other = Net::up(&["--validators", "1"]).await;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("detached").display().to_string();
    let said = run(launcher(), &["up", "--dir", &dir, "--validators", "1", "--detach", "--deposit", "3"]);
    assert!(said.contains("testnet/down"), "{said}");
    let record = TestnetRecord::load(dir.as_ref()).unwrap();
    assert_ne!(record.rpc, other.record.rpc);
    let rpc = causeway_testnet::rpc::Rpc::new(&record.rpc[0]).unwrap();
    assert_eq!(rpc.balance(record.accounts[9].address).await.unwrap(), coins(3));
    let said = run_failing(launcher(), &["fault", "kill", "validator-9", "--dir", &dir]);
    assert!(said.contains("there are parent, validator-0"), "{said}");
    let pids = [record.launcher_pid, record.parent.pid.unwrap(), record.validators[0].pid.unwrap()];
    assert!(pids.iter().all(|pid| alive(*pid)));
    run(launcher(), &["down", "--dir", &dir]);
    eventually(SOON, "every process ends with down", || async { pids.iter().all(|pid| !alive(*pid)) }).await;
    let said = run_failing(launcher(), &["load", "--dir", &dir]);
    assert!(said.contains("no testnet runs"), "{said}");
    assert_eq!(rpc.balance(record.accounts[9].address).await.ok(), None::<U256>);
}
