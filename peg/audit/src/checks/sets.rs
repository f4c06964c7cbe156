//! Check 6 without the verification of certificates: the validator sets in the state, in the acknowledgements and in
//! the registry.

use super::{
    STOP,
    certificates::{epochs_in, verify},
    require_slot,
};
use crate::{
    audit::Facts,
    report::{Check, Object},
};
use alloy_primitives::{B256, U256};
use causeway_genesis::addresses::PEG;
use causeway_peg::{
    SetAcknowledged,
    layout::{self, SetField},
};
use std::collections::{BTreeMap, BTreeSet};

const OTHER_SETS: &str = "do not deposit: this registry accepts other validators";

/// Checks that each acknowledgement is certified by the set of its block's epoch, names the history's set, and follows the parent.
pub(super) fn acknowledgements(facts: &Facts<'_>, check: &mut Check) {
    let mut acked = facts.history.base();
    for call in &facts.chain.acknowledgements {
        let (block, epoch, object) = (call.block, call.epoch, Object::ValidatorSet(call.epoch));
        if epoch <= acked {
            check.fail(object, format!("it was acknowledged in block {block}, after the set of epoch {acked}"), STOP);
        }
        acked = acked.max(epoch);
        let epochs = epochs_in(facts, check, block);
        if epoch > *epochs.end() {
            let reason =
                format!("it was acknowledged in block {block} of epoch {}, before its own epoch began", epochs.end());
            check.fail(object, reason, STOP);
        }
        let Some(commitment) = facts.history.commitment(epoch) else {
            check.fail(
                object,
                format!("it was acknowledged in block {block}, but the sidechain has no such set"),
                STOP,
            );
            continue;
        };
        if call.event != Some(commitment) {
            let event = call.event.map_or("nothing".to_owned(), |event| event.to_string());
            let reason =
                format!("its acknowledgement in block {block} has the event {event}, but the history has {commitment}");
            check.fail(object, reason, STOP);
        }
        let digest = facts.domain.set_acknowledged_digest(&SetAcknowledged { epoch, commitment });
        let what = format!("the acknowledgement of the set of epoch {epoch} in block {block}");
        verify(&facts.history, check, epochs, digest, &call.signatures, object, &what);
        // The registry puts a set in force with the first checkpoint that it accepts of that epoch.
        let in_force = facts.parent.checkpoints.iter().map(|accepted| accepted.epoch).max();
        let in_force = in_force.unwrap_or(facts.history.base());
        if epoch > in_force {
            let reason = format!(
                "it was acknowledged in block {block}, but the parent has the set of epoch {in_force} in force at finalised block {}",
                facts.bundle.parent.finalized.height
            );
            check.fail(object, reason, STOP);
        }
    }
    let acked = |height| {
        let calls = facts.chain.acknowledgements.iter().filter(|call| call.block <= height);
        U256::from(calls.map(|call| call.epoch).max().unwrap_or(facts.history.base()))
    };
    let object = Object::ValidatorSet(facts.history.current());
    require_slot(facts, check, object, layout::ACKED_EPOCH, "acknowledged epoch", acked);
}

/// Checks that the proven state has the history's epoch in force, and its sets.
pub(super) fn state(facts: &Facts<'_>, check: &mut Check) {
    let epoch = |height| U256::from(facts.epoch_after(height));
    require_slot(facts, check, Object::Contract(PEG), layout::VALIDATOR_EPOCH, "epoch in force", epoch);
    for height in facts.proven_heights() {
        let epoch = facts.epoch_after(height);
        for epoch in [epoch, epoch.saturating_add(1)] {
            let known = facts.history.commitment(epoch).unwrap_or_default();
            let proven = facts.chain.slot(height, layout::validator_set(epoch, SetField::Commitment)).map(B256::from);
            if let Some(proven) = proven.filter(|proven| *proven != known) {
                let reason = format!("it is {proven} in the state of block {height}, but {known} by the history");
                check.fail(Object::ValidatorSet(epoch), reason, STOP);
            }
        }
    }
}

/// If the staking module's proven state contains the start of an epoch, checks that its first checkpoint is the first one after that.
pub(super) fn beginnings(facts: &Facts<'_>, check: &mut Check) {
    for epoch in facts.history.base().saturating_add(1)..=facts.history.current() {
        let (rotation, first) = (facts.chain.rotation(epoch), facts.history.first_checkpoint(epoch));
        if let (Some(rotation), Some(first)) = (rotation, first)
            && rotation.div_ceil(facts.interval()) != first
        {
            let reason =
                format!("it is in force from block {rotation} on, but its first checkpoint is claimed to be {first}");
            check.fail(Object::ValidatorSet(epoch), reason, STOP);
        }
    }
}

/// Checks that the registry's events and views have the history's sets: genesis's, and those named by accepted checkpoints.
pub(super) fn registry(facts: &Facts<'_>, check: &mut Check) {
    let endpoint = "read the parent from another endpoint";
    let accepted = &facts.parent.checkpoints;
    let named = accepted.iter().map(|accepted| accepted.epoch.saturating_add(1));
    let named: BTreeSet<u64> = named.chain([facts.history.base()]).collect();
    let mut events = BTreeMap::new();
    for event in &facts.parent.validator_sets {
        if events.insert(event.epoch, event.commitment).is_some() {
            check.fail(Object::ValidatorSet(event.epoch), "the registry committed to it twice", endpoint);
        }
        if !named.contains(&event.epoch) {
            let reason = "the registry committed to it, but accepted no checkpoint that names it";
            check.fail(Object::ValidatorSet(event.epoch), reason, endpoint);
        }
    }
    let answers: BTreeMap<u64, B256> =
        facts.bundle.parent.values.validator_sets.iter().map(|answer| (answer.epoch, answer.commitment)).collect();
    for epoch in named.iter().chain(events.keys()).chain(answers.keys()).copied().collect::<BTreeSet<u64>>() {
        let object = Object::ValidatorSet(epoch);
        let (event, answer) = (events.get(&epoch), answers.get(&epoch));
        let known = facts.history.commitment(epoch);
        for (what, found) in [("event", event), ("validatorSetOf", answer)] {
            match found {
                None => check.fail(object, format!("the registry's {what} for it is missing"), endpoint),
                Some(found) if Some(*found) != known => {
                    let known = known.map_or("no set".to_owned(), |known| known.to_string());
                    let reason = format!("the registry's {what} gives {found}, but the sidechain has {known}");
                    check.fail(object, reason, OTHER_SETS);
                }
                Some(_) => {}
            }
        }
    }
    let epoch = accepted.iter().map(|accepted| accepted.epoch).max().unwrap_or(facts.history.base());
    if epoch != facts.bundle.parent.values.epoch {
        let answered = facts.bundle.parent.values.epoch;
        let reason = format!("the registry is in epoch {answered}, but its events end with epoch {epoch}");
        check.fail(Object::ValidatorSet(answered), reason, endpoint);
    }
}
