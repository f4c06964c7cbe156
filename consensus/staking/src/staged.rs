//! Slots whose writes wait until an operation has succeeded.

use std::collections::BTreeMap;

use alloy_primitives::U256;

use crate::{ModuleError, StakingFault, module::Ruling, slots::Slots};

/// Reads through, keeps what was read and written, and writes at [`Staged::commit`], in the order of the slots and
/// only what changed. Each slot is loaded and stored once at most, so what an operation costs is the same on every
/// node and depends on nothing but the state.
#[derive(Debug)]
pub(crate) struct Staged<'a, S> {
    slots: &'a mut S,
    /// Value before, value now.
    seen: BTreeMap<U256, (U256, U256)>,
}

impl<'a, S: Slots> Staged<'a, S> {
    pub(crate) fn new(slots: &'a mut S) -> Self {
        Self { slots, seen: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, slot: U256) -> Ruling<U256, S> {
        if let Some((_, now)) = self.seen.get(&slot) {
            return Ok(*now);
        }
        let value = self.slots.load(slot).map_err(ModuleError::Slots)?;
        self.seen.insert(slot, (value, value));
        Ok(value)
    }

    pub(crate) fn set(&mut self, slot: U256, value: U256) -> Ruling<(), S> {
        self.get(slot)?;
        if let Some((_, now)) = self.seen.get_mut(&slot) {
            *now = value;
        }
        Ok(())
    }

    /// Adds to a total.
    pub(crate) fn add(&mut self, slot: U256, amount: U256) -> Ruling<(), S> {
        let sum = self.get(slot)?.checked_add(amount).ok_or(StakingFault::Accounting)?;
        self.set(slot, sum)
    }

    /// Takes from a total that holds it.
    pub(crate) fn sub(&mut self, slot: U256, amount: U256) -> Ruling<(), S> {
        let rest = self.get(slot)?.checked_sub(amount).ok_or(StakingFault::Accounting)?;
        self.set(slot, rest)
    }

    /// Takes from one total and adds to another.
    pub(crate) fn shift(&mut self, from: U256, to: U256, amount: U256) -> Ruling<(), S> {
        self.sub(from, amount)?;
        self.add(to, amount)
    }

    /// Writes what changed.
    pub(crate) fn commit(self) -> Ruling<(), S> {
        for (slot, (before, now)) in self.seen {
            if before != now {
                self.slots.store(slot, now).map_err(ModuleError::Slots)?;
            }
        }
        Ok(())
    }
}
