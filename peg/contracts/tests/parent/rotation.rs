//! Rotation of the validator set on the parent.

use alloy_primitives::{B256, U256};
use causeway_contracts::CheckpointRegistry;
use causeway_peg::{Checkpoint, PegModule, PegValidatorSet, RegistryState, next_handover};

use crate::{
    chain::Outcome,
    world::{ALICE, BOB, World, ether, validators},
};

/// The world after a checkpoint that announces the set of epoch 1; [`rotate`] replaces the secrets by those of that set.
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

/// A checkpoint after the announcement; its number leaves a gap, so the digest chain is not checked.
fn after(world: &World, number: u64, epoch: u64) -> Checkpoint {
    Checkpoint { number, height: number * 100, epoch, nextValset: B256::ZERO, ..world.checkpoints[0] }
}

#[test]
fn announced_set_takes_over_with_its_first_checkpoint_and_the_old_one_is_refused() {
    let mut world = announced();
    let old = after(&world, 3, 0);
    assert!(world.submit(&old, &[0, 1, 2]).ok(), "until then the outgoing set may sign");
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
    // Only its hash is known when it is announced; a set that is not well-formed cannot be used later.
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

/// The sidechain's own rules and the contracts, over several epochs. A checkpoint is stored with the certificate of its
/// epoch's set.
struct Epochs {
    world: World,
    /// The sets by epoch, including the announced one.
    sets: Vec<(PegValidatorSet, Vec<B256>)>,
}

impl Epochs {
    fn new() -> Self {
        let world = World::new(&[1, 1, 1, 1]);
        let first = (world.set.clone(), world.secrets.clone());
        let next = PegValidatorSet::new(1, first.0.validators().to_vec()).unwrap();
        let secrets = first.1.clone();
        Self { world, sets: vec![first, (next, secrets)] }
    }

    fn sign_as(&mut self, epoch: u64) {
        let (set, secrets) = self.sets[usize::try_from(epoch).unwrap()].clone();
        (self.world.set, self.world.secrets) = (set, secrets);
    }

    fn epoch(&mut self) -> u64 {
        PegModule::epoch(&mut self.world.slots).unwrap()
    }

    /// Builds the next checkpoint and records it with all signatures.
    fn recorded(&mut self) -> Checkpoint {
        let checkpoint = self.world.checkpoint();
        self.sign_as(checkpoint.epoch);
        let signatures = self.world.sign(self.world.domain().checkpoint_digest(&checkpoint), &self.world.everybody());
        let (module, block) = (self.world.module, checkpoint.height + 2);
        module.record_checkpoint(&mut self.world.slots, checkpoint.number, block, &signatures).unwrap();
        checkpoint
    }

    /// The announced set takes over, and a set with other keys and powers is announced.
    fn rotate(&mut self) {
        let epoch = PegModule::rotate(&mut self.world.slots).unwrap();
        let powers: Vec<u64> = (1..=3 + epoch % 3).rev().collect();
        let next = validators(epoch + 1, &powers);
        PegModule::announce_next(&mut self.world.slots, &next.0).unwrap();
        self.sets.push(next);
    }

    /// Passes `count` epochs with two checkpoints each, both recorded.
    fn pass(&mut self, count: usize) {
        for _ in 0..count {
            self.recorded();
            self.recorded();
            self.rotate();
        }
    }

    /// Submits a checkpoint with its own set's certificate, as anyone with the signatures can.
    fn submit(&mut self, number: u64) -> Outcome {
        let checkpoint = self.world.checkpoints[usize::try_from(number).unwrap() - 1];
        self.sign_as(checkpoint.epoch);
        self.world.submit(&checkpoint, &self.world.everybody())
    }

    fn registry(&mut self) -> RegistryState {
        let registry = self.world.registry;
        let latest = self.world.chain.view(registry, &CheckpointRegistry::latestCall {});
        let next = CheckpointRegistry::validatorSetOfCall { epoch: latest.epoch + 1 };
        let knows_next = !self.world.chain.view(registry, &next).is_zero();
        RegistryState { number: latest.number, epoch: latest.epoch, knows_next }
    }

    /// Acts as a relayer: submits one handover after another, then the latest recorded checkpoint.
    fn catch_up(&mut self) -> Vec<u64> {
        let mut submitted = Vec::new();
        loop {
            let registry = self.registry();
            let Some((_, handover)) = next_handover(&mut self.world.slots, &registry).unwrap() else { break };
            assert!(self.submit(handover.checkpoint).ok(), "{registry:?} {handover:?}");
            submitted.push(handover.checkpoint);
        }
        let recorded = PegModule::recorded_checkpoint_number(&mut self.world.slots).unwrap();
        if recorded > self.registry().number {
            assert!(self.submit(recorded).ok());
            submitted.push(recorded);
        }
        submitted
    }

    /// Checks that the registry knows the sidechain's sets of all epochs up to `epoch`, and none after it.
    fn knows_up_to(&mut self, last: u64) {
        for epoch in 0..last + 3 {
            let call = CheckpointRegistry::validatorSetOfCall { epoch };
            let known = self.world.chain.view(self.world.registry, &call);
            let own = PegModule::validator_set_commitment(&mut self.world.slots, epoch).unwrap();
            assert_eq!(known, if epoch <= last { own } else { B256::ZERO }, "epoch {epoch}");
        }
    }
}

#[test]
fn registry_follows_the_sidechain_epoch_by_epoch() {
    let mut epochs = Epochs::new();
    for epoch in 0..5 {
        let handover = epochs.recorded();
        assert!(epochs.submit(handover.number).ok());
        assert_eq!(epochs.registry(), RegistryState { number: handover.number, epoch, knows_next: true });
        epochs.knows_up_to(epoch + 1);
        let later = epochs.recorded();
        assert!(epochs.submit(later.number).ok(), "the same set is announced again");
        epochs.rotate();
    }
}

#[test]
fn registry_ten_epochs_behind_catches_up_by_one_checkpoint_of_each_and_claims_work() {
    let mut epochs = Epochs::new();
    epochs.world.deposit(ALICE, ALICE, ether(2));
    epochs.world.import();
    epochs.pass(10);
    epochs.world.withdraw(ALICE, BOB, ether(1), U256::ZERO);
    epochs.recorded();
    epochs.recorded();
    assert_eq!(epochs.epoch(), 10);
    assert_eq!(epochs.registry(), RegistryState { number: 0, epoch: 0, knows_next: false });
    // Two checkpoints per epoch: 1 and 2 of epoch 0, 3 and 4 of epoch 1, ... 21 and 22 of epoch 10.
    let handovers: Vec<u64> = (0..=10).map(|epoch| 2 * epoch + 1).collect();
    assert_eq!(epochs.catch_up(), [handovers.as_slice(), &[22]].concat());
    assert_eq!(epochs.registry(), RegistryState { number: 22, epoch: 10, knows_next: true });
    epochs.knows_up_to(11);
    assert!(epochs.world.claim(0).ok());
    assert_eq!(epochs.catch_up(), [0u64; 0], "nothing is left to submit");
}

#[test]
fn catching_up_continues_after_an_interruption_or_another_relayer() {
    let mut epochs = Epochs::new();
    epochs.pass(4);
    // Another relayer submits the second checkpoint of epoch 0 and, later, both of epoch 2.
    assert!(epochs.submit(2).ok());
    epochs.submit(1).refused_with(CheckpointRegistry::NumberNotNewer { latest: 2, number: 1 });
    assert!(epochs.submit(3).ok());
    for number in [5, 6] {
        assert!(epochs.submit(number).ok());
    }
    assert_eq!(epochs.catch_up(), [7, 8]);
    assert_eq!(epochs.registry(), RegistryState { number: 8, epoch: 3, knows_next: true });
    let first = epochs.recorded();
    assert_eq!(epochs.catch_up(), [first.number]);
}

#[test]
fn epochs_are_not_skipped_and_numbers_do_not_go_back() {
    let mut epochs = Epochs::new();
    epochs.pass(4);
    // A new registry knows only the set of epoch 0.
    for number in [3, 5, 7] {
        epochs.submit(number).refused_with(CheckpointRegistry::UnknownEpoch { epoch: (number - 1) / 2 });
    }
    assert!(epochs.submit(1).ok());
    for number in [5, 7] {
        epochs.submit(number).refused_with(CheckpointRegistry::UnknownEpoch { epoch: (number - 1) / 2 });
    }
    assert!(epochs.submit(3).ok());
    // At the parent epoch 0 is over, although checkpoints 1 and 2 are certified.
    for number in [1, 2, 3] {
        epochs.submit(number).refused_with(CheckpointRegistry::NumberNotNewer { latest: 3, number });
    }
    assert!(epochs.submit(6).ok(), "a later checkpoint of the same epoch may replace the handover");
    epochs.submit(5).refused_with(CheckpointRegistry::NumberNotNewer { latest: 6, number: 5 });
    assert!(epochs.submit(8).ok());
    assert_eq!(epochs.catch_up(), [0u64; 0]);
}

#[test]
fn former_sets_are_refused_for_ever() {
    let mut epochs = Epochs::new();
    epochs.pass(3);
    let latest = epochs.recorded();
    epochs.catch_up();
    for epoch in 0..3 {
        epochs.sign_as(epoch);
        // A new number of their old epoch, and one of the current epoch.
        let own = Checkpoint { number: 99, height: 9_900, epoch, ..latest };
        let outcome = epochs.world.submit(&own, &epochs.world.everybody());
        // The epoch before the registry's ends with the first checkpoint of the registry's own epoch.
        outcome.refused_with(CheckpointRegistry::UnknownEpoch { epoch });
        let present = Checkpoint { number: 99, height: 9_900, ..latest };
        epochs.world.submit(&present, &epochs.world.everybody()).refused_as::<CheckpointRegistry::WrongValidatorSet>();
    }
}

#[test]
fn checkpoint_that_was_never_recorded_announces_the_same_set_as_the_handover() {
    // Certified by gossip only and submitted by anyone, before or after the recorded one: it never announces a different
    // set.
    for first in [1u64, 2] {
        let mut epochs = Epochs::new();
        let other = validators(1, &[9, 5]);
        PegModule::announce_next(&mut epochs.world.slots, &other.0).unwrap();
        epochs.sets[1] = other;
        let unrecorded = epochs.world.checkpoint();
        let third = validators(1, &[7, 7]).0;
        let refused = PegModule::announce_next(&mut epochs.world.slots, &third);
        assert!(refused.is_err(), "once a checkpoint is due, no other set can be announced");
        let recorded = epochs.recorded();
        assert_eq!((unrecorded.number, recorded.number), (1, 2));
        for number in first..=2 {
            assert!(epochs.submit(number).ok());
        }
        epochs.knows_up_to(1);
        epochs.rotate();
        let next = epochs.recorded();
        assert_eq!(epochs.catch_up(), [next.number]);
    }
}

#[test]
fn different_announced_set_would_stop_the_registry_for_ever() {
    // The module must never let an announced set change: if the sidechain's set changed, the parent would wait for a set
    // that never signs.
    let mut epochs = Epochs::new();
    let named = epochs.world.checkpoint();
    epochs.sign_as(0);
    assert!(epochs.world.submit(&named, &[0, 1, 2]).ok());
    let other = validators(1, &[3, 2, 1]);
    let renamed = Checkpoint {
        number: 2,
        height: named.height + 1,
        prevDigest: epochs.world.domain().checkpoint_digest(&named),
        nextValset: other.0.commitment(),
        ..named
    };
    epochs.world.submit(&renamed, &[0, 1, 2]).refused_as::<CheckpointRegistry::ConflictingNextSet>();
    let by_other = Checkpoint { epoch: 1, ..renamed };
    (epochs.world.set, epochs.world.secrets) = other;
    epochs.world.submit(&by_other, &[0, 1, 2]).refused_as::<CheckpointRegistry::WrongValidatorSet>();
}
