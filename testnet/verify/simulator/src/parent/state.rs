//! The parent's accounts and slots at every height that can still be queried: each value with the block that set it.
//!
//! A snapshot costs nothing, undoing a block costs as much as its changes, and a read is a search in a short list.

use std::{collections::BTreeMap, convert::Infallible};

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    state::{AccountInfo, Bytecode, EvmState},
};

/// A value's versions by the height that set them, rising.
#[derive(Clone, Debug)]
struct Versions<T>(Vec<(u64, T)>);

impl<T> Versions<T> {
    const NONE: Self = Self(Vec::new());

    /// The version in force at the end of block `height`.
    fn at(&self, height: u64) -> Option<&T> {
        let after = self.0.partition_point(|(set, _)| *set <= height);
        after.checked_sub(1).and_then(|last| self.0.get(last)).map(|(_, value)| value)
    }

    /// Sets the value in block `height`, the newest. Drops versions that ended before `floor`.
    fn set(&mut self, height: u64, value: T, floor: u64) {
        let over = self.0.partition_point(|(set, _)| *set <= floor);
        if over > 1 {
            self.0.drain(..over - 1);
        }
        match self.0.last_mut() {
            Some((set, last)) if *set == height => *last = value,
            _ => self.0.push((height, value)),
        }
    }

    fn undo(&mut self, height: u64) {
        self.0.truncate(self.0.partition_point(|(set, _)| *set < height));
    }
}

#[derive(Clone, Copy, Debug)]
struct Account {
    balance: U256,
    nonce: u64,
    code_hash: B256,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Account(Address),
    Slot(Address, U256),
}

/// Accounts, code and slots, by height.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    accounts: BTreeMap<Address, Versions<Account>>,
    slots: BTreeMap<(Address, U256), Versions<U256>>,
    codes: BTreeMap<B256, Bytecode>,
    /// Changes of each block that can still be undone.
    touched: BTreeMap<u64, Vec<Key>>,
    /// Oldest height whose state is complete.
    floor: u64,
}

impl State {
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Declares that states below `height` are no longer queried, and blocks up to `finalized` are no longer undone.
    pub(super) fn settle(&mut self, finalized: u64, height: u64) {
        self.floor = self.floor.max(height);
        self.touched = self.touched.split_off(&finalized.saturating_add(1));
    }

    pub(super) fn fund(&mut self, height: u64, address: Address, balance: U256) {
        let info = self.account(address, height).unwrap_or_default();
        self.set_account(height, address, Account { balance, nonce: info.nonce, code_hash: info.code_hash });
    }

    pub(super) fn set_nonce(&mut self, height: u64, address: Address, nonce: u64) {
        let info = self.account(address, height).unwrap_or_default();
        self.set_account(height, address, Account { balance: info.balance, nonce, code_hash: info.code_hash });
    }

    /// Applies the changes of a transaction of block `height`.
    pub(super) fn apply(&mut self, height: u64, changes: EvmState) {
        // In order of addresses: the map's own order must not reach the lists.
        let changes: BTreeMap<_, _> = changes.into_iter().filter(|(_, account)| account.is_touched()).collect();
        for (address, account) in changes {
            if let Some(code) = account.info.code.as_ref().filter(|code| !code.is_empty()) {
                self.codes.entry(account.info.code_hash).or_insert_with(|| code.clone());
            }
            let gone = account.is_selfdestructed();
            let info = if gone { AccountInfo::default() } else { account.info };
            let AccountInfo { balance, nonce, code_hash, .. } = info;
            self.set_account(height, address, Account { balance, nonce, code_hash });
            let slots: BTreeMap<_, _> = account.storage.into_iter().filter(|(_, slot)| slot.is_changed()).collect();
            for (slot, value) in slots {
                let value = if gone { U256::ZERO } else { value.present_value };
                self.set_slot(height, address, slot, value);
            }
        }
    }

