//! Claims: unbonded stake, rewards, commission.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;

use super::{
    Done, Env, Ruling, StakingModule,
    epochs::{epoch_start, load_epoch},
    leaving::{forget_part, load_pool, save_pool},
    redelegation::settle_moves_to,
    rewards::{settle_validator, touch},
    token,
};
use crate::{
    StakingFault, StakingParams,
    abi::IStaking,
    layout,
    layout::ValidatorField,
    records::Validator,
    slots::{Slots, lane},
    staged::Staged,
};

/// Stake is claimable after this many unbonding times even if the parent has not acknowledged the epoch in which it left.
const UNACKNOWLEDGED_FACTOR: u64 = 4;

/// Stake is claimable after this many unbonding times even if no epoch began.
const STUCK_FACTOR: u64 = 8;

/// When stake that was requested at `asked` and leaves in `leave` can be claimed, as far as is known now. Normally the epoch
/// must have begun, the unbonding time must have passed since, and on chains with a peg the parent must have acknowledged the
/// epoch, for which it waits at most four unbonding times. The time is not known before the epoch begins, except while the
/// current epoch is extended: then it is eight unbonding times after the request. Except in these two cases, evidence against
/// the stake (`check_evidence`) never outlives it.
pub(crate) fn claimable_at<S: Slots>(
    st: &mut Staged<'_, S>,
    params: &StakingParams,
    acked_epoch: u64,
    leave: u64,
    asked: u64,
) -> Ruling<u64, S> {
    let after = |start: u64, factor: u64| start.saturating_add(params.unbonding_seconds.saturating_mul(factor));
    let Some((_, start)) = epoch_start(st, leave)? else {
        let extended = load_epoch(st)?.extended > 0;
        return Ok(if extended { after(asked, STUCK_FACTOR) } else { u64::MAX });
    };
    let acknowledged = !params.pegged || acked_epoch >= leave;
    Ok(after(start, if acknowledged { 1 } else { UNACKNOWLEDGED_FACTOR }))
}

impl StakingModule {
    /// Claims the sender's stake that left `operator` in `leave`; returns the amount.
    ///
    /// # Errors
    /// `NothingUnbonding`, `NotClaimable`; errors of the slots.
    pub fn claim_unbonded<S: Slots>(
        &self,
        slots: &mut S,
        env: &Env,
        operator: Address,
        leave: u64,
    ) -> Ruling<Done<U256>, S> {
        Self::act(slots, |st, effects| {
            let shares = st.get(layout::leaving_part(env.sender, operator, leave))?;
            if shares.is_zero() {
                return Err(StakingFault::NothingUnbonding.into());
            }
            let asked = lane(st.get(layout::leaving_part_meta(env.sender, operator, leave))?, 0);
            if env.timestamp < claimable_at(st, &self.params, env.acked_epoch, leave, asked)? {
                return Err(StakingFault::NotClaimable { leave_epoch: leave }.into());
            }
            let mut pool = load_pool(st, operator, leave)?;
            let amount = pool.value(shares)?;
            let dust = pool.withdraw(shares, amount)?;
            save_pool(st, operator, leave, pool)?;
            forget_part(st, env.sender, operator, leave)?;
            st.shift(layout::UNBONDING, layout::DUST, dust)?;
            token::release(st, effects, layout::UNBONDING, env.sender, amount)?;
            let (delegator, validator) = (env.sender, operator);
            let event = IStaking::UnbondedClaimed { delegator, validator, leaveEpoch: leave, amount };
            effects.log(event.encode_log_data());
            Ok(amount)
        })
    }

    /// Claims the sender's rewards from `operator`; returns the coin to pay, which may be zero.
    ///
    /// # Errors
    /// `UnknownValidator`; errors of the slots.
    pub fn claim_rewards<S: Slots>(&self, slots: &mut S, env: &Env, operator: Address) -> Ruling<Done<U256>, S> {
        Self::act(slots, |st, effects| {
            Validator::load(st, operator)?;
            settle_moves_to(st, effects, &self.params, env.timestamp, env.sender, operator)?;
            let validator = Validator::load(st, operator)?;
            let mut delegation = touch(st, &validator, env.sender)?;
            let coin = std::mem::take(&mut delegation.accrued);
            delegation.save(st, env.sender, operator)?;
            st.sub(layout::validator(operator, ValidatorField::Accrued), coin)?;
            st.sub(layout::validator(operator, ValidatorField::Rewards), coin)?;
            st.sub(layout::COIN_OWED, coin)?;
            effects.pay(env.sender, coin);
            let (delegator, validator) = (env.sender, operator);
            effects.log(IStaking::RewardsClaimed { delegator, validator, coin }.encode_log_data());
            Ok(coin)
        })
    }

    /// Claims the sender's commission; returns the coin to pay, which may be zero.
    ///
    /// # Errors
    /// `UnknownValidator`; errors of the slots.
    pub fn claim_commission<S: Slots>(&self, slots: &mut S, env: &Env) -> Ruling<Done<U256>, S> {
        Self::act(slots, |st, effects| {
            let operator = env.sender;
            let validator = Validator::load(st, operator)?;
            settle_validator(st, &validator)?;
            let slot = layout::validator(operator, ValidatorField::Commission);
            let coin = st.get(slot)?;
            st.set(slot, U256::ZERO)?;
            st.sub(layout::COIN_OWED, coin)?;
            effects.pay(operator, coin);
            effects.log(IStaking::CommissionClaimed { operator, coin }.encode_log_data());
            Ok(coin)
        })
    }
}
