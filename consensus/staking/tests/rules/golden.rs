//! Bytes that other programs rely on: signed messages, proven slots, called selectors.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256, b256, hex, keccak256};
use alloy_sol_types::{SolCall, SolError};
use causeway_staking::{
    IStakeToken, IStaking, StakingFault,
    layout::{self, DelegationField, RedelegationField, ValidatorField},
    registration,
};

use crate::world::{World, account, member, params, stake};

#[test]
fn registration_messages_are_fixed() {
    let (genesis, who) = (B256::repeat_byte(0x11), Address::repeat_byte(0x22));
    let message = registration::consensus_message(genesis, who, B256::repeat_byte(0x33));
    let expected = [&b"causeway/register-consensus/1"[..], &[0x11; 32], &[0x22; 20], &[0x33; 32]].concat();
    assert_eq!(message, expected);
    let digest = registration::peg_digest(genesis, who, Address::repeat_byte(0x44));
    let preimage = [&b"causeway/register-peg/1"[..], &[0x11; 32], &[0x22; 20], &[0x44; 20]].concat();
    assert_eq!(digest, keccak256(preimage));
    assert_eq!(digest, b256!("fa53293d1332cd3bdd9def785b3aab489697180bcd0cd35e7048ce33ef5d402c"));
}

#[test]
fn records_have_the_slots_of_a_solidity_layout() {
    let map = |key: U256, base: U256| {
        U256::from_be_bytes(keccak256([key.to_be_bytes::<32>(), base.to_be_bytes::<32>()].concat()).0)
    };
    let word = |address: Address| U256::from_be_bytes(address.into_word().0);
    let (a, b) = (account(1), account(2));
    let base = |offset: u64| U256::from(0x10000 + offset);
    assert_eq!(layout::validator(a, ValidatorField::Status), map(word(a), base(0)));
    assert_eq!(layout::validator(a, ValidatorField::Commission), map(word(a), base(0)).wrapping_add(U256::from(12)));
    let delegation = map(word(b), map(word(a), base(1)));
    assert_eq!(layout::delegation(a, b, DelegationField::Shares), delegation);
    assert_eq!(layout::delegation(a, b, DelegationField::Listed), delegation.wrapping_add(U256::from(4)));
    assert_eq!(layout::delegated_to(a), map(word(a), base(2)));
    let pool = map(U256::from(7), map(word(a), base(3)));
    assert_eq!(layout::leaving_pool(a, 7), pool);
    assert_eq!(layout::leaving_pool_shares(a, 7), pool.wrapping_add(U256::ONE));
    assert_eq!(layout::leaving_part(b, a, 7), map(word(b), pool));
    assert_eq!(layout::leaving_bits(a, 1), map(U256::ONE, map(word(a), base(4))));
    assert_eq!(layout::unbondings_of(a), map(word(a), base(5)));
    assert_eq!(layout::leave_queue(3), map(U256::from(3), base(6)));
    assert_eq!(layout::exit_plan(a, 3), map(U256::from(3), map(word(a), base(7))));
    assert_eq!(layout::slash(a, 2), map(U256::from(2), map(word(a), base(8))));
    let redelegation = map(U256::from(5), base(9));
    assert_eq!(layout::redelegation(5, RedelegationField::Shares), redelegation.wrapping_add(U256::from(4)));
    assert_eq!(layout::redelegations_of(a), map(word(a), base(10)));
    let key = B256::repeat_byte(9);
    assert_eq!(layout::consensus_key(key), map(U256::from_be_bytes(key.0), base(11)));
    assert_eq!(layout::peg_address(a), map(word(a), base(12)));
    assert_eq!(layout::key_id(a), map(word(a), base(13)));
    assert_eq!(layout::epoch_start(6), map(U256::from(6), base(14)));
    assert_eq!(layout::balance(a), map(word(a), base(15)));
    assert_eq!(layout::allowance(a, b), map(word(b), map(word(a), base(16))));
    let list = U256::from(14);
    let items = U256::from_be_bytes(keccak256(list.to_be_bytes::<32>()).0);
    assert_eq!(layout::item(list, 4), items.wrapping_add(U256::from(4)));
}

#[test]
fn no_two_single_values_share_a_slot() {
    let fixed = [
        layout::VERSION,
        layout::EPOCH,
        layout::ISSUED,
        layout::BONDED,
        layout::UNBONDING,
        layout::SLASHED,
        layout::DUST,
        layout::POWER_INDEX,
        layout::POWER_CARRY,
        layout::COIN_OWED,
        layout::COIN_UNDISTRIBUTED,
        layout::COIN_DUST,
        layout::WINDOW,
        layout::LAST_REDELEGATION,
        layout::CANDIDATES,
        layout::FORMER,
    ];
    for (number, slot) in fixed.into_iter().enumerate() {
        assert_eq!(slot, U256::from(number));
    }
    let mut slots: Vec<U256> = fixed.to_vec();
    slots.extend((0..128).step_by(8).map(layout::counters));
    for epoch in [4, 5] {
        slots.extend([layout::set_head(epoch), layout::set_stake(epoch)]);
        slots.extend((0..128).flat_map(|at| [layout::set_member(epoch, at), layout::set_member_stake(epoch, at)]));
    }
    let unique: BTreeSet<U256> = slots.iter().copied().collect();
    assert_eq!(unique.len(), slots.len());
    assert_eq!(layout::set_head(6), layout::set_head(4), "two sets are kept");
}

#[test]
fn genesis_slots_are_fixed() {
    let members = [member(1, stake(100)), member(2, stake(50))];
    let world = World::with(params(), &members, &[(account(1), stake(7))]);
    let bytes: Vec<u8> = world
        .slots
        .iter()
        .flat_map(|(slot, value)| [slot.to_be_bytes::<32>(), value.to_be_bytes::<32>()])
        .flatten()
        .collect();
    assert_eq!(world.slots.len(), 49);
    assert_eq!(keccak256(bytes), b256!("f16aad2beaa8dcd7929596181462f49178a0555ecedc30d3b48d3ab4f94001dd"));
}

#[test]
fn selectors_and_errors_are_fixed() {
    assert_eq!(IStakeToken::transferCall::SELECTOR, hex!("a9059cbb"));
    assert_eq!(IStakeToken::transferFromCall::SELECTOR, hex!("23b872dd"));
    assert_eq!(IStakeToken::approveCall::SELECTOR, hex!("095ea7b3"));
    assert_eq!(IStakeToken::balanceOfCall::SELECTOR, hex!("70a08231"));
    let call = keccak256("register(bytes32,bytes,address,bytes,uint16,uint256)");
    assert_eq!(IStaking::registerCall::SELECTOR, call[..4]);
    let call = keccak256("reportEvidence(bytes,uint64)");
    assert_eq!(IStaking::reportEvidenceCall::SELECTOR, call[..4]);
    let fault = StakingFault::InsufficientStake { available: U256::from(1), needed: U256::from(2) };
    let error = IStaking::InsufficientStake::abi_decode(&fault.revert_data()).unwrap();
    assert_eq!((error.available, error.needed), (U256::from(1), U256::from(2)));
    let error = keccak256("ERC20InsufficientBalance(address,uint256,uint256)");
    let fault = StakingFault::TokenBalance { owner: account(1), balance: U256::ZERO, needed: U256::ONE };
    assert_eq!(fault.revert_data()[..4], error[..4]);
}