    /// Forgets block `height`, the newest.
    pub(super) fn undo(&mut self, height: u64) {
        for key in self.touched.remove(&height).unwrap_or_default() {
            match key {
                Key::Account(address) => {
                    if let Some(versions) = self.accounts.get_mut(&address) {
                        versions.undo(height);
                    }
                }
                Key::Slot(address, slot) => {
                    if let Some(versions) = self.slots.get_mut(&(address, slot)) {
                        versions.undo(height);
                    }
                }
            }
        }
    }

    /// The account at the end of block `height`, with its code.
    pub(super) fn account(&self, address: Address, height: u64) -> Option<AccountInfo> {
        let Account { balance, nonce, code_hash } = *self.accounts.get(&address)?.at(height)?;
        let code = self.codes.get(&code_hash).cloned().unwrap_or_default();
        Some(AccountInfo { balance, nonce, code_hash, code: Some(code), ..AccountInfo::default() })
    }

    /// A slot at the end of block `height`.
    pub(super) fn slot(&self, address: Address, slot: U256, height: u64) -> U256 {
        self.slots.get(&(address, slot)).and_then(|versions| versions.at(height)).copied().unwrap_or_default()
    }

    fn set_account(&mut self, height: u64, address: Address, account: Account) {
        self.touched.entry(height).or_default().push(Key::Account(address));
        self.accounts.entry(address).or_insert(Versions::NONE).set(height, account, self.floor);
    }

    fn set_slot(&mut self, height: u64, address: Address, slot: U256, value: U256) {
        self.touched.entry(height).or_default().push(Key::Slot(address, slot));
        self.slots.entry((address, slot)).or_insert(Versions::NONE).set(height, value, self.floor);
    }
}

/// The state at the end of one block, as revm reads it.
#[derive(Debug)]
pub(super) struct StateAt<'a> {
    pub(super) state: &'a State,
    pub(super) height: u64,
    /// Hash of the block before the executed one.
    pub(super) parent_hash: B256,
}

impl Database for StateAt<'_> {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.state.account(address, self.height))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Infallible> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        Ok(self.state.codes.get(&hash).cloned().unwrap_or_default())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.state.slot(address, slot, self.height))
    }

    /// The peg's contracts read no block hashes; only the last one is available.
    fn block_hash(&mut self, _: u64) -> Result<B256, Infallible> {
        Ok(self.parent_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_the_one_of_the_last_block_that_set_it() {
        let mut versions = Versions::NONE;
        for (height, value) in [(2, 'a'), (2, 'b'), (5, 'c'), (9, 'd')] {
            versions.set(height, value, 0);
        }
        let seen: Vec<Option<char>> =
            [1, 2, 4, 5, 8, 9, 99].iter().map(|height| versions.at(*height).copied()).collect();
        assert_eq!(seen, [None, Some('b'), Some('b'), Some('c'), Some('c'), Some('d'), Some('d')]);
        versions.undo(9);
        assert_eq!(versions.at(99), Some(&'c'));
    }

    #[test]
    fn versions_over_before_the_floor_are_forgotten_and_the_one_in_force_there_is_not() {
        let mut versions = Versions::NONE;
        for height in 1..=100 {
            versions.set(height, height, height.saturating_sub(10));
        }
        assert_eq!(versions.0.len(), 11);
        assert_eq!(versions.at(90), Some(&90));
    }

    #[test]
    fn undone_block_leaves_accounts_and_slots_as_they_were() {
        let (address, slot) = (Address::repeat_byte(1), U256::from(7));
        let mut state = State::default();
        state.fund(1, address, U256::from(10));
        state.set_slot(1, address, slot, U256::from(1));
        state.fund(2, address, U256::from(20));
        state.set_slot(2, address, slot, U256::from(2));
        state.undo(2);
        assert_eq!(state.account(address, 2).map(|info| info.balance), Some(U256::from(10)));
        assert_eq!(state.slot(address, slot, 2), U256::from(1));
    }
}
