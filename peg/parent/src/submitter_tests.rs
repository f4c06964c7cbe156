//! The submitter against a scripted endpoint.
#![allow(clippy::unwrap_used)]

use crate::{
    Included, Submission, SubmitError, Submitter, SubmitterConfig,
    fake::{CHAIN_ID, FakeParent, Mood, REGISTRY, VAULT, http},
};
use alloy_consensus::{Transaction, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolError;
use causeway_contracts::PegVault;
use causeway_peg::{
    CertificateSig, Checkpoint, PegValidator, PegValidatorSet, Signature65,
    signature::{address_of, sign_digest},
};
use serde_json::{Value, json};

fn key() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

async fn submitter(parent: &FakeParent) -> Submitter {
    let mut config = SubmitterConfig::new(parent.url.clone(), CHAIN_ID);
    // An attempt makes only one query, so the tests need no clock.
    config.receipt_timeout_ms = 0;
    config.poll_ms = 1;
    Submitter::connect(config, key(), http()).await.unwrap()
}

fn script(parent: &FakeParent, method: &'static str, answers: &[Value]) {
    parent.chain().script.insert(method, answers.to_vec());
}

fn sent(parent: &FakeParent) -> Vec<TxEnvelope> {
    let decode = |raw: &Bytes| TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
    parent.chain().sent.iter().map(decode).collect()
}

async fn send(submitter: &Submitter) -> Result<Included, SubmitError> {
    submitter.send(TxKind::Call(VAULT), U256::from(9), Bytes::from_static(b"data")).await
}

#[tokio::test]
async fn a_transaction_is_signed_for_the_chain_with_room_for_gas_and_fees() {
    let parent = FakeParent::start().await;
    parent.chain().included = Some((0, 1));
    let included = send(&submitter(&parent).await).await.unwrap();
    let transactions = sent(&parent);
    let [tx] = &transactions[..] else { panic!("{transactions:?}") };
    assert_eq!((tx.nonce(), tx.gas_limit(), tx.chain_id()), (7, 125_000, Some(CHAIN_ID)));
    assert_eq!((tx.max_fee_per_gas(), tx.max_priority_fee_per_gas()), (205, Some(5)));
    assert_eq!((tx.value(), tx.recover_signer().unwrap()), (U256::from(9), key().address()));
    assert_eq!((included.hash, included.height, included.gas_used), (*tx.tx_hash(), 11, 21_000));
}

#[tokio::test]
async fn another_chain_is_refused_at_once() {
    let parent = FakeParent::start().await;
    parent.chain().chain_id = 5;
    let config = SubmitterConfig::new(parent.url.clone(), CHAIN_ID);
    let error = Submitter::connect(config, key(), http()).await.unwrap_err();
    assert!(error.to_string().contains("serves chain 5"), "{error}");
}

#[tokio::test]
async fn a_slow_transaction_is_replaced_with_higher_fees_and_the_same_nonce() {
    let parent = FakeParent::start().await;
    parent.chain().included = Some((2, 1));
    send(&submitter(&parent).await).await.unwrap();
    let transactions = sent(&parent);
    assert_eq!(transactions.len(), 3);
    assert!(transactions.iter().all(|tx| tx.nonce() == 7));
    assert!(transactions.windows(2).all(|pair| pair[1].max_fee_per_gas() * 10 > pair[0].max_fee_per_gas() * 11));
}

#[tokio::test]
async fn an_earlier_attempt_that_is_included_after_all_is_found() {
    let parent = FakeParent::start().await;
    parent.chain().included = Some((0, 1));
    // Its receipt appears only after the second attempt was sent.
    script(&parent, "eth_getTransactionReceipt", &[Value::Null, Value::Null, json!({ "error": "indexing" })]);
    let submitter = submitter(&parent).await;
    let clear = async {
        while sent(&parent).len() < 2 {
            tokio::task::yield_now().await;
        }
        parent.chain().script.clear();
    };
    let (included, ()) = tokio::join!(send(&submitter), clear);
    assert_eq!(included.unwrap().hash, *sent(&parent)[0].tx_hash());
}

#[tokio::test]
async fn attempts_end_and_name_the_transaction() {
    let parent = FakeParent::start().await;
    let error = send(&submitter(&parent).await).await.unwrap_err();
    let last = *sent(&parent).last().unwrap().tx_hash();
    assert_eq!(error, SubmitError::NotIncluded { hash: last, attempts: 8 });
}

#[tokio::test]
async fn a_failed_transaction_is_an_error() {
    let parent = FakeParent::start().await;
    parent.chain().included = Some((0, 0));
    let error = send(&submitter(&parent).await).await.unwrap_err();
    assert!(matches!(error, SubmitError::Reverted { height: 11, .. }), "{error}");
}

#[tokio::test]
async fn a_nonce_used_by_another_process_is_reported() {
    let parent = FakeParent::start().await;
    script(&parent, "eth_getTransactionCount", &[json!("0x7"), json!("0x8")]);
    let error = send(&submitter(&parent).await).await.unwrap_err();
    assert_eq!(error, SubmitError::NonceTaken { address: key().address(), nonce: 7 });
}

#[tokio::test]
async fn a_stale_nonce_is_read_again() {
    let parent = FakeParent::start().await;
    script(&parent, "eth_getTransactionCount", &[json!("0x7"), json!("0x9")]);
    let taken = json!(B256::ZERO);
    script(&parent, "eth_sendRawTransaction", &[json!({ "error": "nonce too low" }), taken]);
    parent.chain().included = Some((1, 1));
    send(&submitter(&parent).await).await.unwrap();
    assert_eq!(sent(&parent)[1].nonce(), 9);
}

#[tokio::test]
async fn pool_answers_are_understood() {
    for (answer, transactions) in [("already known", 1), ("replacement transaction underpriced", 2)] {
        let parent = FakeParent::start().await;
        script(&parent, "eth_sendRawTransaction", &[json!({ "error": answer }), json!(B256::ZERO)]);
        parent.chain().included = Some((transactions - 1, 1));
        send(&submitter(&parent).await).await.unwrap();
        assert_eq!(sent(&parent).len(), transactions, "{answer}");
    }
    let parent = FakeParent::start().await;
    script(&parent, "eth_sendRawTransaction", &[json!({ "error": "insufficient funds for gas * price + value" })]);
    let error = send(&submitter(&parent).await).await.unwrap_err();
    assert!(matches!(error, SubmitError::InsufficientFunds { .. }), "{error}");
}

#[tokio::test]
async fn a_base_fee_above_the_cap_sends_nothing() {
    let parent = FakeParent::start().await;
    let mut config = SubmitterConfig::new(parent.url.clone(), CHAIN_ID);
    config.max_fee_per_gas = 99;
    let submitter = Submitter::connect(config, key(), http()).await.unwrap();
    assert_eq!(send(&submitter).await.unwrap_err(), SubmitError::FeeAboveCap { base_fee: 100, cap: 99 });
    assert!(sent(&parent).is_empty());
}

#[tokio::test]
async fn the_vaults_own_error_is_named_and_nothing_is_sent() {
    let parent = FakeParent::start().await;
    let data = Bytes::from(PegVault::AlreadyClaimed { index: 3 }.abi_encode());
    parent.chain().revert = Some(data);
    let error = send(&submitter(&parent).await).await.unwrap_err();
    let SubmitError::WouldRevert { reason } = &error else { panic!("{error}") };
    assert!(reason.contains("AlreadyClaimed") && reason.contains('3'), "{reason}");
    assert!(sent(&parent).is_empty());
}

#[tokio::test]
async fn a_deposit_counts_only_with_the_vaults_event() {
    let parent = FakeParent::start().await;
    parent.chain().deposit(11, 1);
    parent.chain().included = Some((0, 1));
    let submitter = submitter(&parent).await;
    let recorded = parent.chain().logs[0].deposit;
    let receipt = submitter.deposit_native(VAULT, recorded.recipient, recorded.amount).await.unwrap();
    assert_eq!((receipt.deposit, receipt.height), (recorded, 11));
    parent.chain().included = Some((1, 1));
    let error = submitter.deposit_native(VAULT, Address::repeat_byte(0x99), recorded.amount).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unexpected(_)), "{error}");
}

