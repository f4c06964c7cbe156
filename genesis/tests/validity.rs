//! Every rule of a chain spec, each with a spec that keeps it and one that breaks it.

use crate::support::{dev_spec, pegged_spec, validator};
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_genesis::{
    AllocAccount, ChainSpec, Genesis, SpecError, SpecFault, StakingSpec, addresses, ceremony,
    validity::{MAX_CHAIN_ID, MAX_VALIDATORS},
};
use proptest::prelude::*;

fn fault(change: impl FnOnce(&mut ChainSpec)) -> SpecFault {
    let mut spec = dev_spec();
    change(&mut spec);
    spec.validate().unwrap_err()
}

fn pegged_fault(change: impl FnOnce(&mut ChainSpec)) -> SpecFault {
    let mut spec = pegged_spec();
    change(&mut spec);
    spec.validate().unwrap_err()
}

#[test]
fn sound_specs_are_valid() {
    dev_spec().validate().unwrap();
    pegged_spec().validate().unwrap();
}

#[test]
fn chain_id_fits_a_javascript_number_and_is_not_zero() {
    for chain_id in [0, MAX_CHAIN_ID + 1, u64::MAX] {
        assert!(matches!(fault(|spec| spec.chain_id = chain_id), SpecFault::OutOfRange { key: "chainId", .. }));
    }
    for chain_id in [1, MAX_CHAIN_ID] {
        let spec = ChainSpec { chain_id, ..dev_spec() };
        spec.validate().unwrap();
    }
}

#[test]
fn numbers_outside_their_bounds_are_refused() {
    type Change = fn(&mut ChainSpec);
    let cases: [(&str, Change); 11] = [
        ("blockIntervalMs", |spec| spec.block_interval_ms = 9),
        ("blockIntervalMs", |spec| spec.block_interval_ms = 60_001),
        ("gasLimit", |spec| spec.gas_limit = 4_999_999),
        ("gasLimit", |spec| spec.gas_limit = u64::MAX),
        ("baseFeeInitial", |spec| spec.base_fee_initial = 0),
        ("baseFeeInitial", |spec| spec.base_fee_initial = u64::MAX),
        ("epochLength", |spec| spec.epoch_length = 0),
        ("epochLength", |spec| spec.epoch_length = u64::MAX),
        ("checkpointInterval", |spec| spec.checkpoint_interval = 0),
        ("checkpointInterval", |spec| spec.checkpoint_interval = u64::MAX),
        ("timestamp", |spec| spec.timestamp = u64::MAX),
    ];
    for (expected, change) in cases {
        match fault(change) {
            SpecFault::OutOfRange { key, .. } => assert_eq!(key, expected),
            other => panic!("{expected}: {other}"),
        }
    }
}

#[test]
fn numbers_at_their_bounds_are_allowed() {
    let mut spec = dev_spec();
    (spec.block_interval_ms, spec.gas_limit, spec.base_fee_initial) = (10, 5_000_000, 8);
    (spec.epoch_length, spec.checkpoint_interval, spec.timestamp) = (4, 1, 0);
    // 10 000 epochs of 40 ms.
    spec.staking.unbonding_seconds = 400;
    spec.validate().unwrap();
    (spec.block_interval_ms, spec.gas_limit, spec.base_fee_initial) = (60_000, 1_000_000_000, 1_000_000_000_000);
    (spec.epoch_length, spec.checkpoint_interval) = (10_000_000, 1_000_000);
    spec.validate().unwrap();
}

#[test]
fn names_are_short_and_printable() {
    for name in ["", "  ", "tab\there", "ünïcode", &"x".repeat(65)] {
        assert_eq!(fault(|spec| spec.name = name.to_owned()), SpecFault::Name);
    }
    for name in ["", "Upper", "with space", &"x".repeat(33), "a_b"] {
        let fault = fault(|spec| spec.validators[0].name = name.to_owned());
        assert!(matches!(fault, SpecFault::ValidatorName { index: 0, .. }), "{name}");
    }
}

