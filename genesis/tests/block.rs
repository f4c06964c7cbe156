//! The genesis block: deterministic, and bound to every field of the spec.

use std::collections::BTreeSet;

use crate::support::{dev_spec, pegged_spec, validator};
use alloy_primitives::{Address, B256, Bytes, U256, b256};
use causeway_genesis::{AllocAccount, ChainSpec, Genesis, RulesEntry, addresses, ceremony};

/// Golden: these must never change for these specs, or running chains would lose their identity.
const DEV_HASH: B256 = b256!("49e71d133f9063012c49992a39cd467bd966249df2abfb9943196fa55879a3cd");
const PEGGED_HASH: B256 = b256!("779766c9b5c9be99e151cde36092698b28743d5cd17ddec720963928c14f7a32");

#[test]
fn fixed_specs_have_fixed_hashes() {
    let hashes = [dev_spec(), pegged_spec()].map(|spec| Genesis::build(spec).unwrap().hash);
    assert_eq!(hashes, [DEV_HASH, PEGGED_HASH]);
}

#[test]
fn the_hash_survives_a_round_trip_through_json() {
    let genesis = Genesis::build(pegged_spec()).unwrap();
    let again = Genesis::build(ChainSpec::from_json(&genesis.spec.to_json()).unwrap()).unwrap();
    assert_eq!(again.hash, genesis.hash);
}

#[test]
fn the_hash_commits_to_every_field() {
    type Change = fn(&mut ChainSpec);
    let changes: [Change; 31] = [
        |spec| spec.chain_id += 1,
        |spec| spec.name.push('!'),
        |spec| spec.timestamp += 1,
        |spec| spec.block_interval_ms += 1,
        |spec| spec.gas_limit += 1,
        |spec| spec.base_fee_initial += 1,
        |spec| spec.epoch_length += 1,
        |spec| spec.checkpoint_interval += 1,
        |spec| spec.validators[0].name.push('x'),
        |spec| spec.validators[0].operator = Address::repeat_byte(0xfb),
        |spec| spec.validators[0].consensus_key = validator(99).consensus_key,
        |spec| spec.validators[0].peg_address = validator(99).peg_address,
        |spec| spec.validators[0].stake += U256::from(1),
        |spec| spec.validators.swap(0, 1),
        |spec| spec.validators[0].commission_bps += 1,
        |spec| spec.staking.max_validators += 1,
        |spec| spec.staking.min_self_bond += U256::from(1),
        |spec| spec.staking.min_delegation += U256::from(1),
        |spec| spec.staking.unbonding_seconds += 1,
        |spec| spec.staking.downtime_window += 1,
        |spec| spec.staking.downtime_slash_ppm += 1,
        |spec| spec.staking.jail_seconds += 1,
        |spec| spec.staking.double_sign_slash_ppm += 1,
        |spec| spec.staking.reporter_ppm += 1,
        |spec| spec.staking.issuance_ppm += 1,
        |spec| spec.staking.max_commission_change_bps += 1,
        |spec| {
            spec.staking.alloc.insert(Address::repeat_byte(0x78), U256::from(1));
        },
        |spec| spec.peg = ceremony::predicted_peg(31_338, Address::repeat_byte(0xdd), 5),
        |spec| spec.peg = ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 6),
        |spec| {
            let code = AllocAccount { code: Bytes::from_static(&[0x00]), ..AllocAccount::default() };
            spec.alloc.insert(Address::repeat_byte(0x66), code);
        },
        |spec| spec.rules.push(RulesEntry { height: 9, version: 2, changes: Default::default() }),
    ];
    let mut hashes = BTreeSet::from([Genesis::build(pegged_spec()).unwrap().hash]);
    for change in changes {
        let mut spec = pegged_spec();
        change(&mut spec);
        hashes.insert(Genesis::build(spec).unwrap().hash);
    }
    assert_eq!(hashes.len(), changes.len() + 1);
}

#[test]
fn native_modules_and_predeploys_are_in_the_state() {
    let genesis = Genesis::build(pegged_spec()).unwrap();
    for module in addresses::NATIVE_MODULES {
        assert_eq!(genesis.alloc[&module].code.as_ref(), [0xfe]);
        assert_eq!(genesis.alloc[&module].nonce, 1);
    }
    assert!(!genesis.alloc[&addresses::PEG].storage.is_empty());
    let hashes = [
        (addresses::HISTORY_STORAGE, b256!("6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d")),
        (addresses::BEACON_ROOTS, b256!("f57acd40259872606d76197ef052f3d35588dadf919ee1f0e3cb9b62d3f4b02c")),
    ];
    for (address, code_hash) in hashes {
        assert_eq!(alloy_primitives::keccak256(&genesis.alloc[&address].code), code_hash, "{address}");
    }
}

