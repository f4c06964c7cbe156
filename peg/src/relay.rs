//! Finds the next checkpoint that a relayer must submit to the registry on the parent.
//!
//! The registry accepts a checkpoint of its current epoch or of the next one, and learns from it the set of the epoch
//! after. So it can be led from any epoch to the current one, however long no relayer was active: by one checkpoint of each
//! epoch, in order. The handovers recorded on the sidechain are such checkpoints. Only then can it accept the latest one.

use crate::{
    module::{HandoverRecord, PegModule},
    slots::Slots,
};

/// The registry's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryState {
    /// Number of its latest checkpoint; 0 before the first.
    pub number: u64,
    /// Epoch of that checkpoint, or the one it was deployed with.
    pub epoch: u64,
    /// Whether it knows the set of the epoch after that: true from the first checkpoint on.
    pub knows_next: bool,
}

/// The handover that the registry needs next, with its epoch. `None` when the registry has reached the current epoch, or
/// when that handover is not recorded yet. `slots` are the sidechain's latest.
///
/// The registry is read again after each submission, because other relayers may submit too, and because the parent's head
/// may be reorganised.
///
/// # Errors
/// An error of the slots.
pub fn next_handover<S: Slots>(
    slots: &mut S,
    registry: &RegistryState,
) -> Result<Option<(u64, HandoverRecord)>, S::Error> {
    let needed = if registry.knows_next { registry.epoch.checked_add(1) } else { Some(registry.epoch) };
    let Some(epoch) = needed else { return Ok(None) };
    if epoch > PegModule::epoch(slots)? {
        return Ok(None);
    }
    let handover = PegModule::handover_of(slots, epoch)?;
    Ok(handover.filter(|handover| handover.checkpoint > registry.number).map(|handover| (epoch, handover)))
}
