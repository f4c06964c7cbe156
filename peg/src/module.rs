//! The native peg module: a state machine over storage slots.
//!
//! Execution calls [`PegModule::begin_block`] before a block's transactions, then, when the staking module requires it,
//! [`PegModule::rotate`] and [`PegModule::announce_next`]; [`PegModule::import_deposits`],
//! [`PegModule::record_checkpoint`] and [`PegModule::acknowledge_set`] for the proposer's system transactions; and
//! [`PegModule::withdraw`] for users. Every rule depends only on the slots and the arguments, so
//! the execution of a block never needs the parent.
//!
//! A refused operation may have read slots but has written none: all checks come before the first write.

mod checkpoints;
mod deposits;
mod fault;
mod genesis;
mod rotation;
mod views;
mod withdrawals;

pub use checkpoints::{CheckpointBlock, CheckpointRecorded};
pub use deposits::Mint;
pub use fault::{ModuleError, PegFault};
pub use genesis::{PegFigures, PegGenesis};
pub use rotation::HandoverRecord;

use crate::domain::PegDomain;

/// The module's rules for one peg. The domain is an argument and not a slot because it contains the genesis
/// hash, which commits to the genesis slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PegModule {
    domain: PegDomain,
}

impl PegModule {
    /// The rules under `domain`.
    pub fn new(domain: PegDomain) -> Self {
        Self { domain }
    }

    /// The domain of all signatures.
    pub fn domain(&self) -> &PegDomain {
        &self.domain
    }
}
