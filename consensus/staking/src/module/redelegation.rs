//! Moves bonded stake from one validator to another; the stake stays liable for old faults.
//!
//! Redelegated stake counts for its new validator at once. It stays liable for faults that its old validator committed
//! before the move took effect: the shares that it bought are locked until evidence of such faults expires, and a slash of
//! the old validator burns its part of them. The slash is applied when the delegator next uses its delegation with the new
//! validator, or when anyone calls [`StakingModule::settle_redelegation`]. Locked shares cannot escape before that, because
//! they can neither be undelegated nor redelegated.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;

use super::{
    Done, Effects, Env, Ruling, StakingModule,
    claims::claimable_at,
    delegation::{add_stake, portion, take_stake},
    epochs::load_epoch,
    leaving,
    rewards::touch,
    slashing::{Kind, load_slash},
};
use crate::{
    StakingFault, StakingParams,
    abi::IStaking,
    layout,
    layout::RedelegationField,
    math::ppm_ceil,
    params::MAX_REDELEGATIONS,
    records::{Validator, items, len, push, swap_remove},
    slots::{Slots, address, address_word, lane, lanes},
    staged::Staged,
};

/// A live redelegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redelegation {
    pub(crate) delegator: Address,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) leave_epoch: u64,
    /// Number of slashes of `from` that are applied.
    pub(crate) applied: u64,
    pub(crate) made_at: u64,
    /// Locked shares of `to`.
    pub(crate) shares: U256,
}

impl Redelegation {
    /// The live redelegation `id`.
    pub(crate) fn load<S: Slots>(st: &mut Staged<'_, S>, id: u64) -> Ruling<Self, S> {
        let mut slot = |field| st.get(layout::redelegation(id, field));
        let delegator = slot(RedelegationField::Delegator)?;
        if delegator.is_zero() {
            return Err(StakingFault::UnknownRedelegation { id }.into());
        }
        let progress = slot(RedelegationField::Progress)?;
        Ok(Self {
            delegator: address(delegator),
            from: address(slot(RedelegationField::From)?),
            to: address(slot(RedelegationField::To)?),
            leave_epoch: lane(progress, 0),
            applied: lane(progress, 1),
            made_at: lane(progress, 2),
            shares: slot(RedelegationField::Shares)?,
        })
    }

    fn save<S: Slots>(&self, st: &mut Staged<'_, S>, id: u64) -> Ruling<(), S> {
        let mut put = |field, value| st.set(layout::redelegation(id, field), value);
        put(RedelegationField::Delegator, address_word(self.delegator))?;
        put(RedelegationField::From, address_word(self.from))?;
        put(RedelegationField::To, address_word(self.to))?;
        put(RedelegationField::Progress, lanes([self.leave_epoch, self.applied, self.made_at, 0]))?;
        put(RedelegationField::Shares, self.shares)
    }

    fn forget<S: Slots>(st: &mut Staged<'_, S>, id: u64, delegator: Address) -> Ruling<(), S> {
        let list = layout::redelegations_of(delegator);
        let position = items(st, list)?.iter().position(|item| *item == U256::from(id));
        let position = position.and_then(|position| u64::try_from(position).ok()).ok_or(StakingFault::Accounting)?;
        swap_remove(st, list, position)?;
        for field in [
            RedelegationField::Delegator,
            RedelegationField::From,
            RedelegationField::To,
            RedelegationField::Progress,
            RedelegationField::Shares,
        ] {
            st.set(layout::redelegation(id, field), U256::ZERO)?;
        }
        Ok(())
    }

    /// Burns shares for each slash of the old validator for which it is liable; returns the number of burned shares.
    fn apply_slashes<S: Slots>(&mut self, st: &mut Staged<'_, S>) -> Ruling<U256, S> {
        let slashes = Validator::load(st, self.from)?.slashes;
        let mut burned = U256::ZERO;
        while self.applied < slashes {
            let slash = load_slash(st, self.from, self.applied)?;
            self.applied += 1;
            if slash.epoch < self.leave_epoch {
                let burn = ppm_ceil(self.shares, slash.ppm).ok_or(StakingFault::Accounting)?;
                self.shares = self.shares.checked_sub(burn).ok_or(StakingFault::Accounting)?;
                burned = burned.checked_add(burn).ok_or(StakingFault::Accounting)?;
            } else if slash.kind == Kind::Downtime {
                // Downtime is punished in the epoch of the fault, so no later slash has an older fault. A double signature may have an
                // older one, and is the last slash of all.
                self.applied = self.applied.max(slashes - 1);
            }
        }
        Ok(burned)
    }
}

/// When a redelegation stops being liable for its old validator, as far as is known now. The parent's acknowledgement is
/// not needed, because no stake leaves the chain.
pub(crate) fn free_at<S: Slots>(st: &mut Staged<'_, S>, params: &StakingParams, made: &Redelegation) -> Ruling<u64, S> {
    claimable_at(st, params, u64::MAX, made.leave_epoch, made.made_at)
}

