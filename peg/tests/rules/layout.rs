//! `eth_getProof` and the auditor read these slots: moving one needs a new layout version.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_peg::{
    ModuleError, PegFault, PegModule, PegValidator, PegValidatorSet, Slots,
    layout::{self, CheckpointField, SetField},
};

use crate::federation::{Federation, INTERVAL, Memory, REGISTRY, VAULT, genesis};

#[test]
fn genesis_holds_the_configuration_the_set_and_no_supply() {
    let federation = Federation::new(&[9, 4, 4]);
    let (_, mut slots) = genesis(&federation);
    assert_eq!(slots.len(), 5 + 2 * (2 + 3), "non-zero slots: version, ids, interval, and two sets");
    assert_eq!(slots[&U256::from(0)], U256::from(layout::LAYOUT_VERSION));
    assert_eq!(PegModule::parent_chain_id(&mut slots).unwrap(), 1);
    assert_eq!(PegModule::vault(&mut slots).unwrap(), VAULT);
    assert_eq!(PegModule::registry(&mut slots).unwrap(), REGISTRY);
    assert_eq!(PegModule::checkpoint_interval(&mut slots).unwrap(), INTERVAL);
    assert_eq!(PegModule::supply(&mut slots).unwrap(), U256::ZERO);
    assert_eq!(PegModule::deposit_nonce(&mut slots).unwrap(), 0);
    assert_eq!(PegModule::deposit_acc(&mut slots).unwrap(), B256::ZERO);
    assert_eq!(PegModule::validator_set(&mut slots).unwrap(), federation.set);
    assert_eq!((PegModule::epoch(&mut slots).unwrap(), PegModule::acked_epoch(&mut slots).unwrap()), (0, 0));
    let next = PegModule::validator_set_of(&mut slots, 1).unwrap().unwrap();
    assert_eq!((next.epoch(), next.validators()), (1, federation.set.validators()));
    for epoch in [2, u64::MAX] {
        assert_eq!(PegModule::validator_set_of(&mut slots, epoch), Ok(None));
    }
}

#[test]
fn largest_set_with_the_largest_powers_survives_its_slots() {
    let member = |i: u64| PegValidator {
        address: Address::from_slice(&keccak256(i.to_be_bytes())[12..]),
        power: u64::MAX / 256,
    };
    let set = PegValidatorSet::new(7, (0..256).map(member).collect()).unwrap();
    let mut slots = PegModule::genesis_slots(&causeway_peg::PegGenesis {
        parent_chain_id: u64::MAX,
        vault: VAULT,
        registry: REGISTRY,
        checkpoint_interval: u64::MAX,
        validators: set.clone(),
    });
    assert_eq!(PegModule::validator_set(&mut slots).unwrap(), set);
    assert_eq!((PegModule::epoch(&mut slots).unwrap(), PegModule::acked_epoch(&mut slots).unwrap()), (7, 7));
    assert_eq!(PegModule::parent_chain_id(&mut slots).unwrap(), u64::MAX);
}

#[test]
fn unknown_versions_and_invalid_sets_count_as_no_peg() {
    let (_, slots) = genesis(&Federation::new(&[2, 1]));
    let broken = |slot: U256, value: U256| {
        let mut slots = slots.clone();
        let Ok(()) = slots.store(slot, value);
        assert_eq!(PegModule::validator_set(&mut slots), Err(ModuleError::Refused(PegFault::NotPegged)), "slot {slot}");
    };
    broken(layout::VERSION, U256::from(1));
    broken(layout::VERSION, U256::from(3));
    broken(layout::VERSION, U256::ZERO);
    broken(layout::VALIDATOR_EPOCH, U256::from(2));
    let count = layout::validator_set(0, SetField::Count);
    broken(count, U256::ZERO);
    broken(count, U256::from(3));
    broken(count, U256::from(257));
    broken(count, U256::MAX);
    let member = |position| layout::validator_set(0, SetField::Member(position));
    broken(member(0), slots[&member(1)]);
}

#[test]
fn no_two_values_share_a_slot() {
    let fields = [
        CheckpointField::Digest,
        CheckpointField::Counters,
        CheckpointField::BlockHash,
        CheckpointField::StateRoot,
        CheckpointField::WithdrawalRoot,
        CheckpointField::DepositAcc,
        CheckpointField::NextValset,
    ];
    let slots: Vec<U256> = (0..=14u64)
        .map(U256::from)
        .chain((0..32).map(layout::frontier))
        .chain((0..200).flat_map(|epoch| {
            [SetField::Commitment, SetField::Count, SetField::Handover]
                .into_iter()
                .chain((0..256).map(SetField::Member))
                .map(move |field| layout::validator_set(epoch, field))
        }))
        .chain((1..200).flat_map(|number| fields.map(|field| layout::checkpoint(number, field))))
        .collect();
    let unique: BTreeSet<U256> = slots.iter().copied().collect();
    assert_eq!(unique.len(), slots.len());
    let fixed = [
        layout::VERSION,
        layout::PARENT_CHAIN_ID,
        layout::VAULT,
        layout::REGISTRY,
        layout::CHECKPOINT_INTERVAL,
        layout::SUPPLY,
        layout::DEPOSIT_NONCE,
        layout::DEPOSIT_ACC,
        layout::PARENT_HEIGHT,
        layout::PARENT_HASH,
        layout::WITHDRAWAL_COUNT,
        layout::LATEST_CHECKPOINT,
        layout::RECORDED_CHECKPOINT,
        layout::VALIDATOR_EPOCH,
        layout::ACKED_EPOCH,
    ];
    for (number, slot) in fixed.into_iter().enumerate() {
        assert_eq!(slot, U256::from(number));
    }
}

#[test]
fn checkpoint_records_have_the_slots_of_a_solidity_mapping() {
    // mapping(uint64 => Record) at 0x10000.
    let base = keccak256([U256::from(3).to_be_bytes::<32>(), U256::from(0x10000).to_be_bytes::<32>()].concat());
    assert_eq!(layout::checkpoint(3, CheckpointField::Digest), U256::from_be_bytes(base.0));
    assert_eq!(
        layout::checkpoint(3, CheckpointField::NextValset),
        U256::from_be_bytes(base.0).wrapping_add(U256::from(6))
    );
}

#[test]
fn validator_sets_have_the_slots_of_a_solidity_mapping() {
    // mapping(uint64 => Record) at 0x20000.
    let base = keccak256([U256::from(5).to_be_bytes::<32>(), U256::from(0x20000).to_be_bytes::<32>()].concat());
    let slot = |offset: u64| U256::from_be_bytes(base.0).wrapping_add(U256::from(offset));
    for (field, offset) in [
        (SetField::Commitment, 0),
        (SetField::Count, 1),
        (SetField::Handover, 2),
        (SetField::Member(0), 0x100),
        (SetField::Member(255), 0x1ff),
    ] {
        assert_eq!(layout::validator_set(5, field), slot(offset));
    }
}

#[test]
fn slots_in_memory_hold_no_zeros() {
    let mut slots = Memory::new();
    let Ok(()) = slots.store(U256::ONE, U256::from(5));
    let Ok(()) = slots.store(U256::ONE, U256::ZERO);
    assert!(slots.is_empty());
    assert_eq!(slots.load(U256::ONE), Ok(U256::ZERO));
}