#[test]
fn at_least_one_and_at_most_128_validators() {
    assert_eq!(fault(|spec| spec.validators.clear()), SpecFault::NoValidators);
    let many = |count: u8| (0..count).map(validator).collect();
    let too_many = u8::try_from(MAX_VALIDATORS).unwrap() + 1;
    assert!(matches!(fault(|spec| spec.validators = many(too_many)), SpecFault::TooMany { count: 129, .. }));
    let wide = StakingSpec { max_validators: 128, ..StakingSpec::default() };
    Genesis::build(ChainSpec { validators: many(too_many - 1), staking: wide, ..dev_spec() }).unwrap();
    assert_eq!(fault(|spec| spec.validators = many(101)), SpecFault::AboveMaxValidators { count: 101, max: 100 });
}

#[test]
fn validators_share_no_name_key_or_address() {
    let duplicate = |change: fn(&mut ChainSpec)| match fault(change) {
        SpecFault::Duplicate { index, key, .. } => (index, key),
        other => panic!("{other}"),
    };
    assert_eq!(duplicate(|spec| spec.validators[3].name = spec.validators[1].name.clone()), (3, "name"));
    assert_eq!(duplicate(|spec| spec.validators[3].operator = spec.validators[0].operator), (3, "operator"));
    assert_eq!(
        duplicate(|spec| spec.validators[2].consensus_key = spec.validators[1].consensus_key),
        (2, "consensusKey")
    );
    assert_eq!(duplicate(|spec| spec.validators[2].peg_address = spec.validators[1].peg_address), (2, "pegAddress"));
}

#[test]
fn stake_is_positive_and_its_sum_fits() {
    assert_eq!(fault(|spec| spec.validators[2].stake = U256::ZERO), SpecFault::NoStake { index: 2 });
    assert_eq!(
        fault(|spec| {
            spec.validators[0].stake = U256::MAX;
            spec.validators[1].stake = StakingSpec::default().min_self_bond;
        }),
        SpecFault::StakeOverflow
    );
    // What is bonded and what is liquid count together, up to 2^128 - 1.
    let mut spec = dev_spec();
    spec.validators.truncate(1);
    let holder = Address::repeat_byte(0x78);
    spec.staking.alloc.insert(holder, U256::from(u128::MAX) - spec.validators[0].stake);
    spec.validate().unwrap();
    *spec.staking.alloc.get_mut(&holder).unwrap() += U256::from(1);
    assert_eq!(spec.validate(), Err(SpecFault::StakeOverflow));
    *spec.staking.alloc.get_mut(&holder).unwrap() = U256::MAX;
    assert_eq!(spec.validate(), Err(SpecFault::StakeOverflow));
}

#[test]
fn figures_of_staking_outside_their_bounds_are_refused() {
    type Change = fn(&mut StakingSpec);
    let cases: [(&str, Change); 14] = [
        ("staking.maxValidators", |staking| staking.max_validators = 0),
        ("staking.maxValidators", |staking| staking.max_validators = 129),
        ("staking.unbondingSeconds", |staking| staking.unbonding_seconds = 0),
        ("staking.unbondingSeconds", |staking| staking.unbonding_seconds = 31_536_001),
        ("staking.downtimeWindow", |staking| staking.downtime_window = 9),
        ("staking.downtimeWindow", |staking| staking.downtime_window = 1_000_001),
        ("staking.downtimeSlashPpm", |staking| staking.downtime_slash_ppm = 1_000_001),
        ("staking.jailSeconds", |staking| staking.jail_seconds = 31_536_001),
        ("staking.doubleSignSlashPpm", |staking| staking.double_sign_slash_ppm = 1_000_001),
        ("staking.reporterPpm", |staking| staking.reporter_ppm = 500_001),
        ("staking.issuancePpm", |staking| staking.issuance_ppm = 10_001),
        ("staking.maxCommissionChangeBps", |staking| staking.max_commission_change_bps = 10_001),
        ("staking.maxValidators", |staking| staking.max_validators = u64::MAX),
        ("staking.unbondingSeconds", |staking| staking.unbonding_seconds = u64::MAX),
    ];
    for (expected, change) in cases {
        match fault(|spec| change(&mut spec.staking)) {
            SpecFault::OutOfRange { key, .. } => assert_eq!(key, expected),
            other => panic!("{expected}: {other}"),
        }
    }
    for amount in [U256::ZERO, U256::from(u128::MAX) + U256::from(1), U256::MAX] {
        assert_eq!(fault(|spec| spec.staking.min_self_bond = amount), SpecFault::Amount("minSelfBond"));
        assert_eq!(fault(|spec| spec.staking.min_delegation = amount), SpecFault::Amount("minDelegation"));
    }
}

