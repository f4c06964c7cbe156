//! Stake that is leaving: chooses the epochs in which it leaves, and keeps the pools in which it stays slashable.
//!
//! Stake that leaves in epoch `L` counts for its validator's power until epoch `L - 1`. At most a third of the set's
//! stake leaves with any one epoch. So more than two thirds of a set always belong to holders of more than a third of the
//! previous set, and a client that trusts one set can follow to the next. Stake that does not count in the set needs no
//! room: its validator is not a member, or the bounds did not let it count yet.

use alloy_primitives::{Address, U256};

use super::Ruling;
use crate::{
    StakingFault, layout,
    params::{LEAVE_HORIZON, MAX_UNBONDINGS},
    records::{Pool, Validator, len, push, swap_remove},
    slots::{Slots, address, address_word, lane, lanes},
    staged::Staged,
};

/// First epoch in which stake can leave: the sets of earlier epochs are already known.
pub(super) fn first_leave_epoch(epoch: u64) -> Result<u64, StakingFault> {
    epoch.checked_add(2).ok_or(StakingFault::Accounting)
}

/// Room for the stake of set members to leave, epoch by epoch from the first possible one.
struct Queue {
    epoch: u64,
    /// Stake of the set before `epoch`, if only the queue changes it.
    stake: U256,
}

impl Queue {
    fn new<S: Slots>(st: &mut Staged<'_, S>, epoch: u64) -> Ruling<Self, S> {
        let first = first_leave_epoch(epoch)?;
        Ok(Self { epoch: first, stake: st.get(layout::set_stake(first - 1))? })
    }

    fn room<S: Slots>(&self, st: &mut Staged<'_, S>) -> Ruling<U256, S> {
        let promised = st.get(layout::leave_queue(self.epoch))?;
        Ok((self.stake / U256::from(3)).saturating_sub(promised))
    }

    fn take<S: Slots>(&self, st: &mut Staged<'_, S>, amount: U256) -> Ruling<(), S> {
        st.add(layout::leave_queue(self.epoch), amount)
    }

    fn advance<S: Slots>(&mut self, st: &mut Staged<'_, S>) -> Ruling<(), S> {
        self.stake = self.stake.saturating_sub(st.get(layout::leave_queue(self.epoch))?);
        self.epoch = self.epoch.checked_add(1).ok_or(StakingFault::Accounting)?;
        Ok(())
    }
}

/// Takes room for `amount` from the queue, epoch after epoch, except in epochs whose leaving pool of the validator is
/// worthless because of slashes; returns the epochs with their parts.
pub(super) fn reserve<S: Slots>(
    st: &mut Staged<'_, S>,
    epoch: u64,
    amount: U256,
    operator: Address,
) -> Ruling<Vec<(u64, U256)>, S> {
    let mut parts = Vec::new();
    if amount.is_zero() {
        return Ok(parts);
    }
    let mut queue = Queue::new(st, epoch)?;
    let mut left = amount;
    for _ in 0..LEAVE_HORIZON {
        let part = left.min(queue.room(st)?);
        if !part.is_zero() && !load_pool(st, operator, queue.epoch)?.is_worthless() {
            queue.take(st, part)?;
            parts.push((queue.epoch, part));
            left -= part;
        }
        if left.is_zero() {
            return Ok(parts);
        }
        queue.advance(st)?;
    }
    Err(StakingFault::ExitQueueFull.into())
}

/// Takes room for `amount` in the first possible epoch, as a redelegation needs it.
pub(super) fn reserve_at_once<S: Slots>(st: &mut Staged<'_, S>, epoch: u64, amount: U256) -> Ruling<(), S> {
    if amount.is_zero() {
        return Ok(());
    }
    let queue = Queue::new(st, epoch)?;
    let room = queue.room(st)?;
    if amount > room {
        return Err(StakingFault::RedelegationLimit { room }.into());
    }
    queue.take(st, amount)
}

