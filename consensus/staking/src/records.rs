//! Records that span several slots, loaded and saved as a whole, and lists.

use alloy_primitives::{Address, B256, U256};

use crate::{
    StakingFault,
    layout::{self, DelegationField, ValidatorField},
    math::{mul_div_ceil, mul_div_floor},
    module::Ruling,
    slots::{Slots, address, address_word, lane, lanes},
    staged::Staged,
};

const REGISTERED: u64 = 1;
const JAILED: u64 = 1 << 1;
const TOMBSTONED: u64 = 1 << 2;
const EXITING: u64 = 1 << 3;
const LISTED: u64 = 1 << 4;

/// Shares must be below 2 to this power.
pub(crate) const SHARE_BITS: usize = 160;

/// Tokens and the shares of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) tokens: U256,
    pub(crate) shares: U256,
}

impl Pool {
    /// Whether shares exist but are worth nothing, because everything was slashed.
    pub(crate) fn is_worthless(&self) -> bool {
        self.tokens.is_zero() && !self.shares.is_zero()
    }

    /// The value of `shares`, rounded down.
    pub(crate) fn value(&self, shares: U256) -> Result<U256, StakingFault> {
        if self.shares.is_zero() {
            return Ok(U256::ZERO);
        }
        mul_div_floor(shares, self.tokens, self.shares).ok_or(StakingFault::Accounting)
    }

    /// Shares that cost `tokens`, rounded up.
    pub(crate) fn shares_for(&self, tokens: U256) -> Result<U256, StakingFault> {
        mul_div_ceil(tokens, self.shares, self.tokens).ok_or(StakingFault::Accounting)
    }

    /// Adds tokens and the shares they buy, rounded down.
    pub(crate) fn deposit(&mut self, tokens: U256) -> Result<U256, StakingFault> {
        let bought = if self.shares.is_zero() {
            tokens
        } else {
            mul_div_floor(tokens, self.shares, self.tokens).ok_or(StakingFault::SharesOverflow)?
        };
        let shares = self.shares.checked_add(bought).ok_or(StakingFault::SharesOverflow)?;
        if shares.bit_len() > SHARE_BITS {
            return Err(StakingFault::SharesOverflow);
        }
        self.shares = shares;
        self.tokens = self.tokens.checked_add(tokens).ok_or(StakingFault::Accounting)?;
        Ok(bought)
    }

    /// Takes shares and tokens out. When no shares are left, the pool becomes empty and its rounding remainder is returned.
    pub(crate) fn withdraw(&mut self, shares: U256, tokens: U256) -> Result<U256, StakingFault> {
        self.shares = self.shares.checked_sub(shares).ok_or(StakingFault::Accounting)?;
        self.tokens = self.tokens.checked_sub(tokens).ok_or(StakingFault::Accounting)?;
        if self.shares.is_zero() { Ok(std::mem::take(&mut self.tokens)) } else { Ok(U256::ZERO) }
    }
}

/// A validator, without the fields that only rewards use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    pub(crate) operator: Address,
    pub(crate) jailed: bool,
    pub(crate) tombstoned: bool,
    pub(crate) exiting: bool,
    /// Position in the list of candidates, if it is in the list.
    pub(crate) listed: Option<u32>,
    pub(crate) commission_bps: u16,
    pub(crate) commission_changed: u64,
    pub(crate) jailed_until: u64,
    pub(crate) exit_epoch: u64,
    /// Epoch of the last set for which it was selected, plus one.
    pub(crate) selected: u64,
    /// Stake that counts in that set.
    pub(crate) counted: U256,
    pub(crate) slashes: u64,
    pub(crate) power: u64,
    pub(crate) consensus_key: B256,
    pub(crate) peg_address: Address,
    pub(crate) pool: Pool,
}

