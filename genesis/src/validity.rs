//! What makes a chain spec valid. Every rule has its own [`SpecFault`], and every fault says what to change.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use causeway_staking::GenesisFault;
use ed25519_dalek::VerifyingKey;

use crate::{
    addresses,
    rules::{Schedule, UnknownRules},
    spec::{AllocAccount, ChainSpec, GenesisValidator, PegSpec},
    staking::StakingSpec,
};

/// Greatest chain id: JavaScript wallets hold it in a double.
pub const MAX_CHAIN_ID: u64 = (1 << 53) - 1;
/// Shortest block interval in milliseconds.
pub const MIN_BLOCK_INTERVAL_MS: u64 = 10;
/// Longest block interval in milliseconds.
pub const MAX_BLOCK_INTERVAL_MS: u64 = 60_000;
/// Smallest block gas limit: room for one large contract deployment and the system transactions.
pub const MIN_GAS_LIMIT: u64 = 5_000_000;
/// Largest block gas limit: a block of this size still executes within seconds.
pub const MAX_GAS_LIMIT: u64 = 1_000_000_000;
/// Lowest initial base fee in wei: EIP-1559 cannot raise a fee below 8 by an eighth.
pub const MIN_BASE_FEE: u64 = 8;
/// Highest initial base fee in wei (1 000 gwei).
pub const MAX_BASE_FEE: u64 = 1_000_000_000_000;
/// Shortest epoch in blocks.
pub const MIN_EPOCH_LENGTH: u64 = 4;
/// Longest epoch in blocks.
pub const MAX_EPOCH_LENGTH: u64 = 10_000_000;
/// Longest distance between checkpoints in blocks.
pub const MAX_CHECKPOINT_INTERVAL: u64 = 1_000_000;
/// Most validators a genesis may name.
pub const MAX_VALIDATORS: usize = 128;
/// Longest unbonding period and longest jail in seconds: a year.
pub const MAX_SECONDS: u64 = 31_536_000;
/// Shortest window of downtime in blocks.
pub const MIN_DOWNTIME_WINDOW: u64 = 10;
/// Longest window of downtime in blocks.
pub const MAX_DOWNTIME_WINDOW: u64 = 1_000_000;
/// The whole in millionths.
pub const PPM: u64 = 1_000_000;
/// Greatest share of the reporter in millionths: were it the whole, slashing would only move stake.
pub const MAX_REPORTER_PPM: u64 = 500_000;
/// Greatest issuance per epoch in millionths of the bonded stake.
pub const MAX_ISSUANCE_PPM: u64 = 10_000;
/// The whole in hundredths of a percent.
pub const BPS: u64 = 10_000;
/// Most epochs that may pass while stake is unbonding: they bound how far back evidence and trust reach.
pub const MAX_UNBONDING_EPOCHS: u64 = 10_000;
/// Most accounts a genesis may place.
pub const MAX_ALLOC: usize = 100_000;
/// Latest genesis time: 9999-12-31T23:59:59Z.
pub const MAX_TIMESTAMP: u64 = 253_402_300_799;
/// EIP-170 limit of a contract's code in bytes.
pub const MAX_CODE_BYTES: usize = 24_576;

const MAX_NAME_BYTES: usize = 64;
const MAX_VALIDATOR_NAME_BYTES: usize = 32;

