//! A fifth validator joins by the command line alone, and a first one leaves with its stake and its rewards, to the unit.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{
    Background, Net, block, coins, eventually,
    pegged::key_file,
    quantity,
    staking::{
        Epoch, address, coin_after, cost, epoch, epoch_after, fees, liquid, operator_key, pay_operator, powers,
        powers_after, register, stake, validator, wei,
    },
};
use alloy_primitives::{Address, U256};
use causeway_testnet::{blocks::BlockWatch, rpc::Rpc};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// A few epochs, with room for a busy machine.
const EPOCHS: Duration = Duration::from_secs(120);
/// Blocks of an epoch.
const EPOCH_LENGTH: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_validator_joins_and_earns_and_a_first_one_leaves_with_all_that_is_its_own() {
    let length = EPOCH_LENGTH.to_string();
    let fast = ["--block-interval-ms", "300", "--checkpoint-interval", "6", "--epoch-length", &length];
    let mut net = Net::up(&[fast.as_slice(), &["--unbonding-seconds", "8"]].concat()).await;
    let watch = BlockWatch::start(&net.record.rpc[1]).await.unwrap();
    let _fees = Background::load(&net, 20);
    let rpc = net.rpc(1);

    let fifth = net.add("validator-4", &[]);
    let joiner = net.record.validators[fifth].address;
    let head = rpc.block_number().await.unwrap();
    net.at_height(fifth, head, SOON).await;

    let registered = register(&net, fifth, "400000", "1000");
    let (_, height) = cost(&rpc, &registered["transaction"]).await;
    let before = epoch_after(&rpc, height).await;
    let delegator = key_file(&net, 1);
    stake(&net, 0, &delegator, &["delegate", "--validator", &joiner.to_string(), "--amount", "200000"]);
    assert_eq!(liquid(&rpc, net.account(1)).await, coins(800_000));

    let entered = entrance(&rpc, joiner).await;
    assert!(entered.number <= before.number + 2, "registered in epoch {}, entered {entered:?}", before.number);
    signs_and_proposes_in_proportion(&net, entered, joiner).await;
    delegator_claims_exactly(&net, joiner, 1, &delegator).await;

    leaves_with_everything(&net, 0).await;

    let intervals = watch.finish().await.unwrap();
    println!("{}", intervals.text());
    assert!(intervals.counted.boundary >= 6, "{intervals:?}");
    let ordinary = intervals.other_ms.p50;
    assert!(intervals.boundary_ms.p50 <= ordinary + ordinary / 2, "boundaries are delayed: {intervals:?}");
}

/// Waits until an operator is in the set, and returns the epoch with which it came: exactly at the boundary.
async fn entrance(rpc: &Rpc, operator: Address) -> Epoch {
    eventually(EPOCHS, "the fifth validator is in the set", || async { powers(rpc).await.contains_key(&operator) })
        .await;
    let mut found = epoch(rpc).await;
    loop {
        assert!(powers_after(rpc, found.start - 1).await.contains_key(&operator), "after the block before {found:?}");
        let last_before = found.start - 2;
        if !powers_after(rpc, last_before).await.contains_key(&operator) {
            return found;
        }
        found = epoch_after(rpc, last_before).await;
    }
}

/// Over one whole epoch, proposals are within one of the share of stake. A round that failed moves the proposal on to another.
async fn signs_and_proposes_in_proportion(net: &Net, entered: Epoch, joiner: Address) {
    let rpc = net.rpc(1);
    eventually(EPOCHS, "the epoch is over", || async { epoch(&rpc).await.number > entered.number }).await;
    let mut next = epoch(&rpc).await;
    while next.number > entered.number + 1 {
        next = epoch_after(&rpc, next.start - 2).await;
    }
    let powers = powers_after(&rpc, entered.start - 1).await;
    let total: u64 = powers.values().sum();
    let (mut proposals, mut later_rounds): (BTreeMap<Address, u64>, u64) = (BTreeMap::new(), 0);
    for height in entered.start..next.start {
        *proposals.entry(address(&block(&rpc, height).await["miner"])).or_default() += 1;
        let certificate = certificate(&rpc, height).await;
        later_rounds += u64::from(quantity(&certificate["round"]) > 0);
        assert_eq!(quantity(&certificate["totalPower"]), total, "height {height} is decided by this epoch's set");
    }
    assert!(proposals.keys().all(|proposer| powers.contains_key(proposer)), "{proposals:?}");
    assert!(proposals[&joiner] > 0, "{proposals:?}");
    let length = next.start - entered.start;
    for (operator, power) in &powers {
        let proposed = proposals.get(operator).copied().unwrap_or(0);
        // |proposed - length * power / total| <= 1, without fractions.
        let difference = (proposed * total).abs_diff(length * power);
        assert!(
            difference <= total * (1 + later_rounds),
            "{operator} proposed {proposed} of {length} with {power} of {total}, {later_rounds} later rounds"
        );
    }
}

