//! The validators of the heights around the durable head, read from state.
//!
//! The set that decides height h is the active set in the state after block h - 1. Two sets are kept: that of the head,
//! whose members signed the certificate that the next block carries, and that of the next height.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::Address;
use causeway_consensus::{ConsensusKey, Validator, ValidatorId, ValidatorSet};
use causeway_execution::{StakingSlotsError, StateSource, staking_state};
use causeway_federation::PegProgress;
use causeway_staking::{Member, views};
use causeway_storage::Storage;
use parking_lot::RwLock;

/// The validators of one height.
#[derive(Debug, Clone)]
pub struct Validators {
    /// The validator set that decides the height.
    pub set: ValidatorSet,
    /// The operator account of each validator: the beneficiary of its blocks.
    pub operators: Arc<BTreeMap<ValidatorId, Address>>,
    /// The registered peg key of each validator.
    pub peg_addresses: Arc<BTreeMap<ValidatorId, Address>>,
    members: Arc<Vec<Member>>,
}

impl Validators {
    fn new(members: Vec<Member>) -> eyre::Result<Self> {
        let key = |member: &Member| ConsensusKey(member.consensus_key.0);
        let validators = members.iter().map(|member| Validator::new(key(member), member.power)).collect();
        Ok(Self {
            set: ValidatorSet::new(validators)?,
            operators: Arc::new(members.iter().map(|member| (key(member).id(), member.operator)).collect()),
            peg_addresses: Arc::new(members.iter().map(|member| (key(member).id(), member.peg_address)).collect()),
            members: Arc::new(members),
        })
    }
}

/// The position in the epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch {
    /// The epoch of the next height.
    pub number: u64,
    /// Its first height.
    pub start_height: u64,
    /// Blocks by which it is longer than planned, because no certificate hands over to the next set yet.
    pub extended: u64,
}

/// The data of the next height, from the state after a block.
#[derive(Debug, Clone)]
pub struct NextHeight {
    /// Its validators.
    pub validators: Validators,
    /// The set of the next epoch, if it differs.
    pub upcoming: Option<ValidatorSet>,
    /// Its epoch.
    pub epoch: Epoch,
    /// The peg's durable state, on a pegged chain.
    pub peg: Option<PegProgress>,
}

#[derive(Debug)]
struct Recent {
    of_head: Validators,
    of_next: Validators,
    upcoming: Validators,
    epoch: Epoch,
}

/// The sets around the durable head, shared by all users.
#[derive(Debug)]
pub struct Sets(RwLock<Recent>);

impl Sets {
    /// Reads the sets around the durable head.
    ///
    /// # Errors
    /// When the state cannot be read or holds no sets.
    pub fn load(storage: &Storage) -> eyre::Result<Self> {
        let head = storage.head().number;
        let state = storage.latest();
        let mut slots = staking_state(state.as_ref());
        let of_next = Validators::new(views::active_set(&mut slots)?)?;
        let upcoming = Validators::new(views::next_set(&mut slots)?)?;
        let epoch = epoch(state.as_ref())?;
        let of_head = match head.checked_sub(1) {
            Some(before) => {
                let state = storage.state_at(before)?;
                Validators::new(views::active_set(&mut staking_state(state.as_ref()))?)?
            }
            // No validator decided genesis.
            None => of_next.clone(),
        };
        Ok(Self(RwLock::new(Recent { of_head, of_next, upcoming, epoch })))
    }

    /// Follows the head by one block, whose state is `state`. It reads few slots unless the set rotates.
    ///
    /// # Errors
    /// As [`Sets::load`].
    pub fn advance(&self, state: &dyn StateSource) -> eyre::Result<()> {
        let epoch = epoch(state)?;
        let next_members = views::next_set(&mut staking_state(state))?;
        let mut recent = self.0.write();
        recent.of_head = recent.of_next.clone();
        if epoch.number != recent.epoch.number {
            let active = views::active_set(&mut staking_state(state))?;
            recent.of_next =
                if *recent.upcoming.members == active { recent.upcoming.clone() } else { Validators::new(active)? };
        }
        if *recent.upcoming.members != next_members {
            recent.upcoming = Validators::new(next_members)?;
        }
        recent.epoch = epoch;
        Ok(())
    }

    /// The validators of the head's height.
    pub fn of_head(&self) -> Validators {
        self.0.read().of_head.clone()
    }

    /// The validators of the height after the head.
    pub fn of_next(&self) -> Validators {
        self.0.read().of_next.clone()
    }

    /// What is known of the height after the head; `peg` is what its state says of the peg.
    pub fn next_height(&self, peg: Option<PegProgress>) -> NextHeight {
        let recent = self.0.read();
        let (validators, upcoming) = (recent.of_next.clone(), recent.upcoming.set.clone());
        let upcoming = (upcoming != validators.set).then_some(upcoming);
        NextHeight { validators, upcoming, epoch: recent.epoch, peg }
    }
}

fn epoch(state: &dyn StateSource) -> Result<Epoch, StakingSlotsError> {
    let info = views::epoch(&mut staking_state(state))?;
    Ok(Epoch { number: info.number, start_height: info.start_height, extended: info.extended })
}
