//! The staking slots outside a block, read-only, and the validator sets in them.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use causeway_consensus::{ConsensusKey, Validator, ValidatorId, ValidatorSet};
use causeway_genesis::addresses::STAKING;
use causeway_staking::{Member, ModuleError, Slots, views};
use thiserror::Error;

use crate::state::{SourceError, StateSource};

/// Why a staking slot could not be used outside a block, or a set could not be read.
#[derive(Debug, Error)]
pub enum StakingSlotsError {
    /// Local state could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The view is read-only.
    #[error("staking state is read-only here")]
    ReadOnly,
    /// The state holds what no rule could have written: the database is damaged, or this is a bug.
    #[error("staking state is broken: {0}")]
    Broken(String),
}

impl From<ModuleError<Self>> for StakingSlotsError {
    fn from(error: ModuleError<Self>) -> Self {
        match error {
            ModuleError::Slots(error) => error,
            ModuleError::Refused(fault) => Self::Broken(fault.to_string()),
        }
    }
}

/// The staking slots in some state, read-only: what RPC and the node look at with [`causeway_staking::views`].
#[derive(Clone, Copy)]
pub struct StakingSlots<'a>(&'a dyn StateSource);

impl std::fmt::Debug for StakingSlots<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StakingSlots")
    }
}

/// The staking slots in `state`.
pub fn staking_state(state: &dyn StateSource) -> StakingSlots<'_> {
    StakingSlots(state)
}

impl Slots for StakingSlots<'_> {
    type Error = StakingSlotsError;

    fn load(&mut self, slot: U256) -> Result<U256, StakingSlotsError> {
        Ok(self.0.storage(STAKING, slot)?)
    }

    fn store(&mut self, _: U256, _: U256) -> Result<(), StakingSlotsError> {
        Err(StakingSlotsError::ReadOnly)
    }
}

/// The validators that decide the block after `state`, and the operator account of each.
///
/// # Errors
/// [`StakingSlotsError`]: local trouble.
pub fn validator_set_at(
    state: &dyn StateSource,
) -> Result<(ValidatorSet, BTreeMap<ValidatorId, Address>), StakingSlotsError> {
    consensus_set(&views::active_set(&mut staking_state(state))?)
}

/// The validators of the epoch after the one of `state`, as announced by now, and the operator account of each.
///
/// # Errors
/// [`StakingSlotsError`]: local trouble.
pub fn next_validator_set_at(
    state: &dyn StateSource,
) -> Result<(ValidatorSet, BTreeMap<ValidatorId, Address>), StakingSlotsError> {
    consensus_set(&views::next_set(&mut staking_state(state))?)
}

fn consensus_set(members: &[Member]) -> Result<(ValidatorSet, BTreeMap<ValidatorId, Address>), StakingSlotsError> {
    let validator = |member: &Member| Validator::new(ConsensusKey(B256::from(member.consensus_key).0), member.power);
    let set = ValidatorSet::new(members.iter().map(validator).collect())
        .map_err(|error| StakingSlotsError::Broken(error.to_string()))?;
    let operators = members.iter().map(|member| (ConsensusKey(member.consensus_key.0).id(), member.operator));
    Ok((set, operators.collect()))
}
