//! The methods of staking: epochs, validators and accounts, before and after actions.

use std::sync::Arc;

use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_consensus::Signer as _;
use causeway_execution::{ExecutedBlock, RecoveredTx};
use causeway_genesis::addresses::STAKING;
use causeway_peg::PegSigner as _;
use causeway_staking::{IStaking, registration};
use serde_json::{Value, json};

use super::fixture::*;

fn tokens(amount: u128) -> U256 {
    U256::from(amount * ETHER)
}

fn hex(amount: U256) -> Value {
    json!(format!("{amount:#x}"))
}

fn stake(nonce: u64, call: impl SolCall) -> Arc<RecoveredTx> {
    sign(&rich(), eip1559(nonce, TxKind::Call(STAKING), U256::ZERO, call.abi_encode(), 3_000_000))
}

/// A block in which every call succeeds.
fn push_ok(f: &Fixture, txs: &[Arc<RecoveredTx>]) -> Arc<ExecutedBlock> {
    let executed = f.push_all(txs);
    assert!(executed.receipts.iter().all(|receipt| receipt.status), "a call failed");
    executed
}

/// Registers [`rich`] as the operator of a fifth validator.
fn register(f: &Fixture, nonce: u64, self_bond: U256) -> Arc<RecoveredTx> {
    let signer = consensus_signer(5);
    let peg = peg_signer(5);
    let (genesis, operator) = (f.ctx.genesis.hash, rich().address());
    let consensus_key = B256::from(signer.key().0);
    let message = registration::consensus_message(genesis, operator, consensus_key);
    let peg_proof = peg.sign(registration::peg_digest(genesis, operator, peg.address())).unwrap();
    stake(
        nonce,
        IStaking::registerCall {
            consensusKey: consensus_key,
            consensusProof: signer.sign(&message).unwrap().to_vec().into(),
            pegAddress: peg.address(),
            pegProof: peg_proof.as_bytes().to_vec().into(),
            commissionBps: 500,
            selfBond: self_bond,
        },
    )
}

#[tokio::test]
async fn epochs_follow_each_other_and_past_ones_are_told_by_block() {
    let f = Fixture::staking().await;
    f.push_empty(4);
    let first = f.ok("staking_epoch", json!([])).await;
    assert_eq!(
        first,
        json!({
            "number": "0x0", "startHeight": "0x1", "startTime": format!("{GENESIS_TIME:#x}"), "extended": "0x0",
            "length": "0x5", "lastHeight": "0x5", "ackedEpoch": null, "alarm": null,
        })
    );
    f.push_empty(1);
    let second = f.ok("staking_epoch", json!(["latest"])).await;
    assert_eq!((&second["number"], &second["startHeight"]), (&json!("0x1"), &json!("0x6")));
    assert_eq!((&second["lastHeight"], &second["extended"]), (&json!("0xa"), &json!("0x0")));
    assert_eq!(f.ok("staking_epoch", json!(["0x4"])).await, first);
    assert_eq!(f.fails("staking_epoch", json!(["0x99"])).await, (-32000, "header not found".to_owned()));
}

#[tokio::test]
async fn validators_are_listed_with_power_stake_and_uptime() {
    let f = Fixture::staking().await;
    f.push_empty(3);
    let all = f.ok("staking_validators", json!([])).await;
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(
        keys(&all[0]),
        [
            "commission",
            "commissionBps",
            "consensusKey",
            "exitEpoch",
            "jailed",
            "jailedUntil",
            "nextPower",
            "operator",
            "pegAddress",
            "power",
            "rewards",
            "selfBond",
            "shares",
            "stake",
            "status",
            "tombstoned",
            "uptime",
            "validator",
        ]
    );
    let set = f.ctx.genesis.validator_set();
    for (seed, one) in validators().zip(all) {
        assert_eq!(one["operator"], json!(operator(seed)));
        assert_eq!(one["status"], "active");
        assert_eq!(one["stake"], hex(tokens(1_000_000)));
        assert_eq!(one["selfBond"], one["stake"]);
        let id: Address = serde_json::from_value(one["validator"].clone()).unwrap();
        assert_eq!(one["power"], json!(format!("{:#x}", set.get(&id).unwrap().power)));
        assert_eq!(one["nextPower"], one["power"]);
        // Blocks 2 and 3 carried certificates. The first validator proposes all blocks in these tests.
        assert_eq!((&one["uptime"]["certificates"], &one["uptime"]["signed"]), (&json!("0x2"), &json!("0x2")));
        assert_eq!(one["uptime"]["proposed"], json!(seed == 1));
        assert_eq!(f.ok("staking_validator", json!([operator(seed)])).await, *one);
    }
    assert_eq!(f.ok("staking_validator", json!([LOGGER])).await, Value::Null);
}

