//! The methods of the peg, over a chain with deposits, withdrawals and certified checkpoints.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_execution::{SystemCall, peg_state};
use causeway_fixtures::{federation_signatures, import_call, next_deposits};
use causeway_genesis::addresses::PEG;
use causeway_peg::{CertificateSig, IPeg, PegModule, tree};
use serde_json::{Value, json};

use super::fixture::*;
use crate::PegProgress;

fn certify(f: &Fixture, digest: B256) -> Vec<CertificateSig> {
    let signers: Vec<_> = validators().map(peg_signer).collect();
    federation_signatures(&f.ctx.genesis.peg_validator_set().unwrap(), &signers, digest)
}

/// A certified import of deposits that follow the last imported one.
fn import(f: &Fixture, credits: &[(Address, u128)]) -> SystemCall {
    let (view, deposits) = next_deposits(&*f.ctx.storage.latest(), credits);
    let digest = f.ctx.genesis.peg_domain().unwrap().parent_view_digest(&view);
    import_call(view, &certify(f, digest), deposits)
}

fn record(f: &Fixture, number: u64) -> SystemCall {
    let state = f.ctx.storage.latest();
    let digest = PegModule::checkpoint_digest(&mut peg_state(&*state), number).unwrap();
    let signatures = certify(f, digest).iter().map(Into::into).collect();
    let input = IPeg::recordCheckpointCall { number, signatures }.abi_encode();
    SystemCall { to: PEG, input: input.into() }
}

fn withdraw(nonce: u64, recipient: Address, amount: u128) -> std::sync::Arc<causeway_execution::RecoveredTx> {
    let input = IPeg::withdrawCall { recipient, relayerFee: U256::from(1) }.abi_encode();
    sign(&rich(), eip1559(nonce, TxKind::Call(PEG), U256::from(amount), input, 300_000))
}

/// Deposits 1 and 2 in block 1, withdrawals 0 and 1 in block 2. The checkpoint at block 4 covers both withdrawals.
async fn pegged() -> Fixture {
    let f = Fixture::pegged().await;
    f.push(vec![import(&f, &[(rich().address(), 10 * ETHER), (user(1).address(), ETHER)])], &[]);
    let executed = f.push_all(&[withdraw(0, user(2).address(), ETHER), withdraw(1, user(3).address(), 2 * ETHER)]);
    assert!(executed.receipts.iter().all(|receipt| receipt.status));
    f
}

#[tokio::test]
async fn system_transactions_have_a_shape_that_clients_decode() {
    let f = pegged().await;
    let block = f.ok("eth_getBlockByNumber", json!(["0x1", true])).await;
    let tx = &block["transactions"][0];
    let input = tx["input"].clone();
    assert!(input.as_str().unwrap().len() > 1_000);
    assert_eq!(
        *tx,
        json!({
            "type": "0x7c", "hash": tx["hash"], "chainId": "0x1092", "nonce": "0x0",
            "from": causeway_genesis::addresses::SYSTEM, "to": PEG, "value": "0x0", "gas": tx["gas"], "gasPrice": "0x0",
            "input": input, "r": "0x0", "s": "0x0", "v": "0x0", "yParity": "0x0",
            "blockHash": block["hash"], "blockNumber": "0x1", "transactionIndex": "0x0",
            "blockTimestamp": block["timestamp"],
        })
    );
    assert_eq!(f.ok("eth_getTransactionByHash", json!([tx["hash"]])).await, *tx);
    let receipt = f.ok("eth_getTransactionReceipt", json!([tx["hash"]])).await;
    assert_eq!((&receipt["type"], &receipt["status"]), (&json!("0x7c"), &json!("0x1")));
    assert_eq!(receipt["effectiveGasPrice"], "0x0");
    assert_eq!(receipt["from"], json!(causeway_genesis::addresses::SYSTEM));
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 3);
    // alloy's client for unknown networks can decode the block and the receipt.
    use alloy_network::{AnyNetwork, Network};
    serde_json::from_value::<<AnyNetwork as Network>::BlockResponse>(block).unwrap();
    serde_json::from_value::<<AnyNetwork as Network>::ReceiptResponse>(receipt).unwrap();
    // Rewards come from users' transactions only.
    let history = f.ok("eth_feeHistory", json!(["0x2", "latest", [0, 100]])).await;
    assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x77359400", "0x77359400"]]));
}

