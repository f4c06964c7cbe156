//! `contracts/vectors/digests.json` fixes every hashed or signed encoding. A separate script with another keccak
//! computes it. The contracts' tests read the same file.

use std::str::FromStr;

use alloy_primitives::{B256, Bytes};
use causeway_peg::{
    Checkpoint, Deposit, ParentView, PegDomain, PegValidator, PegValidatorSet, SetAcknowledged, Withdrawal,
    deposit::{deposit_leaf, extend_acc},
    tree,
    withdrawal::withdrawal_leaf,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../contracts/vectors/digests.json")).unwrap()
}

fn text<T: FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

fn hashes(value: &Value) -> Vec<B256> {
    value.as_array().unwrap().iter().map(text).collect()
}

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn domain(vectors: &Value) -> PegDomain {
    PegDomain {
        parent_chain_id: vectors["domain"]["parentChainId"].as_u64().unwrap(),
        registry: text(&vectors["domain"]["registry"]),
        genesis_hash: text(&vectors["domain"]["genesisHash"]),
    }
}

#[test]
fn domain_separator_and_signed_digests_are_the_golden_ones() {
    let vectors = vectors();
    let domain = domain(&vectors);
    assert_eq!(domain.separator(), text::<B256>(&vectors["separator"]));
    let checkpoint: Checkpoint = typed(&vectors["checkpoint"]);
    assert_eq!(domain.checkpoint_digest(&checkpoint), text::<B256>(&vectors["checkpointDigest"]));
    let view: ParentView = typed(&vectors["parentView"]);
    assert_eq!(domain.parent_view_digest(&view), text::<B256>(&vectors["parentViewDigest"]));
    let seen: SetAcknowledged = typed(&vectors["setAcknowledged"]);
    assert_eq!(domain.set_acknowledged_digest(&seen), text::<B256>(&vectors["setAcknowledgedDigest"]));
}

#[test]
fn each_part_of_the_domain_changes_every_digest() {
    let vectors = vectors();
    let domain = domain(&vectors);
    let checkpoint: Checkpoint = typed(&vectors["checkpoint"]);
    let view: ParentView = typed(&vectors["parentView"]);
    let seen: SetAcknowledged = typed(&vectors["setAcknowledged"]);
    for other in [
        PegDomain { parent_chain_id: domain.parent_chain_id + 1, ..domain },
        PegDomain { registry: domain.registry.create(0), ..domain },
        PegDomain { genesis_hash: B256::ZERO, ..domain },
    ] {
        assert_ne!(other.checkpoint_digest(&checkpoint), domain.checkpoint_digest(&checkpoint));
        assert_ne!(other.parent_view_digest(&view), domain.parent_view_digest(&view));
        assert_ne!(other.set_acknowledged_digest(&seen), domain.set_acknowledged_digest(&seen));
    }
}

#[test]
fn deposit_leaves_and_accumulators_are_the_golden_ones() {
    let vectors = vectors();
    let deposits: Vec<Deposit> = typed(&vectors["deposits"]);
    let leaves: Vec<B256> = deposits.iter().map(deposit_leaf).collect();
    assert_eq!(leaves, hashes(&vectors["depositLeaves"]));
    let mut acc = B256::ZERO;
    for (leaf, expected) in leaves.into_iter().zip(hashes(&vectors["accumulators"])) {
        acc = extend_acc(acc, leaf);
        assert_eq!(acc, expected);
    }
}

#[test]
fn withdrawal_leaves_zero_hashes_and_roots_are_the_golden_ones() {
    let vectors = vectors();
    let withdrawals: Vec<Withdrawal> = typed(&vectors["withdrawals"]);
    let leaves: Vec<B256> = withdrawals.iter().map(withdrawal_leaf).collect();
    assert_eq!(leaves, hashes(&vectors["withdrawalLeaves"]));
    assert_eq!(tree::zero_hashes().to_vec(), hashes(&vectors["zeroHashes"]));
    for (count, root) in hashes(&vectors["withdrawalRoots"]).into_iter().enumerate() {
        assert_eq!(tree::root_of(&leaves[..count]).unwrap(), root, "{count} leaves");
    }
}

#[test]
fn validator_commitment_is_the_golden_one() {
    let vectors = vectors();
    let members = vectors["validators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| PegValidator { address: text(&member["address"]), power: text(&member["power"]) });
    let set = PegValidatorSet::new(0, members.collect()).unwrap();
    assert_eq!(Bytes::from(set.packed()), text::<Bytes>(&vectors["packedValidators"]));
    assert_eq!(set.commitment(), text::<B256>(&vectors["validatorCommitment"]));
}