#[tokio::test]
async fn delegated_stake_is_seen_with_its_rewards_and_on_its_way_out() {
    let f = Fixture::staking().await;
    let (me, validator) = (rich().address(), operator(2));
    assert_eq!(f.ok("staking_balance", json!([me])).await, hex(tokens(1_000)));
    push_ok(&f, &[stake(0, IStaking::delegateCall { validator, amount: tokens(400) })]);
    assert_eq!(f.ok("staking_balance", json!([me])).await, hex(tokens(600)));
    assert_eq!(f.ok("staking_balance", json!([me, "0x0"])).await, hex(tokens(1_000)));
    let delegations = f.ok("staking_delegations", json!([me])).await;
    assert_eq!(keys(&delegations[0]), ["locked", "rewards", "shares", "tokens", "validator"]);
    assert_eq!((&delegations[0]["validator"], &delegations[0]["tokens"]), (&json!(validator), &hex(tokens(400))));
    assert_eq!(f.ok("staking_validator", json!([validator])).await["stake"], hex(tokens(1_000_400)));
    // The next block distributes the fees of the block above.
    f.push_empty(1);
    let rewards = f.ok("staking_rewards", json!([me])).await;
    assert_ne!(rewards["total"], "0x0");
    assert_eq!((&rewards["total"], &rewards["commission"]), (&rewards["delegations"][0]["coin"], &json!("0x0")));
    assert_eq!(f.ok("staking_delegations", json!([me])).await[0]["rewards"], rewards["total"]);
    // It is still epoch 0. The stake leaves at the beginning of epoch 2.
    push_ok(&f, &[stake(1, IStaking::undelegateCall { validator, amount: tokens(100) })]);
    let unbondings = async || f.ok("staking_unbondings", json!([me])).await;
    assert_eq!(
        unbondings().await,
        json!([{ "validator": validator, "leaveEpoch": "0x2", "tokens": hex(tokens(100)), "claimableAt": null, "claimable": false }])
    );
    let totals = f.ok("staking_totals", json!([])).await;
    assert_eq!(keys(&totals), ["bonded", "dust", "issued", "liquid", "rewards", "slashed", "unbonding"]);
    assert_eq!((&totals["bonded"], &totals["unbonding"]), (&hex(tokens(4_000_300)), &hex(tokens(100))));
    assert_eq!((&totals["liquid"], &totals["issued"]), (&hex(tokens(600)), &hex(tokens(4_001_000))));
    // Epoch 2 begins after block 10. The stake is free 3 seconds later.
    f.push_empty(8);
    let waiting = unbondings().await;
    assert_eq!(waiting[0]["claimableAt"], json!(format!("{:#x}", GENESIS_TIME + 13)));
    assert_eq!(waiting[0]["claimable"], false);
    f.push_empty(2);
    assert_eq!(unbondings().await[0]["claimable"], true);
    push_ok(&f, &[stake(2, IStaking::claimUnbondedCall { validator, leaveEpoch: 2 })]);
    assert_eq!(unbondings().await, json!([]));
    assert_eq!(f.ok("staking_balance", json!([me])).await, hex(tokens(700)));
}

#[tokio::test]
async fn a_move_is_listed_until_it_is_free() {
    let f = Fixture::staking().await;
    let (me, from, to) = (rich().address(), operator(1), operator(2));
    push_ok(&f, &[stake(0, IStaking::delegateCall { validator: from, amount: tokens(10) })]);
    push_ok(&f, &[stake(1, IStaking::redelegateCall { from, to, amount: tokens(4) })]);
    let moves = f.ok("staking_redelegations", json!([me])).await;
    assert_eq!(keys(&moves[0]), ["freeAt", "from", "id", "leaveEpoch", "shares", "to"]);
    assert_eq!((&moves[0]["from"], &moves[0]["to"], &moves[0]["freeAt"]), (&json!(from), &json!(to), &Value::Null));
    let delegations = f.ok("staking_delegations", json!([me])).await;
    let locked = |validator: Address| {
        let all = delegations.as_array().unwrap();
        all.iter().find(|one| one["validator"] == json!(validator)).unwrap()["locked"].clone()
    };
    assert_eq!((locked(from), locked(to)), (json!("0x0"), moves[0]["shares"].clone()));
}

