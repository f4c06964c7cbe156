//! Making a genesis file: what `causeway genesis new`, `add-validator` and `verify` do.
//!
//! One person makes the file with [`new_spec`] and passes it round; each validator adds itself with [`add_validator`] from keys
//! that never leave its machine; everybody then compares the one hash that [`verify`] prints.

use std::{collections::BTreeMap, path::Path};

use alloy_primitives::{Address, B256, U256};
use causeway_consensus::ValidatorId;

use crate::{
    block::{Genesis, GenesisError},
    keys::NodeKeys,
    spec::{ChainSpec, GenesisValidator, PegSpec},
    staking::StakingSpec,
    validity::SpecFault,
};

/// Block interval of a new chain in milliseconds.
pub const DEFAULT_BLOCK_INTERVAL_MS: u64 = 1_000;
/// Gas limit of a new chain: about 2 800 transfers a block.
pub const DEFAULT_GAS_LIMIT: u64 = 60_000_000;
/// Base fee of a new chain in wei (1 gwei).
pub const DEFAULT_BASE_FEE: u64 = 1_000_000_000;
/// Epoch length of a new chain in blocks.
pub const DEFAULT_EPOCH_LENGTH: u64 = 3_600;
/// Checkpoint interval of a new chain in blocks.
pub const DEFAULT_CHECKPOINT_INTERVAL: u64 = 60;

/// A draft with default settings and no validators.
pub fn new_spec(chain_id: u64, name: &str, timestamp: u64, peg: Option<PegSpec>) -> ChainSpec {
    ChainSpec {
        chain_id,
        name: name.to_owned(),
        timestamp,
        block_interval_ms: DEFAULT_BLOCK_INTERVAL_MS,
        gas_limit: DEFAULT_GAS_LIMIT,
        base_fee_initial: DEFAULT_BASE_FEE,
        epoch_length: DEFAULT_EPOCH_LENGTH,
        checkpoint_interval: DEFAULT_CHECKPOINT_INTERVAL,
        validators: Vec::new(),
        staking: StakingSpec::default(),
        peg,
        alloc: BTreeMap::new(),
        rules: Vec::new(),
    }
}

/// The deployment that `deployer` makes when the registry is its transaction number `nonce` and the vault the next one.
/// `None` when the nonce is the last possible.
pub fn predicted_peg(parent_chain_id: u64, deployer: Address, nonce: u64) -> Option<PegSpec> {
    let vault_nonce = nonce.checked_add(1)?;
    Some(PegSpec {
        parent_chain_id,
        vault: deployer.create(vault_nonce),
        registry: deployer.create(nonce),
        deployer,
        deployer_nonce: nonce,
    })
}

/// What a validator publishes about itself: names and public keys only.
pub fn validator_entry(name: &str, operator: Address, stake: U256, keys: &NodeKeys) -> GenesisValidator {
    GenesisValidator {
        name: name.to_owned(),
        operator,
        consensus_key: B256::from(keys.consensus_public().0),
        peg_address: keys.peg_address(),
        stake,
        commission_bps: 0,
    }
}

/// Adds a validator to a draft. Checks the whole draft with it, and leaves the draft as it was when a rule is broken.
pub fn add_validator(spec: &mut ChainSpec, validator: GenesisValidator) -> Result<(), SpecFault> {
    spec.validators.push(validator);
    let checked = spec.validate();
    if checked.is_err() {
        spec.validators.pop();
    }
    checked
}

/// What people compare before they start a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Hash of the genesis block: equal for all who will be on one chain.
    pub hash: B256,
    /// Root of the genesis state.
    pub state_root: B256,
    /// Chain id.
    pub chain_id: u64,
    /// Name, id and voting power of each validator in the file's order.
    pub validators: Vec<(String, ValidatorId, u64)>,
    /// Commitment to the federation, as the registry on the parent is to be constructed with; `None` when not pegged.
    pub federation: Option<B256>,
}

/// Reads a genesis file, checks every rule and builds block 0.
pub fn verify(path: &Path) -> Result<Verified, GenesisError> {
    Ok(summary(&Genesis::load(path)?))
}

/// The summary of a genesis that has been built.
pub fn summary(genesis: &Genesis) -> Verified {
    let set = genesis.validator_set();
    let validators = genesis.spec.validators.iter().map(|validator| {
        let id = causeway_consensus::ConsensusKey(validator.consensus_key.0).id();
        let power = set.get(&id).map_or(0, |member| member.power);
        (validator.name.clone(), id, power)
    });
    Verified {
        hash: genesis.hash,
        state_root: genesis.header.state_root,
        chain_id: genesis.spec.chain_id,
        validators: validators.collect(),
        federation: genesis.peg_validator_set().map(|set| set.commitment()),
    }
}
