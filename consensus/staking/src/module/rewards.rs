//! Distributes coin: from the reward pool to validators by power, from validators to delegators by shares.
//!
//! Two accumulators avoid loops: coin per unit of power since genesis, and for each validator coin per share. A holder of
//! power or shares is settled before they change. Every division rounds down, and the remainder stays in
//! the pool: as a carry when the next division uses it, otherwise with the validator until its last share
//! is gone, then as dust. The pool's balance is exactly owed + undistributed + dust.

use alloy_primitives::{Address, U256};

use super::Ruling;
use crate::{
    StakingFault, layout,
    layout::ValidatorField,
    math::{gather, mul_div_floor, spread},
    params::WHOLE_BPS,
    records::{Delegation, Validator},
    slots::Slots,
    staged::Staged,
};

/// Distributes the coin that the pool received since the last block over the power of the active set.
pub(super) fn distribute<S: Slots>(st: &mut Staged<'_, S>, balance: U256, total_power: u64) -> Ruling<(), S> {
    let mut counted = U256::ZERO;
    for slot in [layout::COIN_OWED, layout::COIN_UNDISTRIBUTED, layout::COIN_DUST] {
        counted = counted.checked_add(st.get(slot)?).ok_or(StakingFault::Accounting)?;
    }
    // Only counted payments take coin out, so the balance is never below the counted amount.
    let new = balance.checked_sub(counted).ok_or(StakingFault::Accounting)?;
    if new.is_zero() {
        return Ok(());
    }
    let index = st.get(layout::POWER_INDEX)?;
    let carry = st.get(layout::POWER_CARRY)?;
    let spread = spread(new, carry, U256::from(total_power));
    match spread.and_then(|(each, left)| Some((index.checked_add(each)?, left))) {
        Some((index, left)) => {
            st.set(layout::POWER_INDEX, index)?;
            st.set(layout::POWER_CARRY, left)?;
            st.add(layout::COIN_UNDISTRIBUTED, new)
        }
        // The coin per unit of power would overflow: more than 2^128 wei in all.
        None => st.add(layout::COIN_DUST, new),
    }
}

/// Settles a validator's rewards with its current power, commission and shares.
pub(super) fn settle_validator<S: Slots>(st: &mut Staged<'_, S>, validator: &Validator) -> Ruling<(), S> {
    let slot = |field| layout::validator(validator.operator, field);
    let index = st.get(layout::POWER_INDEX)?;
    let since = index.checked_sub(st.get(slot(ValidatorField::PowerIndex))?).ok_or(StakingFault::Accounting)?;
    st.set(slot(ValidatorField::PowerIndex), index)?;
    if validator.power == 0 || since.is_zero() {
        return Ok(());
    }
    let carry = st.get(slot(ValidatorField::PowerCarry))?;
    let (earned, carry) = gather(since, U256::from(validator.power), carry).ok_or(StakingFault::Accounting)?;
    st.set(slot(ValidatorField::PowerCarry), carry)?;
    if validator.pool.shares.is_zero() {
        return st.shift(layout::COIN_UNDISTRIBUTED, layout::COIN_DUST, earned);
    }
    let commission = mul_div_floor(earned, U256::from(validator.commission_bps), U256::from(WHOLE_BPS))
        .ok_or(StakingFault::Accounting)?;
    st.shift(layout::COIN_UNDISTRIBUTED, layout::COIN_OWED, commission)?;
    st.add(slot(ValidatorField::Commission), commission)?;
    let rest = earned.checked_sub(commission).ok_or(StakingFault::Accounting)?;
    let share_index = st.get(slot(ValidatorField::ShareIndex))?;
    let share_carry = st.get(slot(ValidatorField::ShareCarry))?;
    let spread = spread(rest, share_carry, validator.pool.shares);
    match spread.and_then(|(each, left)| Some((share_index.checked_add(each)?, left))) {
        Some((index, left)) => {
            st.set(slot(ValidatorField::ShareIndex), index)?;
            st.set(slot(ValidatorField::ShareCarry), left)?;
            st.add(slot(ValidatorField::Rewards), rest)?;
            st.shift(layout::COIN_UNDISTRIBUTED, layout::COIN_OWED, rest)
        }
        None => st.shift(layout::COIN_UNDISTRIBUTED, layout::COIN_DUST, rest),
    }
}

/// Settles a validator and one delegation with it; must run before the shares of either change.
pub(crate) fn touch<S: Slots>(
    st: &mut Staged<'_, S>,
    validator: &Validator,
    delegator: Address,
) -> Ruling<Delegation, S> {
    settle_validator(st, validator)?;
    let slot = |field| layout::validator(validator.operator, field);
    let mut delegation = Delegation::load(st, delegator, validator.operator)?;
    let index = st.get(slot(ValidatorField::ShareIndex))?;
    if !delegation.shares.is_zero() {
        let since = index.checked_sub(delegation.share_index).ok_or(StakingFault::Accounting)?;
        let (earned, _) = gather(since, delegation.shares, U256::ZERO).ok_or(StakingFault::Accounting)?;
        delegation.accrued = delegation.accrued.checked_add(earned).ok_or(StakingFault::Accounting)?;
        st.add(slot(ValidatorField::Accrued), earned)?;
    }
    delegation.share_index = index;
    Ok(delegation)
}

/// When a validator's last share is gone, coin that rounding kept from its delegators becomes dust.
pub(super) fn sweep_if_empty<S: Slots>(st: &mut Staged<'_, S>, validator: &Validator) -> Ruling<(), S> {
    if !validator.pool.shares.is_zero() {
        return Ok(());
    }
    let slot = |field| layout::validator(validator.operator, field);
    let accrued = st.get(slot(ValidatorField::Accrued))?;
    let left = st.get(slot(ValidatorField::Rewards))?.checked_sub(accrued).ok_or(StakingFault::Accounting)?;
    st.set(slot(ValidatorField::Rewards), accrued)?;
    st.set(slot(ValidatorField::ShareCarry), U256::ZERO)?;
    st.shift(layout::COIN_OWED, layout::COIN_DUST, left)
}
