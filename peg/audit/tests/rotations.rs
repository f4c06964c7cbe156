//! The audit of a chain whose validator set changes.

use crate::world::{
    Fraud, World,
    tools::{alter_call, alter_log, decode, failing, names},
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolValue};
use causeway_contracts::CheckpointRegistry::{CheckpointAccepted, ValidatorSetCommitted};
use causeway_genesis::{
    Genesis,
    addresses::{PEG, STAKING},
};
use causeway_peg::{IPeg, PegValidatorSet, layout};
use causeway_peg_audit::{Bundle, Figure, Object, RecordEvidence, Report, SetEvidence, audit};
use proptest::prelude::*;
use std::sync::LazyLock;

static HONEST: LazyLock<(Bundle, Genesis)> = LazyLock::new(|| {
    let world = World::rotations(None);
    (world.bundle(), world.genesis)
});

fn altered(change: impl FnOnce(&mut Bundle)) -> Report {
    let mut bundle = HONEST.0.clone();
    change(&mut bundle);
    assert_ne!(bundle, HONEST.0, "the change changes nothing");
    audit(&bundle, &HONEST.1).unwrap()
}

fn fraud(fraud: Fraud) -> Report {
    let world = World::rotations(Some(fraud));
    audit(&world.bundle(), &world.genesis).unwrap()
}

fn figure(report: &Report, id: u8, name: &str) -> Option<Figure> {
    let check = report.checks.iter().find(|check| check.id == id).unwrap();
    check.figures.iter().find(|(figure, _)| *figure == name).map(|(_, figure)| figure.clone())
}

/// Sets the commitment to that of the members.
fn recommit(set: &mut SetEvidence) {
    set.commitment = PegValidatorSet::new(set.epoch, set.validators.clone()).unwrap().commitment();
}

/// Position of the block that carries a call.
fn block_with<C: SolCall>(bundle: &Bundle, nth: usize) -> usize {
    let carries = |raw: &alloy_primitives::Bytes| raw.windows(4).any(|window| window == C::SELECTOR);
    let blocks = bundle.sidechain.blocks.iter().enumerate();
    blocks.filter(|(_, block)| block.transactions.iter().any(carries)).nth(nth).unwrap().0
}

#[test]
fn a_history_of_five_epochs_passes() {
    let report = audit(&HONEST.0, &HONEST.1).unwrap();
    assert!(report.holds, "{report}");
    assert_eq!(report.certified_checkpoint, Some(7));
    assert_eq!(figure(&report, 6, "epoch"), Some(Figure::Count(4)));
    assert_eq!(figure(&report, 6, "acknowledgements"), Some(Figure::Count(2)));
    let ambiguous = report.checks[6].believed.len();
    assert_eq!(ambiguous, 0, "every certificate is held to one set: {report}");
    let firsts: Vec<_> = HONEST.0.sidechain.validator_sets.iter().map(|set| set.first_checkpoint).collect();
    assert_eq!(firsts, [Some(2), Some(3), Some(5), Some(6), None]);
    let epochs: Vec<u64> =
        HONEST.0.parent.logs.iter().filter_map(decode::<CheckpointAccepted>).map(|e| e.epoch).collect();
    assert_eq!(epochs, [0, 1, 2, 3, 4]);
}

#[test]
fn a_parent_without_a_relayer_passes() {
    let report = altered(|bundle| {
        // The state before the relayer works again.
        let world = World::rotations(Some(Fraud::EarlyAcknowledgement));
        bundle.parent = world.bundle().parent;
        let without = |block: &causeway_peg_audit::BlockEvidence| block.number < 27;
        bundle.sidechain.blocks.retain(without);
    });
    // Only the sidechain's later blocks are missing: the sets on the parent are right up to their epoch.
    let sets = &report.checks[6].failures;
    assert!(sets.iter().all(|failure| failure.object == Object::ValidatorSet(4)), "{report}");
}

// ---- altered evidence

#[test]
fn one_altered_power_is_named() {
    for (position, epoch) in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)] {
        let report = altered(|bundle| bundle.sidechain.validator_sets[position].validators[0].power += 1);
        names(&report, 6, Object::ValidatorSet(epoch));
    }
}

