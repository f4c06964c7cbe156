//! The genesis block and the state under it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use alloy_consensus::{
    Header,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_RECEIPTS, EMPTY_TRANSACTIONS, EMPTY_WITHDRAWALS, KECCAK_EMPTY},
};
use alloy_eips::{eip2935, eip4788, eip7685::EMPTY_REQUESTS_HASH};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use causeway_consensus::{ConsensusKey, Validator, ValidatorSet};
use causeway_peg::{PegDomain, PegGenesis, PegModule, PegValidator, PegValidatorSet};
use causeway_staking::StakingModule;

use crate::{
    addresses,
    rules::{Rules, Schedule, UnknownRules},
    spec::{ChainSpec, SpecError},
    validity::SpecFault,
};

/// An account of the genesis state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Transaction count.
    pub nonce: u64,
    /// Coin in wei.
    pub balance: U256,
    /// Runtime code; empty for plain accounts.
    pub code: Bytes,
    /// Storage; no value is zero.
    pub storage: BTreeMap<U256, U256>,
}

/// Block 0 of a chain with everything that follows from its spec.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The validated spec.
    pub spec: ChainSpec,
    /// Header of block 0.
    pub header: Header,
    /// Hash of the header: the chain's identity.
    pub hash: B256,
    /// The state of block 0, with native modules and predeployed contracts.
    pub alloc: BTreeMap<Address, GenesisAccount>,
    /// The rules of every block, by height.
    pub schedule: Arc<Schedule>,
    validators: ValidatorSet,
    peg: Option<(PegDomain, PegValidatorSet)>,
}

/// Why no genesis block could be built. All of these are the operator's to fix.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The spec file could not be read, or it is invalid.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The validators form no set.
    #[error("the validators form no valid set: {0}")]
    Validators(String),
}

impl From<SpecFault> for GenesisError {
    fn from(fault: SpecFault) -> Self {
        Self::Spec(SpecError::Invalid(fault))
    }
}

impl Genesis {
    /// Reads a spec file and builds its genesis block.
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        Self::build(ChainSpec::load(path)?)
    }

    /// Builds the genesis block of a spec.
    pub fn build(spec: ChainSpec) -> Result<Self, GenesisError> {
        spec.validate()?;
        let schedule = Arc::new(Schedule::of(&spec)?);
        let powers = powers(&spec)?;
        let validators = consensus_set(&spec, &powers)?;
        let peg_set = match &spec.peg {
            Some(_) => Some(peg_set(&spec, &powers)?),
            None => None,
        };
        let alloc = state(&spec, schedule.first(), peg_set.as_ref());
        let header = header(&spec, schedule.first(), state_root(&alloc));
        let hash = header.hash_slow();
        let peg = spec.peg.as_ref().zip(peg_set).map(|(peg, set)| {
            let domain = PegDomain { parent_chain_id: peg.parent_chain_id, registry: peg.registry, genesis_hash: hash };
            (domain, set)
        });
        Ok(Self { spec, header, hash, alloc, schedule, validators, peg })
    }

    /// The validators of height 1, with powers scaled from their stakes.
    pub fn validator_set(&self) -> ValidatorSet {
        self.validators.clone()
    }

    /// The federation of epoch 0; `None` on a standalone chain.
    pub fn peg_validator_set(&self) -> Option<PegValidatorSet> {
        self.peg.as_ref().map(|(_, set)| set.clone())
    }

    /// The rules of the block at `height`.
    ///
    /// # Errors
    /// [`UnknownRules`] when that block needs a newer build.
    pub fn rules(&self, height: u64) -> Result<&Rules, UnknownRules> {
        self.schedule.at(height)
    }

    /// What peg signatures of this chain commit to; `None` on a standalone chain.
    pub fn peg_domain(&self) -> Option<PegDomain> {
        self.peg.as_ref().map(|(domain, _)| *domain)
    }
}

fn powers(spec: &ChainSpec) -> Result<Vec<u64>, GenesisError> {
    let stakes: Vec<U256> = spec.validators.iter().map(|validator| validator.stake).collect();
    causeway_staking::scale_power(&stakes).map_err(|error| SpecFault::StakeScale(error.to_string()).into())
}

