//! A consistent view of one state during commits, without locks or snapshots.
//!
//! A view is fixed at a block `n`. To read a key it reads, in this order, the latest value and then the number of the
//! last commit that has *begun*. If no commit after `n` has begun, the latest value is the one of `n`, because every write
//! happens after its commit has begun. Otherwise the view looks for the first history entry after `n`. A commit writes the
//! latest value and the history entry in one atomic batch, so a needed entry exists by then, whichever latest value was seen.
//! In the reverse order, a commit between the two reads would not be noticed.
//!
//! Pruning raises the horizon before it removes anything, and a view checks the horizon after it has read. So it reports
//! [`StorageError::Pruned`] and never a wrong value.

use crate::{
    cache::LatestCache,
    error::StorageError,
    schema::{AccountsTable, CodeTable, HeadersTable, NodesTable, SlotsTable, Versioned},
    storage::Store,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use causeway_execution::{Account, SourceError, StateSource};
use causeway_trie::{Nibbles, NodeSource, NodeSourceError};
use std::{
    hash::Hash,
    sync::{Arc, atomic::Ordering},
};

/// The state after one block.
#[derive(Clone)]
pub struct StateView {
    store: Arc<Store>,
    number: u64,
}

impl std::fmt::Debug for StateView {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("StateView").field("number", &self.number).finish_non_exhaustive()
    }
}

impl StateView {
    /// The caller guarantees that block `number` is durable.
    pub(crate) fn new(store: Arc<Store>, number: u64) -> Self {
        Self { store, number }
    }

    /// The block of this state.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    fn read<V>(&self, cache: &LatestCache<V::Key, V::Value>, key: V::Key) -> Result<Option<V::Value>, StorageError>
    where
        V: Versioned<Key: Hash + Eq, Value: Clone>,
    {
        if let Some(known) = cache.get(&key, self.number) {
            return Ok(known);
        }
        let latest = self.store.engine.get::<V>(&key)?;
        if self.is_latest() {
            cache.add(key, latest.clone(), self.number, || self.is_latest());
            return Ok(latest);
        }
        let before = self.store.engine.before_next_change::<V>(&key, self.number)?;
        let oldest = self.store.horizon.load(Ordering::SeqCst);
        if self.number < oldest {
            return Err(StorageError::Pruned { number: self.number, oldest });
        }
        Ok(before.unwrap_or(latest))
    }

    /// Whether no later commit has begun.
    fn is_latest(&self) -> bool {
        self.store.begun.load(Ordering::SeqCst) <= self.number
    }

    pub(crate) fn read_node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, StorageError> {
        self.read::<NodesTable>(&self.store.nodes, (owner, *path))
    }
}

impl NodeSource for StateView {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        self.read_node(owner, path).map_err(NodeSourceError::new)
    }
}

impl StateSource for StateView {
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError> {
        self.read::<AccountsTable>(&self.store.accounts, address)
            .map_err(|error| source_error(AccountsTable::WHAT, error))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let value = self.read::<SlotsTable>(&self.store.slots, (address, slot));
        value.map(Option::unwrap_or_default).map_err(|error| source_error(SlotsTable::WHAT, error))
    }

    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        if let Some(code) = self.store.codes.lock().get(&hash) {
            return Ok(code.clone());
        }
        let code = self.store.engine.get::<CodeTable>(&hash).map_err(|error| source_error("code", error))?;
        let code = code.ok_or(SourceError::MissingCode(hash))?;
        self.store.codes.lock().put(hash, code.clone());
        Ok(code)
    }

    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        if number > self.number {
            return Err(SourceError::MissingBlockHash(number));
        }
        let row = self.store.engine.get::<HeadersTable>(&number).map_err(|error| source_error("a header", error))?;
        row.map(|row| row.hash).ok_or(SourceError::MissingBlockHash(number))
    }
}

fn source_error(what: &'static str, error: StorageError) -> SourceError {
    match error {
        StorageError::Pruned { number, .. } => SourceError::Pruned(number),
        other => SourceError::read(what, other),
    }
}