#[test]
fn figures_of_staking_at_their_bounds_are_allowed() {
    let one = U256::from(1);
    let mut spec = dev_spec();
    spec.staking = StakingSpec {
        max_validators: 4,
        min_self_bond: spec.validators[0].stake,
        min_delegation: one,
        unbonding_seconds: 1,
        downtime_window: 10,
        downtime_slash_ppm: 0,
        jail_seconds: 0,
        double_sign_slash_ppm: 0,
        reporter_ppm: 0,
        issuance_ppm: 0,
        max_commission_change_bps: 0,
        alloc: [(Address::repeat_byte(0x78), one)].into(),
    };
    spec.validate().unwrap();
    spec.staking = StakingSpec {
        max_validators: 128,
        min_self_bond: one,
        unbonding_seconds: 31_536_000,
        downtime_window: 1_000_000,
        downtime_slash_ppm: 1_000_000,
        jail_seconds: 31_536_000,
        double_sign_slash_ppm: 1_000_000,
        reporter_ppm: 500_000,
        issuance_ppm: 10_000,
        max_commission_change_bps: 10_000,
        ..StakingSpec::default()
    };
    spec.validate().unwrap();
}

#[test]
fn a_genesis_validator_bonds_at_least_the_minimum() {
    let minimum = StakingSpec::default().min_self_bond;
    let stake = minimum - U256::from(1);
    let refused = fault(|spec| spec.validators[3].stake = stake);
    assert_eq!(refused, SpecFault::StakeBelowMinimum { index: 3, stake, minimum });
    let mut spec = dev_spec();
    spec.validators[3].stake = minimum;
    spec.validate().unwrap();
}

#[test]
fn a_commission_is_at_most_everything() {
    let refused = fault(|spec| spec.validators[1].commission_bps = 10_001);
    assert_eq!(refused, SpecFault::Commission { index: 1, bps: 10_001 });
    let mut spec = dev_spec();
    spec.validators[1].commission_bps = 10_000;
    spec.validate().unwrap();
}

#[test]
fn liquid_stake_belongs_to_accounts_that_can_move_it() {
    let alloc = |address, amount| {
        fault(move |spec| {
            spec.staking.alloc.insert(address, amount);
        })
    };
    for address in [Address::ZERO, addresses::STAKING, addresses::STAKE_TOKEN, addresses::SYSTEM] {
        assert_eq!(alloc(address, U256::from(1)), SpecFault::StakeReservedAddress(address));
    }
    let holder = Address::repeat_byte(0x78);
    assert_eq!(alloc(holder, U256::ZERO), SpecFault::StakeAllocZero(holder));
}

#[test]
fn the_unbonding_period_spans_a_bounded_number_of_epochs() {
    let with = |unbonding_seconds: u64| {
        let mut spec = dev_spec();
        (spec.epoch_length, spec.block_interval_ms) = (4, 250);
        spec.staking.unbonding_seconds = unbonding_seconds;
        spec.validate()
    };
    with(10_000).unwrap();
    let refused = SpecFault::UnbondingEpochs { seconds: 10_001, epochs: 10_001, max: 10_000 };
    assert_eq!(with(10_001), Err(refused));
}

