use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use causeway_contracts::PegVault;

use crate::world::{ALICE, BOB, World, ether};

fn acc_at(world: &mut World, nonce: u64) -> B256 {
    world.chain.view(world.vault, &PegVault::depositAccAtCall { nonce })
}

#[test]
fn deposits_have_gapless_nonces_and_every_accumulator_is_remembered() {
    let mut world = World::new(&[1]);
    assert_eq!(acc_at(&mut world, 0), B256::ZERO);
    for amount in 1..=5u64 {
        world.deposit(ALICE, BOB, U256::from(amount));
        assert_eq!(world.deposits.last().unwrap().nonce, amount);
    }
    for count in 0..=5usize {
        let expected = world.acc(count);
        assert_eq!(acc_at(&mut world, u64::try_from(count).unwrap()), expected);
    }
    assert_eq!(world.chain.view(world.vault, &PegVault::depositNonceCall {}), 5);
    assert_eq!(world.chain.view(world.vault, &PegVault::depositAccCall {}), world.acc(5));
    assert_eq!(world.locked(), U256::from(15));
    assert_eq!(world.chain.balance(world.vault), U256::from(15));
}

#[test]
fn deposit_event_carries_every_field() {
    let mut world = World::new(&[1]);
    let event: PegVault::Deposited = world.deposit(ALICE, BOB, ether(3)).event();
    assert_eq!((event.nonce, event.token, event.sender), (1, Address::ZERO, ALICE));
    assert_eq!((event.recipient, event.amount), (BOB, ether(3)));
}

#[test]
fn deposit_of_zero_is_refused() {
    let mut world = World::new(&[1]);
    let call = PegVault::depositNativeCall { recipient: BOB };
    world.chain.send(ALICE, world.vault, U256::ZERO, &call).refused_with(PegVault::ZeroAmount {});
}

#[test]
fn deposit_to_the_zero_address_is_refused() {
    let mut world = World::new(&[1]);
    let call = PegVault::depositNativeCall { recipient: Address::ZERO };
    world.chain.send(ALICE, world.vault, ether(1), &call).refused_with(PegVault::ZeroRecipient {});
}

#[test]
fn deposit_beyond_192_bits_is_refused() {
    let mut world = World::new(&[1]);
    world.chain.fund(ALICE, U256::MAX);
    world.deposit(ALICE, BOB, (U256::ONE << 192) - U256::ONE);
    let call = PegVault::depositNativeCall { recipient: BOB };
    world.chain.send(ALICE, world.vault, U256::ONE, &call).refused_with(PegVault::AmountTooLarge {});
    assert_eq!(world.locked(), (U256::ONE << 192) - U256::ONE);
}

#[test]
fn plain_payments_and_unknown_calls_are_refused() {
    let mut world = World::new(&[1]);
    for data in [Bytes::new(), Bytes::from_static(&[1, 2, 3, 4])] {
        world.chain.transact(ALICE, TxKind::Call(world.vault), data.clone(), ether(1)).refused();
        world.chain.transact(ALICE, TxKind::Call(world.registry), data, ether(1)).refused();
    }
}

#[test]
fn donated_coin_is_surplus_and_not_locked() {
    let mut world = World::new(&[1]);
    world.deposit(ALICE, BOB, ether(1));
    // As a self-destructing contract can do.
    world.chain.fund_more(world.vault, ether(5));
    assert_eq!(world.locked(), ether(1));
    assert_eq!(world.chain.balance(world.vault), ether(6));
}

#[test]
fn snapshot_of_a_future_nonce_is_refused() {
    let mut world = World::new(&[1]);
    world.deposit(ALICE, BOB, ether(1));
    let call = PegVault::depositAccAtCall { nonce: 2 };
    world.chain.try_view(world.vault, &call).refused_with(PegVault::SnapshotUnavailable { nonce: 2 });
    let call = PegVault::depositAccAtCall { nonce: u64::MAX };
    world.chain.try_view(world.vault, &call).refused_with(PegVault::SnapshotUnavailable { nonce: u64::MAX });
}

#[test]
fn ring_drops_only_accumulators_4096_deposits_old() {
    let mut world = World::new(&[1]);
    let ring = world.chain.view(world.vault, &PegVault::SNAPSHOTSCall {});
    let mut accs = vec![B256::ZERO];
    for _ in 0..ring + 2 {
        let call = PegVault::depositNativeCall { recipient: BOB };
        let event: PegVault::Deposited = world.chain.send(ALICE, world.vault, U256::ONE, &call).event();
        accs.push(event.depositAcc);
    }
    for nonce in [0, 1, 2] {
        let call = PegVault::depositAccAtCall { nonce };
        world.chain.try_view(world.vault, &call).refused_with(PegVault::SnapshotUnavailable { nonce });
    }
    for nonce in [3, 4, ring - 1, ring, ring + 1, ring + 2] {
        assert_eq!(acc_at(&mut world, nonce), accs[usize::try_from(nonce).unwrap()]);
    }
}