/// A set of one validator, and its signature on arbitrary bytes.
fn certificate() -> (PegValidatorSet, Vec<CertificateSig>) {
    let secret = B256::repeat_byte(9);
    let signer = address_of(&secret).unwrap();
    let set = PegValidatorSet::new(0, vec![PegValidator { address: signer, power: 1 }]).unwrap();
    let signature: Signature65 = sign_digest(&secret, B256::ZERO).unwrap();
    (set, vec![CertificateSig { signer, signature }])
}

#[tokio::test]
async fn a_checkpoint_the_registry_has_is_not_sent_again() {
    let parent = FakeParent::start().await;
    parent.chain().checkpoint = (5, B256::repeat_byte(5));
    let (set, signatures) = certificate();
    let submitter = submitter(&parent).await;
    let old = Checkpoint { number: 5, ..Checkpoint::default() };
    let outcome = submitter.submit_checkpoint(REGISTRY, &old, &set, &signatures, &[]).await.unwrap();
    assert_eq!(outcome, Submission::AlreadyThere { latest: 5 });
    assert!(sent(&parent).is_empty());
    parent.chain().included = Some((0, 1));
    let new = Checkpoint { number: 6, ..Checkpoint::default() };
    let outcome = submitter.submit_checkpoint(REGISTRY, &new, &set, &signatures, &[]).await.unwrap();
    assert!(matches!(outcome, Submission::Accepted { height: 11, .. }));
}

#[tokio::test]
async fn losing_the_race_to_another_relayer_is_not_an_error() {
    let parent = FakeParent::start().await;
    let (set, signatures) = certificate();
    let submitter = submitter(&parent).await;
    parent.chain().included = Some((0, 0));
    let race = async {
        while sent(&parent).is_empty() {
            tokio::task::yield_now().await;
        }
        parent.chain().checkpoint = (6, B256::repeat_byte(6));
    };
    let checkpoint = Checkpoint { number: 6, ..Checkpoint::default() };
    let (outcome, ()) = tokio::join!(submitter.submit_checkpoint(REGISTRY, &checkpoint, &set, &signatures, &[]), race);
    assert_eq!(outcome.unwrap(), Submission::AlreadyThere { latest: 6 });
}

#[tokio::test]
async fn invalid_and_missing_answers_are_errors_not_panics() {
    for mood in [
        Mood::Http500,
        Mood::NotJson,
        Mood::Endless,
        Mood::Instead("eth_estimateGas", json!([])),
        Mood::Instead("eth_getTransactionCount", json!("0xzz")),
        Mood::Instead("eth_getBlockByNumber", json!({ "baseFeePerGas": "0x".to_owned() + &"f".repeat(64) })),
        Mood::Instead("eth_getTransactionReceipt", json!({ "status": "maybe" })),
        Mood::Refuse("eth_sendRawTransaction", "no"),
    ] {
        let parent = FakeParent::start().await;
        let submitter = submitter(&parent).await;
        parent.chain().mood = mood.clone();
        assert!(send(&submitter).await.is_err(), "{mood:?}");
    }
}
