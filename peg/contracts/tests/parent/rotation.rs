//! Validator-set rotation on the parent.

use alloy_primitives::{B256, U256};
use causeway_contracts::CheckpointRegistry;
use causeway_peg::Checkpoint;

use crate::world::{World, validators};

/// The world after a checkpoint that announces the set of epoch 1, with that set's secrets swapped in by
/// [`rotate`].
fn announced() -> World {
    let mut world = World::new(&[1, 1, 1, 1]);
    let next = validators(1, &[5, 3, 1]).0;
    let checkpoint = Checkpoint { nextValset: next.commitment(), ..world.checkpoint() };
    let outcome = world.submit(&checkpoint, &[0, 1, 2]);
    let event: CheckpointRegistry::ValidatorSetCommitted = outcome.event();
    assert_eq!((event.epoch, event.commitment), (1, next.commitment()));
    world.checkpoints[0] = checkpoint;
    world
}

fn rotate(world: &mut World) {
    (world.set, world.secrets) = validators(1, &[5, 3, 1]);
}

/// A checkpoint after the announcement, linked by number with a gap so that the digest chain is not the point.
fn after(world: &World, number: u64, epoch: u64) -> Checkpoint {
    Checkpoint { number, height: number * 100, epoch, nextValset: B256::ZERO, ..world.checkpoints[0] }
}

#[test]
fn announced_set_takes_over_with_its_first_checkpoint_and_the_old_one_falls_silent() {
    let mut world = announced();
    let old = after(&world, 3, 0);
    assert!(world.submit(&old, &[0, 1, 2]).ok(), "until then the outgoing set goes on");
    let mut rotated = world.clone();
    rotate(&mut rotated);
    let new = after(&rotated, 5, 1);
    rotated.submit(&new, &[1, 2]).refused_as::<CheckpointRegistry::NoQuorum>();
    assert!(rotated.submit(&new, &[0, 1]).ok());
    let latest = rotated.chain.view(rotated.registry, &CheckpointRegistry::latestCall {});
    assert_eq!((latest.number, latest.epoch), (5, 1));

    world.chain = rotated.chain;
    let late = after(&world, 7, 0);
    world.submit(&late, &[0, 1, 2, 3]).refused_with(CheckpointRegistry::UnknownEpoch { epoch: 0 });
}

#[test]
fn outgoing_set_cannot_sign_for_the_next_epoch() {
    let mut world = announced();
    let forged = after(&world, 3, 1);
    world.submit(&forged, &[0, 1, 2, 3]).refused_as::<CheckpointRegistry::WrongValidatorSet>();
}

#[test]
fn incoming_set_cannot_sign_for_the_old_epoch() {
    let mut world = announced();
    rotate(&mut world);
    let forged = after(&world, 3, 0);
    world.submit(&forged, &[0, 1, 2]).refused_as::<CheckpointRegistry::WrongValidatorSet>();
}

#[test]
fn epochs_without_a_known_set_are_refused() {
    let mut world = World::new(&[1, 1, 1, 1]);
    let checkpoint = world.checkpoint();
    for epoch in [1, 2, u64::MAX] {
        let forged = Checkpoint { epoch, ..checkpoint };
        world.submit(&forged, &[0, 1, 2, 3]).refused_with(CheckpointRegistry::UnknownEpoch { epoch });
    }
}

#[test]
fn announcement_may_be_repeated_but_not_changed() {
    let mut world = announced();
    let next = validators(1, &[5, 3, 1]).0.commitment();
    let changed = Checkpoint { nextValset: B256::repeat_byte(7), ..after(&world, 3, 0) };
    world
        .submit(&changed, &[0, 1, 2])
        .refused_with(CheckpointRegistry::ConflictingNextSet { known: next, given: B256::repeat_byte(7) });
    let repeated = Checkpoint { nextValset: next, ..after(&world, 3, 0) };
    assert!(world.submit(&repeated, &[0, 1, 2]).ok());
}

#[test]
fn malformed_next_set_can_be_announced_but_never_signs() {
    // Only its hash is known when it is announced: what cannot be ordered cannot be used either.
    let mut world = World::new(&[1, 1, 1, 1]);
    let (set, secrets) = validators(1, &[2, 1]);
    let packed = set.packed();
    let swapped = [&packed[28..], &packed[..28]].concat();
    let commitment = alloy_primitives::keccak256(&swapped);
    let checkpoint = Checkpoint { nextValset: commitment, ..world.checkpoint() };
    world.checkpoints[0] = checkpoint;
    assert!(world.submit(&checkpoint, &[0, 1, 2]).ok());
    (world.set, world.secrets) = (set, secrets);
    let forged = after(&world, 3, 1);
    let mut call = world.submission(&forged, &[0, 1]);
    call.validators = swapped.into();
    world
        .chain
        .send(world.deployer, world.registry, U256::ZERO, &call)
        .refused_with(CheckpointRegistry::InvalidValidatorSet {});
}
