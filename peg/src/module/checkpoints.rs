//! Building checkpoints and recording their certificates.
//!
//! A checkpoint is due at every height that is a multiple of the interval. It describes the state *after*
//! that block, so the block after it builds the record from the parent's state before anything else runs;
//! signers compute the same checkpoint from the same state as soon as the block is final.

use alloy_primitives::{B256, U256};

use super::{ModuleError, PegFault, PegModule};
use crate::{
    certificate::{CertificateSig, verify_signatures},
    layout::{self, CheckpointField},
    slots::{Slots, lane, word},
    types::Checkpoint,
};

/// What a block says of its parent (not of the parent *chain*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentHeaderInfo {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub hash: B256,
    /// State root.
    pub state_root: B256,
}

/// A checkpoint whose certificate is now in the chain: execution leaves a `CheckpointRecorded` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRecorded {
    /// The checkpoint's number.
    pub number: u64,
    /// Its digest.
    pub digest: B256,
}

impl PegModule {
    /// The first thing a block does: when its parent is a checkpoint height, stores that checkpoint. On a
    /// chain without a peg it does nothing.
    ///
    /// # Errors
    /// The slots' own.
    pub fn begin_block<S: Slots>(
        &self,
        slots: &mut S,
        parent: &ParentHeaderInfo,
    ) -> Result<Option<Checkpoint>, S::Error> {
        let Some(checkpoint) = self.checkpoint_due(slots, parent)? else {
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
        Ok(Some(checkpoint))
    }

    /// The checkpoint of the block `header`, when one is due at its height. `slots` is the state after that
    /// block.
    ///
    /// # Errors
    /// The slots' own.
    pub fn checkpoint_due<S: Slots>(
        &self,
        slots: &mut S,
        header: &ParentHeaderInfo,
    ) -> Result<Option<Checkpoint>, S::Error> {
        let interval = Self::checkpoint_interval(slots)?;
        // The interval is zero on a chain without a peg; height 0 is genesis, which nobody finalises.
        let Some(0) = header.number.checked_rem(interval) else {
            return Ok(None);
        };
        let number = header.number / interval;
        if number == 0 {
            return Ok(None);
        }
        Ok(Some(Checkpoint {
            number,
            prevDigest: Self::checkpoint_digest(slots, number - 1)?,
            height: header.number,
            blockHash: header.hash,
            stateRoot: header.state_root,
            withdrawalRoot: Self::withdrawal_root(slots)?,
            withdrawalCount: Self::withdrawal_count(slots)?,
            depositNonce: Self::deposit_nonce(slots)?,
            depositAcc: Self::deposit_acc(slots)?,
            epoch: lane(slots.load(layout::VALIDATOR_EPOCH)?, 0),
            nextValset: B256::ZERO,
        }))
    }

    /// Records that the canonical checkpoint `number` is certified. Numbers may be skipped: a later
    /// checkpoint proves everything an earlier one does.
    ///
    /// # Errors
    /// [`PegFault`] `CheckpointNotNewer`, `UnknownCheckpoint`, `NotPegged` or `Certificate`; the slots' own.
    pub fn record_checkpoint<S: Slots>(
        &self,
        slots: &mut S,
        number: u64,
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
        let set = Self::validator_set(slots)?;
        verify_signatures(digest, signatures, &set).map_err(PegFault::Certificate)?;
        slots.store(layout::RECORDED_CHECKPOINT, U256::from(number)).map_err(ModuleError::Slots)?;
        Ok(CheckpointRecorded { number, digest })
    }
}