/// The epochs in which `amount` of a validator's bonded stake leaves, with their parts; empty for a zero amount.
pub(super) fn schedule<S: Slots>(
    st: &mut Staged<'_, S>,
    validator: &Validator,
    epoch: u64,
    amount: U256,
) -> Ruling<Vec<(u64, U256)>, S> {
    if amount.is_zero() {
        return Ok(Vec::new());
    }
    // A double signer has no power, and an exiting validator has already reserved room for all of its power.
    let bound = !validator.tombstoned && !validator.exiting;
    let missing = if bound { validator.missing_without(amount, epoch) } else { U256::ZERO };
    let mut parts = reserve(st, epoch, missing, validator.operator)?;
    let free = amount.checked_sub(missing).ok_or(StakingFault::Accounting)?;
    if !free.is_zero() {
        let leave = first_sound_pool(st, validator, epoch)?;
        match parts.iter_mut().find(|(epoch, _)| *epoch == leave) {
            Some((_, part)) => *part = part.checked_add(free).ok_or(StakingFault::Accounting)?,
            None => parts.insert(0, (leave, free)),
        }
    }
    Ok(parts)
}

/// First epoch in which stake that needs no room can leave: as soon as possible, or with the validator's exit, but not in a
/// pool that is worthless because of slashes.
fn first_sound_pool<S: Slots>(st: &mut Staged<'_, S>, validator: &Validator, epoch: u64) -> Ruling<u64, S> {
    let first = first_leave_epoch(epoch)?.max(validator.exit_epoch);
    let last = first_leave_epoch(epoch)?.saturating_add(LEAVE_HORIZON);
    for leave in first..last {
        if !load_pool(st, validator.operator, leave)?.is_worthless() {
            return Ok(leave);
        }
    }
    Err(StakingFault::ExitQueueFull.into())
}

pub(crate) fn load_pool<S: Slots>(st: &mut Staged<'_, S>, operator: Address, leave: u64) -> Ruling<Pool, S> {
    Ok(Pool {
        tokens: st.get(layout::leaving_pool(operator, leave))?,
        shares: st.get(layout::leaving_pool_shares(operator, leave))?,
    })
}

/// Saves a leaving pool, and the bit that tells whether it exists.
pub(super) fn save_pool<S: Slots>(st: &mut Staged<'_, S>, operator: Address, leave: u64, pool: Pool) -> Ruling<(), S> {
    st.set(layout::leaving_pool(operator, leave), pool.tokens)?;
    st.set(layout::leaving_pool_shares(operator, leave), pool.shares)?;
    let word = layout::leaving_bits(operator, leave / 256);
    let mut bits = st.get(word)?;
    bits.set_bit(usize::try_from(leave % 256).map_err(|_| StakingFault::Accounting)?, !pool.shares.is_zero());
    st.set(word, bits)
}

/// Epochs from `first` on in which stake of a validator leaves, ascending.
pub(super) fn leave_epochs<S: Slots>(
    st: &mut Staged<'_, S>,
    operator: Address,
    current: u64,
    first: u64,
) -> Ruling<Vec<u64>, S> {
    let last = first_leave_epoch(current)?.saturating_add(LEAVE_HORIZON);
    let mut found = Vec::new();
    for word in first / 256..=last / 256 {
        let bits = st.get(layout::leaving_bits(operator, word))?;
        if bits.is_zero() {
            continue;
        }
        let epochs = (0..256usize).filter(|bit| bits.bit(*bit)).filter_map(|bit| u64::try_from(bit).ok());
        found.extend(epochs.map(|bit| word * 256 + bit).filter(|leave| *leave >= first));
    }
    Ok(found)
}

