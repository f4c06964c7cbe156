//! Block 0 as an executed block, so that storage commits it like any other.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use causeway_genesis::Genesis;
use causeway_trie::{EMPTY_ROOT_HASH, Nibbles, NodeSource, NodeSourceError};

use crate::{
    block::Block,
    diff::apply_root,
    executor::ExecutedBlock,
    state::{Account, SourceError, StateDiff, StateSource},
};

/// The state before genesis: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyState;

impl NodeSource for EmptyState {
    fn node(&self, _: Option<B256>, _: &Nibbles) -> Result<Option<Bytes>, NodeSourceError> {
        Ok(None)
    }
}

impl StateSource for EmptyState {
    fn account(&self, _: Address) -> Result<Option<Account>, SourceError> {
        Ok(None)
    }

    fn storage(&self, _: Address, _: U256) -> Result<U256, SourceError> {
        Ok(U256::ZERO)
    }

    fn code(&self, hash: B256) -> Result<Bytes, SourceError> {
        Err(SourceError::MissingCode(hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, SourceError> {
        Err(SourceError::MissingBlockHash(number))
    }
}

/// Block 0 with every genesis account and trie node in its diff.
///
/// # Panics
/// When the state root computed here is not the genesis header's: genesis and the trie then disagree about Ethereum's
/// state root, and nothing may run on top.
pub fn genesis_state(genesis: &Genesis) -> ExecutedBlock {
    let mut diff = StateDiff::default();
    for (address, account) in &genesis.alloc {
        let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
        if !account.code.is_empty() {
            diff.code.insert(code_hash, account.code.clone());
        }
        for (slot, value) in &account.storage {
            if !value.is_zero() {
                diff.storage.insert((*address, *slot), (U256::ZERO, *value));
            }
        }
        let after =
            Account { nonce: account.nonce, balance: account.balance, code_hash, storage_root: EMPTY_ROOT_HASH };
        diff.accounts.insert(*address, (None, Some(after)));
    }
    let root = apply_root(&mut diff, &EmptyState, EMPTY_ROOT_HASH).expect("an empty trie is always readable");
    assert_eq!(root, genesis.header.state_root, "genesis state root");
    let block = Block { header: genesis.header.clone(), transactions: Vec::new(), parent_certificate: None };
    ExecutedBlock {
        block: Arc::new(block),
        hash: genesis.hash,
        senders: Vec::new(),
        receipts: Vec::new(),
        diff,
        peg_events: Vec::new(),
    }
}