impl Validator {
    /// The validator of `operator`, if it registered.
    pub(crate) fn find<S: Slots>(st: &mut Staged<'_, S>, operator: Address) -> Ruling<Option<Self>, S> {
        let mut slot = |field| st.get(layout::validator(operator, field));
        let status = slot(ValidatorField::Status)?;
        let flags = lane(status, 0);
        if flags & REGISTERED == 0 {
            return Ok(None);
        }
        let counts = slot(ValidatorField::Counts)?;
        let consensus_key = slot(ValidatorField::ConsensusKey)?;
        let peg_address = slot(ValidatorField::PegAddress)?;
        let tokens = slot(ValidatorField::Tokens)?;
        let shares = slot(ValidatorField::Shares)?;
        let counted = slot(ValidatorField::Counted)?;
        let [low, high] = [(flags >> 16) & 0xffff, flags >> 32];
        Ok(Some(Self {
            operator,
            jailed: flags & JAILED != 0,
            tombstoned: flags & TOMBSTONED != 0,
            exiting: flags & EXITING != 0,
            listed: if flags & LISTED == 0 { None } else { u32::try_from(high).ok() },
            commission_bps: u16::try_from(low).map_err(|_| StakingFault::Accounting)?,
            commission_changed: lane(status, 1),
            jailed_until: lane(status, 2),
            exit_epoch: lane(status, 3),
            selected: lane(counts, 0),
            counted,
            slashes: lane(counts, 1),
            power: lane(counts, 2),
            consensus_key: B256::from(consensus_key),
            peg_address: address(peg_address),
            pool: Pool { tokens, shares },
        }))
    }

    /// The validator of `operator`.
    pub(crate) fn load<S: Slots>(st: &mut Staged<'_, S>, operator: Address) -> Ruling<Self, S> {
        Ok(Self::find(st, operator)?.ok_or(StakingFault::UnknownValidator { operator })?)
    }

    pub(crate) fn save<S: Slots>(&self, st: &mut Staged<'_, S>) -> Ruling<(), S> {
        let mut flags = REGISTERED;
        for (set, flag) in [(self.jailed, JAILED), (self.tombstoned, TOMBSTONED), (self.exiting, EXITING)] {
            flags |= if set { flag } else { 0 };
        }
        if let Some(position) = self.listed {
            flags |= LISTED | (u64::from(position) << 32);
        }
        flags |= u64::from(self.commission_bps) << 16;
        let status = lanes([flags, self.commission_changed, self.jailed_until, self.exit_epoch]);
        let mut put = |field, value| st.set(layout::validator(self.operator, field), value);
        put(ValidatorField::Status, status)?;
        put(ValidatorField::Counts, lanes([self.selected, self.slashes, self.power, 0]))?;
        put(ValidatorField::ConsensusKey, U256::from_be_bytes(self.consensus_key.0))?;
        put(ValidatorField::PegAddress, address_word(self.peg_address))?;
        put(ValidatorField::Tokens, self.pool.tokens)?;
        put(ValidatorField::Shares, self.pool.shares)?;
        put(ValidatorField::Counted, self.counted)
    }

    /// Whether it is a member of the set of `epoch`, or of a later one.
    pub(crate) fn in_sets_from(&self, epoch: u64) -> bool {
        self.selected > epoch
    }

    /// The counted stake that would be missing in the sets after the next epoch's if `amount` left the bonded stake.
    pub(crate) fn missing_without(&self, amount: U256, epoch: u64) -> U256 {
        if !self.in_sets_from(epoch.saturating_add(1)) {
            return U256::ZERO;
        }
        amount.min(self.counted.saturating_sub(self.pool.tokens.saturating_sub(amount)))
    }

    /// Refuses validators that accept no new stake.
    pub(crate) fn check_takes_stake(&self) -> Result<(), StakingFault> {
        let operator = self.operator;
        if self.tombstoned {
            return Err(StakingFault::Tombstoned { operator });
        }
        if self.exiting {
            return Err(StakingFault::Exiting { operator });
        }
        if self.pool.is_worthless() {
            return Err(StakingFault::FullySlashed { operator });
        }
        Ok(())
    }

