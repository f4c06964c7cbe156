//! A validator that is down is jailed and slashed a little, the chain goes on without it, and it comes back by unjail.

use std::time::Duration;

use crate::support::{
    Net, block, coins, eventually, quantity, run_failing, sibling,
    staking::{address, operator_key, pay_operator, powers, stake, validator, wei},
};
use alloy_primitives::U256;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// Windows and epochs in which each turn of the missing proposer costs a time-out.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_is_down_is_jailed_and_returns_by_unjail() {
    let fast = ["--block-interval-ms", "250", "--checkpoint-interval", "5", "--epoch-length", "15"];
    let rules = ["--downtime-window", "20", "--jail-seconds", "5", "--unbonding-seconds", "30"];
    let mut net = Net::up(&[fast.as_slice(), &rules].concat()).await;
    let (rpc, operator) = (net.rpc(0), net.record.validators[3].address);
    pay_operator(&net, 3, 0).await;

    net.fault("kill", "3");
    eventually(PATIENCE, "validator-3 is jailed", || async { validator(&rpc, operator).await["jailed"] == true }).await;
    let jailed = validator(&rpc, operator).await;
    let slashed = coins(1_000_000) / U256::from(10_000);
    assert_eq!(wei(&jailed["stake"]), coins(1_000_000) - slashed, "100 parts of a million: {jailed}");
    let totals: Value = rpc.call("staking_totals", json!([])).await.unwrap();
    assert_eq!(wei(&totals["slashed"]), slashed);

    eventually(PATIENCE, "the set is without it", || async { !powers(&rpc).await.contains_key(&operator) }).await;
    assert_eq!(powers(&rpc).await.len(), 3);
    let height = rpc.block_number().await.unwrap();
    net.at_height(0, height + 10, SOON).await;

    net.fault("restart", "3");
    let head = rpc.block_number().await.unwrap();
    net.at_height(3, head, SOON).await;
    // It follows and stays out until its operator says so.
    assert_eq!(validator(&rpc, operator).await["jailed"], true);
    let key = operator_key(&net, 3);
    eventually(SOON, "the jail's time is over", || async {
        let head: Value = rpc.call("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
        quantity(&validator(&rpc, operator).await["jailedUntil"]) <= quantity(&head["timestamp"])
    })
    .await;
    stake(&net, 3, &key, &["unjail"]);
    assert_eq!(validator(&rpc, operator).await["jailed"], false);
    let again = ["stake", "unjail", "--rpc", &net.record.rpc[0], "--key-file", &key];
    let said = run_failing(&sibling("causeway"), &again);
    assert!(said.contains("jail"), "{said}");

    eventually(PATIENCE, "it is in the set again", || async { powers(&rpc).await.contains_key(&operator) }).await;
    let mut next = rpc.block_number().await.unwrap();
    let last = next + 40;
    loop {
        net.at_height(0, next, SOON).await;
        if address(&block(&rpc, next).await["miner"]) == operator {
            break;
        }
        assert!(next < last, "validator-3 proposes nothing");
        next += 1;
    }
}