#[tokio::test]
async fn a_withdrawal_is_followed_from_burn_to_claim() {
    let f = pegged().await;
    let status = async || f.ok("peg_status", json!([{ "withdrawal": 1 }])).await;
    let burn = f.ok("eth_getBlockByNumber", json!(["0x2"])).await["transactions"][1].clone();
    let first = status().await;
    assert_eq!(
        first,
        json!({
            "direction": "out", "id": "0x1", "stage": "burned", "step": 1, "done": false,
            "waitingFor": "checkpoint 1, due at block 4", "estimateSeconds": first["estimateSeconds"],
            "transactionHash": burn, "blockNumber": "0x2", "checkpoint": "0x1",
        })
    );
    assert_eq!(f.ok("peg_status", json!([burn])).await, first);
    f.push_empty(3);
    assert_eq!(status().await["stage"], "checkpointDue");
    let error = f.fails("peg_getWithdrawalProof", json!(["0x1"])).await;
    assert_eq!(error.0, -32000);
    assert!(error.1.contains("not covered by an accepted checkpoint yet"), "{}", error.1);
    f.push(vec![record(&f, 1)], &[]);
    assert_eq!(status().await["stage"], "certified");
    *f.status.peg.lock() = Some(PegProgress { checkpoint_accepted: Some(1), ..PegProgress::default() });
    assert_eq!(status().await["stage"], "accepted");
    f.status.claimed.lock().insert(1);
    let done = status().await;
    assert_eq!((&done["stage"], &done["done"], &done["waitingFor"]), (&json!("claimed"), &json!(true), &Value::Null));
    assert_eq!(f.ok("peg_status", json!([{ "withdrawal": "0x2" }])).await, Value::Null);
}

#[tokio::test]
async fn a_deposit_is_followed_from_the_parent_to_its_mint() {
    let f = pegged().await;
    let status = async |nonce: u64| f.ok("peg_status", json!([{ "deposit": nonce }])).await;
    let minted = status(2).await;
    let import = f.ok("eth_getBlockByNumber", json!(["0x1"])).await["transactions"][0].clone();
    assert_eq!(
        minted,
        json!({
            "direction": "in", "id": "0x2", "stage": "minted", "step": 4, "done": true, "waitingFor": null,
            "estimateSeconds": 0, "transactionHash": import, "blockNumber": "0x1", "checkpoint": null,
        })
    );
    // The import minted both deposits.
    let both = f.ok("peg_status", json!([import])).await;
    assert_eq!((&both["id"], &both["also"]), (&json!("0x1"), &json!([{ "deposit": "0x2" }])));
    let waiting = async |stage: &str, step: u8| {
        let status = status(3).await;
        assert_eq!((&status["stage"], &status["step"], &status["done"]), (&json!(stage), &json!(step), &json!(false)));
        assert!(status["waitingFor"].is_string(), "{status}");
    };
    waiting("notSeen", 1).await;
    *f.status.peg.lock() = Some(PegProgress { deposits_seen: 3, ..PegProgress::default() });
    waiting("finalised", 2).await;
    *f.status.peg.lock() = Some(PegProgress { deposits_seen: 3, deposits_attested: 3, ..PegProgress::default() });
    waiting("attested", 3).await;
    assert_eq!(f.ok("peg_status", json!([B256::repeat_byte(1)])).await, Value::Null);
    assert_eq!(f.ok("peg_status", json!([{ "deposit": 0 }])).await, Value::Null);
}

#[tokio::test]
async fn a_withdrawal_proof_is_what_the_vault_verifies() {
    let f = pegged().await;
    f.push_empty(3);
    f.push(vec![record(&f, 1)], &[]);
    for params in [json!(["0x1"]), json!(["0x1", "0x1"])] {
        let proof = f.ok("peg_getWithdrawalProof", params).await;
        assert_eq!(keys(&proof), ["checkpoint", "count", "digest", "leaf", "root", "siblings", "withdrawal"]);
        assert_eq!(
            proof["withdrawal"],
            json!({
                "index": "0x1", "token": Address::ZERO, "sender": rich().address(), "recipient": user(3).address(),
                "amount": format!("{:#x}", 2 * ETHER), "relayerFee": "0x1",
            })
        );
        let siblings: tree::Proof = serde_json::from_value(proof["siblings"].clone()).unwrap();
        let of = |field: &str| serde_json::from_value::<B256>(proof[field].clone()).unwrap();
        assert!(tree::verify(of("root"), 2, of("leaf"), 1, &siblings));
        assert!(!tree::verify(of("root"), 2, of("leaf"), 0, &siblings));
        assert_eq!(proof["count"], "0x2");
        assert_eq!(proof["checkpoint"]["withdrawalRoot"], proof["root"]);
        assert_eq!(proof["checkpoint"]["number"], "0x1");
    }
    for (params, message) in [
        (json!(["0x2"]), "withdrawal 2 not found"),
        (json!(["0x1", "0x9"]), "checkpoint 9 does not cover withdrawal 1"),
    ] {
        assert_eq!(f.fails("peg_getWithdrawalProof", params).await, (-32000, message.to_owned()));
    }
}

