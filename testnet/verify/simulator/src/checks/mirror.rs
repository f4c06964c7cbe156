//! A second copy of the state: accounts and slots in maps, updated by the changes of each decided block.
//!
//! Nothing here reads a node's database or trie. The roots prove that a node's tables are equal: the root over the
//! mirror and the root over the tables must both equal the header's.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use causeway_execution::{Account, StateDiff};
use causeway_genesis::Genesis;

/// The state after the newest decided block.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    accounts: BTreeMap<Address, Account>,
    slots: BTreeMap<(Address, U256), U256>,
    coin: U256,
}

impl Mirror {
    /// The state of block 0.
    pub fn genesis(genesis: &Genesis) -> Self {
        let mut mirror = Self::default();
        for (address, account) in &genesis.alloc {
            for (slot, value) in account.storage.iter().filter(|(_, value)| !value.is_zero()) {
                mirror.slots.insert((*address, *slot), *value);
            }
            let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
            let storage = account.storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
            let storage_root = storage_root_unhashed(storage.filter(|(_, value)| !value.is_zero()));
            let (nonce, balance) = (account.nonce, account.balance);
            mirror.accounts.insert(*address, Account { nonce, balance, code_hash, storage_root });
            mirror.coin += balance;
        }
        mirror
    }

    /// Applies a block.
    ///
    /// # Errors
    /// When a "before" value of the block differs from this state, or a change changes nothing.
    pub fn apply(&mut self, diff: &StateDiff) -> Result<(), String> {
        for (address, (before, after)) in &diff.accounts {
            let known = self.accounts.get(address);
            if known != before.as_ref() {
                return Err(format!("account {address} was {known:?}, the block found {before:?}"));
            }
            self.coin -= before.map_or(U256::ZERO, |account| account.balance);
            self.coin += after.map_or(U256::ZERO, |account| account.balance);
            match after {
                Some(account) => self.accounts.insert(*address, *account),
                None => self.accounts.remove(address),
            };
        }
        for ((address, slot), (before, after)) in &diff.storage {
            let known = self.slot(*address, *slot);
            if known != *before || before == after {
                return Err(format!("slot {slot} of {address} was {known}, the block made {after} of {before}"));
            }
            match after.is_zero() {
                true => self.slots.remove(&(*address, *slot)),
                false => self.slots.insert((*address, *slot), *after),
            };
        }
        Ok(())
    }

    /// All coin: the sum of all balances.
    pub fn coin(&self) -> U256 {
        self.coin
    }

    /// The account at `address`.
    pub fn account(&self, address: Address) -> Option<&Account> {
        self.accounts.get(&address)
    }

    /// The coin of `address`.
    pub fn balance(&self, address: Address) -> U256 {
        self.account(address).map_or(U256::ZERO, |account| account.balance)
    }

    /// Transactions sent by `address`.
    pub fn nonce(&self, address: Address) -> u64 {
        self.account(address).map_or(0, |account| account.nonce)
    }

    /// A storage slot; zero where it is not set.
    pub fn slot(&self, address: Address, slot: U256) -> U256 {
        self.slots.get(&(address, slot)).copied().unwrap_or_default()
    }

    /// Every account, by address.
    pub fn accounts(&self) -> impl Iterator<Item = (&Address, &Account)> {
        self.accounts.iter()
    }

    /// Every slot that is not zero, by address and slot.
    pub fn slots(&self) -> impl Iterator<Item = (&(Address, U256), &U256)> {
        self.slots.iter()
    }

    /// The state root, computed from scratch: see [`root_of`].
    ///
    /// # Errors
    /// As [`root_of`].
    pub fn root(&self) -> Result<B256, String> {
        root_of(self.accounts.iter().map(|(a, b)| (*a, *b)), self.slots.iter().map(|(key, value)| (*key, *value)))
    }
}

/// The state root of a whole state, without an existing trie: sorted leaves and alloy's hash builder, which
/// shares no code with the chain's trie. Slots must be in the order of their addresses.
///
/// # Errors
/// When an account's storage root differs from the root of its slots, or slots have no account.
pub fn root_of(
    accounts: impl Iterator<Item = (Address, Account)>,
    slots: impl Iterator<Item = ((Address, U256), U256)>,
) -> Result<B256, String> {
    let mut storages: BTreeMap<Address, Vec<(B256, U256)>> = BTreeMap::new();
    for ((address, slot), value) in slots {
        storages.entry(address).or_default().push((B256::from(slot), value));
    }
    let mut leaves = Vec::new();
    for (address, account) in accounts {
        let storage_root = storages.remove(&address).map_or(EMPTY_ROOT_HASH, storage_root_unhashed);
        if storage_root != account.storage_root {
            return Err(format!(
                "{address} names the storage root {}, its slots give {storage_root}",
                account.storage_root
            ));
        }
        let Account { nonce, balance, code_hash, .. } = account;
        leaves.push((address, TrieAccount { nonce, balance, storage_root, code_hash }));
    }
    match storages.keys().next() {
        Some(orphan) => Err(format!("there are slots of {orphan}, which is no account")),
        None => Ok(state_root_unhashed(leaves)),
    }
}
