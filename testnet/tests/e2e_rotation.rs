//! Every validator is replaced while coin goes over the peg and the relayer sleeps; then the parent follows, and the audit agrees.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::support::{
    Net, coins, eventually,
    pegged::{arrives, audit, audit_refuses, claim, claimable, deposit, registry_epoch, registry_set, withdraw},
    quantity,
    staking::{Epoch, epoch, exit, pay_operator, powers, register},
};
use alloy_primitives::{Address, B256, U256};
use causeway_testnet::rpc::Rpc;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
/// The rotation, and ten epochs without a relayer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Epochs for which nobody relays.
const SLEEP_EPOCHS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_new_validators_replace_the_old_ones_while_the_relayer_sleeps_ten_epochs() {
    let fast = ["--block-interval-ms", "300", "--checkpoint-interval", "5", "--epoch-length", "14"];
    let mut net = Net::up(&[fast.as_slice(), &["--unbonding-seconds", "5", "--relayers", "0"]].concat()).await;
    let relayer = net.add("relayer", &["--relay"]);
    let rpc = net.rpc(relayer);
    let old: Vec<Address> = net.record.validators[..4].iter().map(|validator| validator.address).collect();
    let new: Vec<usize> = (4..8).map(|number| net.add(&format!("validator-{number}"), &[])).collect();
    for node in &new {
        let head = net.rpc(0).block_number().await.unwrap();
        net.at_height(*node, head, SOON).await;
    }
    let joining: BTreeSet<Address> = new.iter().map(|node| net.record.validators[*node].address).collect();

    // Before: a withdrawal that the relayer settles.
    let first = withdraw(&net, 0, Address::repeat_byte(0xc0), "1");
    claimable(&net, first, SOON).await;
    claim(&net, 4, first);

    net.fault("kill", "relayer");
    let asleep = epoch(&net.rpc(0)).await;
    let known = registry_epoch(&net).await;
    for node in &new {
        register(&net, *node, "1000000", "0");
    }
    // Coin goes both ways while the sets change.
    let rpc_0 = net.rpc(0);
    let newcomer = Address::repeat_byte(0xc1);
    deposit(&net, 3, newcomer, "2.000000000000000001");
    for node in 0..4 {
        pay_operator(&net, node, node).await;
        exit(&net, node, PATIENCE).await;
    }
    arrives(&rpc_0, newcomer, coins(2) + U256::from(1), SOON).await;
    let during = withdraw(&net, 1, Address::repeat_byte(0xc2), "3.000000000000000003");

    let rotated = rotation(&rpc_0, &joining).await;
    println!("all four replaced in epoch {}, asked for in epoch {}", rotated.number, asleep.number);
    // A third of a set comes and a third leaves each epoch at the most, and each change is known two epochs ahead.
    assert!(rotated.number <= asleep.number + 10, "{rotated:?} after {asleep:?}");

    // The old nodes follow now; all but one of them go, and the new set needs none of them.
    for node in ["1", "2", "3"] {
        net.fault("kill", node);
    }
    deposit(&net, 3, newcomer, "0.5");
    arrives(&rpc_0, newcomer, coins(5) / U256::from(2) + U256::from(1), SOON).await;
    let later = withdraw(&net, 0, Address::repeat_byte(0xc3), "4");
    eventually(PATIENCE, "ten epochs without a relayer", || async {
        epoch(&rpc_0).await.number >= asleep.number + SLEEP_EPOCHS
    })
    .await;
    assert!(registry_epoch(&net).await <= known + 1, "nobody relayed");

    let woken = Instant::now();
    net.fault("restart", "relayer");
    let goal = epoch(&rpc_0).await.number;
    eventually(PATIENCE, "the parent follows the new set", || async { registry_epoch(&net).await >= goal }).await;
    println!("the parent caught up {} epochs in {:?}", goal - known, woken.elapsed());
    parent_holds_the_sets_of_the_chain(&net, &rpc_0, goal).await;

    for index in [during, later] {
        claimable(&net, index, PATIENCE).await;
        claim(&net, 4, index);
    }
    let parent = net.parent();
    assert_eq!(parent.balance(Address::repeat_byte(0xc2)).await.unwrap(), coins(3) + U256::from(3));
    assert_eq!(parent.balance(Address::repeat_byte(0xc3)).await.unwrap(), coins(4));
    let last = Address::repeat_byte(0xc4);
    deposit(&net, 2, last, "7");
    arrives(&rpc_0, last, coins(7), SOON).await;

    // The relayer's own node has seen all of it too.
    let head = rpc_0.block_number().await.unwrap();
    eventually(SOON, "the relayer's node is at the head", || async {
        rpc.block_number().await.is_ok_and(|number| number >= head)
    })
    .await;
    let unbonded: Vec<Value> =
        futures::future::join_all(old.iter().map(|operator| unbondings(&rpc_0, *operator))).await;
    assert!(unbonded.iter().all(|all| all.as_array().is_some_and(|all| all.len() == 1)), "{unbonded:?}");

    let (report, evidence) = audit(&net);
    assert_eq!(report["holds"], true, "{report:#}");
    every_altered_power_is_noticed(&net, &evidence);
}

/// The audit recomputes every set from genesis: one unit of power in any epoch makes it fail.
fn every_altered_power_is_noticed(net: &Net, evidence: &Value) {
    let sets = evidence["sidechain"]["validatorSets"].as_array().unwrap();
    assert!(sets.len() > 10, "{} sets", sets.len());
    for position in 0..sets.len() {
        let mut altered = evidence.clone();
        let power = &mut altered["sidechain"]["validatorSets"][position]["validators"][0]["power"];
        *power = json!(power.as_u64().unwrap() - 1);
        let said = audit_refuses(net, &altered);
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("no report:\n{said}"));
        assert_eq!(report["holds"], false, "set {position}");
    }
}

/// Waits until exactly the joiners are the set, and returns the epoch.
async fn rotation(rpc: &Rpc, joining: &BTreeSet<Address>) -> Epoch {
    eventually(PATIENCE, "only new validators are in the set", || async {
        powers(rpc).await.into_keys().collect::<BTreeSet<Address>>() == *joining
    })
    .await;
    epoch(rpc).await
}

async fn unbondings(rpc: &Rpc, operator: Address) -> Value {
    rpc.call("staking_unbondings", json!([operator])).await.unwrap()
}

/// Epoch by epoch, what the registry holds is what the chain says.
async fn parent_holds_the_sets_of_the_chain(net: &Net, rpc: &Rpc, until: u64) {
    for number in 0..=until {
        let set: Value = rpc.call("peg_getValidatorSet", json!([format!("{number:#x}")])).await.unwrap();
        assert_eq!(quantity(&set["epoch"]), number);
        let commitment: B256 = serde_json::from_value(set["commitment"].clone()).unwrap();
        assert_eq!(registry_set(net, number).await, commitment, "epoch {number}");
    }
}
