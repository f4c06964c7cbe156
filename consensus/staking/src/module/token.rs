//! The stake token: ERC-20 over the liquid stake.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;

use super::{Done, Effects, Env, Ruling, StakingModule};
use crate::{STAKE_TOKEN, STAKING, StakingFault, abi::IStakeToken, layout, slots::Slots, staged::Staged};

/// Takes liquid stake of `owner` in order to bond it.
pub(super) fn bond<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    owner: Address,
    amount: U256,
) -> Ruling<(), S> {
    let slot = layout::balance(owner);
    let available = st.get(slot)?;
    let rest = available.checked_sub(amount).ok_or(StakingFault::InsufficientStake { available, needed: amount })?;
    st.set(slot, rest)?;
    st.add(layout::BONDED, amount)?;
    log_transfer(effects, owner, STAKING, amount);
    Ok(())
}

/// Moves stake from the given total to liquid stake.
pub(super) fn release<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    from: U256,
    owner: Address,
    amount: U256,
) -> Ruling<(), S> {
    if amount.is_zero() {
        return Ok(());
    }
    st.shift(from, layout::balance(owner), amount)?;
    log_transfer(effects, STAKING, owner, amount);
    Ok(())
}

fn log_transfer(effects: &mut Effects, from: Address, to: Address, value: U256) {
    effects.token_log(IStakeToken::Transfer { from, to, value }.encode_log_data());
}

fn move_liquid<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    from: Address,
    to: Address,
    amount: U256,
) -> Ruling<(), S> {
    if to.is_zero() || to == STAKING || to == STAKE_TOKEN {
        return Err(StakingFault::TokenReceiver { receiver: to }.into());
    }
    let slot = layout::balance(from);
    let balance = st.get(slot)?;
    let short = StakingFault::TokenBalance { owner: from, balance, needed: amount };
    st.set(slot, balance.checked_sub(amount).ok_or(short)?)?;
    st.add(layout::balance(to), amount)?;
    log_transfer(effects, from, to, amount);
    Ok(())
}

impl StakingModule {
    /// Moves liquid stake of the sender.
    ///
    /// # Errors
    /// `TokenReceiver` for the zero address and the modules, `TokenBalance`; errors of the slots.
    pub fn transfer<S: Slots>(&self, slots: &mut S, env: &Env, to: Address, amount: U256) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| move_liquid(st, effects, env.sender, to, amount))
    }

    /// Sets the allowance of `spender` over liquid stake of the sender; the largest number never decreases.
    ///
    /// # Errors
    /// `TokenSpender` for the zero address; errors of the slots.
    pub fn approve<S: Slots>(&self, slots: &mut S, env: &Env, spender: Address, amount: U256) -> Ruling<Done<()>, S> {
        if spender.is_zero() {
            return Err(StakingFault::TokenSpender { spender }.into());
        }
        Self::act(slots, |st, effects| {
            st.set(layout::allowance(env.sender, spender), amount)?;
            let owner = env.sender;
            effects.token_log(IStakeToken::Approval { owner, spender, value: amount }.encode_log_data());
            Ok(())
        })
    }

    /// Moves liquid stake of `from` within the sender's allowance.
    ///
    /// # Errors
    /// `TokenAllowance`, `TokenReceiver`, `TokenBalance`; errors of the slots.
    pub fn transfer_from<S: Slots>(
        &self,
        slots: &mut S,
        env: &Env,
        from: Address,
        to: Address,
        amount: U256,
    ) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| {
            let slot = layout::allowance(from, env.sender);
            let allowance = st.get(slot)?;
            if allowance != U256::MAX {
                let short = StakingFault::TokenAllowance { spender: env.sender, allowance, needed: amount };
                st.set(slot, allowance.checked_sub(amount).ok_or(short)?)?;
            }
            move_liquid(st, effects, from, to, amount)
        })
    }
}