fn consensus_set(spec: &ChainSpec, powers: &[u64]) -> Result<ValidatorSet, GenesisError> {
    let validators = spec.validators.iter().zip(powers).map(|(validator, power)| {
        let key = ConsensusKey(validator.consensus_key.0);
        Validator { id: key.id(), key, power: *power }
    });
    ValidatorSet::new(validators.collect()).map_err(|error| GenesisError::Validators(error.to_string()))
}

fn peg_set(spec: &ChainSpec, powers: &[u64]) -> Result<PegValidatorSet, GenesisError> {
    let validators = spec
        .validators
        .iter()
        .zip(powers)
        .map(|(validator, power)| PegValidator { address: validator.peg_address, power: *power });
    PegValidatorSet::new(0, validators.collect()).map_err(|error| GenesisError::Validators(error.to_string()))
}

/// The accounts of block 0. The peg module's slots cannot hold the genesis hash, which depends on them; execution passes it in.
fn state(spec: &ChainSpec, rules: &Rules, peg: Option<&PegValidatorSet>) -> BTreeMap<Address, GenesisAccount> {
    let contract = |code: Bytes| GenesisAccount { nonce: 1, balance: U256::ZERO, code, storage: BTreeMap::new() };
    let mut accounts: BTreeMap<Address, GenesisAccount> = spec
        .alloc
        .iter()
        .map(|(address, account)| {
            let account = account.clone();
            let (nonce, balance) = (account.nonce, account.balance);
            (*address, GenesisAccount { nonce, balance, code: account.code, storage: account.storage })
        })
        .collect();
    for module in addresses::NATIVE_MODULES {
        accounts.insert(module, contract(Bytes::from_static(&addresses::NATIVE_CODE)));
    }
    if let Some(module) = accounts.get_mut(&addresses::STAKING) {
        let members = spec.genesis_members();
        let slots = StakingModule::genesis_slots(&rules.staking, &members, &spec.staking.alloc, spec.timestamp);
        module.storage = slots.into_iter().filter(|(_, value)| !value.is_zero()).collect();
    }
    accounts.insert(addresses::HISTORY_STORAGE, contract(eip2935::HISTORY_STORAGE_CODE.clone()));
    accounts.insert(addresses::BEACON_ROOTS, contract(eip4788::BEACON_ROOTS_CODE.clone()));
    if let (Some(set), Some(deployment)) = (peg, &spec.peg) {
        let slots = PegModule::genesis_slots(&PegGenesis {
            parent_chain_id: deployment.parent_chain_id,
            vault: deployment.vault,
            registry: deployment.registry,
            checkpoint_interval: rules.peg.checkpoint_interval,
            validators: set.clone(),
        });
        if let Some(module) = accounts.get_mut(&addresses::PEG) {
            module.storage = slots.into_iter().filter(|(_, value)| !value.is_zero()).collect();
        }
    }
    accounts
}

fn state_root(accounts: &BTreeMap<Address, GenesisAccount>) -> B256 {
    state_root_unhashed(accounts.iter().map(|(address, account)| {
        let slots = account.storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
        let code_hash = if account.code.is_empty() { KECCAK_EMPTY } else { keccak256(&account.code) };
        let leaf = TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: storage_root_unhashed(slots),
            code_hash,
        };
        (*address, leaf)
    }))
}

/// The header of block 0. `mix_hash` commits to the whole spec, so that settings which never reach the state
/// (block interval, names, ...) are part of the chain's identity as well.
fn header(spec: &ChainSpec, rules: &Rules, state_root: B256) -> Header {
    let encoded = borsh::to_vec(spec).expect("encoding to memory fails only for collections above 4 Gi entries");
    Header {
        parent_hash: B256::ZERO,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: Address::ZERO,
        state_root,
        transactions_root: EMPTY_TRANSACTIONS,
        receipts_root: EMPTY_RECEIPTS,
        logs_bloom: Bloom::ZERO,
        difficulty: U256::ZERO,
        number: 0,
        gas_limit: rules.block.gas_limit,
        gas_used: 0,
        timestamp: spec.timestamp,
        extra_data: Bytes::new(),
        mix_hash: keccak256(encoded),
        nonce: B64::ZERO,
        base_fee_per_gas: Some(spec.base_fee_initial),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