/// A broken rule. The text names the key and says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages are the documentation
pub enum SpecFault {
    #[error("{key} is {value}, but must be between {min} and {max}")]
    OutOfRange { key: &'static str, value: u64, min: u64, max: u64 },
    #[error("name must be 1 to 64 printable ASCII characters")]
    Name,
    #[error("validators is empty: add one with `causeway genesis add-validator`")]
    NoValidators,
    #[error("{key} holds {count} entries, but at most {max} are allowed")]
    TooMany { key: &'static str, count: usize, max: usize },
    #[error("validators[{index}].name {name:?} must be 1 to 32 of a-z, 0-9 and '-'")]
    ValidatorName { index: usize, name: String },
    #[error("validators[{index}].{key} {value} is used by another validator too")]
    Duplicate { index: usize, key: &'static str, value: String },
    #[error("validators[{index}].{key} must not be the zero address or an address the protocol owns")]
    ValidatorAddress { index: usize, key: &'static str },
    #[error("validators[{index}].consensusKey {key} is no usable ed25519 public key")]
    ConsensusKey { index: usize, key: B256 },
    #[error("validators[{index}].stake is zero")]
    NoStake { index: usize },
    #[error("the stakes and staking.alloc add up to 2^128 or more")]
    StakeOverflow,
    #[error(
        "validators[{index}].stake is {stake}, below staking.minSelfBond ({minimum}): raise it, or lower the minimum"
    )]
    StakeBelowMinimum { index: usize, stake: U256, minimum: U256 },
    #[error("validators[{index}].commissionBps is {bps}, but at most 10000 (everything) is possible")]
    Commission { index: usize, bps: u16 },
    #[error("there are {count} validators, but staking.maxValidators is {max}: raise it, or remove validators")]
    AboveMaxValidators { count: usize, max: u64 },
    #[error("staking.{0} must be 1 to 2^128 - 1")]
    Amount(&'static str),
    #[error(transparent)]
    Staking(#[from] GenesisFault),
    #[error("staking.alloc[{0}] must not be the zero address or an address the protocol owns")]
    StakeReservedAddress(Address),
    #[error("staking.alloc[{0}] is zero: remove it")]
    StakeAllocZero(Address),
    #[error(
        "staking.unbondingSeconds ({seconds}) spans {epochs} epochs of epochLength * blockIntervalMs, but at most {max} are allowed: make the epochs longer or the unbonding period shorter"
    )]
    UnbondingEpochs { seconds: u64, epochs: u64, max: u64 },
    #[error(
        "checkpointInterval ({interval}) may be at most half of epochLength ({length}) on a pegged chain: each epoch hands over to the next by a checkpoint"
    )]
    CheckpointsPerEpoch { interval: u64, length: u64 },
    #[error("the stakes cannot be scaled to voting powers: {0}")]
    StakeScale(String),
    #[error(
        "peg.parentChainId equals chainId ({0}): the parent must be another chain, or signatures could be replayed"
    )]
    ParentIsSelf(u64),
    #[error("peg.{key} is {found}, but account {deployer} deploys to {expected} at nonce {nonce}")]
    PegAddress { key: &'static str, found: Address, expected: Address, deployer: Address, nonce: u64 },
    #[error("peg.deployer must not be the zero address")]
    PegDeployer,
    #[error(
        "alloc[{0}] prefunds coin, but on a pegged chain coin comes only through the vault: remove the balance, or remove peg"
    )]
    PrefundedCoin(Address),
    #[error("alloc[{0}]: the protocol owns this address")]
    ReservedAddress(Address),
    #[error("alloc[{0}] is empty: remove it")]
    EmptyAccount(Address),
    #[error("alloc[{address}].code is {length} bytes, but at most {MAX_CODE_BYTES} are allowed")]
    CodeTooLarge { address: Address, length: usize },
    #[error("alloc[{0}].code starts with 0xef, which EIP-3541 reserves")]
    CodePrefix(Address),
    #[error("alloc[{0}].storage needs code: an account without code cannot have storage")]
    StorageWithoutCode(Address),
    #[error("alloc[{address}].storage[{slot:#x}] is zero: remove it")]
    ZeroSlot { address: Address, slot: U256 },
    #[error("alloc[{0}].nonce is the greatest possible: no transaction could follow")]
    NonceOverflow(Address),
    #[error("rules: the entry of height {height} must come before the one in front of it: heights ascend, each once")]
    RulesOrder { height: u64 },
    #[error("rules: the entry of height {height} has version {version}, but must have {least} or a later one")]
    RulesVersion { height: u64, version: u64, least: u64 },
    #[error("rules: the entry of height {0} holds a number that is no integer from 0 to 2^64 - 1")]
    OddNumber(u64),
    #[error("rules: the entry of height {0} changes nothing: remove it")]
    NothingChanges(u64),
    #[error("rules: the entry of height {height} names {at}, which is no figure of these rules")]
    UnknownFigure { height: u64, at: String },
    #[error("rules: the entry of height {height}, at {at}: {reason}")]
    Figure { height: u64, at: String, reason: String },
    #[error("rules: the entry of height {height} changes {at}, which cannot change: {reason}")]
    FixedFigure { height: u64, at: String, reason: &'static str },
    #[error("rules: the entry of height 0 names {at}: the chain starts with what `{key}` says at the top of the file")]
    TopLevelFigure { at: String, key: &'static str },
    #[error("rules: from height {height} on, {fault}")]
    RulesFrom { height: u64, fault: Box<SpecFault> },
    #[error("system.gas is {gas}, but the largest import of deposits may need {needed}: raise it, or lower the prices")]
    SystemGas { gas: u64, needed: u64 },
    #[error(transparent)]
    UnknownStart(UnknownRules),
    #[error("the balances in alloc add up to 2^128 wei or more")]
    CoinOverflow,
}

pub(crate) fn check(spec: &ChainSpec) -> Result<(), SpecFault> {
    numbers(spec)?;
    staking(spec)?;
    let bonded = validators(&spec.validators, &spec.staking)?;
    stake_alloc(&spec.staking, bonded)?;
    // The module's own rules, of which those above are the stricter half in the words of the file.
    causeway_staking::check_genesis(&spec.staking_params(), &spec.genesis_members(), &spec.staking.alloc)?;
    if let Some(peg) = &spec.peg {
        deployment(spec.chain_id, peg)?;
    }
    alloc(spec)?;
    Schedule::of(spec).map(|_| ())
}

fn within(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), SpecFault> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(SpecFault::OutOfRange { key, value, min, max }) }
}

