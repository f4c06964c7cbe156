//! Building checkpoints and recording their certificates.
//!
//! A checkpoint is due at every height that is a multiple of the interval. It describes the state *after*
//! that block. So the next block stores the record, from the previous block's state, before anything else runs.
//! Signers compute the same checkpoint from the same state as soon as the block is final.

use alloy_primitives::{B256, U256};

use super::{
    ModuleError, PegFault, PegModule,
    rotation::{note_built, note_recorded},
};
use crate::{
    certificate::{CertificateSig, verify_signatures},
    layout::{self, CheckpointField},
    slots::{Slots, word},
    types::Checkpoint,
};

/// The fields of a block that its checkpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointBlock {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// State root.
    pub state_root: B256,
}

/// A checkpoint whose certificate is now in the chain. Execution emits a `CheckpointRecorded` event for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRecorded {
    /// The checkpoint's number.
    pub number: u64,
    /// Its digest.
    pub digest: B256,
}

impl PegModule {
    /// The first step of a block: stores the checkpoint of the previous block when one is due at that height. Does nothing on a
    /// chain without a peg. After an epoch's first checkpoint the announced set cannot change, so this step
    /// must run before [`PegModule::announce_next`] in a block's hook.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn begin_block<S: Slots>(
        &self,
        slots: &mut S,
        previous: &CheckpointBlock,
    ) -> Result<Option<Checkpoint>, S::Error> {
        let Some(checkpoint) = self.checkpoint_due(slots, previous)? else {
            return Ok(None);
        };
        let number = checkpoint.number;
        let counters = U256::from_limbs([
            checkpoint.height,
            checkpoint.withdrawalCount,
            checkpoint.depositNonce,
            checkpoint.epoch,
        ]);
        let digest = self.domain.checkpoint_digest(&checkpoint);
        for (field, value) in [
            (CheckpointField::Digest, word(digest)),
            (CheckpointField::Counters, counters),
            (CheckpointField::BlockHash, word(checkpoint.blockHash)),
            (CheckpointField::StateRoot, word(checkpoint.stateRoot)),
            (CheckpointField::WithdrawalRoot, word(checkpoint.withdrawalRoot)),
            (CheckpointField::DepositAcc, word(checkpoint.depositAcc)),
            (CheckpointField::NextValset, word(checkpoint.nextValset)),
        ] {
            slots.store(layout::checkpoint(number, field), value)?;
        }
        slots.store(layout::LATEST_CHECKPOINT, U256::from(number))?;
        note_built(slots, checkpoint.epoch, number)?;
        Ok(Some(checkpoint))
    }

    /// The checkpoint of `block`, when one is due at its height. `slots` is the state after that
    /// block.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn checkpoint_due<S: Slots>(
        &self,
        slots: &mut S,
        block: &CheckpointBlock,
    ) -> Result<Option<Checkpoint>, S::Error> {
        let interval = Self::checkpoint_interval(slots)?;
        // The interval is zero on a chain without a peg. Height 0 is genesis, which no validator signs.
        let Some(0) = block.number.checked_rem(interval) else {
            return Ok(None);
        };
        let number = block.number / interval;
        if number == 0 {
            return Ok(None);
        }
        let epoch = Self::epoch(slots)?;
        Ok(Some(Checkpoint {
            number,
            prevDigest: Self::checkpoint_digest(slots, number - 1)?,
            height: block.number,
            blockHash: block.hash,
            stateRoot: block.state_root,
            withdrawalRoot: Self::withdrawal_root(slots)?,
            withdrawalCount: Self::withdrawal_count(slots)?,
            depositNonce: Self::deposit_nonce(slots)?,
            depositAcc: Self::deposit_acc(slots)?,
            epoch,
            nextValset: match epoch.checked_add(1) {
                Some(next) => Self::validator_set_commitment(slots, next)?,
                None => B256::ZERO,
            },
        }))
    }

    /// Records in the block of height `block` that the canonical checkpoint `number` is certified. Numbers may be
    /// skipped, because a later checkpoint proves everything that an earlier one proves. The first checkpoint recorded in an
    /// epoch is that epoch's handover: its certificate, signed by the set in force, names the next set.
    ///
    /// Only checkpoints of the current epoch are recorded. One of an earlier epoch proves nothing that the handover and
    /// the current epoch's checkpoints do not prove, and its signers may have left the set.
    ///
    /// # Errors
    /// [`PegFault`] `CheckpointNotNewer`, `UnknownCheckpoint`, `StaleEpoch`, `NotPegged` or `Certificate`; errors of the slots.
    pub fn record_checkpoint<S: Slots>(
        &self,
        slots: &mut S,
        number: u64,
        block: u64,
        signatures: &[CertificateSig],
    ) -> Result<CheckpointRecorded, ModuleError<S::Error>> {
        let recorded = Self::recorded_checkpoint_number(slots).map_err(ModuleError::Slots)?;
        if number <= recorded {
            return Err(PegFault::CheckpointNotNewer { recorded, number }.into());
        }
        let digest = Self::checkpoint_digest(slots, number).map_err(ModuleError::Slots)?;
        if digest.is_zero() {
            return Err(PegFault::UnknownCheckpoint { number }.into());
        }
        let current = Self::epoch(slots).map_err(ModuleError::Slots)?;
        let epoch = Self::checkpoint_epoch(slots, number).map_err(ModuleError::Slots)?;
        if epoch != current {
            return Err(PegFault::StaleEpoch { current, epoch }.into());
        }
        let set = Self::validator_set(slots)?;
        verify_signatures(digest, signatures, &set).map_err(PegFault::Certificate)?;
        slots.store(layout::RECORDED_CHECKPOINT, U256::from(number)).map_err(ModuleError::Slots)?;
        note_recorded(slots, epoch, number, block).map_err(ModuleError::Slots)?;
        Ok(CheckpointRecorded { number, digest })
    }
}
