//! The state after a block that is decided but not yet written.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_trie::{Nibbles, NodeSource, NodeSourceError};

use crate::{
    executor::ExecutedBlock,
    state::{Account, SourceError, StateSource},
};

/// An executed block's changes on top of its parent's state. Overlays stack: the base may be one itself.
#[derive(Clone)]
pub struct OverlayState {
    base: Arc<dyn StateSource>,
    executed: Arc<ExecutedBlock>,
}

impl std::fmt::Debug for OverlayState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OverlayState").field("block", &self.executed.hash).finish_non_exhaustive()
    }
}

impl OverlayState {
    /// The state after `executed`, whose parent's state is `base`.
    pub fn new(base: Arc<dyn StateSource>, executed: Arc<ExecutedBlock>) -> Self {
        Self { base, executed }
    }
}

impl NodeSource for OverlayState {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        match self.executed.diff.trie.nodes.get(&(owner, *path)) {
            Some(node) => Ok(node.clone()),
            None => self.base.node(owner, path),
        }
    }
}

impl StateSource for OverlayState {
    fn account(&self, address: Address) -> Result<Option<Account>, SourceError> {
        match self.executed.diff.accounts.get(&address) {
            Some((_, after)) => Ok(*after),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, SourceError> {
        match self.executed.diff.storage.get(&(address, slot)) {
            Some((_, after)) => Ok(*after),
            None => self.base.storage(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        match self.executed.diff.code.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        if number == self.executed.block.header.number {
            return Ok(self.executed.hash);
        }
        self.base.block_hash(number)
    }
}
