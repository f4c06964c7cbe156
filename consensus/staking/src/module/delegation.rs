//! Bonds stake with a validator, and starts to unbond it.
//!
//! A validator's bonded stake is a pool of tokens and shares. Rounding always favours the pool: a delegator never gets
//! more shares than the tokens are worth, and never more tokens than the shares are worth.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;

use super::{
    Done, Effects, Env, Ruling, StakingModule, epochs::load_epoch, leaving, redelegation::settle_moves_to,
    rewards::sweep_if_empty, rewards::touch, token,
};
use crate::{
    StakingFault,
    abi::IStaking,
    layout,
    records::{Delegation, Validator},
    slots::Slots,
    staged::Staged,
};

impl StakingModule {
    /// Bonds liquid stake of the sender with `operator`.
    ///
    /// # Errors
    /// `BelowMinimum`, `UnknownValidator`, `Tombstoned`, `Exiting`, `FullySlashed`, `InsufficientStake`,
    /// `SharesOverflow`; errors of the slots.
    pub fn delegate<S: Slots>(&self, slots: &mut S, env: &Env, operator: Address, amount: U256) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| {
            let minimum = self.params.min_delegation;
            if amount < minimum {
                return Err(StakingFault::BelowMinimum { amount, minimum }.into());
            }
            Validator::load(st, operator)?.check_takes_stake()?;
            settle_moves_to(st, effects, &self.params, env.timestamp, env.sender, operator)?;
            let mut validator = Validator::load(st, operator)?;
            token::bond(st, effects, env.sender, amount)?;
            let shares = add_stake(st, &mut validator, env.sender, amount)?.0;
            let delegator = env.sender;
            effects.log(IStaking::Delegated { delegator, validator: operator, amount, shares }.encode_log_data());
            Ok(())
        })
    }

    /// Starts to unbond `amount` of the sender's unlocked stake with `operator`; [`U256::MAX`] means all of it. Returns the first
    /// and the last epoch in which it leaves.
    ///
    /// # Errors
    /// `ZeroAmount`, `UnknownValidator`, `InsufficientStake`, `SelfBondTooLow` when an operator should exit instead,
    /// `ExitQueueFull`, `TooManyUnbondings`; errors of the slots.
    pub fn undelegate<S: Slots>(
        &self,
        slots: &mut S,
        env: &Env,
        operator: Address,
        amount: U256,
    ) -> Ruling<Done<(u64, u64)>, S> {
        Self::act(slots, |st, effects| {
            if amount.is_zero() {
                return Err(StakingFault::ZeroAmount.into());
            }
            Validator::load(st, operator)?;
            settle_moves_to(st, effects, &self.params, env.timestamp, env.sender, operator)?;
            let mut validator = Validator::load(st, operator)?;
            let mut delegation = touch(st, &validator, env.sender)?;
            let (shares, tokens) = portion(&validator, &delegation, amount)?;
            let epoch = load_epoch(st)?.number;
            let parts = leaving::schedule(st, &validator, epoch, tokens)?;
            take_stake(st, &mut validator, &mut delegation, env.sender, shares, tokens)?;
            self.check_self_bond(st, &validator, env.sender)?;
            start_leaving(st, effects, env.sender, operator, &parts, env.timestamp)?;
            let first = leaving::first_leave_epoch(epoch)?;
            let leaves = |part: Option<&(u64, U256)>| part.map_or(first, |(leave, _)| *leave);
            Ok((leaves(parts.first()), leaves(parts.last())))
        })
    }

    /// Checks that an operator keeps its minimum self-bond, unless it is exiting.
    pub(super) fn check_self_bond<S: Slots>(
        &self,
        st: &mut Staged<'_, S>,
        validator: &Validator,
        delegator: Address,
    ) -> Ruling<(), S> {
        if delegator != validator.operator || validator.exiting || validator.tombstoned {
            return Ok(());
        }
        let (remaining, minimum) = (validator.self_bond(st)?, self.params.min_self_bond);
        if remaining < minimum {
            return Err(StakingFault::SelfBondTooLow { remaining, minimum }.into());
        }
        Ok(())
    }
}

/// Adds bonded tokens to a validator for a delegator, and the shares that they buy to the delegation.
pub(super) fn add_stake<S: Slots>(
    st: &mut Staged<'_, S>,
    validator: &mut Validator,
    delegator: Address,
    tokens: U256,
) -> Ruling<(U256, Delegation), S> {
    let mut delegation = touch(st, validator, delegator)?;
    let shares = validator.pool.deposit(tokens)?;
    if shares.is_zero() {
        let minimum = validator.pool.value(U256::ONE)?.saturating_add(U256::ONE);
        return Err(StakingFault::BelowMinimum { amount: tokens, minimum }.into());
    }
    delegation.shares = delegation.shares.checked_add(shares).ok_or(StakingFault::SharesOverflow)?;
    delegation.save(st, delegator, validator.operator)?;
    validator.save(st)?;
    Ok((shares, delegation))
}

/// Takes shares and tokens out of a settled delegation. The rounding remainder of a pool that ends becomes dust.
pub(super) fn take_stake<S: Slots>(
    st: &mut Staged<'_, S>,
    validator: &mut Validator,
    delegation: &mut Delegation,
    delegator: Address,
    shares: U256,
    tokens: U256,
) -> Ruling<(), S> {
    delegation.shares = delegation.shares.checked_sub(shares).ok_or(StakingFault::Accounting)?;
    let dust = validator.pool.withdraw(shares, tokens)?;
    st.shift(layout::BONDED, layout::DUST, dust)?;
    delegation.save(st, delegator, validator.operator)?;
    validator.save(st)?;
    sweep_if_empty(st, validator)
}

/// Shares to burn and tokens to take for `amount`; [`U256::MAX`] means all unlocked stake.
pub(super) fn portion(
    validator: &Validator,
    delegation: &Delegation,
    amount: U256,
) -> Result<(U256, U256), StakingFault> {
    let free = delegation.free()?;
    let available = validator.pool.value(free)?;
    if amount == U256::MAX && !free.is_zero() {
        return Ok((free, available));
    }
    if amount > available {
        return Err(StakingFault::InsufficientStake { available, needed: amount });
    }
    // Rounded up: never fewer shares than the tokens are worth. At most `free`, because `amount` is at most its value.
    let shares = if amount == available { free } else { validator.pool.shares_for(amount)? };
    Ok((shares, amount))
}

/// Undelegates all unlocked self-bond of an exiting operator.
pub(super) fn unbond_self<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    validator: &mut Validator,
    epoch: u64,
    now: u64,
) -> Ruling<(), S> {
    let operator = validator.operator;
    let mut delegation = touch(st, validator, operator)?;
    let shares = delegation.free()?;
    let tokens = validator.pool.value(shares)?;
    let parts = leaving::schedule(st, validator, epoch, tokens)?;
    take_stake(st, validator, &mut delegation, operator, shares, tokens)?;
    start_leaving(st, effects, operator, operator, &parts, now)
}

/// Moves tokens that were taken out of a validator's pool to the pools of the epochs in which they leave.
fn start_leaving<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    delegator: Address,
    validator: Address,
    parts: &[(u64, U256)],
    now: u64,
) -> Ruling<(), S> {
    for (leave, part) in parts {
        leaving::unbond(st, delegator, validator, *leave, *part, now)?;
        let event = IStaking::Undelegated { delegator, validator, amount: *part, leaveEpoch: *leave };
        effects.log(event.encode_log_data());
    }
    Ok(())
}
