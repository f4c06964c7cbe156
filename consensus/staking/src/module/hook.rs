//! The hook before the transactions of every block, and the rotation at the end of an epoch.
//!
//! The cost of a block grows with the members of the set; the cost of a rotation grows with all candidates. No loop is over delegators.

use alloy_primitives::U256;

use super::{
    BlockContext, BlockOutcome, Ruling, StakingModule,
    downtime::carry_window,
    epochs::{Epoch, ValidatorSet, load_epoch, load_set, save_epoch, save_set, set_power},
    issuance::issue,
    operator::retire,
    rewards::{distribute, settle_validator},
};
use crate::{
    StakingFault, layout,
    records::{Validator, items},
    slots::{Slots, address, address_word, lane, lanes},
    staged::Staged,
};

impl StakingModule {
    /// Runs at the start of the block, on the state after the previous one. It counts the proposer and signers of the previous
    /// block, jails members that were inactive for a window, distributes the new coin of the reward pool, removes double signers
    /// from the next set while that may change, and rotates when this is the last block of its epoch.
    ///
    /// An epoch has its planned length, and is extended block by block while the handover to the next set is not ready.
    ///
    /// # Errors
    /// Errors of the slots. `Refused` only when the state breaks its own invariants, which is a bug and no verdict about the
    /// block.
    pub fn begin_block<S: Slots>(&self, slots: &mut S, ctx: &BlockContext<'_>) -> Ruling<BlockOutcome, S> {
        let done = Self::act(slots, |st, _| {
            self.count_liveness(st, ctx)?;
            let mut epoch = load_epoch(st)?;
            let power = set_power(st, epoch.number)?;
            distribute(st, ctx.reward_pool, power)?;
            let mut outcome = BlockOutcome::default();
            if ctx.next_open || !self.params.pegged {
                outcome.next = drop_tombstoned(st, epoch.number)?;
            }
            let next_height = ctx.height.checked_add(1).ok_or(StakingFault::Accounting)?;
            if next_height < epoch.start_height.saturating_add(self.params.epoch_length) {
                return Ok(outcome);
            }
            if self.params.pegged && !ctx.handover_ready {
                epoch.extended = epoch.extended.saturating_add(1);
                save_epoch(st, epoch)?;
                return Ok(outcome);
            }
            self.rotate(st, epoch.number, next_height, ctx.timestamp)
        })?;
        Ok(done.value)
    }

    /// Ends an epoch: the next set becomes active, and the set after it is computed.
    fn rotate<S: Slots>(&self, st: &mut Staged<'_, S>, ended: u64, start: u64, now: u64) -> Ruling<BlockOutcome, S> {
        let number = ended.checked_add(1).ok_or(StakingFault::Accounting)?;
        let old = load_set(st, ended)?;
        let new = load_set(st, number)?;
        let issued = self.dismiss(st, &old)?;
        install(st, &new)?;
        carry_window(st, &old, &new)?;
        save_epoch(st, Epoch { number, start_height: start, start_time: now, extended: 0 })?;
        retire_the_gone(st, number)?;
        let following = number.checked_add(1).ok_or(StakingFault::Accounting)?;
        let next = self.select(st, following, &new)?;
        save_set(st, following, &next)?;
        set_dirty(st, false)?;
        let members = next.members(st)?;
        Ok(BlockOutcome { rotated_to: Some(number), next: Some((following, members)), issued })
    }

    /// Settles the members of a set whose epoch ends, issues their stake, and removes their power; returns the issued stake.
    fn dismiss<S: Slots>(&self, st: &mut Staged<'_, S>, set: &ValidatorSet) -> Ruling<U256, S> {
        let total = self.issuance(st)?;
        let mut issued = U256::ZERO;
        for seat in &set.seats {
            let mut validator = Validator::load(st, seat.operator)?;
            settle_validator(st, &validator)?;
            let part = issue(st, &mut validator, total, set.power)?;
            issued = issued.checked_add(part).ok_or(StakingFault::Accounting)?;
            validator.power = 0;
            validator.save(st)?;
            st.set(layout::consensus_key(validator.consensus_key), address_word(seat.operator) << 64)?;
        }
        Ok(issued)
    }
}

/// Stores the power of the members of a set, and the positions of their keys.
pub(super) fn install<S: Slots>(st: &mut Staged<'_, S>, set: &ValidatorSet) -> Ruling<(), S> {
    for (position, seat) in (1u64..).zip(&set.seats) {
        let mut validator = Validator::load(st, seat.operator)?;
        settle_validator(st, &validator)?;
        validator.power = seat.power;
        validator.save(st)?;
        let entry = (address_word(seat.operator) << 64) | U256::from(position);
        st.set(layout::consensus_key(validator.consensus_key), entry)?;
    }
    Ok(())
}

/// Removes newly tombstoned members from the next set, and returns the set if it changed. Their places stay empty until the
/// set after it. A set of tombstoned members only stays as it is.
fn drop_tombstoned<S: Slots>(st: &mut Staged<'_, S>, current: u64) -> Ruling<Option<(u64, Vec<super::Member>)>, S> {
    if lane(st.get(layout::WINDOW)?, 1) == 0 {
        return Ok(None);
    }
    set_dirty(st, false)?;
    let next = current.checked_add(1).ok_or(StakingFault::Accounting)?;
    let mut kept = Vec::new();
    for seat in load_set(st, next)?.seats {
        if !Validator::load(st, seat.operator)?.tombstoned {
            kept.push((seat.operator, seat.stake));
        }
    }
    if kept.is_empty() {
        return Ok(None);
    }
    let set = ValidatorSet::new(kept)?;
    save_set(st, next, &set)?;
    Ok(Some((next, set.members(st)?)))
}

fn set_dirty<S: Slots>(st: &mut Staged<'_, S>, dirty: bool) -> Ruling<(), S> {
    let window = st.get(layout::WINDOW)?;
    st.set(layout::WINDOW, lanes([lane(window, 0), u64::from(dirty), 0, 0]))
}

/// Moves validators that have exited to the list of former ones, unless a set still needs them.
fn retire_the_gone<S: Slots>(st: &mut Staged<'_, S>, epoch: u64) -> Ruling<(), S> {
    for item in items(st, layout::CANDIDATES)? {
        let mut validator = Validator::load(st, address(item))?;
        if validator.exiting && validator.exit_epoch <= epoch && !validator.in_sets_from(epoch) {
            retire(st, &mut validator)?;
            validator.save(st)?;
        }
    }
    Ok(())
}
