//! Accounts, storage, nonces and proofs at the head and at earlier heights.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_rpc_types_eth::EIP1186AccountProofResponse;
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount};
use serde_json::{Value, json};

use super::fixture::*;

#[tokio::test]
async fn balances_are_those_of_the_block_asked_for_in_each_way_of_naming_it() {
    let f = Fixture::standalone().await;
    let bob = Address::repeat_byte(0xb0);
    let first = f.push_all(&[transfer(0, bob, 5)]);
    f.push_all(&[transfer(1, bob, 6)]);
    for (block, expected) in [
        (json!("latest"), "0xb"),
        (json!("safe"), "0xb"),
        (json!("finalized"), "0xb"),
        (json!("pending"), "0xb"),
        (json!("earliest"), "0x0"),
        (json!("0x0"), "0x0"),
        (json!("0x1"), "0x5"),
        (json!(first.hash), "0x5"),
        (json!({ "blockHash": first.hash }), "0x5"),
        (json!({ "blockHash": first.hash, "requireCanonical": true }), "0x5"),
        (json!({ "blockNumber": "0x2" }), "0xb"),
    ] {
        assert_eq!(f.ok("eth_getBalance", json!([bob, block])).await, expected, "{block}");
    }
    assert_eq!(f.ok("eth_getBalance", json!([bob])).await, "0xb");
    for unknown in [json!("0x9"), json!(B256::ZERO), json!({ "blockHash": B256::ZERO })] {
        let error = f.fails("eth_getBalance", json!([bob, unknown])).await;
        assert_eq!(error, (-32000, "header not found".to_owned()));
    }
}

#[tokio::test]
async fn code_and_storage_are_readable() {
    let f = Fixture::standalone().await;
    let nobody = Address::repeat_byte(0xee);
    assert_eq!(f.ok("eth_getCode", json!([LOGGER, "latest"])).await, "0x5f355f5fa100");
    assert_eq!(f.ok("eth_getCode", json!([nobody, "latest"])).await, "0x");
    f.push_all(&[invoke(0, STORE, word(9))]);
    for slot in [json!("0x0"), json!("0x00"), json!(word(0))] {
        assert_eq!(f.ok("eth_getStorageAt", json!([STORE, slot, "latest"])).await, json!(word(9)), "{slot}");
        assert_eq!(f.ok("eth_getStorageAt", json!([STORE, slot, "0x0"])).await, json!(word(7)), "{slot}");
    }
    assert_eq!(f.ok("eth_getStorageAt", json!([STORE, "0x1", "latest"])).await, json!(word(0)));
    let info = f.ok("eth_getAccountInfo", json!([LOGGER, "latest"])).await;
    assert_eq!(info, json!({ "balance": "0x0", "nonce": "0x0", "code": "0x5f355f5fa100" }));
}

#[tokio::test]
async fn the_pending_nonce_counts_the_pool() {
    let f = Fixture::standalone().await;
    let sender = rich().address();
    let count = async |block: &str| f.ok("eth_getTransactionCount", json!([sender, block])).await;
    f.push_all(&[transfer(0, sender, 1)]);
    assert_eq!((count("latest").await, count("pending").await), (json!("0x1"), json!("0x1")));
    for nonce in [1, 2, 4] {
        f.ok("eth_sendRawTransaction", json!([raw(&transfer(nonce, sender, 1))])).await;
    }
    // Nonce 4 waits for nonce 3.
    assert_eq!((count("latest").await, count("pending").await), (json!("0x1"), json!("0x3")));
    assert_eq!(count("0x0").await, json!("0x0"));
}