async fn certificate(rpc: &Rpc, height: u64) -> Value {
    rpc.call("consensus_getCertificate", json!([format!("{height:#x}")])).await.unwrap()
}

/// What a claim pays is what the module said that it would, and all of it arrives.
async fn delegator_claims_exactly(net: &Net, validator: Address, account: usize, key: &str) {
    let (rpc, delegator) = (net.rpc(1), net.account(account));
    let pending = |answer: Value| wei(&answer["total"]);
    eventually(EPOCHS, "the delegator has earned", || async {
        let rewards: Value = rpc.call("staking_rewards", json!([delegator])).await.unwrap();
        pending(rewards) > U256::ZERO
    })
    .await;
    let claimed = stake(net, 0, key, &["claim", "--validator", &validator.to_string()]);
    assert!(wei(&claimed["coin"]) > U256::ZERO);
    arrived_exactly(&rpc, delegator, &claimed).await;
}

/// An account's coin grew by what its claims brought, less the gas of their transactions.
async fn arrived_exactly(rpc: &Rpc, account: Address, claimed: &Value) {
    let (mut gas, mut heights) = (U256::ZERO, Vec::new());
    for claim in claimed["claims"].as_array().unwrap() {
        let (cost, height) = cost(rpc, &claim["transaction"]).await;
        gas += cost;
        heights.push(height);
    }
    let (first, last) = (*heights.first().unwrap(), *heights.last().unwrap());
    let (before, after) = (coin_after(rpc, account, first - 1).await, coin_after(rpc, account, last).await);
    assert_eq!(after + gas, before + wei(&claimed["coin"]), "{claimed}");
}

/// A genesis validator with only its own bond exits: it has earned its share of every fee, and gets its stake and that.
async fn leaves_with_everything(net: &Net, node: usize) {
    let (rpc, operator, key) = (net.rpc(1), net.record.validators[node].address, operator_key(net, node));
    pay_operator(net, node, 2).await;
    let exited = stake(net, node, &key, &["exit"]);
    let (_, height) = cost(&rpc, &exited["transaction"]).await;
    eventually(EPOCHS, "the validator is out of the set", || async { !powers(&rpc).await.contains_key(&operator) })
        .await;

    // From the fees themselves: what each block before the exit brought, by the power of the set that the next block found.
    let (mut share, mut blocks) = (U256::ZERO, 0u64);
    let mut powers = BTreeMap::new();
    let mut known = None;
    for number in 0..height {
        let current = epoch_after(&rpc, number).await;
        if known.replace(current) != Some(current) {
            powers = powers_after(&rpc, number).await;
        }
        let total: u64 = powers.values().sum();
        share += fees(&rpc, number).await * U256::from(powers[&operator]) / U256::from(total);
        blocks += 1;
    }
    let rewards: Value = rpc.call("staking_rewards", json!([operator])).await.unwrap();
    let pending = wei(&rewards["total"]);
    assert!(pending > U256::ZERO && pending.abs_diff(share) <= U256::from(blocks), "{pending} against {share}");

    // The stake is free once the parent knows the set without this validator, and the time is over.
    eventually(EPOCHS, "the unbonded stake can be claimed", || async { claimable(&rpc, operator).await }).await;
    let claimed = stake(net, node, &key, &["claim", "--validator", &operator.to_string()]);
    assert_eq!((wei(&claimed["coin"]), wei(&claimed["stake"])), (pending, coins(1_000_000)));
    arrived_exactly(&rpc, operator, &claimed).await;
    assert_eq!(liquid(&rpc, operator).await, coins(1_000_000), "all of the stake, to the unit");
    assert_eq!(wei(&validator(&rpc, operator).await["stake"]), U256::ZERO);

    let totals: Value = rpc.call("staking_totals", json!([])).await.unwrap();
    let sum: U256 = ["bonded", "unbonding", "liquid", "slashed", "dust"].iter().map(|part| wei(&totals[*part])).sum();
    assert_eq!(sum, wei(&totals["issued"]), "{totals}");
}

async fn claimable(rpc: &Rpc, operator: Address) -> bool {
    let unbondings: Value = rpc.call("staking_unbondings", json!([operator])).await.unwrap();
    let all = unbondings.as_array().unwrap();
    !all.is_empty() && all.iter().all(|one| one["claimable"] == true)
}
