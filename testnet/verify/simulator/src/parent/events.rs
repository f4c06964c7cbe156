//! What the parent tells the world of itself.

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::episodes::FaultKind;

/// What happened while time went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentEvent {
    /// A block was made on the canonical chain.
    Block {
        /// Its number.
        height: u64,
        /// Its hash.
        hash: B256,
        /// How many transactions it holds.
        transactions: usize,
        /// The block that is final now.
        finalized: u64,
    },
    /// The last blocks were replaced.
    Reorganised {
        /// How many.
        blocks: u64,
        /// Deposits they held.
        deposits: u64,
    },
    /// A fault began.
    Began(FaultKind, usize),
    /// It ended.
    Ended(FaultKind, usize),
}

/// How often what happened; for coverage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentCounters {
    /// Blocks made, replaced ones included.
    pub blocks: u64,
    /// Reorganisations.
    pub reorganisations: u64,
    /// Most blocks one replaced.
    pub deepest: u64,
    /// Transactions in replaced blocks.
    pub transactions_undone: u64,
    /// Of those, the ones that were forgotten.
    pub transactions_dropped: u64,
    /// Deposits in replaced blocks.
    pub deposits_undone: u64,
    /// Transactions that got stuck.
    pub stuck: u64,
    /// Transactions that were taken and forgotten.
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
