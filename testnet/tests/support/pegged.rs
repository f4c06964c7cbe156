//! The peg as a user has it: over the command line, and straight at the contracts where the command line is too polite.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_contracts::CheckpointRegistry;
use causeway_genesis::{Genesis, NodeKeys};
use causeway_parent::{Http, SubmitError, Submitter, SubmitterConfig};
use causeway_peg::{CertificateSig, Checkpoint, Proof, Withdrawal, sign_digest};
use causeway_testnet::{accounts, rpc::Rpc};
use serde_json::{Value, json};

use super::{Net, causeway_json, eventually, quantity, run, run_failing, sibling};

/// Writes a development account's key where the command line reads it.
pub fn key_file(net: &Net, account: usize) -> String {
    let path = net.dir().join(format!("account-{account}.key"));
    std::fs::write(&path, net.key(account)).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// `causeway peg deposit`; returns the deposit's nonce.
pub fn deposit(net: &Net, account: usize, to: Address, amount: &str) -> u64 {
    let (key, to) = (key_file(net, account), to.to_string());
    let (genesis, parent) = (net.genesis(), net.record.parent.rpc.as_str());
    let common = ["peg", "deposit", "--genesis", &genesis, "--parent", parent, "--json"];
    let own = ["--to", &to, "--amount", amount, "--key-file", &key];
    causeway_json(&[common.as_slice(), &own].concat())["nonce"].as_u64().unwrap()
}

/// `causeway peg withdraw`; returns the withdrawal's index.
pub fn withdraw(net: &Net, account: usize, to: Address, amount: &str) -> u64 {
    let (key, to, rpc) = (key_file(net, account), to.to_string(), net.record.rpc[0].as_str());
    let arguments = ["peg", "withdraw", "--rpc", rpc, "--to", &to, "--amount", amount, "--key-file", &key, "--json"];
    causeway_json(&arguments)["index"].as_u64().unwrap()
}

/// `causeway peg claim`.
pub fn claim(net: &Net, account: usize, index: u64) {
    let (key, index, genesis) = (key_file(net, account), index.to_string(), net.genesis());
    let (parent, rpc) = (net.record.parent.rpc.as_str(), net.record.rpc[0].as_str());
    let common = ["peg", "claim", "--genesis", &genesis, "--parent", parent, "--rpc", rpc, "--json"];
    causeway_json(&[common.as_slice(), &["--index", &index, "--key-file", &key]].concat());
}

/// Waits until an account has exactly so much coin, and returns how long that took.
pub async fn arrives(rpc: &Rpc, account: Address, amount: U256, patience: Duration) -> Duration {
    let started = Instant::now();
    eventually(patience, &format!("{account} has {amount} wei at {}", rpc.url()), || async {
        rpc.balance(account).await.is_ok_and(|balance| balance == amount)
    })
    .await;
    started.elapsed()
}

/// Waits until the parent has a checkpoint that covers a withdrawal.
pub async fn claimable(net: &Net, index: u64, patience: Duration) {
    let rpc = net.rpc(0);
    eventually(patience, &format!("withdrawal {index} can be claimed"), || async {
        let status = rpc.call::<Value>("peg_status", json!([{ "withdrawal": index }])).await;
        status.is_ok_and(|status| status["stage"] == "accepted" || status["stage"] == "claimed")
    })
    .await;
}

/// `peg-audit` of both live chains; returns its report and the evidence.
pub fn audit(net: &Net) -> (Value, Value) {
    let (genesis, sidechain, parent) = (net.genesis(), net.record.rpc[0].as_str(), net.record.parent.rpc.as_str());
    let path = net.dir().join("bundle.json").display().to_string();
    let arguments = ["--genesis", &genesis, "--sidechain", sidechain, "--parent", parent, "--bundle", &path, "--json"];
    let report = serde_json::from_str(&run(&sibling("peg-audit"), &arguments)).unwrap();
    (report, serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap())
}

/// `peg-audit` of altered evidence, which must not hold; returns everything it said.
pub fn audit_refuses(net: &Net, evidence: &Value) -> String {
    let (genesis, path) = (net.genesis(), net.dir().join("altered.json").display().to_string());
    std::fs::write(&path, evidence.to_string()).unwrap();
    run_failing(&sibling("peg-audit"), &["--genesis", &genesis, "--from-bundle", &path, "--json"])
}

/// The epoch whose set the registry heard last.
pub async fn registry_epoch(net: &Net) -> u64 {
    let call = CheckpointRegistry::latestCall {};
    CheckpointRegistry::latestCall::abi_decode_returns(&view(net, call).await).unwrap().epoch
}

/// What the registry holds as the set of an epoch; zero when it knows none.
pub async fn registry_set(net: &Net, epoch: u64) -> B256 {
    let call = CheckpointRegistry::validatorSetOfCall { epoch };
    CheckpointRegistry::validatorSetOfCall::abi_decode_returns(&view(net, call).await).unwrap()
}

async fn view<C: SolCall>(net: &Net, call: C) -> Bytes {
    let call = json!({ "to": net.record.parent.registry, "data": Bytes::from(call.abi_encode()) });
    net.parent().call("eth_call", json!([call, "latest"])).await.unwrap()
}

/// A withdrawal with its proof and the number of the checkpoint it is proven against.
pub async fn proof(net: &Net, index: u64) -> (Withdrawal, u64, Proof) {
    let answer: Value = net.rpc(0).call("peg_getWithdrawalProof", json!([format!("{index:#x}")])).await.unwrap();
    let field = |key: &str| answer["withdrawal"][key].clone();
    let withdrawal = Withdrawal {
        index: quantity(&field("index")),
        token: serde_json::from_value(field("token")).unwrap(),
        sender: serde_json::from_value(field("sender")).unwrap(),
        recipient: serde_json::from_value(field("recipient")).unwrap(),
        amount: serde_json::from_value(field("amount")).unwrap(),
        relayerFee: serde_json::from_value(field("relayerFee")).unwrap(),
    };
    let siblings: Vec<B256> = serde_json::from_value(answer["siblings"].clone()).unwrap();
    (withdrawal, quantity(&answer["checkpoint"]["number"]), siblings.try_into().unwrap())
}

/// The account that sends straight to contracts on the parent.
pub async fn submitter(net: &Net, account: usize) -> Submitter {
    let config = SubmitterConfig::new(net.record.parent.rpc.clone(), net.record.parent.chain_id);
    let signer = accounts::signer(&net.record.accounts[account].private_key);
    Submitter::connect(config, signer, Arc::new(Http::new().unwrap())).await.unwrap()
}

/// Sends a call that the contract must refuse, and returns the error it names.
pub async fn refused<C: SolCall>(submitter: &Submitter, to: Address, call: C) -> String {
    let input = Bytes::from(call.abi_encode());
    match submitter.send(TxKind::Call(to), U256::ZERO, input).await {
        Err(SubmitError::WouldRevert { reason }) => reason,
        other => panic!("{} was not refused: {other:?}", C::SIGNATURE),
    }
}

/// Signatures of some validators over a checkpoint of the test's own making: what colluding validators could do.
pub fn collude(net: &Net, genesis: &Genesis, checkpoint: &Checkpoint, validators: &[usize]) -> Vec<CertificateSig> {
    let digest = genesis.peg_domain().unwrap().checkpoint_digest(checkpoint);
    let sign = |index: &usize| {
        let keys = NodeKeys::load(&net.record.validators[*index].dir.join("keys")).unwrap();
        let signature = sign_digest(&B256::from(*keys.peg.expose()), digest).unwrap();
        CertificateSig { signer: keys.peg_address(), signature }
    };
    validators.iter().map(sign).collect()
}
