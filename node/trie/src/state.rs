//! The state root after a block: storage tries first, then the account trie, which contains their roots.

use crate::{
    error::TrieError,
    source::{NodeSource, TrieUpdates},
    update::update_trie,
};
use alloy_primitives::{B256, U256};
use alloy_trie::TrieAccount;
use std::collections::BTreeMap;

/// A block's changes, by hashed address and hashed slot.
#[derive(Debug, Clone, Default)]
pub struct StateChanges {
    /// Hashed address to the account after the block, or `None` when it no longer exists. `storage_root` is the root
    /// BEFORE the block ([`crate::EMPTY_ROOT_HASH`] for a new account); the result carries the root after it.
    pub accounts: BTreeMap<B256, Option<TrieAccount>>,
    /// Hashed address to hashed slot to the value after the block; zero clears the slot. Each account listed here must be
    /// in `accounts` as well, even when only its storage changed.
    pub storages: BTreeMap<B256, BTreeMap<B256, U256>>,
}

/// The result of [`state_root_after`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRoot {
    /// The account trie's new root: the header's state root.
    pub root: B256,
    /// New storage root of each existing account in [`StateChanges::storages`], by hashed address.
    pub storage_roots: BTreeMap<B256, B256>,
    /// Nodes of all the tries that changed.
    pub updates: TrieUpdates,
}

/// Computes the state root after `changes` to the state with root `parent_root`.
///
/// The storage nodes of a removed account are not deleted. They are unreachable without a root that refers to them,
/// and a later account at the same address starts from the empty root and writes its own nodes.
///
/// # Errors
/// [`TrieError`] when the store lacks a node or holds a wrong one, and [`TrieError::StorageWithoutAccount`] when the
/// caller omitted an account.
pub fn state_root_after(
    src: &dyn NodeSource,
    parent_root: B256,
    changes: &StateChanges,
) -> Result<StateRoot, TrieError> {
    let mut updates = TrieUpdates::default();
    let mut storage_roots = BTreeMap::new();
    for (&owner, slots) in &changes.storages {
        let account = changes.accounts.get(&owner).ok_or(TrieError::StorageWithoutAccount(owner))?;
        let Some(account) = account else { continue };
        let leaves =
            slots.iter().map(|(&slot, value)| (slot, (!value.is_zero()).then(|| alloy_rlp::encode(value)))).collect();
        let (root, changed) = update_trie(src, Some(owner), account.storage_root, &leaves)?;
        storage_roots.insert(owner, root);
        updates.extend(changed);
    }
    let leaves = changes
        .accounts
        .iter()
        .map(|(&address, account)| {
            let leaf = account.as_ref().map(|account| {
                let storage_root = storage_roots.get(&address).copied().unwrap_or(account.storage_root);
                alloy_rlp::encode(TrieAccount { storage_root, ..*account })
            });
            (address, leaf)
        })
        .collect();
    let (root, changed) = update_trie(src, None, parent_root, &leaves)?;
    updates.extend(changed);
    Ok(StateRoot { root, storage_roots, updates })
}
