//! Rotation of the validator set: announces the next set, hands over to it, and records that the parent has it in force.
//!
//! Every checkpoint of epoch e carries the commitment of the set of e + 1. So the first checkpoint recorded in e is the
//! certificate by which set e hands over. Certificates form a chain from genesis: the parent can be led through all epochs
//! in order by one checkpoint of each, however long no relayer was active.
//!
//! **An announced set may change only while no checkpoint of the epoch has become due.** The registry takes the first
//! commitment that it gets for the set of e + 1 and refuses any other permanently. Suppose the set changed after a checkpoint
//! named it. The gossiped signatures of that checkpoint could still be certified and submitted by anyone, even if it is not
//! recorded here. The parent would then wait for a set that never signs, and all claims would wait too. A checkpoint can be
//! signed as soon as the block of its height is final. So the set is fixed at that moment, whether or not a validator signs:
//! [`PegModule::begin_block`] of the next block notes the checkpoint before a set can be announced.

use alloy_primitives::U256;

use super::{ModuleError, PegFault, PegModule};
use crate::{
    certificate::{CertificateSig, verify_signatures},
    layout::{self, CheckpointField, SetField},
    slots::{Slots, address_word, lane, word},
    types::SetAcknowledged,
    validators::PegValidatorSet,
};

/// The certificate by which an epoch's set named the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoverRecord {
    /// Number of the first checkpoint recorded in the epoch.
    pub checkpoint: u64,
    /// Height of the block that carries its certificate.
    pub block: u64,
}

impl PegModule {
    /// Announces the set of the next epoch, or replaces the announced one while that is still allowed (see the
    /// module's text). Announcing the same set again changes nothing and is always allowed.
    ///
    /// # Errors
    /// [`PegFault`] `NotPegged`, `NotNextEpoch` or `NextSetFixed`; errors of the slots.
    pub fn announce_next<S: Slots>(slots: &mut S, set: &PegValidatorSet) -> Result<(), ModuleError<S::Error>> {
        let version = slots.load(layout::VERSION).map_err(ModuleError::Slots)?;
        if version != U256::from(layout::LAYOUT_VERSION) {
            return Err(PegFault::NotPegged.into());
        }
        let current = Self::epoch(slots).map_err(ModuleError::Slots)?;
        let epoch = set.epoch();
        // No epoch follows the largest 64-bit number.
        if current.checked_add(1) != Some(epoch) {
            return Err(PegFault::NotNextEpoch { expected: current.saturating_add(1), got: epoch }.into());
        }
        let known = Self::validator_set_commitment(slots, epoch).map_err(ModuleError::Slots)?;
        if known == set.commitment() {
            return Ok(());
        }
        if !Self::next_is_open(slots).map_err(ModuleError::Slots)? {
            return Err(PegFault::NextSetFixed { epoch }.into());
        }
        write_set(slots, epoch, set).map_err(ModuleError::Slots)
    }

    /// Whether the announced set may still be replaced: no checkpoint of the current epoch has become due.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn next_is_open<S: Slots>(slots: &mut S) -> Result<bool, S::Error> {
        let epoch = Self::epoch(slots)?;
        Ok(Handover::load(slots, epoch)?.built == 0)
    }

    /// Whether a block carries a certificate by which the current set hands over to the announced one.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn handover_ready<S: Slots>(slots: &mut S) -> Result<bool, S::Error> {
        let epoch = Self::epoch(slots)?;
        Ok(Self::handover_of(slots, epoch)?.is_some())
    }

    /// The handover of `epoch`, once recorded.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn handover_of<S: Slots>(slots: &mut S, epoch: u64) -> Result<Option<HandoverRecord>, S::Error> {
        let Handover { recorded, block, .. } = Handover::load(slots, epoch)?;
        Ok((recorded != 0).then_some(HandoverRecord { checkpoint: recorded, block }))
    }

    /// Puts the announced set in force and returns its epoch.
    ///
    /// # Errors
    /// [`PegFault::HandoverNotReady`]: without that certificate the parent could never follow. Errors of the slots.
    pub fn rotate<S: Slots>(slots: &mut S) -> Result<u64, ModuleError<S::Error>> {
        let epoch = Self::epoch(slots).map_err(ModuleError::Slots)?;
        let ready = Self::handover_ready(slots).map_err(ModuleError::Slots)?;
        let next = epoch.checked_add(1).filter(|_| ready).ok_or(PegFault::HandoverNotReady { epoch })?;
        slots.store(layout::VALIDATOR_EPOCH, U256::from(next)).map_err(ModuleError::Slots)?;
        Ok(next)
    }

    /// Records that the parent has the set of `epoch` in force. Epochs may be skipped.
    ///
    /// # Errors
    /// [`PegFault`] `EpochNotNewer`, `UnknownEpoch`, `NotPegged` or `Certificate`; errors of the slots.
    pub fn acknowledge_set<S: Slots>(
        &self,
        slots: &mut S,
        epoch: u64,
        signatures: &[CertificateSig],
    ) -> Result<SetAcknowledged, ModuleError<S::Error>> {
        let acked = Self::acked_epoch(slots).map_err(ModuleError::Slots)?;
        if epoch <= acked {
            return Err(PegFault::EpochNotNewer { acked, epoch }.into());
        }
        // The registry puts a set in force when it accepts a checkpoint of its epoch; a later epoch has no checkpoint yet.
        let current = Self::epoch(slots).map_err(ModuleError::Slots)?;
        if epoch > current {
            return Err(PegFault::UnknownEpoch { current, epoch }.into());
        }
        let commitment = Self::validator_set_commitment(slots, epoch).map_err(ModuleError::Slots)?;
        let seen = SetAcknowledged { epoch, commitment };
        let set = Self::validator_set(slots)?;
        let digest = self.domain.set_acknowledged_digest(&seen);
        verify_signatures(digest, signatures, &set).map_err(PegFault::Certificate)?;
        slots.store(layout::ACKED_EPOCH, U256::from(epoch)).map_err(ModuleError::Slots)?;
        Ok(seen)
    }
}

