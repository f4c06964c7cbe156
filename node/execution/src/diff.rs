//! From revm's state after a block to the block's diff and state root.

use std::collections::{BTreeMap, btree_map::Entry};

use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_trie::{EMPTY_ROOT_HASH, StateChanges, TrieAccount, state_root_after};
use revm::state::{Account as EvmAccount, EvmState};

use crate::{
    database::StateDb,
    fault::LocalError,
    state::{Account, StateDiff, StateSource},
};

/// Collects what a block changed. Storage roots and trie nodes are left to [`apply_root`].
pub(crate) fn collect_all(state: EvmState, db: &mut StateDb<'_>) -> Result<StateDiff, LocalError> {
    let mut diff = StateDiff::default();
    for (address, account) in state {
        if account.is_touched() {
            collect(&mut diff, db, address, account)?;
        }
    }
    Ok(diff)
}

fn collect(
    diff: &mut StateDiff,
    db: &mut StateDb<'_>,
    address: Address,
    account: EvmAccount,
) -> Result<(), LocalError> {
    let before = db.before(address)?;
    // EIP-6780: only an account created in the same transaction is destroyed. Loaded again by a later transaction it is
    // cleared and the local mark is taken away, so what `info` says is then right. EIP-161: no empty account stays.
    let gone = account.is_selfdestructed_locally() || account.info.is_empty();
    let mut storage_changed = false;
    if !gone {
        for (slot, value) in &account.storage {
            // A slot never read from the source belongs to an account created in this block: it was zero.
            let found = db.slots.get(&(address, *slot)).copied().unwrap_or_default();
            if found != value.present_value {
                diff.storage.insert((address, *slot), (found, value.present_value));
                storage_changed = true;
            }
        }
    }
    let after = (!gone).then(|| Account {
        nonce: account.info.nonce,
        balance: account.info.balance,
        code_hash: account.info.code_hash,
        storage_root: before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root),
    });
    if let (Some(after), Some(code)) = (&after, &account.info.code)
        && after.has_code()
        && before.is_none_or(|before| before.code_hash != after.code_hash)
    {
        diff.code.insert(after.code_hash, code.original_bytes());
    }
    if before != after || storage_changed {
        diff.accounts.insert(address, (before, after));
    }
    Ok(())
}

/// Fills in the storage roots and trie nodes of `diff` and returns the new state root.
pub(crate) fn apply_root(
    diff: &mut StateDiff,
    source: &dyn StateSource,
    parent_root: B256,
) -> Result<B256, LocalError> {
    let mut changes = StateChanges::default();
    let mut hashed = BTreeMap::new();
    for (address, (_, after)) in &diff.accounts {
        let key = keccak256(address);
        hashed.insert(*address, key);
        changes.accounts.insert(key, after.map(trie_account));
    }
    for ((address, slot), (_, value)) in &diff.storage {
        let Some(owner) = hashed.get(address) else {
            return Err(LocalError::Bug(format!("storage of {address} changed without its account")));
        };
        let slots: &mut BTreeMap<B256, U256> = match changes.storages.entry(*owner) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(BTreeMap::new()),
        };
        slots.insert(keccak256(B256::from(*slot)), *value);
    }
    let outcome = state_root_after(source, parent_root, &changes)?;
    for (address, (_, after)) in &mut diff.accounts {
        if let (Some(after), Some(key)) = (after, hashed.get(address))
            && let Some(root) = outcome.storage_roots.get(key)
        {
            after.storage_root = *root;
        }
    }
    diff.trie = outcome.updates;
    Ok(outcome.root)
}

fn trie_account(account: Account) -> TrieAccount {
    TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: account.storage_root,
        code_hash: account.code_hash,
    }
}
