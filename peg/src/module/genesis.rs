//! The peg's state in block 0.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

use super::PegModule;
use crate::{
    layout,
    slots::{Slots, address_word},
    validators::PegValidatorSet,
};

/// What genesis says of the peg.
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
    /// The first validator set.
    pub validators: PegValidatorSet,
}

impl PegModule {
    /// Every non-zero slot of the peg's account in block 0. The supply starts at zero, always.
    ///
    /// # Panics
    /// When the checkpoint interval is zero, which chain specs refuse.
    pub fn genesis_slots(genesis: &PegGenesis) -> BTreeMap<U256, U256> {
        assert!(genesis.checkpoint_interval > 0, "checkpoint interval is 0");
        let mut slots = BTreeMap::new();
        let mut put = |slot: U256, value: U256| {
            let Ok(()) = slots.store(slot, value);
        };
        put(layout::VERSION, U256::from(layout::LAYOUT_VERSION));
        put(layout::PARENT_CHAIN_ID, U256::from(genesis.parent_chain_id));
        put(layout::VAULT, address_word(genesis.vault));
        put(layout::REGISTRY, address_word(genesis.registry));
        put(layout::CHECKPOINT_INTERVAL, U256::from(genesis.checkpoint_interval));
        put(layout::VALIDATOR_EPOCH, U256::from(genesis.validators.epoch()));
        put(layout::VALIDATOR_COUNT, U256::from(genesis.validators.len()));
        for (position, member) in genesis.validators.validators().iter().enumerate() {
            let packed = (address_word(member.address) << 64) | U256::from(member.power);
            put(layout::validator(position), packed);
        }
        slots
    }
}
