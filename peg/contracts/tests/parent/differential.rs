//! Rust, Solidity and the vectors' script compute equal digests, leaves, accumulators and roots.

use std::str::FromStr;

use alloy_primitives::{Address, B256, U256};
use causeway_contracts::{CheckpointRegistry, PegVault, RegistryArgs, registry_runtime_code};
use causeway_peg::{
    Checkpoint, PegDomain, PegValidator, PegValidatorSet, Withdrawal, deposit::deposit_leaf, tree,
    withdrawal::withdrawal_leaf,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    chain::Chain,
    world::{ALICE, BOB, World, ether, validators},
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/digests.json")).unwrap()
}

fn parse<T: FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn registry_computes_the_vectors_separator_and_checkpoint_digest() {
    let vectors = vectors();
    let domain: PegDomain = PegDomain {
        parent_chain_id: vectors["domain"]["parentChainId"].as_u64().unwrap(),
        registry: parse(&vectors["domain"]["registry"]),
        genesis_hash: parse(&vectors["domain"]["genesisHash"]),
    };
    let checkpoint: Checkpoint = serde_json::from_value(vectors["checkpoint"].clone()).unwrap();
    let mut chain = Chain::new(domain.parent_chain_id);
    let args = RegistryArgs { genesis_hash: domain.genesis_hash, validators: validators(0, &[1]).0, vault: ALICE };
    chain.set_code(domain.registry, registry_runtime_code(&args));
    let separator = chain.view(domain.registry, &CheckpointRegistry::domainSeparatorCall {});
    assert_eq!(separator, parse::<B256>(&vectors["separator"]));
    assert_eq!(separator, domain.separator());
    let call = CheckpointRegistry::checkpointDigestCall { c: (&checkpoint).into() };
    let digest = chain.view(domain.registry, &call);
    assert_eq!(digest, parse::<B256>(&vectors["checkpointDigest"]));
    assert_eq!(digest, domain.checkpoint_digest(&checkpoint));
}

#[test]
fn vault_computes_the_vectors_withdrawal_leaves() {
    let vectors = vectors();
    let mut world = World::new(&[1]);
    for (withdrawal, leaf) in
        vectors["withdrawals"].as_array().unwrap().iter().zip(vectors["withdrawalLeaves"].as_array().unwrap())
    {
        let withdrawal: Withdrawal = serde_json::from_value(withdrawal.clone()).unwrap();
        let call = PegVault::withdrawalLeafCall { w: (&withdrawal).into() };
        assert_eq!(world.chain.view(world.vault, &call), parse::<B256>(leaf));
        assert_eq!(withdrawal_leaf(&withdrawal), parse::<B256>(leaf));
    }
}

#[test]
fn registry_commits_to_the_set_as_the_vectors_do() {
    let vectors = vectors();
    let members = vectors["validators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| PegValidator { address: parse(&member["address"]), power: parse(&member["power"]) });
    let set = PegValidatorSet::from_committed_order(0, members.collect()).unwrap();
    assert_eq!(set.commitment(), parse::<B256>(&vectors["validatorCommitment"]));
    let mut chain = Chain::new(1);
    let args = RegistryArgs { genesis_hash: B256::repeat_byte(1), validators: set, vault: ALICE };
    let registry = chain.create(ALICE, causeway_contracts::registry_deploy_code(&args)).created();
    assert_eq!(
        chain.view(registry, &CheckpointRegistry::validatorSetOfCall { epoch: 0 }),
        parse::<B256>(&vectors["validatorCommitment"])
    );
}

#[test]
fn vault_folds_deposits_as_the_module_does() {
    let mut world = World::new(&[1]);
    let mut acc = B256::ZERO;
    for amount in 1..20u64 {
        let event: PegVault::Deposited = world.deposit(ALICE, BOB, ether(amount)).event();
        acc = causeway_peg::deposit::extend_acc(acc, deposit_leaf(world.deposits.last().unwrap()));
        assert_eq!(event.depositAcc, acc);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn checkpoint_digests_agree(
        numbers in any::<[u64; 5]>(),
        hashes in any::<[[u8; 32]; 6]>(),
        genesis in any::<[u8; 32]>(),
        chain_id in any::<u64>(),
    ) {
        let [number, height, withdrawal_count, deposit_nonce, epoch] = numbers;
        let [prev, block, state, root, acc, next] = hashes.map(B256::from);
        let checkpoint = Checkpoint {
            number,
            prevDigest: prev,
            height,
            blockHash: block,
            stateRoot: state,
            withdrawalRoot: root,
            withdrawalCount: withdrawal_count,
            depositNonce: deposit_nonce,
            depositAcc: acc,
            epoch,
            nextValset: next,
        };
        let registry = Address::repeat_byte(0x99);
        let domain = PegDomain { parent_chain_id: chain_id, registry, genesis_hash: genesis.into() };
        let mut chain = Chain::new(chain_id);
        let args = RegistryArgs { genesis_hash: genesis.into(), validators: validators(0, &[1]).0, vault: ALICE };
        chain.set_code(registry, registry_runtime_code(&args));
        let call = CheckpointRegistry::checkpointDigestCall { c: (&checkpoint).into() };
        prop_assert_eq!(chain.view(registry, &call), domain.checkpoint_digest(&checkpoint));
        prop_assert_eq!(causeway_peg::Checkpoint::from(&CheckpointRegistry::Checkpoint::from(&checkpoint)), checkpoint);
    }

    #[test]
    fn withdrawals_leaf_agrees(index in any::<u64>(), addresses in any::<[[u8; 20]; 3]>(), amounts in any::<[[u8; 32]; 2]>()) {
        let [token, sender, recipient] = addresses.map(Address::from);
        let [amount, relayer_fee] = amounts.map(U256::from_be_bytes);
        let withdrawal = Withdrawal { index, token, sender, recipient, amount, relayerFee: relayer_fee };
        let mut chain = Chain::new(1);
        let vault = Address::repeat_byte(0x98);
        let args = causeway_contracts::VaultArgs { registry: ALICE, claim_delay_s: 0 };
        chain.set_code(vault, causeway_contracts::vault_runtime_code(&args));
        let call = PegVault::withdrawalLeafCall { w: (&withdrawal).into() };
        prop_assert_eq!(chain.view(vault, &call), withdrawal_leaf(&withdrawal));
    }

    #[test]
    fn any_leaf_of_any_tree_is_claimable_and_paid_exactly(amounts in prop::collection::vec(1u64..1_000_000, 1..12), pick in any::<prop::sample::Index>()) {
        let amounts: Vec<U256> = amounts.into_iter().map(U256::from).collect();
        let mut world = World::with_claims(&amounts, U256::ZERO);
        let index = pick.index(amounts.len());
        let before = world.chain.balance(BOB);
        prop_assert!(world.claim(index).ok());
        prop_assert_eq!(world.chain.balance(BOB) - before, amounts[index]);
        prop_assert_eq!(world.checkpoints[0].withdrawalRoot, tree::root_of(&world.leaves()).unwrap());
    }
}