#[tokio::test]
async fn checkpoints_are_listed_with_their_signatures() {
    let f = pegged().await;
    assert_eq!(f.ok("peg_checkpoints", json!([])).await, json!([]));
    f.push_empty(3);
    f.push(vec![record(&f, 1)], &[]);
    f.push_empty(3);
    let latest = f.ok("peg_checkpoint", json!(["latest"])).await;
    assert_eq!(latest["number"], "0x2");
    assert_eq!(latest["signatures"], Value::Null);
    let first = f.ok("peg_checkpoint", json!(["0x1"])).await;
    assert_eq!(
        keys(&first),
        [
            "accepted",
            "blockHash",
            "depositAcc",
            "depositNonce",
            "digest",
            "epoch",
            "height",
            "nextValset",
            "number",
            "prevDigest",
            "recordedIn",
            "signatures",
            "stateRoot",
            "withdrawalCount",
            "withdrawalRoot",
        ]
    );
    assert_eq!(
        (&first["height"], &first["recordedIn"], &first["accepted"]),
        (&json!("0x4"), &json!("0x6"), &Value::Null)
    );
    assert_eq!(latest["prevDigest"], first["digest"]);
    let signatures = first["signatures"].as_array().unwrap();
    assert_eq!(signatures.len(), 4);
    let digest: B256 = serde_json::from_value(first["digest"].clone()).unwrap();
    for one in signatures {
        let bytes: Bytes = serde_json::from_value(one["signature"].clone()).unwrap();
        let signature = causeway_peg::Signature65::from_bytes(&bytes).unwrap();
        assert_eq!(json!(signature.recover(digest).unwrap()), one["signer"]);
    }
    assert_eq!(f.ok("peg_checkpoints", json!([])).await, json!([latest, first]));
    assert_eq!(f.ok("peg_checkpoints", json!(["0x1", "0x5"])).await, json!([first]));
    assert_eq!(f.ok("peg_checkpoints", json!(["0x9", "0x1"])).await, json!([latest]));
    assert_eq!(f.ok("peg_checkpoints", json!([null, "0x0"])).await, json!([]));
    assert_eq!(f.ok("peg_checkpoint", json!(["0x9"])).await, Value::Null);
    let error = f.fails("peg_checkpoints", json!(["0x1", "0x65"])).await;
    assert_eq!(error, (-32005, "too many checkpoints: 101, the most in one request is 100".to_owned()));
}

#[tokio::test]
async fn the_summary_adds_up() {
    let f = pegged().await;
    f.push_empty(3);
    let wei = |amount: u128| json!(format!("{amount:#x}"));
    let summary = f.ok("peg_summary", json!([])).await;
    assert_eq!(summary["minted"], wei(11 * ETHER));
    assert_eq!(summary["burned"], wei(3 * ETHER));
    assert_eq!(summary["supply"], wei(8 * ETHER));
    assert_eq!(summary["deposits"]["minted"], "0x2");
    assert_eq!(summary["withdrawals"]["count"], "0x2");
    assert_eq!(summary["withdrawals"]["inFlight"], Value::Null);
    assert_eq!(
        summary["checkpoints"],
        json!({ "interval": "0x4", "latest": "0x1", "recorded": "0x0", "accepted": null, "latestHeight": "0x4" })
    );
    assert_eq!(summary["parent"], Value::Null);
    assert_eq!(summary["alarms"], json!([]));
    *f.status.peg.lock() = Some(PegProgress {
        parent_height: Some(77),
        parent_timestamp: Some(GENESIS_TIME - 5),
        deposits_seen: 3,
        deposits_attested: 2,
        checkpoint_accepted: Some(0),
        alarms: vec!["endpoints disagree".to_owned()],
        ..PegProgress::default()
    });
    let summary = f.ok("peg_summary", json!([])).await;
    // The third deposit is not minted yet, and its amount is known only from its mint.
    assert_eq!(summary["lockedSeen"], Value::Null);
    assert_eq!((&summary["deposits"]["seen"], &summary["deposits"]["inFlight"]), (&json!("0x3"), &json!("0x1")));
    assert_eq!(summary["withdrawals"]["inFlight"], "0x2");
    assert_eq!(summary["withdrawals"]["inFlightAmount"], wei(3 * ETHER));
    assert_eq!(
        summary["parent"],
        json!({ "height": "0x4d", "timestamp": format!("{:#x}", GENESIS_TIME - 5), "lag": "0x5", "importedHeight": "0xa" })
    );
    assert_eq!(summary["alarms"], json!(["endpoints disagree"]));
    *f.status.peg.lock() =
        Some(PegProgress { deposits_seen: 2, checkpoint_accepted: Some(1), ..PegProgress::default() });
    let summary = f.ok("peg_summary", json!([])).await;
    assert_eq!((&summary["withdrawals"]["inFlight"], &summary["lockedSeen"]), (&json!("0x0"), &wei(11 * ETHER)));
}