#[test]
fn a_pegged_chain_has_two_checkpoints_an_epoch() {
    let change = |spec: &mut ChainSpec| {
        (spec.epoch_length, spec.checkpoint_interval) = (119, 60);
        spec.staking.unbonding_seconds = 1_000;
    };
    assert_eq!(pegged_fault(change), SpecFault::CheckpointsPerEpoch { interval: 60, length: 119 });
    let mut standalone = dev_spec();
    change(&mut standalone);
    standalone.validate().unwrap();
    let mut pegged = pegged_spec();
    change(&mut pegged);
    pegged.epoch_length = 120;
    pegged.validate().unwrap();
}

#[test]
fn a_spec_without_figures_of_staking_has_the_defaults() {
    let mut json: serde_json::Value = serde_json::from_str(&dev_spec().to_json()).unwrap();
    json.as_object_mut().unwrap().remove("staking").unwrap();
    assert_eq!(ChainSpec::from_json(&json.to_string()).unwrap(), dev_spec());
    json["staking"] = serde_json::json!({"unbondingSeconds": 60, "minSelfBond": "5"});
    let spec = ChainSpec::from_json(&json.to_string()).unwrap();
    let expected = StakingSpec { unbonding_seconds: 60, min_self_bond: U256::from(5), ..StakingSpec::default() };
    assert_eq!(spec.staking, expected);
}

#[test]
fn consensus_keys_are_points_of_large_order() {
    let small_order = {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        B256::from(identity)
    };
    let no_point =
        (0u8..=255).map(B256::repeat_byte).find(|key| ed25519_dalek::VerifyingKey::from_bytes(&key.0).is_err());
    for key in [small_order, no_point.unwrap()] {
        let fault = fault(|spec| spec.validators[1].consensus_key = key);
        assert_eq!(fault, SpecFault::ConsensusKey { index: 1, key });
    }
}

#[test]
fn validators_do_not_use_addresses_of_the_protocol() {
    for address in [Address::ZERO, addresses::PEG, addresses::SYSTEM] {
        assert!(matches!(
            fault(|spec| spec.validators[0].operator = address),
            SpecFault::ValidatorAddress { key: "operator", .. }
        ));
        assert!(matches!(
            fault(|spec| spec.validators[0].peg_address = address),
            SpecFault::ValidatorAddress { key: "pegAddress", .. }
        ));
    }
}

#[test]
fn a_pegged_chain_refuses_prefunded_coin_and_a_standalone_one_allows_it() {
    let account = Address::repeat_byte(0x77);
    let funded = AllocAccount { balance: U256::from(1), ..AllocAccount::default() };
    let refused = pegged_fault(|spec| drop(spec.alloc.insert(account, funded.clone())));
    assert_eq!(refused, SpecFault::PrefundedCoin(account));
    let mut standalone = dev_spec();
    standalone.alloc.insert(account, funded);
    standalone.validate().unwrap();
}

#[test]
fn a_pegged_chain_may_predeploy_contracts_without_coin() {
    let mut spec = pegged_spec();
    let code = AllocAccount { code: Bytes::from_static(&[0x00]), ..AllocAccount::default() };
    spec.alloc.insert(Address::repeat_byte(0x66), code);
    spec.validate().unwrap();
}

#[test]
fn the_parent_is_another_chain() {
    assert_eq!(pegged_fault(|spec| spec.chain_id = 31_337), SpecFault::ParentIsSelf(31_337));
    let parent_zero = pegged_fault(|spec| spec.peg.as_mut().unwrap().parent_chain_id = 0);
    assert!(matches!(parent_zero, SpecFault::OutOfRange { key: "peg.parentChainId", .. }));
}

