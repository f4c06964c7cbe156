//! The next checkpoint for a registry that lags behind.

use causeway_peg::{HandoverRecord, PegModule, RegistryState, next_handover};

use crate::federation::{Federation, INTERVAL, Memory, genesis, header};

/// A chain in epoch 3 whose handovers of epochs 0 to 2 are the checkpoints 2, 4 and 6 (the odd ones were never certified).
fn chain() -> Memory {
    let federation = Federation::new(&[1, 1, 1, 1]);
    let (module, mut slots) = genesis(&federation);
    for number in 1..=6 {
        module.begin_block(&mut slots, &header(number * INTERVAL)).unwrap();
        if number % 2 == 1 {
            continue;
        }
        let digest = PegModule::checkpoint_digest(&mut slots, number).unwrap();
        module.record_checkpoint(&mut slots, number, number * INTERVAL + 3, &federation.all(digest)).unwrap();
        let epoch = PegModule::rotate(&mut slots).unwrap();
        let next = Federation::of_epoch(epoch + 1, 0, &[1, 1, 1, 1]);
        PegModule::announce_next(&mut slots, &next.set).unwrap();
    }
    slots
}

fn next(slots: &mut Memory, number: u64, epoch: u64, knows_next: bool) -> Option<(u64, HandoverRecord)> {
    next_handover(slots, &RegistryState { number, epoch, knows_next }).unwrap()
}

#[test]
fn registry_is_led_through_every_epoch_in_order() {
    let mut slots = chain();
    let handover = |epoch, checkpoint| Some((epoch, HandoverRecord { checkpoint, block: checkpoint * INTERVAL + 3 }));
    assert_eq!(next(&mut slots, 0, 0, false), handover(0, 2), "right after its deployment");
    assert_eq!(next(&mut slots, 2, 0, true), handover(1, 4));
    assert_eq!(next(&mut slots, 4, 1, true), handover(2, 6));
    assert_eq!(next(&mut slots, 6, 2, true), None, "nothing of the current epoch is recorded yet");
}

#[test]
fn registry_with_other_checkpoints_needs_only_the_missing_epochs() {
    // Anyone may submit a checkpoint that was certified but is not recorded here.
    let mut slots = chain();
    assert_eq!(next(&mut slots, 1, 0, true).map(|(epoch, _)| epoch), Some(1));
    assert_eq!(next(&mut slots, 5, 2, true), None);
}

#[test]
fn registry_ahead_of_this_node_needs_no_handover() {
    let mut slots = chain();
    for epoch in [3, 4, u64::MAX] {
        assert_eq!(next(&mut slots, 9, epoch, true), None);
    }
    assert_eq!(next(&mut slots, 6, 0, false), None, "numbers only increase");
}