#[tokio::test]
async fn the_federation_of_each_epoch_is_known_with_its_handover() {
    let f = Fixture::pegged_epochs().await;
    let first = f.ok("peg_getValidatorSet", json!(["0x0"])).await;
    let genesis = f.ctx.genesis.peg_validator_set().unwrap();
    assert_eq!(keys(&first), ["commitment", "epoch", "handover", "validators"]);
    assert_eq!((&first["epoch"], &first["handover"]), (&json!("0x0"), &Value::Null));
    assert_eq!(first["commitment"], json!(genesis.commitment()));
    let members: Vec<_> = genesis
        .validators()
        .iter()
        .map(|member| json!({ "address": member.address, "power": format!("{:#x}", member.power) }))
        .collect();
    assert_eq!(first["validators"], json!(members));
    assert_eq!(f.ok("peg_getValidatorSet", json!([])).await, first);
    assert_eq!(f.ok("peg_getValidatorSet", json!(["0x2"])).await, Value::Null);
    // The first checkpoint names the announced federation.
    f.push_empty(5);
    let announced = f.ok("peg_getValidatorSet", json!(["0x1"])).await;
    assert_eq!(f.ok("peg_checkpoint", json!(["0x1"])).await["nextValset"], announced["commitment"]);
    f.push(vec![record(&f, 1)], &[]);
    let handed_over = f.ok("peg_getValidatorSet", json!(["0x0"])).await;
    assert_eq!(handed_over["handover"], json!({ "checkpoint": "0x1", "block": "0x6" }));
    assert_eq!(handed_over["commitment"], first["commitment"]);
}

#[tokio::test]
async fn an_epoch_that_waits_for_its_handover_raises_an_alarm_until_it_is_there() {
    let f = Fixture::pegged_epochs().await;
    f.push_empty(7);
    let summary = f.ok("peg_summary", json!([])).await;
    assert_eq!((&summary["epoch"], &summary["ackedEpoch"]), (&json!("0x0"), &json!("0x0")));
    assert_eq!(summary["alarms"], json!([]));
    f.push_empty(3);
    let epoch = f.ok("staking_epoch", json!([])).await;
    assert_eq!((&epoch["number"], &epoch["ackedEpoch"]), (&json!("0x0"), &json!("0x0")));
    assert_ne!(epoch["extended"], "0x0");
    assert!(epoch["alarm"].as_str().unwrap().starts_with("epoch 0 is extended by "), "{epoch}");
    let alarms = f.ok("peg_summary", json!([])).await["alarms"].clone();
    assert_eq!(alarms, json!([epoch["alarm"]]));
    f.push(vec![record(&f, 1)], &[]);
    f.push_empty(1);
    let summary = f.ok("peg_summary", json!([])).await;
    assert_eq!((&summary["epoch"], &summary["alarms"]), (&json!("0x1"), &json!([])));
    assert_eq!(f.ok("staking_epoch", json!([])).await["alarm"], Value::Null);
}

#[tokio::test]
async fn a_chain_without_a_peg_says_so() {
    let f = Fixture::standalone().await;
    for (method, params) in [
        ("peg_summary", json!([])),
        ("peg_checkpoint", json!([])),
        ("peg_checkpoints", json!([])),
        ("peg_getValidatorSet", json!([])),
        ("peg_status", json!([{ "deposit": 1 }])),
        ("peg_getWithdrawalProof", json!(["0x0"])),
    ] {
        assert_eq!(f.fails(method, params).await, (-32000, "this chain has no peg".to_owned()), "{method}");
    }
}