#[tokio::test]
async fn a_newcomer_waits_joins_and_is_counted_from_its_first_height_on() {
    let f = Fixture::staking().await;
    let me = rich().address();
    push_ok(&f, &[register(&f, 0, tokens(1_000))]);
    let state = async || f.ok("staking_validator", json!([me])).await;
    let registered = state().await;
    assert_eq!((&registered["status"], &registered["power"]), (&json!("standby"), &json!("0x0")));
    assert_eq!((&registered["commissionBps"], &registered["uptime"]), (&json!("0x1f4"), &Value::Null));
    f.push_empty(4);
    assert_eq!(state().await["status"], "waiting");
    f.push_empty(4);
    assert_eq!(f.ok("consensus_status", json!([])).await["validators"].as_array().unwrap().len(), 4);
    f.push_empty(1);
    let active = state().await;
    assert_eq!(active["status"], "active");
    assert_ne!(active["power"], "0x0");
    let all = f.ok("staking_validators", json!([])).await;
    assert_eq!(all[4], active, "the lowest power comes last");
    let status = f.ok("consensus_status", json!([])).await;
    let powers: Vec<_> = status["validators"].as_array().unwrap().iter().map(|one| one["power"].clone()).collect();
    assert_eq!(powers.len(), 5);
    assert!(powers.contains(&active["power"]));
    // The fifth validator signs nothing. Block 10 is the last that was decided without it.
    f.push_empty(1);
    let before = f.ok("consensus_getCertificate", json!(["0xa"])).await;
    let after = f.ok("consensus_getCertificate", json!(["0xb"])).await;
    assert_eq!(before["signedPower"], before["totalPower"]);
    let power = |value: &Value| serde_json::from_value::<alloy_primitives::U64>(value.clone()).unwrap().to::<u64>();
    assert_eq!(power(&after["totalPower"]) - power(&after["signedPower"]), power(&active["power"]));
}

#[tokio::test]
async fn evidence_that_waits_is_given_out_as_the_module_takes_it() {
    use causeway_consensus::{Evidence, Height, Round, SignedVote, Vote, VoteKind};
    let f = Fixture::staking().await;
    assert_eq!(f.ok("consensus_evidence", json!([])).await, json!([]));
    let signer = consensus_signer(2);
    let vote = |block: u8| {
        let vote = Vote {
            kind: VoteKind::Precommit,
            height: Height(3),
            round: Round(1),
            block_hash: Some(B256::repeat_byte(block)),
            validator: signer.validator(),
        };
        let signature = signer.sign(&vote.sign_bytes(f.ctx.genesis.hash)).unwrap();
        SignedVote { vote, signature }
    };
    let evidence = Evidence::of_votes(vote(1), vote(2));
    f.ctx.storage.keep_evidence(&evidence).unwrap();
    let all = f.ok("consensus_evidence", json!([])).await;
    assert_eq!(keys(&all[0]), ["bytes", "hash", "height", "round", "text", "validator"]);
    assert_eq!((&all[0]["height"], &all[0]["validator"]), (&json!("0x3"), &json!(signer.validator())));
    let bytes: alloy_primitives::Bytes = serde_json::from_value(all[0]["bytes"].clone()).unwrap();
    assert_eq!(borsh::from_slice::<Evidence>(&bytes).unwrap(), evidence);
    // The module accepts exactly these bytes.
    f.push_empty(4);
    push_ok(&f, &[stake(0, IStaking::reportEvidenceCall { evidence: bytes, epoch: 0 })]);
    let punished = f.ok("staking_validator", json!([operator(2)])).await;
    assert_eq!((&punished["status"], &punished["tombstoned"]), (&json!("tombstoned"), &json!(true)));
    assert_eq!(punished["stake"], hex(tokens(950_000)));
    // Its power lasts until the epoch of the announced set ends.
    assert_ne!(punished["power"], "0x0");
}

#[tokio::test]
async fn powers_are_null_where_the_state_that_names_them_is_pruned() {
    let f = Fixture::pruned(2).await;
    f.push_empty(8);
    let old = f.ok("consensus_getCertificate", json!(["0x1"])).await;
    assert_eq!((&old["signedPower"], &old["totalPower"]), (&Value::Null, &Value::Null));
    assert_eq!(old["signatures"].as_array().unwrap().len(), 4);
    assert_eq!(old["signatures"][0]["power"], Value::Null);
    let new = f.ok("consensus_getCertificate", json!(["latest"])).await;
    assert_eq!(new["signedPower"], new["totalPower"]);
    assert_eq!(f.fails("staking_validators", json!(["0x1"])).await.0, 4444);
}

#[tokio::test]
async fn parameters_are_those_of_genesis_and_strangers_have_nothing() {
    let f = Fixture::staking().await;
    let params = f.ok("staking_params", json!([])).await;
    assert_eq!((&params["epochLength"], &params["unbondingSeconds"]), (&json!("0x5"), &json!("0x3")));
    assert_eq!((&params["minSelfBond"], &params["pegged"]), (&hex(tokens(1)), &json!(false)));
    assert_eq!(params["maxValidators"], "0x64");
    for method in ["staking_delegations", "staking_unbondings", "staking_redelegations"] {
        assert_eq!(f.ok(method, json!([LOGGER])).await, json!([]), "{method}");
        assert_eq!(f.fails(method, json!([])).await.0, -32602, "{method}");
    }
    assert_eq!(
        f.ok("staking_rewards", json!([LOGGER])).await,
        json!({ "total": "0x0", "commission": "0x0", "delegations": [] })
    );
    assert_eq!(f.ok("staking_balance", json!([LOGGER])).await, "0x0");
}
