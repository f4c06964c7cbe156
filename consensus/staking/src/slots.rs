//! Storage slots for the rules.

use std::collections::BTreeMap;
use std::convert::Infallible;

use alloy_primitives::{Address, B256, U256};

/// 256-bit slots of the staking account. Execution implements it over the EVM's journal, views over a state
/// snapshot; genesis and tests use a map.
pub trait Slots {
    /// Why a slot could not be read or written: a local failure, or the journal's own halt
    /// (out of gas). It is never a verdict.
    type Error;

    /// Value of `slot`; zero when it was never written.
    ///
    /// # Errors
    /// [`Slots::Error`].
    fn load(&mut self, slot: U256) -> Result<U256, Self::Error>;

    /// Sets `slot`.
    ///
    /// # Errors
    /// [`Slots::Error`].
    fn store(&mut self, slot: U256, value: U256) -> Result<(), Self::Error>;
}

impl<S: Slots + ?Sized> Slots for &mut S {
    type Error = S::Error;

    fn load(&mut self, slot: U256) -> Result<U256, Self::Error> {
        (**self).load(slot)
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), Self::Error> {
        (**self).store(slot, value)
    }
}

/// Slots in memory: genesis state, models, replays.
impl Slots for BTreeMap<U256, U256> {
    type Error = Infallible;

    fn load(&mut self, slot: U256) -> Result<U256, Infallible> {
        Ok(self.get(&slot).copied().unwrap_or_default())
    }

    fn store(&mut self, slot: U256, value: U256) -> Result<(), Infallible> {
        // A zero slot does not exist in the state trie, so it is removed here too.
        if value.is_zero() {
            self.remove(&slot);
        } else {
            self.insert(slot, value);
        }
        Ok(())
    }
}

/// Converts an address to a slot value, right-aligned as in Solidity.
pub(crate) fn address_word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

/// Converts a slot value to an address.
pub(crate) fn address(value: U256) -> Address {
    Address::from_word(B256::from(value))
}

/// The 64-bit lane `lane` (0 is the least significant) of a packed slot.
pub(crate) fn lane(value: U256, lane: usize) -> u64 {
    value.as_limbs()[lane]
}

/// Packs four 64-bit lanes into a slot value, least significant first.
pub(crate) fn lanes(values: [u64; 4]) -> U256 {
    U256::from_limbs(values)
}