/// Stake of a validator that counts in the set of `epoch`, which is after the current one.
pub(super) fn stake_in<S: Slots>(
    st: &mut Staged<'_, S>,
    validator: &Validator,
    current: u64,
    epoch: u64,
) -> Ruling<U256, S> {
    let after = epoch.checked_add(1).ok_or(StakingFault::Accounting)?;
    let mut stake = validator.pool.tokens;
    for leave in leave_epochs(st, validator.operator, current, after)? {
        stake = stake.checked_add(load_pool(st, validator.operator, leave)?.tokens).ok_or(StakingFault::Accounting)?;
    }
    if validator.exiting {
        let mut planned = U256::ZERO;
        for leave in after..=validator.exit_epoch {
            let part = st.get(layout::exit_plan(validator.operator, leave))?;
            planned = planned.checked_add(part).ok_or(StakingFault::Accounting)?;
        }
        stake = stake.min(planned);
    }
    Ok(stake)
}

/// Reserves room for an exiting validator's power to leave; returns the first epoch without it. The bonded stake that counts
/// takes room in the queue; stake that started to leave earlier has its own room.
pub(super) fn plan_exit<S: Slots>(st: &mut Staged<'_, S>, validator: &Validator, epoch: u64) -> Ruling<u64, S> {
    let operator = validator.operator;
    let first = first_leave_epoch(epoch)?;
    let mut last = first;
    let missing = validator.missing_without(validator.pool.tokens, epoch);
    for (leave, part) in reserve(st, epoch, missing, operator)? {
        st.add(layout::exit_plan(operator, leave), part)?;
        last = last.max(leave);
    }
    for leave in leave_epochs(st, operator, epoch, first)? {
        let tokens = load_pool(st, operator, leave)?.tokens;
        st.add(layout::exit_plan(operator, leave), tokens)?;
        last = last.max(leave);
    }
    Ok(last)
}

/// Moves bonded tokens, which were already taken out of the validator's pool, to its pool of epoch `leave`.
pub(super) fn unbond<S: Slots>(
    st: &mut Staged<'_, S>,
    delegator: Address,
    operator: Address,
    leave: u64,
    tokens: U256,
    now: u64,
) -> Ruling<(), S> {
    let mut pool = load_pool(st, operator, leave)?;
    let bought = pool.deposit(tokens)?;
    save_pool(st, operator, leave, pool)?;
    st.shift(layout::BONDED, layout::UNBONDING, tokens)?;
    if bought.is_zero() {
        return Ok(());
    }
    let part = layout::leaving_part(delegator, operator, leave);
    let meta = layout::leaving_part_meta(delegator, operator, leave);
    let listed = if st.get(part)?.is_zero() {
        let list = layout::unbondings_of(delegator);
        if len(st, list)? >= MAX_UNBONDINGS {
            return Err(StakingFault::TooManyUnbondings.into());
        }
        push(st, list, unbonding_word(operator, leave))?.checked_add(1).ok_or(StakingFault::Accounting)?
    } else {
        lane(st.get(meta)?, 1)
    };
    st.add(part, bought)?;
    st.set(meta, lanes([now, listed, 0, 0]))
}

/// Removes a delegator's part of a leaving pool.
pub(super) fn forget_part<S: Slots>(
    st: &mut Staged<'_, S>,
    delegator: Address,
    operator: Address,
    leave: u64,
) -> Ruling<(), S> {
    let meta = layout::leaving_part_meta(delegator, operator, leave);
    let listed = lane(st.get(meta)?, 1);
    let position = listed.checked_sub(1).ok_or(StakingFault::Accounting)?;
    if let Some(moved) = swap_remove(st, layout::unbondings_of(delegator), position)? {
        let (operator, leave) = unbonding_of_word(moved);
        let meta = layout::leaving_part_meta(delegator, operator, leave);
        let asked = lane(st.get(meta)?, 0);
        st.set(meta, lanes([asked, listed, 0, 0]))?;
    }
    st.set(layout::leaving_part(delegator, operator, leave), U256::ZERO)?;
    st.set(meta, U256::ZERO)
}

fn unbonding_word(operator: Address, leave: u64) -> U256 {
    (address_word(operator) << 64) | U256::from(leave)
}

/// Operator and leave epoch of an item of a delegator's list of unbondings.
pub(crate) fn unbonding_of_word(word: U256) -> (Address, u64) {
    (address(word >> 64), lane(word, 0))
}
