//! Events and counts of the parent for the world.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::episodes::FaultKind;

/// An event while time advanced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentEvent {
    /// A block was made on the canonical chain.
    Block {
        /// Its number.
        height: u64,
        /// Its hash.
        hash: B256,
        /// Number of its transactions.
        transactions: usize,
        /// The present final block.
        finalized: u64,
    },
    /// The last blocks were replaced.
    Reorganised {
        /// Their number.
        blocks: u64,
        /// Deposits in them.
        deposits: u64,
    },
    /// A fault began.
    Began(FaultKind, usize),
    /// It ended.
    Ended(FaultKind, usize),
}

/// Counts of events, for coverage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentCounters {
    /// Blocks made, replaced ones included.
    pub blocks: u64,
    /// Reorganisations.
    pub reorganisations: u64,
    /// Most blocks replaced by one of them.
    pub deepest: u64,
    /// Transactions in replaced blocks.
    pub transactions_undone: u64,
    /// Those that were forgotten.
    pub transactions_dropped: u64,
    /// Deposits in replaced blocks.
    pub deposits_undone: u64,
    /// Transactions that got stuck.
    pub stuck: u64,
    /// Transactions that were accepted and forgotten.
    pub lost: u64,
    /// Requests served.
    pub requests: u64,
    /// Requests answered by an endpoint that lied at the time.
    pub lied_to: u64,
    /// Requests that an outage, a cut or a deadline left without an answer.
    pub unanswered: u64,
    /// Faults begun, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
}
