//! The part of a node's database that checks read: no more than an operator's tools can read.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_consensus::CommitCertificate;
use causeway_execution::{Account, ExecutedBlock, Executor, ValidationContext, validator_set_at};
use causeway_genesis::Genesis;
use causeway_storage::{Family, Storage};
use causeway_trie::{Nibbles, NodeSource};

use crate::{Machine, disk::MachineTables};

/// A whole state, row by row, from the flat tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// Accounts, by address.
    pub accounts: Vec<(Address, Account)>,
    /// Slots that are not zero, by address and slot.
    pub slots: Vec<((Address, U256), U256)>,
}

/// A node's database.
pub trait Database {
    /// The height of the last durable block.
    fn head(&self) -> u64;
    /// The hash of the block at a height; `None` when it is absent or unreadable.
    fn hash(&self, height: u64) -> Option<B256>;
    /// The encoding of the state trie's root node after the last durable block.
    fn root_node(&self) -> Option<Bytes>;
    /// All flat tables of the latest state.
    ///
    /// # Errors
    /// When a row cannot be decoded.
    fn rows(&self) -> Result<Rows, String>;
    /// The height of the block that holds a transaction.
    fn block_of(&self, transaction: &B256) -> Option<u64>;
}

/// The database of a machine that is up.
pub(crate) struct NodeDatabase<'a> {
    storage: &'a Storage,
    tables: &'a MachineTables,
}

impl<'a> NodeDatabase<'a> {
    /// Of `machine`; `None` while its node is down.
    pub(crate) fn of(machine: &'a Machine) -> Option<Self> {
        machine.storage().map(|storage| Self { storage, tables: &machine.tables })
    }
}

impl Database for NodeDatabase<'_> {
    fn head(&self) -> u64 {
        self.storage.head_number()
    }

    fn hash(&self, height: u64) -> Option<B256> {
        self.storage.hash_by_number(height).ok().flatten()
    }

    fn root_node(&self) -> Option<Bytes> {
        self.storage.latest().node(None, &Nibbles::default()).ok().flatten()
    }

    fn rows(&self) -> Result<Rows, String> {
        let mut rows = Rows::default();
        let mut bad = None;
        self.tables.each(
            Family::Accounts,
            &mut |key, value| match (<[u8; 20]>::try_from(key), borsh::from_slice(value)) {
                (Ok(key), Ok(account)) => rows.accounts.push((Address::from(key), account)),
                _ => bad = Some(format!("the account row {} does not decode", hex::encode(key))),
            },
        );
        self.tables.each(Family::Slots, &mut |key, value| match (
            key.split_first_chunk::<20>(),
            U256::try_from_be_slice(value),
        ) {
            (Some((address, slot)), Some(value)) if slot.len() == 32 => {
                rows.slots.push(((Address::from(*address), U256::from_be_slice(slot)), value));
            }
            _ => bad = Some(format!("the slot row {} does not decode", hex::encode(key))),
        });
        bad.map_or(Ok(rows), Err)
    }

    fn block_of(&self, transaction: &B256) -> Option<u64> {
        self.storage.transaction(transaction).ok().flatten().map(|(block, _)| block)
    }
}

/// A stored block, executed again on the state before it. It replaces the result of a commit when the machine
/// went down during that commit.
///
/// # Errors
/// When the database cannot return it, or execution refuses it.
pub(crate) fn committed_block(
    genesis: &Arc<Genesis>,
    storage: &Storage,
    height: u64,
) -> Result<(ExecutedBlock, CommitCertificate), String> {
    let missing = |what: &str| format!("{what} of block {height} is not stored");
    let text = |error: &dyn std::fmt::Display| format!("block {height}: {error}");
    let before = height.checked_sub(1).ok_or_else(|| missing("the parent"))?;
    let block = storage.block(height).map_err(|error| text(&error))?.ok_or_else(|| missing("the body"))?;
    let certificate = storage.certificate(height).map_err(|error| text(&error))?;
    let parent =
        storage.header_by_number(before).map_err(|error| text(&error))?.ok_or_else(|| missing("the parent"))?;
    let state = storage.state_at(before).map_err(|error| text(&error))?;
    let (_, operators) = validator_set_at(state.as_ref()).map_err(|error| text(&error))?;
    let older = storage.state_at(before.saturating_sub(1)).map_err(|error| text(&error))?;
    let (parent_validators, _) = validator_set_at(older.as_ref()).map_err(|error| text(&error))?;
    let operators = operators.into_values().collect();
    // The block is decided, so no clock is checked.
    let context = ValidationContext { now_ms: u64::MAX, parent_validators: &parent_validators, operators: &operators };
    let executor = Executor::new(genesis.clone());
    let executed =
        executor.execute(&parent, state.as_ref(), block, &|_| None, &context).map_err(|error| text(&error))?;
    Ok((executed, certificate.ok_or_else(|| missing("the certificate"))?))
}
