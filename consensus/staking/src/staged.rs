//! Staged slots: writes take effect only after an operation has succeeded.

use std::collections::BTreeMap;

use alloy_primitives::U256;

use crate::{ModuleError, StakingFault, module::Ruling, slots::Slots};

/// Caches all reads and writes. [`Staged::commit`] writes the changed slots in ascending order. Each slot is loaded and
/// stored at most once, so the cost of an operation is the same on every node and depends only on the state.
#[derive(Debug)]
pub(crate) struct Staged<'a, S> {
    slots: &'a mut S,
    /// Old value, current value.
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

    /// Subtracts from a total, which must be at least as large.
    pub(crate) fn sub(&mut self, slot: U256, amount: U256) -> Ruling<(), S> {
        let rest = self.get(slot)?.checked_sub(amount).ok_or(StakingFault::Accounting)?;
        self.set(slot, rest)
    }

    /// Subtracts from one total and adds to another.
    pub(crate) fn shift(&mut self, from: U256, to: U256, amount: U256) -> Ruling<(), S> {
        self.sub(from, amount)?;
        self.add(to, amount)
    }

    /// Writes the changed slots.
    pub(crate) fn commit(self) -> Ruling<(), S> {
        for (slot, (before, now)) in self.seen {
            if before != now {
                self.slots.store(slot, now).map_err(ModuleError::Slots)?;
            }
        }
        Ok(())
    }
}