#[test]
fn the_staking_module_starts_with_the_validators_and_the_liquid_stake() {
    use causeway_staking::views;
    let holder = Address::repeat_byte(0x78);
    let mut spec = pegged_spec();
    spec.validators[1].stake *= U256::from(3);
    spec.validators[1].commission_bps = 250;
    spec.staking.alloc.insert(holder, U256::from(77));
    let genesis = Genesis::build(spec).unwrap();
    let mut slots = genesis.alloc[&addresses::STAKING].storage.clone();
    assert!(slots.values().all(|value| !value.is_zero()));
    assert!(genesis.alloc[&addresses::STAKE_TOKEN].storage.is_empty(), "one balance sheet");
    let set = genesis.validator_set();
    let members = views::active_set(&mut slots).unwrap();
    assert_eq!(members, views::next_set(&mut slots).unwrap());
    assert_eq!(members.len(), set.len());
    for member in members {
        let id = causeway_consensus::ConsensusKey(member.consensus_key.0).id();
        assert_eq!(set.get(&id).unwrap().power, member.power, "both rooms scale alike");
    }
    let second = &genesis.spec.validators[1];
    let found = views::validator(&mut slots, second.operator).unwrap().unwrap();
    assert_eq!((found.tokens, found.self_bond, found.commission_bps), (second.stake, second.stake, 250));
    assert_eq!((found.consensus_key, found.peg_address), (second.consensus_key, second.peg_address));
    let bonded: U256 = genesis.spec.validators.iter().map(|validator| validator.stake).sum();
    assert_eq!(views::balance_of(&mut slots, holder).unwrap(), U256::from(77));
    assert_eq!(views::total_supply(&mut slots).unwrap(), bonded + U256::from(77));
    let epoch = views::epoch(&mut slots).unwrap();
    assert_eq!((epoch.number, epoch.start_height, epoch.start_time), (0, 1, genesis.spec.timestamp));
}

#[test]
fn the_modules_parameters_are_the_specs() {
    use causeway_staking::StakingParams;
    let genesis = Genesis::build(pegged_spec()).unwrap();
    assert_eq!(genesis.schedule.first().staking, StakingParams::new(3_600, true), "the defaults of both agree");
    let mut spec = dev_spec();
    spec.epoch_length = 77_000;
    spec.staking.unbonding_seconds = 5;
    spec.staking.issuance_ppm = 9;
    let expected = StakingParams { unbonding_seconds: 5, issuance_ppm: 9, ..StakingParams::new(77_000, false) };
    assert_eq!(Genesis::build(spec).unwrap().schedule.first().staking, expected);
}

#[test]
fn a_standalone_chain_has_no_peg_and_holds_its_prefunded_coin() {
    let genesis = Genesis::build(dev_spec()).unwrap();
    assert!(genesis.peg_domain().is_none() && genesis.peg_validator_set().is_none());
    assert!(genesis.alloc[&addresses::PEG].storage.is_empty());
    assert_eq!(genesis.alloc[&Address::repeat_byte(0xaa)].balance, U256::from(10u64).pow(U256::from(24)));
}

#[test]
fn a_pegged_chain_starts_without_coin() {
    let genesis = Genesis::build(pegged_spec()).unwrap();
    assert!(genesis.alloc.values().all(|account| account.balance.is_zero()));
}

#[test]
fn powers_follow_stakes_and_both_sets_agree() {
    let mut spec = pegged_spec();
    spec.validators[1].stake *= U256::from(3);
    let genesis = Genesis::build(spec).unwrap();
    let (set, federation) = (genesis.validator_set(), genesis.peg_validator_set().unwrap());
    assert_eq!(set.len(), 4);
    assert_eq!(set.total_power(), federation.total_power());
    let verified = ceremony::summary(&genesis);
    let powers: Vec<u64> = verified.validators.iter().map(|(_, _, power)| *power).collect();
    assert_eq!(powers[0] * 3, powers[1]);
    assert_eq!(powers[0], powers[2]);
    assert_eq!(verified.federation, Some(federation.commitment()));
}

#[test]
fn the_peg_domain_binds_parent_registry_and_genesis_hash() {
    let genesis = Genesis::build(pegged_spec()).unwrap();
    let domain = genesis.peg_domain().unwrap();
    assert_eq!(domain.parent_chain_id, 31_337);
    assert_eq!(domain.registry, Address::repeat_byte(0xdd).create(5));
    assert_eq!(domain.genesis_hash, genesis.hash);
}

#[test]
fn verify_reads_a_file_and_prints_one_hash_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genesis.json");
    pegged_spec().save(&path).unwrap();
    let verified = ceremony::verify(&path).unwrap();
    assert_eq!(verified.hash, Genesis::build(pegged_spec()).unwrap().hash);
    assert_eq!(verified.chain_id, 4_242);
}