/// [`SetField::Handover`], unpacked.
#[derive(Clone, Copy, Debug, Default)]
struct Handover {
    /// First checkpoint built in the epoch; 0 for none.
    built: u64,
    /// First one recorded; 0 for none.
    recorded: u64,
    /// Block that carries its certificate.
    block: u64,
}

impl Handover {
    fn load<S: Slots>(slots: &mut S, epoch: u64) -> Result<Self, S::Error> {
        let packed = slots.load(layout::validator_set(epoch, SetField::Handover))?;
        Ok(Self { built: lane(packed, 0), recorded: lane(packed, 1), block: lane(packed, 2) })
    }

    fn store<S: Slots>(self, slots: &mut S, epoch: u64) -> Result<(), S::Error> {
        let packed = U256::from_limbs([self.built, self.recorded, self.block, 0]);
        slots.store(layout::validator_set(epoch, SetField::Handover), packed)
    }
}

/// Notes that checkpoint `number` of `epoch` was built: the set that it names cannot change any more.
pub(super) fn note_built<S: Slots>(slots: &mut S, epoch: u64, number: u64) -> Result<(), S::Error> {
    let handover = Handover::load(slots, epoch)?;
    if handover.built == 0 {
        Handover { built: number, ..handover }.store(slots, epoch)?;
    }
    Ok(())
}

/// Notes that checkpoint `number` of `epoch` was recorded in `block`: the first one is the epoch's handover.
///
/// A checkpoint that does not name the announced set is not a handover. The rules exclude this case. If it happened, the
/// chain would keep its set, because the parent could not follow to another one.
pub(super) fn note_recorded<S: Slots>(slots: &mut S, epoch: u64, number: u64, block: u64) -> Result<(), S::Error> {
    let handover = Handover::load(slots, epoch)?;
    if handover.recorded != 0 {
        return Ok(());
    }
    let Some(next) = epoch.checked_add(1) else { return Ok(()) };
    let announced = slots.load(layout::validator_set(next, SetField::Commitment))?;
    let named = slots.load(layout::checkpoint(number, CheckpointField::NextValset))?;
    if named.is_zero() || named != announced {
        return Ok(());
    }
    Handover { recorded: number, block, ..handover }.store(slots, epoch)
}

/// Overwrites the record of `epoch` with `set`.
pub(super) fn write_set<S: Slots>(slots: &mut S, epoch: u64, set: &PegValidatorSet) -> Result<(), S::Error> {
    let count = slots.load(layout::validator_set(epoch, SetField::Count))?;
    let count = usize::try_from(count).unwrap_or_default();
    for (position, member) in set.validators().iter().enumerate() {
        let packed = (address_word(member.address) << 64) | U256::from(member.power);
        slots.store(layout::validator_set(epoch, SetField::Member(position)), packed)?;
    }
    // Clears the remaining members of a larger former set.
    for position in set.len()..count {
        slots.store(layout::validator_set(epoch, SetField::Member(position)), U256::ZERO)?;
    }
    slots.store(layout::validator_set(epoch, SetField::Count), U256::from(set.len()))?;
    slots.store(layout::validator_set(epoch, SetField::Commitment), word(set.commitment()))
}
