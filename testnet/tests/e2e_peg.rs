//! Coin over the peg and back, what the contracts refuse, and what the auditor says to all of it.

use std::{path::Path, time::Duration};

use crate::support::{
    Net, coins, eventually,
    pegged::{arrives, claim, claimable, collude, deposit, proof, refused, submitter, withdraw},
    run, run_failing, sibling,
};
use alloy_primitives::{Address, B256, U256};
use causeway_contracts::{CheckpointRegistry, claim_call};
use causeway_genesis::Genesis;
use causeway_peg::{Checkpoint, Withdrawal};
use serde_json::{Value, json};

/// The bound: parent finality and then ten seconds.
const MINT_BOUND: Duration = Duration::from_secs(10);
const CLAIM_PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coin_goes_over_the_peg_and_back_exact_to_the_wei_and_the_audit_agrees() {
    // One epoch throughout: what is forged below is of epoch 0.
    let net = Net::up(&["--checkpoint-interval", "5", "--epoch-length", "1000"]).await;
    let genesis = Genesis::load(&net.record.genesis).unwrap();

    let newcomer = Address::repeat_byte(0xa1);
    deposit(&net, 6, newcomer, "1.000000000000000001");
    let took = arrives(&net.rpc(2), newcomer, coins(1) + U256::from(1), MINT_BOUND).await;
    assert!(took < MINT_BOUND, "{took:?}");

    let returnee = Address::repeat_byte(0xb2);
    let first = withdraw(&net, 0, returnee, "2.000000000000000003");
    let second = withdraw(&net, 1, Address::repeat_byte(0xb3), "7");
    claimable(&net, second, CLAIM_PATIENCE).await;

    contract_refuses_altered_claims(&net, first).await;
    // Account 9 is neither the recipient nor a validator.
    claim(&net, 9, first);
    assert_eq!(net.parent().balance(returnee).await.unwrap(), coins(2) + U256::from(3));
    let (withdrawal, number, siblings) = proof(&net, first).await;
    let anyone = submitter(&net, 8).await;
    let again = refused(&anyone, net.record.parent.vault, claim_call(&withdrawal, number, &siblings)).await;
    assert!(again.contains("AlreadyClaimed"), "{again}");
    for (index, stage) in [(first, "claimed"), (second, "accepted")] {
        eventually(CLAIM_PATIENCE, &format!("each node says that withdrawal {index} is {stage}"), || async {
            for node in 0..net.record.rpc.len() {
                let status = net.rpc(node).call::<Value>("peg_status", json!([{ "withdrawal": index }])).await.unwrap();
                if status["stage"] != stage {
                    return false;
                }
            }
            true
        })
        .await;
    }

    registry_refuses_checkpoints_without_a_quorum(&net, &genesis).await;
    auditor_agrees_and_notices_every_alteration(&net);
}

async fn contract_refuses_altered_claims(net: &Net, index: u64) {
    let (true_one, number, siblings) = proof(net, index).await;
    let anyone = submitter(net, 8).await;
    let vault = net.record.parent.vault;
    let altered: [(&str, Withdrawal); 4] = [
        ("amount", Withdrawal { amount: true_one.amount + U256::from(1), ..true_one }),
        ("recipient", Withdrawal { recipient: Address::repeat_byte(0xee), ..true_one }),
        ("sender", Withdrawal { sender: Address::repeat_byte(0xee), ..true_one }),
        ("index", Withdrawal { index: true_one.index + 1, ..true_one }),
    ];
    for (what, withdrawal) in altered {
        let reason = refused(&anyone, vault, claim_call(&withdrawal, number, &siblings)).await;
        assert!(reason.contains("InvalidProof"), "another {what}: {reason}");
    }
    let beyond = Withdrawal { index: 1_000, ..true_one };
    let reason = refused(&anyone, vault, claim_call(&beyond, number, &siblings)).await;
    assert!(reason.contains("IndexOutOfRange"), "{reason}");
    let mut other_root = siblings;
    other_root[0] = B256::repeat_byte(1);
    let reason = refused(&anyone, vault, claim_call(&true_one, number, &other_root)).await;
    assert!(reason.contains("InvalidProof"), "a proof of another root: {reason}");
    let reason = refused(&anyone, vault, claim_call(&true_one, number + 1_000, &siblings)).await;
    assert!(reason.contains("UnknownCheckpoint"), "{reason}");
}

async fn registry_refuses_checkpoints_without_a_quorum(net: &Net, genesis: &Genesis) {
    // A checkpoint that gives the forger everything, signed by half of the power.
    let forged = Checkpoint {
        number: 1_000_000,
        prevDigest: B256::repeat_byte(1),
        height: 5_000_000,
        blockHash: B256::repeat_byte(2),
        stateRoot: B256::repeat_byte(3),
        withdrawalRoot: B256::repeat_byte(4),
        withdrawalCount: 1_000,
        depositNonce: 0,
        depositAcc: B256::ZERO,
        epoch: 0,
        nextValset: B256::ZERO,
    };
    let set = genesis.peg_validator_set().unwrap();
    let half = collude(net, genesis, &forged, &[0, 1]);
    let mut signers = U256::ZERO;
    let mut ordered: Vec<_> = half.iter().map(|one| (set.get(&one.signer).unwrap().0, one)).collect();
    ordered.sort_by_key(|(position, _)| *position);
    let mut signatures = Vec::new();
    for (position, one) in ordered {
        signers.set_bit(position, true);
        signatures.extend_from_slice(one.signature.as_bytes());
    }
    let call = CheckpointRegistry::submitCall {
        c: (&forged).into(),
        validators: set.packed().into(),
        signers,
        signatures: signatures.into(),
        laterDeposits: Vec::new(),
    };
    let reason = refused(&submitter(net, 8).await, net.record.parent.registry, call).await;
    assert!(reason.contains("NoQuorum"), "{reason}");
}