#[test]
fn peg_contracts_are_where_the_deployer_will_create_them() {
    let stranger = Address::repeat_byte(9);
    assert!(matches!(
        pegged_fault(|spec| spec.peg.as_mut().unwrap().vault = stranger),
        SpecFault::PegAddress { key: "vault", .. }
    ));
    assert!(matches!(
        pegged_fault(|spec| spec.peg.as_mut().unwrap().registry = stranger),
        SpecFault::PegAddress { key: "registry", .. }
    ));
    assert!(matches!(
        pegged_fault(|spec| spec.peg.as_mut().unwrap().deployer_nonce = 4),
        SpecFault::PegAddress { key: "registry", .. }
    ));
    assert_eq!(pegged_fault(|spec| spec.peg.as_mut().unwrap().deployer = Address::ZERO), SpecFault::PegDeployer);
    assert!(ceremony::predicted_peg(1, stranger, u64::MAX).is_none());
}

#[test]
fn alloc_entries_must_be_possible_accounts() {
    let at = Address::repeat_byte(0x55);
    let with = |account: AllocAccount| fault(move |spec| drop(spec.alloc.insert(at, account)));
    let coded = AllocAccount { code: Bytes::from_static(&[0x5f]), ..AllocAccount::default() };
    assert_eq!(with(AllocAccount::default()), SpecFault::EmptyAccount(at));
    assert_eq!(with(AllocAccount { nonce: u64::MAX, ..coded.clone() }), SpecFault::NonceOverflow(at));
    assert_eq!(
        with(AllocAccount { code: Bytes::from_static(&[0xef, 0x01]), ..coded.clone() }),
        SpecFault::CodePrefix(at)
    );
    assert_eq!(
        with(AllocAccount { code: vec![0; 24_577].into(), ..coded.clone() }),
        SpecFault::CodeTooLarge { address: at, length: 24_577 }
    );
    let slot = U256::from(3);
    assert_eq!(
        with(AllocAccount { storage: [(slot, U256::ZERO)].into(), ..coded.clone() }),
        SpecFault::ZeroSlot { address: at, slot }
    );
    assert_eq!(
        with(AllocAccount { storage: [(slot, slot)].into(), ..AllocAccount::default() }),
        SpecFault::StorageWithoutCode(at)
    );
    let reserved = fault(|spec| drop(spec.alloc.insert(addresses::STAKING, coded)));
    assert_eq!(reserved, SpecFault::ReservedAddress(addresses::STAKING));
}

#[test]
fn the_sum_of_balances_is_checked() {
    let rich = |balance| AllocAccount { balance, ..AllocAccount::default() };
    let refused = fault(|spec| {
        spec.alloc.insert(Address::repeat_byte(1), rich(U256::MAX));
        spec.alloc.insert(Address::repeat_byte(2), rich(U256::from(1)));
    });
    assert_eq!(refused, SpecFault::CoinOverflow);
    assert_eq!(
        fault(|spec| drop(spec.alloc.insert(Address::repeat_byte(1), rich(U256::MAX)))),
        SpecFault::CoinOverflow
    );
}

#[test]
fn unknown_keys_are_refused_at_every_level_with_their_path() {
    let json: serde_json::Value = serde_json::from_str(&pegged_spec().to_json()).unwrap();
    for (pointer, expected) in
        [("", "the top level"), ("/validators/1", "validators[1]"), ("/peg", "peg"), ("/staking", "staking")]
    {
        let mut changed = json.clone();
        let object = changed.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        object.insert("surprise".into(), 1.into());
        let error = ChainSpec::from_json(&changed.to_string()).unwrap_err();
        let SpecError::Json { at, reason } = &error else { panic!("{error}") };
        assert!(at.starts_with(expected) || at == "surprise", "{at}");
        assert!(reason.contains("unknown field `surprise`"), "{reason}");
    }
    let mut spec = dev_spec();
    spec.alloc.insert(Address::repeat_byte(3), AllocAccount { nonce: 1, ..AllocAccount::default() });
    let text = spec.to_json().replace("\"nonce\": 1", "\"nonce\": 1, \"surprise\": 1");
    let error = ChainSpec::from_json(&text).unwrap_err().to_string();
    assert!(error.contains("alloc.0x0303030303030303030303030303030303030303"), "{error}");
}