    /// The value of the operator's own delegation.
    pub(crate) fn self_bond<S: Slots>(&self, st: &mut Staged<'_, S>) -> Ruling<U256, S> {
        let shares = st.get(layout::delegation(self.operator, self.operator, DelegationField::Shares))?;
        Ok(self.pool.value(shares)?)
    }
}

/// A delegation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delegation {
    pub(crate) shares: U256,
    pub(crate) locked: U256,
    pub(crate) share_index: U256,
    pub(crate) accrued: U256,
    listed: U256,
}

impl Delegation {
    pub(crate) fn load<S: Slots>(st: &mut Staged<'_, S>, delegator: Address, operator: Address) -> Ruling<Self, S> {
        let mut slot = |field| st.get(layout::delegation(delegator, operator, field));
        Ok(Self {
            shares: slot(DelegationField::Shares)?,
            locked: slot(DelegationField::Locked)?,
            share_index: slot(DelegationField::ShareIndex)?,
            accrued: slot(DelegationField::Accrued)?,
            listed: slot(DelegationField::Listed)?,
        })
    }

    /// Saves it, and updates the delegator's list of operators: those with shares or assigned rewards.
    pub(crate) fn save<S: Slots>(
        &mut self,
        st: &mut Staged<'_, S>,
        delegator: Address,
        operator: Address,
    ) -> Ruling<(), S> {
        let list = layout::delegated_to(delegator);
        let lives = !self.shares.is_zero() || !self.accrued.is_zero();
        if lives && self.listed.is_zero() {
            self.listed = U256::from(push(st, list, address_word(operator))?) + U256::ONE;
        } else if !lives && !self.listed.is_zero() {
            let position = lane(self.listed, 0).checked_sub(1).ok_or(StakingFault::Accounting)?;
            if let Some(moved) = swap_remove(st, list, position)? {
                let slot = layout::delegation(delegator, address(moved), DelegationField::Listed);
                st.set(slot, self.listed)?;
            }
        }
        if !lives {
            *self = Self::default();
        }
        let mut put = |field, value| st.set(layout::delegation(delegator, operator, field), value);
        put(DelegationField::Shares, self.shares)?;
        put(DelegationField::Locked, self.locked)?;
        put(DelegationField::ShareIndex, self.share_index)?;
        put(DelegationField::Accrued, self.accrued)?;
        put(DelegationField::Listed, self.listed)
    }

    /// Unlocked shares.
    pub(crate) fn free(&self) -> Result<U256, StakingFault> {
        self.shares.checked_sub(self.locked).ok_or(StakingFault::Accounting)
    }
}

/// Number of items of the list at `list`.
pub(crate) fn len<S: Slots>(st: &mut Staged<'_, S>, list: U256) -> Ruling<u64, S> {
    let len = st.get(list)?;
    Ok(u64::try_from(len).map_err(|_| StakingFault::Accounting)?)
}

/// All items of the list at `list`.
pub(crate) fn items<S: Slots>(st: &mut Staged<'_, S>, list: U256) -> Ruling<Vec<U256>, S> {
    let len = len(st, list)?;
    (0..len).map(|position| st.get(layout::item(list, position))).collect()
}

/// Appends an item and returns its position.
pub(crate) fn push<S: Slots>(st: &mut Staged<'_, S>, list: U256, value: U256) -> Ruling<u64, S> {
    let position = len(st, list)?;
    st.set(layout::item(list, position), value)?;
    st.add(list, U256::ONE)?;
    Ok(position)
}

/// Removes the item at `position`. The last item takes its place and is returned, unless it was the removed one.
pub(crate) fn swap_remove<S: Slots>(st: &mut Staged<'_, S>, list: U256, position: u64) -> Ruling<Option<U256>, S> {
    let last = len(st, list)?.checked_sub(1).filter(|last| position <= *last).ok_or(StakingFault::Accounting)?;
    let moved = st.get(layout::item(list, last))?;
    st.set(layout::item(list, last), U256::ZERO)?;
    st.sub(list, U256::ONE)?;
    if position == last {
        return Ok(None);
    }
    st.set(layout::item(list, position), moved)?;
    Ok(Some(moved))
}
