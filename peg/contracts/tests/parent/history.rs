//! Checkpoints that are older than the vault's stored accumulators by more deposits than one transaction can prove.

use alloy_primitives::{B256, U256};
use causeway_contracts::{CheckpointRegistry, PegVault, deposit_of};
use causeway_peg::{
    Checkpoint,
    deposit::{deposit_leaf, fold_deposits},
};

use crate::{
    chain::Outcome,
    world::{ALICE, BOB, RELAYER, World, ether},
};

/// A checkpoint with one deposit, followed by so many deposits that the vault no longer stores its accumulator. Also returns
/// the leaves of these deposits.
fn forgotten() -> (World, Checkpoint, Vec<B256>) {
    let mut world = World::new(&[1, 1, 1, 1]);
    world.deposit(ALICE, BOB, ether(1));
    world.import();
    let checkpoint = world.checkpoint();
    let ring = world.chain.view(world.vault, &PegVault::SNAPSHOTSCall {});
    for _ in 0..ring + 20 {
        let call = PegVault::depositNativeCall { recipient: BOB };
        let event: PegVault::Deposited = world.chain.send(ALICE, world.vault, U256::ONE, &call).event();
        world.deposits.push(deposit_of(&event));
    }
    let leaves = world.deposits[1..].iter().map(deposit_leaf).collect();
    (world, checkpoint, leaves)
}

fn acc(world: &World, nonce: usize) -> B256 {
    fold_deposits(B256::ZERO, &world.deposits[..nonce])
}

fn link(world: &mut World, nonce: u64, acc: B256, leaves: &[B256]) -> Outcome {
    let call = CheckpointRegistry::linkCall { nonce, acc, laterDeposits: leaves.to_vec() };
    world.chain.send(RELAYER, world.registry, U256::ZERO, &call)
}

fn submit(world: &mut World, checkpoint: &Checkpoint, leaves: &[B256]) -> Outcome {
    let mut call = world.submission(checkpoint, &[0, 1, 2]);
    call.laterDeposits = leaves.to_vec();
    world.chain.send(RELAYER, world.registry, U256::ZERO, &call)
}

#[test]
fn history_is_linked_backwards_part_by_part() {
    let (mut world, checkpoint, leaves) = forgotten();
    submit(&mut world, &checkpoint, &[]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce: 1 });
    submit(&mut world, &checkpoint, &leaves[..4]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce: 5 });
    // Leaf i belongs to deposit i + 2. The vault stores the accumulators from deposit 22 on.
    let (tenth, fifth) = (acc(&world, 10), acc(&world, 5));
    link(&mut world, 5, fifth, &leaves[4..9]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce: 10 });
    let event: CheckpointRegistry::DepositHistoryLinked = link(&mut world, 10, tenth, &leaves[9..30]).event();
    assert_eq!((event.nonce, event.acc), (10, tenth));
    assert!(link(&mut world, 5, fifth, &leaves[4..9]).ok());
    assert!(link(&mut world, 5, fifth, &leaves[4..9]).ok(), "another relayer may link it again");
    let call = CheckpointRegistry::linkedAccCall { nonce: 5 };
    assert_eq!(world.chain.view(world.registry, &call), fifth);
    assert!(submit(&mut world, &checkpoint, &leaves[..4]).ok());
}

#[test]
fn checkpoint_whose_own_accumulator_is_linked_needs_no_leaves() {
    let (mut world, checkpoint, leaves) = forgotten();
    assert!(link(&mut world, 1, checkpoint.depositAcc, &leaves[..40]).ok());
    let forged = Checkpoint { depositAcc: B256::repeat_byte(9), ..checkpoint };
    let fault = CheckpointRegistry::DepositHistoryMismatch {
        nonce: 1,
        actual: checkpoint.depositAcc,
        claimed: B256::repeat_byte(9),
    };
    submit(&mut world, &forged, &[]).refused_with(fault);
    assert!(submit(&mut world, &checkpoint, &[]).ok());
}

#[test]
fn false_history_is_never_linked() {
    let (mut world, checkpoint, leaves) = forgotten();
    let (tenth, count) = (acc(&world, 10), u64::try_from(world.deposits.len()).unwrap());
    let mut wrong = leaves[9..30].to_vec();
    wrong.swap(3, 4);
    link(&mut world, 10, tenth, &wrong).refused_as::<CheckpointRegistry::DepositHistoryMismatch>();
    link(&mut world, 10, B256::repeat_byte(1), &leaves[9..30])
        .refused_as::<CheckpointRegistry::DepositHistoryMismatch>();
    link(&mut world, 11, tenth, &leaves[9..30]).refused_as::<CheckpointRegistry::DepositHistoryMismatch>();
    for nonce in [10, count + 1, u64::MAX] {
        link(&mut world, nonce, tenth, &[]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce });
        link(&mut world, nonce, B256::ZERO, &[]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce });
    }
    link(&mut world, u64::MAX, tenth, &leaves[..1]).refused();
    // A claimed accumulator of zero must not pass because no accumulator is stored.
    let forged = Checkpoint { depositAcc: B256::ZERO, ..checkpoint };
    submit(&mut world, &forged, &[]).refused_with(CheckpointRegistry::UnknownDepositHistory { nonce: 1 });
}

#[test]
fn checkpoint_before_the_first_deposit_needs_no_proof_however_old() {
    let (mut world, checkpoint, _) = forgotten();
    let first = Checkpoint { depositNonce: 0, depositAcc: B256::ZERO, ..checkpoint };
    let forged = Checkpoint { depositAcc: B256::repeat_byte(9), ..first };
    submit(&mut world, &forged, &[]).refused_as::<CheckpointRegistry::DepositHistoryMismatch>();
    assert!(submit(&mut world, &first, &[]).ok());
}