fn auditor_agrees_and_notices_every_alteration(net: &Net) {
    let bundle = net.dir().join("bundle.json").display().to_string();
    let genesis = net.genesis();
    let audit = sibling("peg-audit");
    let (sidechain, parent) = (net.record.rpc[0].as_str(), net.record.parent.rpc.as_str());
    let live = ["--genesis", &genesis, "--sidechain", sidechain, "--parent", parent, "--bundle", &bundle, "--json"];
    let report: Value = serde_json::from_str(&run(&audit, &live)).unwrap();
    assert_eq!(report["holds"], true, "{report}");
    let offline = ["--genesis", &genesis, "--from-bundle", &bundle, "--json"];
    assert_eq!(serde_json::from_str::<Value>(&run(&audit, &offline)).unwrap()["holds"], true);

    let text = std::fs::read_to_string(&bundle).unwrap();
    for (what, altered) in alterations(&serde_json::from_str(&text).unwrap()) {
        let path = net.dir().join("altered.json").display().to_string();
        std::fs::write(&path, altered.to_string()).unwrap();
        let said = run_failing(&audit, &["--genesis", &genesis, "--from-bundle", &path, "--json"]);
        let report: Value =
            serde_json::from_str(&said).unwrap_or_else(|_| panic!("altered {what}: no report:\n{said}"));
        assert_eq!(report["holds"], false, "altered {what}");
        let checks = report["checks"].as_array().unwrap();
        let failures = checks.iter().filter_map(|check| check["failures"].as_array()).flatten();
        let objects: Vec<&str> = failures.filter_map(|failure| failure["object"].as_str()).collect();
        // A header is named by its height, and by the checkpoint that rests on it.
        let wanted: &[&str] = match what {
            "mint" | "burn" | "certificate" => &["block "],
            "deposit" => &["deposit 1"],
            "claim" => &["withdrawal "],
            "checkpoint" => &["checkpoint "],
            _ => &["block ", "checkpoint "],
        };
        let named = |object: &&str| wanted.iter().any(|wanted| object.starts_with(wanted));
        assert!(objects.iter().any(named), "altered {what} names {objects:?}");
    }
}

/// The bundle with one thing altered at a time.
fn alterations(bundle: &Value) -> Vec<(&'static str, Value)> {
    // Last byte of a hex string: an amount's, a signature's or a root's lowest byte, or a node of a proof.
    let flip = |value: &mut Value| {
        let text = value.as_str().unwrap().to_owned();
        let (head, last) = text.split_at(text.len() - 1);
        *value = format!("{head}{}", if last == "0" { "1" } else { "0" }).into();
    };
    let mut all = Vec::new();
    let mut alter = |what: &'static str, pointer: String| {
        let mut altered = bundle.clone();
        flip(altered.pointer_mut(&pointer).unwrap_or_else(|| panic!("{what}: no {pointer}")));
        all.push((what, altered));
    };
    let blocks = bundle["sidechain"]["blocks"].as_array().unwrap();
    let with = |found: &dyn Fn(&str) -> bool| {
        let position = blocks.iter().enumerate().find_map(|(block, evidence)| {
            let transactions = evidence["transactions"].as_array().unwrap();
            let at = transactions.iter().position(|transaction| found(transaction.as_str().unwrap()))?;
            Some((block, at))
        });
        position.unwrap()
    };
    let selector = |selector: [u8; 4]| alloy_primitives::hex::encode(selector);
    let import = selector(<causeway_peg::IPeg::importDepositsCall as alloy_sol_types::SolCall>::SELECTOR);
    let burn = selector(<causeway_peg::IPeg::withdrawCall as alloy_sol_types::SolCall>::SELECTOR);
    for (what, selector) in [("mint", &import), ("burn", &burn)] {
        let (block, at) = with(&|transaction| transaction.contains(selector.as_str()));
        alter(what, format!("/sidechain/blocks/{block}/transactions/{at}"));
        alter(what, format!("/sidechain/blocks/{block}/receipts/{at}"));
    }
    // Certificates stand apart from the blocks that mint or burn; one that shares a block with those is in the block.
    alter("certificate", "/sidechain/records/0/transaction".into());
    alter("certificate", "/sidechain/records/0/digest".into());
    let logs = bundle["parent"]["logs"].as_array().unwrap();
    let log = |signature: B256| {
        let wanted = signature.to_string();
        logs.iter().position(|log| log["topics"][0] == wanted.as_str()).unwrap()
    };
    let deposited = log(<causeway_contracts::PegVault::Deposited as alloy_sol_types::SolEvent>::SIGNATURE_HASH);
    alter("deposit", format!("/parent/logs/{deposited}/data"));
    let claimed = log(<causeway_contracts::PegVault::Claimed as alloy_sol_types::SolEvent>::SIGNATURE_HASH);
    alter("claim", format!("/parent/logs/{claimed}/data"));
    let accepted = log(<CheckpointRegistry::CheckpointAccepted as alloy_sol_types::SolEvent>::SIGNATURE_HASH);
    alter("checkpoint", format!("/parent/logs/{accepted}/data"));
    alter("header", "/sidechain/headers/0".into());
    all
}

#[test]
fn the_auditor_refuses_what_is_no_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.json");
    std::fs::write(&path, "{}").unwrap();
    let path = path.display().to_string();
    let said = run_failing(Path::new(&sibling("peg-audit")), &["--genesis", "/nonexistent", "--from-bundle", &path]);
    assert!(said.contains("/nonexistent"), "{said}");
}
