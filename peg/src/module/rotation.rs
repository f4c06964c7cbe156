//! Rotating the validator set: announcing the next one, handing over, and learning that the parent followed.
//!
//! Every checkpoint of epoch e carries the commitment of the set of e + 1, so the first one recorded in e is the
//! certificate by which set e hands over. Certificates chain from genesis: the parent, however long nobody relayed, can
//! be led through all epochs in order by one checkpoint of each.
//!
//! **An announced set may change only while no checkpoint of the epoch has become due.** The registry takes the first name
//! it is given for the set of e + 1 and refuses any other for ever. Were the set recomputed after a checkpoint named it,
//! the signatures over that checkpoint, gossiped to everybody, could still be certified and submitted by anyone, recorded
//! here or not; the parent would then wait for a set that never signs, and every claim with it. A checkpoint can be signed
//! from the moment the block of its height is final, so the name is fixed when that block is, whether or not anyone signs:
//! [`PegModule::begin_block`] of the next block notes it before anything can be announced.

use alloy_primitives::U256;

use super::{ModuleError, PegFault, PegModule};
use crate::{
    certificate::{CertificateSig, verify_signatures},
    layout::{self, CheckpointField, SetField},
    slots::{Slots, address_word, lane, word},
    types::SetAcknowledged,
    validators::PegValidatorSet,
};

/// The certificate by which an epoch's set named its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoverRecord {
    /// Number of the first checkpoint recorded in the epoch.
    pub checkpoint: u64,
    /// Height of the block that carries its certificate.
    pub block: u64,
}

impl PegModule {
    /// Names the set of the epoch after the current one, or names another one while that is still allowed (see the
    /// module's text). Naming the same set again changes nothing and is always allowed.
    ///
    /// # Errors
    /// [`PegFault`] `NotPegged`, `NotNextEpoch` or `NextSetFixed`; the slots' own.
    pub fn announce_next<S: Slots>(slots: &mut S, set: &PegValidatorSet) -> Result<(), ModuleError<S::Error>> {
        let version = slots.load(layout::VERSION).map_err(ModuleError::Slots)?;
        if version != U256::from(layout::LAYOUT_VERSION) {
            return Err(PegFault::NotPegged.into());
        }
        let current = Self::epoch(slots).map_err(ModuleError::Slots)?;
        let epoch = set.epoch();
        // No epoch follows the last one that 64 bits hold.
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
    /// The slots' own.
    pub fn next_is_open<S: Slots>(slots: &mut S) -> Result<bool, S::Error> {
        let epoch = Self::epoch(slots)?;
        Ok(Handover::load(slots, epoch)?.built == 0)
    }

    /// Whether a block carries a certificate by which the current set hands over to the announced one.
    ///
    /// # Errors
    /// The slots' own.
    pub fn handover_ready<S: Slots>(slots: &mut S) -> Result<bool, S::Error> {
        let epoch = Self::epoch(slots)?;
        Ok(Self::handover_of(slots, epoch)?.is_some())
    }

    /// The handover of `epoch`, once recorded.
    ///
    /// # Errors
    /// The slots' own.
    pub fn handover_of<S: Slots>(slots: &mut S, epoch: u64) -> Result<Option<HandoverRecord>, S::Error> {
        let Handover { recorded, block, .. } = Handover::load(slots, epoch)?;
        Ok((recorded != 0).then_some(HandoverRecord { checkpoint: recorded, block }))
    }

    /// Puts the announced set in force and returns its epoch.
    ///
    /// # Errors
    /// [`PegFault::HandoverNotReady`]: without that certificate the parent could never follow. The slots' own.
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
    /// [`PegFault`] `EpochNotNewer`, `UnknownEpoch`, `NotPegged` or `Certificate`; the slots' own.
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
        // The registry has a set in force by accepting a checkpoint of its epoch; a later epoch has none yet.
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

/// Checkpoint `number` of `epoch` was built: the set it names is fixed from now on.
pub(super) fn note_built<S: Slots>(slots: &mut S, epoch: u64, number: u64) -> Result<(), S::Error> {
    let handover = Handover::load(slots, epoch)?;
    if handover.built == 0 {
        Handover { built: number, ..handover }.store(slots, epoch)?;
    }
    Ok(())
}

/// Checkpoint `number` of `epoch` was recorded in `block`: the first one is the epoch's handover.
///
/// One that does not name the announced set hands over nothing. There is none while the rules hold; were they broken, the
/// chain would stay with its set rather than go where the parent cannot follow.
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

/// Writes the table of `epoch` over whatever stood there.
pub(super) fn write_set<S: Slots>(slots: &mut S, epoch: u64, set: &PegValidatorSet) -> Result<(), S::Error> {
    let count = slots.load(layout::validator_set(epoch, SetField::Count))?;
    let count = usize::try_from(count).unwrap_or_default();
    for (position, member) in set.validators().iter().enumerate() {
        let packed = (address_word(member.address) << 64) | U256::from(member.power);
        slots.store(layout::validator_set(epoch, SetField::Member(position)), packed)?;
    }
    // A smaller set leaves nobody of the larger one behind it.
    for position in set.len()..count {
        slots.store(layout::validator_set(epoch, SetField::Member(position)), U256::ZERO)?;
    }
    slots.store(layout::validator_set(epoch, SetField::Count), U256::from(set.len()))?;
    slots.store(layout::validator_set(epoch, SetField::Commitment), word(set.commitment()))
}
