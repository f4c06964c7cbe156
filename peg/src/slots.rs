//! Storage slots for the module.

use std::collections::BTreeMap;
use std::convert::Infallible;

use alloy_primitives::{Address, B256, U256};

/// The 256-bit slots of the peg's account. Execution implements it over the EVM's journal, so reverts undo
/// writes and each access costs gas; views read a state snapshot; tests use a map.
pub trait Slots {
    /// Why a slot could not be read or written: a local failure, or the
    /// journal's own halt (out of gas). It is never a verdict about the block.
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

/// Converts a hash to a slot value.
pub(crate) fn word(hash: B256) -> U256 {
    U256::from_be_bytes(hash.0)
}

/// Converts a slot value to a hash.
pub(crate) fn hash(value: U256) -> B256 {
    B256::from(value)
}

/// Converts an address to a slot value, right-aligned as in Solidity.
pub(crate) fn address_word(address: Address) -> U256 {
    word(address.into_word())
}

/// Converts a slot value to an address.
pub(crate) fn address(value: U256) -> Address {
    Address::from_word(hash(value))
}

/// The 64-bit lane `lane` (0 is the least significant) of a packed slot.
pub(crate) fn lane(value: U256, lane: usize) -> u64 {
    value.as_limbs()[lane]
}