#[test]
fn one_altered_power_with_its_commitment_is_named() {
    for (position, epoch) in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)] {
        let report = altered(|bundle| {
            let set = &mut bundle.sidechain.validator_sets[position];
            set.validators[0].power += 1;
            recommit(set);
        });
        names(&report, 6, Object::ValidatorSet(epoch));
        let first = HONEST.0.sidechain.validator_sets.get(position.wrapping_sub(1));
        let first = first.and_then(|set| set.first_checkpoint).unwrap_or(1);
        names(&report, 8, Object::Checkpoint(first));
    }
}

#[test]
fn an_added_missing_or_unordered_member_is_named() {
    let changes: [fn(&mut SetEvidence); 4] = [
        |set| {
            set.validators.pop();
        },
        |set| set.validators.swap(0, 1),
        |set| set.validators[1].address = Address::ZERO,
        |set| set.validators.clear(),
    ];
    for change in changes {
        let report = altered(|bundle| change(&mut bundle.sidechain.validator_sets[2]));
        names(&report, 6, Object::ValidatorSet(3));
    }
}

#[test]
fn missing_moved_and_invented_sets_are_named() {
    let report = altered(|bundle| bundle.sidechain.validator_sets.clear());
    names(&report, 6, Object::ValidatorSet(1));
    let report = altered(|bundle| drop(bundle.sidechain.validator_sets.remove(2)));
    names(&report, 6, Object::ValidatorSet(4));
    let report = altered(|bundle| drop(bundle.sidechain.validator_sets.pop()));
    assert!(failing(&report).contains(&6), "{report}");
    let report = altered(|bundle| {
        let mut set = bundle.sidechain.validator_sets[4].clone();
        set.epoch += 1;
        bundle.sidechain.validator_sets.push(set);
    });
    names(&report, 6, Object::Contract(PEG));
    let report = altered(|bundle| bundle.sidechain.validator_sets[1].first_checkpoint = Some(4));
    names(&report, 8, Object::Checkpoint(3));
    let report = altered(|bundle| bundle.sidechain.validator_sets[1].first_checkpoint = Some(2));
    names(&report, 6, Object::ValidatorSet(2));
    let report = altered(|bundle| bundle.sidechain.validator_sets[4].first_checkpoint = Some(8));
    names(&report, 6, Object::ValidatorSet(6));
}

#[test]
fn a_handover_outside_a_block_proves_nothing() {
    // The certificate of the fifth checkpoint hands over from epoch 3 to epoch 4.
    let block = block_with::<IPeg::recordCheckpointCall>(&HONEST.0, 3);
    let report = altered(|bundle| drop(bundle.sidechain.blocks.remove(block)));
    names(&report, 6, Object::ValidatorSet(4));
    let report = altered(|bundle| {
        let removed = bundle.sidechain.blocks.remove(block);
        let transaction = removed.transactions[0].clone();
        let IPeg::recordCheckpointCall { number, .. } = {
            let at = transaction.windows(4).position(|window| window == IPeg::recordCheckpointCall::SELECTOR).unwrap();
            IPeg::recordCheckpointCall::abi_decode(&transaction[at..]).unwrap()
        };
        assert_eq!(number, 5);
        let world = World::rotations(None);
        let digest = world.digest(number);
        bundle.sidechain.records.push(RecordEvidence { number: removed.number, transaction, digest });
    });
    names(&report, 6, Object::ValidatorSet(4));
}

#[test]
fn an_altered_signature_of_a_handover_is_named() {
    let block = block_with::<IPeg::recordCheckpointCall>(&HONEST.0, 1);
    let stranger = Address::repeat_byte(9);
    let report = altered(|bundle| {
        let change = |call: &mut IPeg::recordCheckpointCall| call.signatures[1].signer = stranger;
        assert!(alter_call(&mut bundle.sidechain.blocks[block].transactions[0], change));
    });
    names(&report, 0, Object::Block(9));
    names(&report, 6, Object::Signer(stranger));
    names(&report, 6, Object::ValidatorSet(2));
}

#[test]
fn an_altered_acknowledgement_is_named() {
    let block = block_with::<IPeg::acknowledgeSetCall>(&HONEST.0, 0);
    let report = altered(|bundle| {
        let change = |call: &mut IPeg::acknowledgeSetCall| call.epoch = 3;
        assert!(alter_call(&mut bundle.sidechain.blocks[block].transactions[0], change));
    });
    names(&report, 6, Object::ValidatorSet(3));
    names(&report, 0, Object::Block(22));
    let report = altered(|bundle| bundle.sidechain.blocks[block].receipts.clear());
    names(&report, 0, Object::Block(22));
    let report = altered(|bundle| bundle.sidechain.blocks.retain(|block| block.number != 27));
    names(&report, 6, Object::ValidatorSet(4));
}

