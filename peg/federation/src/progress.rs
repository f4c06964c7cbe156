//! The peg's durable state, read after each block.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use causeway_peg::{Checkpoint, ModuleError, PegModule, PegValidatorSet, Slots};

use super::MAX_UNACKNOWLEDGED;

/// The peg's durable state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PegProgress {
    /// The set of the current epoch.
    pub set: PegValidatorSet,
    /// Latest epoch for which a certificate shows that its set is in force on the parent.
    pub acked_epoch: u64,
    /// Commitments to the sets of the later epochs up to the current one, at most [`MAX_UNACKNOWLEDGED`].
    pub commitments: BTreeMap<u64, B256>,
    /// Nonce of the last minted deposit.
    pub imported: u64,
    /// Accumulator after the last minted deposit.
    pub imported_acc: B256,
    /// Parent height of the last imported view.
    pub parent_height: u64,
    /// Latest checkpoint whose certificate a block carries.
    pub recorded: u64,
    /// Canonical checkpoints after it, by number.
    pub unrecorded: BTreeMap<u64, Checkpoint>,
}

/// Most canonical checkpoints loaded after the recorded one.
const MAX_UNRECORDED: u64 = causeway_peg::attestations::CHECKPOINTS_BEHIND;

impl PegProgress {
    /// Reads the module's slots after the block `header`.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn read<S: Slots>(
        module: &PegModule,
        slots: &mut S,
        header: &causeway_peg::CheckpointBlock,
    ) -> Result<Self, ModuleError<S::Error>> {
        let set = PegModule::validator_set(slots)?;
        Self::read_with(module, slots, header, set).map_err(ModuleError::Slots)
    }

    fn read_with<S: Slots>(
        module: &PegModule,
        slots: &mut S,
        header: &causeway_peg::CheckpointBlock,
        set: PegValidatorSet,
    ) -> Result<Self, S::Error> {
        let acked_epoch = PegModule::acked_epoch(slots)?;
        let mut commitments = BTreeMap::new();
        let oldest = acked_epoch.saturating_add(1).max(set.epoch().saturating_sub(MAX_UNACKNOWLEDGED - 1));
        for epoch in oldest..=set.epoch() {
            commitments.insert(epoch, PegModule::validator_set_commitment(slots, epoch)?);
        }
        let recorded = PegModule::recorded_checkpoint_number(slots)?;
        let latest = PegModule::latest_checkpoint_number(slots)?;
        let mut unrecorded = BTreeMap::new();
        for number in recorded.max(latest.saturating_sub(MAX_UNRECORDED)).saturating_add(1)..=latest {
            if let Some(checkpoint) = PegModule::checkpoint(slots, number)? {
                unrecorded.insert(number, checkpoint);
            }
        }
        if let Some(due) = module.checkpoint_due(slots, header)? {
            unrecorded.insert(due.number, due);
        }
        Ok(Self {
            set,
            acked_epoch,
            commitments,
            imported: PegModule::deposit_nonce(slots)?,
            imported_acc: PegModule::deposit_acc(slots)?,
            parent_height: PegModule::last_parent_height(slots)?,
            recorded,
            unrecorded,
        })
    }
}