/// Settles one redelegation.
fn settle<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    params: &StakingParams,
    now: u64,
    id: u64,
) -> Ruling<(), S> {
    let mut made = Redelegation::load(st, id)?;
    let applied = made.applied;
    let burned = made.apply_slashes(st)?;
    let mut slashed = U256::ZERO;
    if !burned.is_zero() {
        let mut validator = Validator::load(st, made.to)?;
        let mut delegation = touch(st, &validator, made.delegator)?;
        delegation.locked = delegation.locked.checked_sub(burned).ok_or(StakingFault::Accounting)?;
        slashed = validator.pool.value(burned)?;
        st.shift(layout::BONDED, layout::SLASHED, slashed)?;
        take_stake(st, &mut validator, &mut delegation, made.delegator, burned, slashed)?;
    }
    let free = made.shares.is_zero() || now >= free_at(st, params, &made)?;
    if free {
        let validator = Validator::load(st, made.to)?;
        let mut delegation = touch(st, &validator, made.delegator)?;
        delegation.locked = delegation.locked.checked_sub(made.shares).ok_or(StakingFault::Accounting)?;
        delegation.save(st, made.delegator, made.to)?;
        Redelegation::forget(st, id, made.delegator)?;
    } else {
        made.save(st, id)?;
    }
    if free || made.applied != applied {
        effects.log(IStaking::RedelegationSettled { id, slashed, free }.encode_log_data());
    }
    Ok(())
}

/// Settles a delegator's redelegations to `operator`; must run before its delegation there is used.
pub(super) fn settle_moves_to<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    params: &StakingParams,
    now: u64,
    delegator: Address,
    operator: Address,
) -> Ruling<(), S> {
    for item in items(st, layout::redelegations_of(delegator))? {
        let id = lane(item, 0);
        if Redelegation::load(st, id)?.to == operator {
            settle(st, effects, params, now, id)?;
        }
    }
    Ok(())
}

impl StakingModule {
    /// Moves `amount` of the sender's unlocked stake from one validator to another; [`U256::MAX`] means all of it. Returns the
    /// id of the redelegation.
    ///
    /// # Errors
    /// `SameValidator`, `UnknownValidator`, `BelowMinimum`, `InsufficientStake`, `SelfBondTooLow`, `Tombstoned`,
    /// `Exiting` and `FullySlashed` of the new validator, `RedelegationLimit` when more stake would leave a set at once
    /// than the bounds allow, `TooManyRedelegations`, `SharesOverflow`; errors of the slots.
    pub fn redelegate<S: Slots>(
        &self,
        slots: &mut S,
        env: &Env,
        from: Address,
        to: Address,
        amount: U256,
    ) -> Ruling<Done<u64>, S> {
        Self::act(slots, |st, effects| {
            if from == to {
                return Err(StakingFault::SameValidator.into());
            }
            Validator::load(st, from)?;
            Validator::load(st, to)?.check_takes_stake()?;
            for operator in [from, to] {
                settle_moves_to(st, effects, &self.params, env.timestamp, env.sender, operator)?;
            }
            let list = layout::redelegations_of(env.sender);
            if len(st, list)? >= MAX_REDELEGATIONS {
                return Err(StakingFault::TooManyRedelegations.into());
            }
            let mut source = Validator::load(st, from)?;
            let mut delegation = touch(st, &source, env.sender)?;
            let (shares, tokens) = portion(&source, &delegation, amount)?;
            let minimum = self.params.min_delegation;
            if tokens < minimum {
                return Err(StakingFault::BelowMinimum { amount: tokens, minimum }.into());
            }
            let epoch = load_epoch(st)?.number;
            let leave_epoch = leaving::first_leave_epoch(epoch)?;
            let has_left = source.tombstoned || (source.exiting && source.exit_epoch <= leave_epoch);
            if !has_left {
                leaving::reserve_at_once(st, epoch, source.missing_without(tokens, epoch))?;
            }
            take_stake(st, &mut source, &mut delegation, env.sender, shares, tokens)?;
            self.check_self_bond(st, &source, env.sender)?;

            let mut target = Validator::load(st, to)?;
            let (bought, mut delegation) = add_stake(st, &mut target, env.sender, tokens)?;
            delegation.locked = delegation.locked.checked_add(bought).ok_or(StakingFault::Accounting)?;
            delegation.save(st, env.sender, to)?;

            st.add(layout::LAST_REDELEGATION, U256::ONE)?;
            let id = lane(st.get(layout::LAST_REDELEGATION)?, 0);
            push(st, list, U256::from(id))?;
            let delegator = env.sender;
            let (applied, made_at) = (source.slashes, env.timestamp);
            Redelegation { delegator, from, to, leave_epoch, applied, made_at, shares: bought }.save(st, id)?;
            effects.log(IStaking::Redelegated { id, delegator, from, to, amount: tokens }.encode_log_data());
            Ok(id)
        })
    }

    /// Settles a redelegation; anyone may call it.
    ///
    /// # Errors
    /// `UnknownRedelegation`; errors of the slots.
    pub fn settle_redelegation<S: Slots>(&self, slots: &mut S, env: &Env, id: u64) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| settle(st, effects, &self.params, env.timestamp, id))
    }
}
