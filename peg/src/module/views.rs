//! Read access to the peg's state.

use alloy_primitives::{Address, B256, U256};

use super::{ModuleError, PegFault, PegModule};
use crate::{
    layout::{self, CheckpointField, SetField},
    slots::{Slots, address, hash, lane},
    tree,
    types::Checkpoint,
    validators::{MAX_PEG_VALIDATORS, PegValidator, PegValidatorSet},
};

impl PegModule {
    /// Chain id of the parent.
    ///
    /// # Errors
    /// An error of the slots, here and in every view below.
    pub fn parent_chain_id<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::PARENT_CHAIN_ID)?, 0))
    }

    /// `PegVault` on the parent.
    pub fn vault<S: Slots>(slots: &mut S) -> Result<Address, S::Error> {
        Ok(address(slots.load(layout::VAULT)?))
    }

    /// `CheckpointRegistry` on the parent.
    pub fn registry<S: Slots>(slots: &mut S) -> Result<Address, S::Error> {
        Ok(address(slots.load(layout::REGISTRY)?))
    }

    /// Blocks between checkpoints; 0 on a chain without a peg.
    pub fn checkpoint_interval<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::CHECKPOINT_INTERVAL)?, 0))
    }

    /// Pegged coin in existence on the sidechain, wei.
    pub fn supply<S: Slots>(slots: &mut S) -> Result<U256, S::Error> {
        slots.load(layout::SUPPLY)
    }

    /// Nonce of the last minted deposit, which is also the number of minted deposits.
    pub fn deposit_nonce<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::DEPOSIT_NONCE)?, 0))
    }

    /// Accumulator after the last deposit minted.
    pub fn deposit_acc<S: Slots>(slots: &mut S) -> Result<B256, S::Error> {
        Ok(hash(slots.load(layout::DEPOSIT_ACC)?))
    }

    /// Parent height of the last imported view.
    pub fn last_parent_height<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::PARENT_HEIGHT)?, 0))
    }

    /// Number of withdrawals, which is also the index of the next one.
    pub fn withdrawal_count<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::WITHDRAWAL_COUNT)?, 0))
    }

    /// Current root of the withdrawal tree.
    pub fn withdrawal_root<S: Slots>(slots: &mut S) -> Result<B256, S::Error> {
        let count = Self::withdrawal_count(slots)?;
        tree::root_from(count, |level| Ok(hash(slots.load(layout::frontier(level))?)))
    }

    /// Number of the latest checkpoint built; 0 before the first.
    pub fn latest_checkpoint_number<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::LATEST_CHECKPOINT)?, 0))
    }

    /// Number of the latest checkpoint whose certificate a block carries; 0 before the first.
    pub fn recorded_checkpoint_number<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::RECORDED_CHECKPOINT)?, 0))
    }

    /// Digest of checkpoint `number`; zero when none was built.
    pub fn checkpoint_digest<S: Slots>(slots: &mut S, number: u64) -> Result<B256, S::Error> {
        Ok(hash(slots.load(layout::checkpoint(number, CheckpointField::Digest))?))
    }

    /// Epoch of checkpoint `number`; 0 when none was built.
    pub(super) fn checkpoint_epoch<S: Slots>(slots: &mut S, number: u64) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::checkpoint(number, CheckpointField::Counters))?, 3))
    }

    /// Checkpoint `number`, when it was built.
    pub fn checkpoint<S: Slots>(slots: &mut S, number: u64) -> Result<Option<Checkpoint>, S::Error> {
        if number == 0 || Self::checkpoint_digest(slots, number)?.is_zero() {
            return Ok(None);
        }
        let prev_digest = Self::checkpoint_digest(slots, number - 1)?;
        let mut field = |field| slots.load(layout::checkpoint(number, field));
        let counters = field(CheckpointField::Counters)?;
        Ok(Some(Checkpoint {
            number,
            prevDigest: prev_digest,
            height: lane(counters, 0),
            blockHash: hash(field(CheckpointField::BlockHash)?),
            stateRoot: hash(field(CheckpointField::StateRoot)?),
            withdrawalRoot: hash(field(CheckpointField::WithdrawalRoot)?),
            withdrawalCount: lane(counters, 1),
            depositNonce: lane(counters, 2),
            depositAcc: hash(field(CheckpointField::DepositAcc)?),
            epoch: lane(counters, 3),
            nextValset: hash(field(CheckpointField::NextValset)?),
        }))
    }

    /// The validator set in force.
    ///
    /// # Errors
    /// [`PegFault::NotPegged`] where the slots hold no set of this layout.
    pub fn validator_set<S: Slots>(slots: &mut S) -> Result<PegValidatorSet, ModuleError<S::Error>> {
        let epoch = Self::epoch(slots).map_err(ModuleError::Slots)?;
        let set = Self::validator_set_of(slots, epoch).map_err(ModuleError::Slots)?;
        Ok(set.ok_or(PegFault::NotPegged)?)
    }

    /// The validator set of `epoch`: a past one, the current or the announced one. `None` for later epochs, and when the
    /// slots hold no set of this layout.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn validator_set_of<S: Slots>(slots: &mut S, epoch: u64) -> Result<Option<PegValidatorSet>, S::Error> {
        let version = slots.load(layout::VERSION)?;
        let count = slots.load(layout::validator_set(epoch, SetField::Count))?;
        let Some(count) = usize::try_from(count)
            .ok()
            .filter(|count| version == U256::from(layout::LAYOUT_VERSION) && *count <= MAX_PEG_VALIDATORS)
        else {
            return Ok(None);
        };
        let mut validators = Vec::with_capacity(count);
        for position in 0..count {
            let packed = slots.load(layout::validator_set(epoch, SetField::Member(position)))?;
            validators.push(PegValidator { address: address(packed >> 64), power: lane(packed, 0) });
        }
        Ok(PegValidatorSet::from_committed_order(epoch, validators).ok())
    }

    /// Commitment to the validator set of `epoch`; zero where the epoch has none.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn validator_set_commitment<S: Slots>(slots: &mut S, epoch: u64) -> Result<B256, S::Error> {
        Ok(hash(slots.load(layout::validator_set(epoch, SetField::Commitment))?))
    }

    /// Epoch of the validator set in force.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn epoch<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::VALIDATOR_EPOCH)?, 0))
    }

    /// Latest epoch for which a certificate shows that its set is in force on the parent; at first the epoch of its deployment.
    ///
    /// # Errors
    /// An error of the slots.
    pub fn acked_epoch<S: Slots>(slots: &mut S) -> Result<u64, S::Error> {
        Ok(lane(slots.load(layout::ACKED_EPOCH)?, 0))
    }
}