#[test]
fn wrong_types_missing_keys_and_trailing_text_are_refused() {
    let json = dev_spec().to_json();
    let wrong = json.replace("\"gasLimit\": 60000000", "\"gasLimit\": \"much\"");
    assert!(ChainSpec::from_json(&wrong).unwrap_err().to_string().contains("gasLimit"));
    let missing = json.replace("\"gasLimit\": 60000000,", "");
    assert!(ChainSpec::from_json(&missing).unwrap_err().to_string().contains("missing field `gasLimit`"));
    let trailing = format!("{json} {{}}");
    assert!(ChainSpec::from_json(&trailing).unwrap_err().to_string().contains("trailing"));
    for text in ["", "null", "[]", "{", "\u{0}"] {
        assert!(matches!(ChainSpec::from_json(text), Err(SpecError::Json { .. })), "{text:?}");
    }
}

#[test]
fn json_round_trips() {
    for spec in [dev_spec(), pegged_spec()] {
        assert_eq!(ChainSpec::from_json(&spec.to_json()).unwrap(), spec);
    }
}

#[test]
fn files_that_are_missing_or_not_text_are_clear_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("genesis.json");
    assert!(matches!(ChainSpec::load(&path), Err(SpecError::Read { .. })));
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(ChainSpec::load(&path), Err(SpecError::Read { .. })));
    dev_spec().save(&path).unwrap();
    assert_eq!(ChainSpec::load(&path).unwrap(), dev_spec());
    let sparse = std::fs::File::create(&path).unwrap();
    sparse.set_len(causeway_genesis::spec::MAX_SPEC_BYTES + 1).unwrap();
    assert!(matches!(ChainSpec::load(&path), Err(SpecError::TooLarge { .. })));
}

#[test]
fn adding_a_validator_that_breaks_a_rule_leaves_the_draft_alone() {
    let mut draft = ceremony::new_spec(7, "draft", 1, None);
    assert_eq!(draft.validate(), Err(SpecFault::NoValidators));
    ceremony::add_validator(&mut draft, validator(0)).unwrap();
    let before = draft.clone();
    assert!(matches!(ceremony::add_validator(&mut draft, validator(0)), Err(SpecFault::Duplicate { .. })));
    assert_eq!(draft, before);
    ceremony::add_validator(&mut draft, validator(1)).unwrap();
    assert_eq!(draft.validators.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        prop_assert!(ChainSpec::from_json(&text).is_err());
    }

    #[test]
    fn no_altered_spec_makes_the_parser_or_the_builder_panic(
        cut in any::<prop::sample::Index>(),
        length in 0usize..12,
        insert in "[\\PC]{0,12}",
    ) {
        let json = pegged_spec().to_json();
        let start = cut.index(json.len());
        let end = start.saturating_add(length).min(json.len());
        let altered = format!("{}{insert}{}", &json[..start], &json[end..]);
        if let Ok(spec) = ChainSpec::from_json(&altered) {
            Genesis::build(spec).unwrap();
        }
    }

    #[test]
    fn any_numbers_are_judged_without_panic(
        numbers in any::<[u64; 7]>(),
        stakes in any::<[[u8; 32]; 4]>(),
        nonce in any::<u64>(),
    ) {
        let mut spec = pegged_spec();
        [spec.chain_id, spec.timestamp, spec.block_interval_ms, spec.gas_limit, spec.base_fee_initial, spec.epoch_length,
            spec.checkpoint_interval] = numbers;
        for (validator, stake) in spec.validators.iter_mut().zip(stakes) {
            validator.stake = U256::from_be_bytes(stake);
        }
        if let Some(peg) = spec.peg.as_mut() {
            peg.deployer_nonce = nonce;
        }
        prop_assert!(spec.validate().is_ok() == Genesis::build(spec).is_ok());
    }
}