fn numbers(spec: &ChainSpec) -> Result<(), SpecFault> {
    within("chainId", spec.chain_id, 1, MAX_CHAIN_ID)?;
    let printable = spec.name.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if spec.name.trim().is_empty() || spec.name.len() > MAX_NAME_BYTES || !printable {
        return Err(SpecFault::Name);
    }
    within("timestamp", spec.timestamp, 0, MAX_TIMESTAMP)?;
    within("blockIntervalMs", spec.block_interval_ms, MIN_BLOCK_INTERVAL_MS, MAX_BLOCK_INTERVAL_MS)?;
    within("gasLimit", spec.gas_limit, MIN_GAS_LIMIT, MAX_GAS_LIMIT)?;
    within("baseFeeInitial", spec.base_fee_initial, MIN_BASE_FEE, MAX_BASE_FEE)?;
    within("epochLength", spec.epoch_length, MIN_EPOCH_LENGTH, MAX_EPOCH_LENGTH)?;
    within("checkpointInterval", spec.checkpoint_interval, 1, MAX_CHECKPOINT_INTERVAL)
}

fn staking(spec: &ChainSpec) -> Result<(), SpecFault> {
    let staking = &spec.staking;
    let most = u64::try_from(MAX_VALIDATORS).unwrap_or(u64::MAX);
    within("staking.maxValidators", staking.max_validators, 1, most)?;
    within("staking.unbondingSeconds", staking.unbonding_seconds, 1, MAX_SECONDS)?;
    within("staking.downtimeWindow", staking.downtime_window, MIN_DOWNTIME_WINDOW, MAX_DOWNTIME_WINDOW)?;
    within("staking.downtimeSlashPpm", staking.downtime_slash_ppm, 0, PPM)?;
    within("staking.jailSeconds", staking.jail_seconds, 0, MAX_SECONDS)?;
    within("staking.doubleSignSlashPpm", staking.double_sign_slash_ppm, 0, PPM)?;
    within("staking.reporterPpm", staking.reporter_ppm, 0, MAX_REPORTER_PPM)?;
    within("staking.issuancePpm", staking.issuance_ppm, 0, MAX_ISSUANCE_PPM)?;
    within("staking.maxCommissionChangeBps", u64::from(staking.max_commission_change_bps), 0, BPS)?;
    for (key, amount) in [("minSelfBond", staking.min_self_bond), ("minDelegation", staking.min_delegation)] {
        if amount.is_zero() || amount > U256::from(u128::MAX) {
            return Err(SpecFault::Amount(key));
        }
    }
    Ok(())
}

/// Adds the liquid stake to what is bonded. The bound leaves amounts room to be multiplied in 256 bits.
fn stake_alloc(staking: &StakingSpec, bonded: U256) -> Result<(), SpecFault> {
    if staking.alloc.len() > MAX_ALLOC {
        return Err(SpecFault::TooMany { key: "staking.alloc", count: staking.alloc.len(), max: MAX_ALLOC });
    }
    let mut total = bonded;
    for (address, amount) in &staking.alloc {
        if addresses::is_reserved(address) {
            return Err(SpecFault::StakeReservedAddress(*address));
        }
        if amount.is_zero() {
            return Err(SpecFault::StakeAllocZero(*address));
        }
        total = total.checked_add(*amount).ok_or(SpecFault::StakeOverflow)?;
    }
    if total > U256::from(u128::MAX) { Err(SpecFault::StakeOverflow) } else { Ok(()) }
}

/// Checks the validators and returns the sum of their stakes.
fn validators(validators: &[GenesisValidator], staking: &StakingSpec) -> Result<U256, SpecFault> {
    if validators.is_empty() {
        return Err(SpecFault::NoValidators);
    }
    if validators.len() > MAX_VALIDATORS {
        return Err(SpecFault::TooMany { key: "validators", count: validators.len(), max: MAX_VALIDATORS });
    }
    if u64::try_from(validators.len()).is_ok_and(|count| count > staking.max_validators) {
        return Err(SpecFault::AboveMaxValidators { count: validators.len(), max: staking.max_validators });
    }
    let (mut names, mut operators) = (BTreeSet::new(), BTreeSet::new());
    let (mut keys, mut peg_addresses) = (BTreeSet::new(), BTreeSet::new());
    let mut total = U256::ZERO;
    for (index, validator) in validators.iter().enumerate() {
        one_validator(index, validator, staking.min_self_bond)?;
        let duplicate = |key, value: String| Err(SpecFault::Duplicate { index, key, value });
        if !names.insert(&validator.name) {
            return duplicate("name", validator.name.clone());
        }
        if !operators.insert(validator.operator) {
            return duplicate("operator", validator.operator.to_string());
        }
        if !keys.insert(validator.consensus_key) {
            return duplicate("consensusKey", validator.consensus_key.to_string());
        }
        if !peg_addresses.insert(validator.peg_address) {
            return duplicate("pegAddress", validator.peg_address.to_string());
        }
        total = total.checked_add(validator.stake).ok_or(SpecFault::StakeOverflow)?;
    }
    Ok(total)
}

