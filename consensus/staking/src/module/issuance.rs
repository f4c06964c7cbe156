//! Stake issued at the end of an epoch to the members of its set, by power.
//!
//! The validator's pool grows, so its shares are worth more; the commission part buys shares for the operator. Division
//! remainders are not issued. There is no log, because the hook has no receipt.

use alloy_primitives::U256;

use super::{Ruling, StakingModule, rewards::touch};
use crate::{
    StakingFault, layout,
    math::{mul_div_floor, ppm_floor},
    params::{ISSUED_BITS, WHOLE_BPS},
    records::Validator,
    slots::Slots,
    staged::Staged,
};

impl StakingModule {
    /// The stake to issue to the members of the set whose epoch ends: parts per million of the bonded stake, as long as
    /// all issued stake stays below 2^128.
    pub(super) fn issuance<S: Slots>(&self, st: &mut Staged<'_, S>) -> Ruling<U256, S> {
        if self.params.issuance_ppm == 0 {
            return Ok(U256::ZERO);
        }
        let bonded = st.get(layout::BONDED)?;
        let wanted = ppm_floor(bonded, self.params.issuance_ppm).ok_or(StakingFault::Accounting)?;
        let most = (U256::ONE << ISSUED_BITS) - U256::ONE;
        let left = most.checked_sub(st.get(layout::ISSUED)?).ok_or(StakingFault::Accounting)?;
        Ok(wanted.min(left))
    }
}

/// Issues a settled validator's part of `total`; returns the issued amount. Jailed and tombstoned validators and those without
/// bonded stake get nothing.
pub(super) fn issue<S: Slots>(
    st: &mut Staged<'_, S>,
    validator: &mut Validator,
    total: U256,
    set_power: u64,
) -> Ruling<U256, S> {
    let power = U256::from(validator.power);
    let amount = mul_div_floor(total, power, U256::from(set_power)).ok_or(StakingFault::Accounting)?;
    let barred = validator.jailed || validator.tombstoned || validator.pool.tokens.is_zero();
    if amount.is_zero() || barred || validator.pool.shares.is_zero() {
        return Ok(U256::ZERO);
    }
    let bps = U256::from(validator.commission_bps);
    let commission = mul_div_floor(amount, bps, U256::from(WHOLE_BPS)).ok_or(StakingFault::Accounting)?;
    let rest = amount.checked_sub(commission).ok_or(StakingFault::Accounting)?;
    validator.pool.tokens = validator.pool.tokens.checked_add(rest).ok_or(StakingFault::Accounting)?;
    let operator = validator.operator;
    let mut delegation = touch(st, validator, operator)?;
    let mut pool = validator.pool;
    match pool.deposit(commission) {
        Ok(shares) => {
            validator.pool = pool;
            delegation.shares = delegation.shares.checked_add(shares).ok_or(StakingFault::SharesOverflow)?;
        }
        // The shares would overflow: all delegators get the commission part.
        Err(_) => {
            validator.pool.tokens = validator.pool.tokens.checked_add(commission).ok_or(StakingFault::Accounting)?
        }
    }
    delegation.save(st, operator, operator)?;
    validator.save(st)?;
    st.add(layout::ISSUED, amount)?;
    st.add(layout::BONDED, amount)?;
    Ok(amount)
}