#[test]
fn a_registry_view_with_a_different_set_is_named() {
    for (position, epoch) in (0..6).zip(0u64..) {
        let report = altered(|bundle| bundle.parent.values.validator_sets[position].commitment = B256::repeat_byte(9));
        names(&report, 0, Object::ParentBlock(20));
        names(&report, 6, Object::ValidatorSet(epoch));
        let is_it = |event: &ValidatorSetCommitted| event.epoch == epoch;
        let report = altered(|bundle| alter_log(bundle, is_it, |event| event.commitment = B256::repeat_byte(9)));
        names(&report, 6, Object::ValidatorSet(epoch));
        let report = altered(|bundle| {
            let is_it = |log: &_| decode::<ValidatorSetCommitted>(log).is_some_and(|event| event.epoch == epoch);
            bundle.parent.logs.retain(|log| !is_it(log));
        });
        names(&report, 6, Object::ValidatorSet(epoch));
    }
    let report = altered(|bundle| bundle.parent.values.validator_sets.truncate(5));
    names(&report, 6, Object::ValidatorSet(5));
    let report =
        altered(|bundle| alter_log(bundle, |event: &ValidatorSetCommitted| event.epoch == 2, |event| event.epoch = 9));
    names(&report, 6, Object::ValidatorSet(9));
    let report = altered(|bundle| {
        bundle.parent.proofs.clear();
        bundle.parent.values.epoch = 3;
    });
    names(&report, 6, Object::ValidatorSet(3));
}

#[test]
fn a_checkpoint_of_another_epoch_on_the_parent_is_named() {
    let is_it = |event: &CheckpointAccepted| event.number == 3;
    let report = altered(|bundle| alter_log(bundle, is_it, |event| event.epoch = 1));
    names(&report, 8, Object::Checkpoint(3));
}

/// The slot in which the staking module stores the start of an epoch.
fn start(epoch: u64) -> U256 {
    alloy_primitives::keccak256((U256::from(epoch), U256::from(0x1000e)).abi_encode()).into()
}

#[test]
fn a_certificate_near_an_unproven_rotation_may_be_of_either_set_and_is_believed() {
    let report = altered(|bundle| {
        for proof in &mut bundle.sidechain.proofs {
            proof.storage.retain(|slot| slot.slot != start(2));
        }
    });
    assert!(report.holds, "{report}");
    assert!(report.checks[6].believed.iter().any(|line| line.contains("block 11 is of epoch 1 or 2")), "{report}");
    let report = altered(|bundle| {
        for slot in bundle.sidechain.proofs.iter_mut().flat_map(|proof| &mut proof.storage) {
            slot.value += if slot.slot == start(2) { U256::ONE } else { U256::ZERO };
        }
    });
    names(&report, 0, Object::Block(28));
}

#[test]
fn an_epoch_whose_start_contradicts_its_checkpoints_is_named() {
    let report = fraud(Fraud::OtherStart);
    names(&report, 6, Object::ValidatorSet(3));
    assert!(!failing(&report).contains(&0), "{report}");
}

// ---- dishonest validators; all hashes and signatures are valid

#[test]
fn a_handover_certified_by_the_wrong_set_is_named() {
    // Neighbouring sets share three, one and three members.
    for epoch in [1, 2, 3] {
        let report = fraud(Fraud::ForgedHandover(epoch));
        names(&report, 6, Object::ValidatorSet(epoch + 1));
        assert_eq!(report.certified_checkpoint, Some([1, 2, 3][epoch as usize - 1]), "{report}");
    }
}

#[test]
fn a_set_without_a_handover_is_named() {
    let report = fraud(Fraud::NoHandover(2));
    names(&report, 6, Object::ValidatorSet(3));
    assert_eq!(report.certified_checkpoint, Some(2), "nothing later is verified against sets that nobody proved");
}

#[test]
fn a_certificate_of_a_stale_epoch_is_named() {
    let first_of_three = HONEST.0.sidechain.validator_sets[2].validators[0].address;
    names(&fraud(Fraud::StaleImport(26)), 6, Object::Signer(first_of_three));
    // In the block of the rotation itself, between two checkpoints.
    let report = fraud(Fraud::StaleImport(11));
    assert_eq!(failing(&report), [6], "{report}");
    names(&fraud(Fraud::StaleRecord), 6, Object::Checkpoint(4));
    let report = fraud(Fraud::StaleAcknowledgement);
    assert_eq!(failing(&report), [6], "{report}");
    names(&report, 6, Object::Signer(first_of_three));
}