fn one_validator(index: usize, validator: &GenesisValidator, minimum: U256) -> Result<(), SpecFault> {
    let name = &validator.name;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_VALIDATOR_NAME_BYTES || !name.bytes().all(allowed) {
        return Err(SpecFault::ValidatorName { index, name: name.clone() });
    }
    if addresses::is_reserved(&validator.operator) {
        return Err(SpecFault::ValidatorAddress { index, key: "operator" });
    }
    if addresses::is_reserved(&validator.peg_address) {
        return Err(SpecFault::ValidatorAddress { index, key: "pegAddress" });
    }
    // A key of small order would make signatures that verify for many messages.
    match VerifyingKey::from_bytes(&validator.consensus_key.0) {
        Ok(key) if !key.is_weak() => {}
        _ => return Err(SpecFault::ConsensusKey { index, key: validator.consensus_key }),
    }
    if validator.stake.is_zero() {
        return Err(SpecFault::NoStake { index });
    }
    if validator.stake < minimum {
        return Err(SpecFault::StakeBelowMinimum { index, stake: validator.stake, minimum });
    }
    if u64::from(validator.commission_bps) > BPS {
        return Err(SpecFault::Commission { index, bps: validator.commission_bps });
    }
    Ok(())
}

fn deployment(chain_id: u64, peg: &PegSpec) -> Result<(), SpecFault> {
    within("peg.parentChainId", peg.parent_chain_id, 1, MAX_CHAIN_ID)?;
    if peg.parent_chain_id == chain_id {
        return Err(SpecFault::ParentIsSelf(chain_id));
    }
    if peg.deployer.is_zero() {
        return Err(SpecFault::PegDeployer);
    }
    within("peg.deployerNonce", peg.deployer_nonce, 0, u64::MAX - 2)?;
    let vault_nonce = peg.deployer_nonce.checked_add(1).expect("bounded by the rule above");
    for (key, found, nonce) in [("registry", peg.registry, peg.deployer_nonce), ("vault", peg.vault, vault_nonce)] {
        let expected = peg.deployer.create(nonce);
        if found != expected {
            return Err(SpecFault::PegAddress { key, found, expected, deployer: peg.deployer, nonce });
        }
    }
    Ok(())
}

fn alloc(spec: &ChainSpec) -> Result<(), SpecFault> {
    if spec.alloc.len() > MAX_ALLOC {
        return Err(SpecFault::TooMany { key: "alloc", count: spec.alloc.len(), max: MAX_ALLOC });
    }
    let mut total = U256::ZERO;
    for (address, account) in &spec.alloc {
        one_account(*address, account)?;
        if spec.peg.is_some() && !account.balance.is_zero() {
            return Err(SpecFault::PrefundedCoin(*address));
        }
        total = total.checked_add(account.balance).ok_or(SpecFault::CoinOverflow)?;
    }
    if total > U256::from(u128::MAX) { Err(SpecFault::CoinOverflow) } else { Ok(()) }
}

fn one_account(address: Address, account: &AllocAccount) -> Result<(), SpecFault> {
    if addresses::is_reserved(&address) {
        return Err(SpecFault::ReservedAddress(address));
    }
    if *account == AllocAccount::default() {
        return Err(SpecFault::EmptyAccount(address));
    }
    if account.code.len() > MAX_CODE_BYTES {
        return Err(SpecFault::CodeTooLarge { address, length: account.code.len() });
    }
    if account.code.first() == Some(&0xef) {
        return Err(SpecFault::CodePrefix(address));
    }
    if account.code.is_empty() && !account.storage.is_empty() {
        return Err(SpecFault::StorageWithoutCode(address));
    }
    if let Some((slot, _)) = account.storage.iter().find(|(_, value)| value.is_zero()) {
        return Err(SpecFault::ZeroSlot { address, slot: *slot });
    }
    if account.nonce == u64::MAX {
        return Err(SpecFault::NonceOverflow(address));
    }
    Ok(())
}
