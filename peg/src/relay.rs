//! What the registry on the parent needs next from a relayer.
//!
//! The registry accepts a checkpoint of the epoch it is in or of the one after it, and learns the set after that from it.
//! So it can be led from any epoch to the present one, however long nobody relayed: by one checkpoint of each epoch, in
//! order, and the handovers recorded on the sidechain are such checkpoints. Only then is the latest one of use to it.

use crate::{
    module::{HandoverRecord, PegModule},
    slots::Slots,
};

/// Where the registry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryState {
    /// Number of its latest checkpoint; 0 before the first.
    pub number: u64,
    /// Epoch of that checkpoint, or the one it was deployed with.
    pub epoch: u64,
    /// Whether it knows the set of the epoch after that: true from the first checkpoint on.
    pub knows_next: bool,
}

/// The handover the registry needs next, with its epoch; `None` when it has the current epoch's, or that one is not
/// recorded yet. `slots` are the sidechain's latest.
///
/// One step at a time: after each submission the registry is asked again, because other relayers submit, too, and the
/// parent's head may be replaced by another.
///
/// # Errors
/// The slots' own.
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
