//! Reads all rows of the head's state, for checks that recompute it: `alloy_trie::root`'s
//! `storage_root_unhashed` and `state_root_unhashed` compute the header's state root from these rows without any stored node.
//!
//! Each function reads one row after the other. A concurrent commit may be visible in some rows only, so a caller that
//! needs one consistent state must prevent commits.

use crate::{
    error::StorageError,
    schema::{AccountsTable, CodeTable, SlotsTable},
    storage::Storage,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_execution::Account;

impl Storage {
    /// Every account, by address.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn each_account(&self, account: impl FnMut(Address, Account)) -> Result<(), StorageError> {
        let (first, last) = (Address::ZERO, Address::repeat_byte(0xff));
        self.store.engine.each::<AccountsTable>(&first, &last, account)
    }

    /// Every slot that is not zero, by address and slot.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn each_slot(&self, mut slot: impl FnMut(Address, U256, U256)) -> Result<(), StorageError> {
        let (first, last) = ((Address::ZERO, U256::ZERO), (Address::repeat_byte(0xff), U256::MAX));
        self.store.engine.each::<SlotsTable>(&first, &last, |(address, key), value| slot(address, key, value))
    }

    /// Every code, by hash, including code that no account uses any more.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn each_code(&self, code: impl FnMut(B256, Bytes)) -> Result<(), StorageError> {
        let (first, last) = (B256::ZERO, B256::repeat_byte(0xff));
        self.store.engine.each::<CodeTable>(&first, &last, code)
    }
}