#[tokio::test]
async fn proofs_verify_against_the_state_root_of_their_block() {
    let f = Fixture::standalone().await;
    f.push_all(&[invoke(0, STORE, word(9)), transfer(1, Address::repeat_byte(0xb0), 5)]);
    for (number, value) in [("0x0", 7u64), ("0x1", 9)] {
        let block = f.ok("eth_getBlockByNumber", json!([number, false])).await;
        let root: B256 = serde_json::from_value(block["stateRoot"].clone()).unwrap();
        let answer = f.ok("eth_getProof", json!([STORE, ["0x0", word(1)], number])).await;
        let proof: EIP1186AccountProofResponse = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(answer["storageProof"][0]["key"], "0x0");
        verify_account(root, &proof);
        let slot = |n: u64| Nibbles::unpack(keccak256(word(n)));
        let expected = alloy_rlp::encode(U256::from(value));
        assert_eq!(proof.storage_proof[0].value, U256::from(value));
        verify_proof(proof.storage_hash, slot(0), Some(expected), &proof.storage_proof[0].proof).unwrap();
        assert_eq!(proof.storage_proof[1].value, U256::ZERO);
        verify_proof(proof.storage_hash, slot(1), None, &proof.storage_proof[1].proof).unwrap();
    }
    // The proof shows that the account does not exist.
    let answer = f.ok("eth_getProof", json!([Address::repeat_byte(0xee), [], "latest"])).await;
    let proof: EIP1186AccountProofResponse = serde_json::from_value(answer).unwrap();
    let key = Nibbles::unpack(keccak256(Address::repeat_byte(0xee)));
    let root = f.ctx.storage.head().state_root;
    verify_proof(root, key, None, &proof.account_proof).unwrap();
    assert_eq!(proof.code_hash, alloy_primitives::KECCAK256_EMPTY);
    assert_eq!(proof.storage_hash, alloy_consensus::EMPTY_ROOT_HASH);
}

fn verify_account(root: B256, proof: &EIP1186AccountProofResponse) {
    let leaf = TrieAccount {
        nonce: proof.nonce,
        balance: proof.balance,
        storage_root: proof.storage_hash,
        code_hash: proof.code_hash,
    };
    let key = Nibbles::unpack(keccak256(proof.address));
    verify_proof(root, key, Some(alloy_rlp::encode(leaf)), &proof.account_proof).unwrap();
}

#[tokio::test]
async fn a_proof_of_too_many_keys_names_the_limit() {
    let f = Fixture::limited(|limits| limits.proof_keys = 2).await;
    let error = f.fails("eth_getProof", json!([STORE, ["0x0", "0x1", "0x2"], "latest"])).await;
    assert_eq!(error, (-32005, "too many storage keys: 3, the most in one request is 2".to_owned()));
}

#[tokio::test]
async fn deployed_code_appears_with_its_block() {
    let f = Fixture::standalone().await;
    // The runtime code is one zero byte: STOP.
    let init = Bytes::from(alloy_primitives::hex!("60015ff3"));
    f.push_all(&[sign(&rich(), eip1559(0, TxKind::Create, U256::ZERO, init, 100_000))]);
    let address = rich().address().create(0);
    assert_eq!(f.ok("eth_getCode", json!([address, "latest"])).await, "0x00");
    assert_eq!(f.ok("eth_getCode", json!([address, "0x0"])).await, Value::String("0x".to_owned()));
}

#[tokio::test]
async fn pruned_state_is_an_error_and_never_empty() {
    let f = Fixture::pruned(2).await;
    f.push_empty(6);
    let oldest = f.ctx.storage.oldest_state();
    assert!(oldest > 1);
    for (method, params) in [
        ("eth_getBalance", json!([STORE, "0x1"])),
        ("eth_getCode", json!([STORE, "0x1"])),
        ("eth_getStorageAt", json!([STORE, "0x0", "0x1"])),
        ("eth_getTransactionCount", json!([STORE, "earliest"])),
        ("eth_getProof", json!([STORE, [], "0x1"])),
        ("eth_call", json!([{ "to": STORE }, "0x1"])),
        ("eth_estimateGas", json!([{ "to": STORE }, "0x1"])),
    ] {
        let (code, message) = f.fails(method, params).await;
        assert_eq!(code, 4444, "{method}: {message}");
        assert!(message.starts_with("pruned history unavailable"), "{message}");
        assert!(message.ends_with(&format!("the oldest kept block {oldest}")), "{message}");
    }
    let kept = f.ok("eth_getStorageAt", json!([STORE, "0x0", format!("{oldest:#x}")])).await;
    assert_eq!(kept, json!(word(7)));
}