#[test]
fn an_acknowledgement_earlier_than_the_parents_set_is_named() {
    let report = fraud(Fraud::EarlyAcknowledgement);
    names(&report, 6, Object::ValidatorSet(4));
    assert_eq!(failing(&report), [6], "{report}");
}

#[test]
fn a_registry_with_a_different_set_is_named() {
    let report = fraud(Fraud::NextSet(2));
    names(&report, 6, Object::ValidatorSet(2));
    names(&report, 8, Object::Checkpoint(2));
    assert!(!failing(&report).contains(&0), "{report}");
}

// ---- stake

#[test]
fn locked_value_is_shown_against_the_bonded_stake_of_genesis() {
    let report = audit(&HONEST.0, &HONEST.1).unwrap();
    let tokens = |count: u64| U256::from(count) * U256::from(10u64).pow(U256::from(18));
    assert_eq!(figure(&report, 11, "bonded stake"), Some(Figure::Tokens(tokens(4_000_000))));
    assert_eq!(figure(&report, 11, "locked for each bonded token"), Some(Figure::Ratio(U256::from(1))));
    assert!(report.checks[11].believed.is_empty(), "{report}");
    // The slots that the audit reads are those that genesis writes.
    let staking = &HONEST.1.alloc[&STAKING].storage;
    assert_eq!(staking[&U256::ZERO], U256::ONE);
    assert_eq!(staking[&start(0)].as_limbs()[0], 1);
}

#[test]
fn an_unknown_stake_fails_no_check() {
    let report = altered(|bundle| bundle.sidechain.proofs.retain(|proof| proof.address != STAKING));
    assert!(report.holds, "{report}");
    assert!(report.checks[11].figures.is_empty() && !report.checks[11].believed.is_empty());
    let report = altered(|bundle| {
        let is_epoch = |slot: &causeway_peg_audit::SlotEvidence| slot.slot == layout::VALIDATOR_EPOCH;
        for proof in &mut bundle.sidechain.proofs {
            proof.storage.retain(|slot| !is_epoch(slot));
        }
    });
    assert_eq!(failing(&report), [0], "missing epochs are missed: {report}");
}

// ---- any single alteration

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// No altered bit of a set, certificate, header or block that a certified checkpoint covers goes unnoticed.
    #[test]
    fn no_altered_bit_of_the_sets_or_their_proofs_passes(
        which in 0usize..5,
        item in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bundle = HONEST.0.clone();
        let sets = &mut bundle.sidechain.validator_sets;
        let set = item.index(sets.len());
        let set = &mut sets[set];
        let member = at.index(set.validators.len());
        match which {
            0 => set.validators[member].power ^= 1 << bit,
            1 => set.validators[member].address.0[at.index(20)] ^= 1 << bit,
            2 => set.commitment.0[at.index(32)] ^= 1 << bit,
            3 => set.epoch ^= 1 << bit,
            _ => {
                let blocks = &mut bundle.sidechain.blocks;
                let count = blocks.iter().filter(|block| block.number <= 28).count();
                let block = &mut blocks[item.index(count)];
                let pieces = block.transactions.iter_mut().chain(&mut block.receipts);
                let pieces: Vec<_> = pieces.collect();
                let count = pieces.len();
                let piece = pieces.into_iter().nth(at.index(count)).unwrap();
                let mut bytes = piece.to_vec();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                *piece = bytes.into();
            }
        }
        let report = audit(&bundle, &HONEST.1).unwrap();
        prop_assert!(!report.holds, "{report}");
    }

    /// A wrong number of a first checkpoint is noticed and causes no panic.
    #[test]
    fn no_other_first_checkpoint_passes(set in 0usize..5, first in proptest::option::of(0u64..12)) {
        let mut bundle = HONEST.0.clone();
        let honest = bundle.sidechain.validator_sets[set].first_checkpoint;
        prop_assume!(first != honest);
        bundle.sidechain.validator_sets[set].first_checkpoint = first;
        let report = audit(&bundle, &HONEST.1).unwrap();
        prop_assert!(!report.holds, "{report}");
    }
}
