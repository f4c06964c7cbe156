//! Gas costs of the contracts. `cargo test --release -p causeway-contracts gas -- --nocapture` prints the figures; the
//! assertions are the goals (21,000 and calldata included).

use alloy_primitives::{Address, U256};
use causeway_contracts::PegVault;

use crate::world::{ALICE, BOB, World, ether};

#[test]
fn gas_of_deposits_checkpoints_and_claims_stays_within_the_goals() {
    let mut world = World::new(&[100, 100, 100, 100]);
    let first = world.deposit(ALICE, ALICE, ether(1)).gas;
    let second = world.deposit(ALICE, ALICE, ether(1)).gas;
    let ring = world.chain.view(world.vault, &PegVault::SNAPSHOTSCall {});
    let mut wrapped = world.clone();
    for _ in 0..ring - 2 {
        let call = PegVault::depositNativeCall { recipient: BOB };
        wrapped.chain.send(ALICE, wrapped.vault, U256::ONE, &call);
    }
    let call = PegVault::depositNativeCall { recipient: ALICE };
    let warm = wrapped.chain.send(ALICE, wrapped.vault, ether(1), &call).gas;
    println!("deposit: {warm} once the ring of {ring} is full; {second} before, the very first {first}");
    assert!(warm <= 45_000, "{warm}");
    assert!(second <= 55_000, "{second}");

    world.import();
    for _ in 0..4 {
        world.withdraw(ALICE, BOB, ether(1) / U256::from(10), U256::ZERO);
    }
    let checkpoint = world.checkpoint();
    let first = world.submit(&checkpoint, &[0, 1, 2]).gas;
    let checkpoint = world.checkpoint();
    let later = world.submit(&checkpoint, &[0, 1, 2]).gas;
    println!("checkpoint of 4 validators: {later}, the very first {first}");
    assert!(later <= 120_000, "{later}");

    let claims: Vec<u64> = (0..3).map(|index| world.claim(index).gas).collect();
    println!("claim, no fee: {claims:?} (the first opens a word of 256 nullifiers)");
    assert!(claims[0] <= 93_000, "{}", claims[0]);
    world.withdraw(ALICE, BOB, ether(1) / U256::from(10), U256::from(5));
    let fresh = Address::repeat_byte(0x3e);
    world.withdraw(ALICE, fresh, ether(1) / U256::from(10), U256::from(5));
    let checkpoint = world.checkpoint();
    assert!(world.submit(&checkpoint, &[0, 1, 2]).ok());
    println!("claim with a relayer's fee: {}, to a fresh account: {}", world.claim(4).gas, world.claim(5).gas);

    // Goals for a checkpoint that is not the first one of its epoch; the first one also writes the next set's slot.
    let goals = [(1usize, None), (4, Some(120_000)), (7, None), (21, Some(185_000)), (100, Some(480_000)), (256, None)];
    for (count, goal) in goals {
        let mut world = World::new(&vec![100; count]);
        world.deposit(ALICE, ALICE, ether(1));
        world.import();
        let checkpoint = world.checkpoint();
        let outcome = world.submit(&checkpoint, &world.everybody());
        assert!(outcome.ok());
        println!("first checkpoint of an epoch, {count} equal validators: {}", outcome.gas);
        world.withdraw(ALICE, BOB, U256::ONE, U256::ZERO);
        let checkpoint = world.checkpoint();
        let signers: Vec<usize> = (0..count * 2 / 3 + 1).collect();
        let outcome = world.submit(&checkpoint, &signers);
        assert!(outcome.ok());
        println!("checkpoint of {count} equal validators, {} signatures: {}", signers.len(), outcome.gas);
        assert!(goal.is_none_or(|goal| outcome.gas <= goal), "{count} validators: {}", outcome.gas);
    }
}
