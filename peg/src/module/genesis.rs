//! The peg's state in block 0.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use super::PegModule;
use crate::{
    layout,
    module::rotation::write_set,
    slots::{Slots, address_word},
    validators::PegValidatorSet,
};

/// Figures of the peg. They may differ from height to height; the chain's rules hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PegFigures {
    /// A checkpoint is due at each height that is a multiple of this; above zero.
    pub checkpoint_interval: u64,
}

/// The peg's part of genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PegGenesis {
    /// Chain id of the parent.
    pub parent_chain_id: u64,
    /// `PegVault` on the parent.
    pub vault: Address,
    /// `CheckpointRegistry` on the parent.
    pub registry: Address,
    /// Blocks between checkpoints; positive.
    pub checkpoint_interval: u64,
    /// The first validator set. It is in force, and it is also announced for the next epoch.
    pub validators: PegValidatorSet,
}

impl PegModule {
    /// Every non-zero slot of the peg's account in block 0. The supply always starts at zero.
    ///
    /// # Panics
    /// When the checkpoint interval is zero, or the epoch is the largest 64-bit number; chain specs refuse both.
    pub fn genesis_slots(genesis: &PegGenesis) -> BTreeMap<U256, U256> {
        assert!(genesis.checkpoint_interval > 0, "the checkpoint interval must be positive");
        let mut slots = BTreeMap::new();
        let mut put = |slot: U256, value: U256| {
            let Ok(()) = slots.store(slot, value);
        };
        put(layout::VERSION, U256::from(layout::LAYOUT_VERSION));
        put(layout::PARENT_CHAIN_ID, U256::from(genesis.parent_chain_id));
        put(layout::VAULT, address_word(genesis.vault));
        put(layout::REGISTRY, address_word(genesis.registry));
        put(layout::CHECKPOINT_INTERVAL, U256::from(genesis.checkpoint_interval));
        let epoch = genesis.validators.epoch();
        put(layout::VALIDATOR_EPOCH, U256::from(epoch));
        // The registry is deployed with this set in force.
        put(layout::ACKED_EPOCH, U256::from(epoch));
        for epoch in [epoch, epoch.checked_add(1).expect("the first epoch has a successor")] {
            let Ok(()) = write_set(&mut slots, epoch, &genesis.validators);
        }
        slots
    }
}
