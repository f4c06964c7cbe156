//! The two chains of a testnet: the keys of their nodes and their genesis files.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{Address, B256, U256};
use causeway_genesis::{
    AllocAccount, ChainSpec, Genesis, NodeKeys, PegSpec, SecretKey, ceremony,
    keys::{self, KeyRole},
};
use eyre::{WrapErr as _, eyre};

use crate::{accounts, cli::coins, node_files::RELAYER_KEY};

/// Chain id of the sidechain.
pub const CHAIN_ID: u64 = 900_100;
/// Chain id of the embedded parent.
pub const PARENT_CHAIN_ID: u64 = 900_101;
/// Block interval of the embedded parent in milliseconds.
pub const PARENT_BLOCK_INTERVAL_MS: u64 = 500;
/// Coin of each development account on the embedded parent.
const PARENT_COINS: u64 = 1_000_000;
/// Coin of the account that deploys, deposits and pays relayers on the embedded parent.
const OPERATOR_COINS: u64 = 1_000_000_000;
/// Stake of each validator, and staking tokens of each development account, in whole tokens.
const STAKE: u64 = 1_000_000;
/// File with a validator's operator key, in its `keys` directory.
const OPERATOR_KEY: &str = "operator.key";

/// The keys of one validator of the testnet, all made by the launcher.
#[derive(Clone, Debug)]
pub struct ValidatorKeys {
    /// Name in genesis.
    pub name: String,
    /// Consensus, peg and network keys.
    pub node: NodeKeys,
    /// Address that owns the stake.
    pub operator: Address,
    /// Address that pays for checkpoints on the parent.
    pub relayer: Address,
}

/// Makes the keys of a node that joins later, unless it has some. Its operator is a development account, which has coin and
/// stake. The tenth account pays for loads, and people use the first ones by hand, so the ninth is taken first. When all are taken,
/// the operator is a new account without stake.
pub fn joiner_keys(name: &str, dir: &Path, position: usize) -> eyre::Result<ValidatorKeys> {
    node_keys(&dir.join("keys"))?;
    let path = operator_key(dir);
    let account = accounts::TEST_KEYS.iter().rev().skip(1).nth(position);
    if let Some(account) = account.filter(|_| !path.exists()) {
        write_key(&path, &SecretKey::from_bytes(account.0))?;
    }
    validator_keys(name, dir)
}

/// Where a node's operator key is.
pub fn operator_key(dir: &Path) -> PathBuf {
    dir.join("keys").join(OPERATOR_KEY)
}

/// Reads a validator's keys, or makes them.
pub fn validator_keys(name: &str, dir: &Path) -> eyre::Result<ValidatorKeys> {
    let keys = dir.join("keys");
    let node = node_keys(&keys)?;
    let operator = account_key(&operator_key(dir))?;
    let relayer = account_key(&keys.join(RELAYER_KEY))?;
    Ok(ValidatorKeys { name: name.to_owned(), node, operator: address(&operator), relayer: address(&relayer) })
}

fn node_keys(dir: &Path) -> eyre::Result<NodeKeys> {
    if let Some(node) = NodeKeys::load_validator(dir)? {
        return Ok(node);
    }
    let node = NodeKeys::generate()?;
    node.save(dir)?;
    Ok(node)
}

/// Reads an account's key from a file, or makes it.
pub fn account_key(path: &Path) -> eyre::Result<SecretKey> {
    if let Some(key) = keys::load_file(path, KeyRole::Peg)? {
        return Ok(key);
    }
    // The peg key's rules are those of any secp256k1 account.
    let key = NodeKeys::generate()?.peg;
    write_key(path, &key)?;
    Ok(key)
}

/// Writes an account's key to a file that only we may read.
pub fn write_key(path: &Path, key: &SecretKey) -> eyre::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).wrap_err_with(|| format!("cannot create {}", parent.display()))?;
    }
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.wrap_err_with(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{}", alloy_primitives::hex::encode(key.expose()))?;
    Ok(())
}

/// Address of an account's key.
pub fn address(key: &SecretKey) -> Address {
    accounts::signer(&B256::from(*key.expose())).address()
}

/// Genesis of the embedded parent: one validator, and coin for the accounts that act there.
pub fn parent_genesis(validator: &ValidatorKeys, operator: Address, relayers: &[Address]) -> eyre::Result<Genesis> {
    let mut spec = ceremony::new_spec(PARENT_CHAIN_ID, "Causeway embedded parent", now()?, None);
    spec.block_interval_ms = PARENT_BLOCK_INTERVAL_MS;
    spec.validators = vec![entry(validator)];
    let mut fund = |address: Address, amount: u64| {
        spec.alloc.insert(address, AllocAccount { balance: coins(amount), ..AllocAccount::default() })
    };
    for account in accounts::addresses() {
        fund(account, PARENT_COINS);
    }
    for relayer in relayers {
        fund(*relayer, PARENT_COINS);
    }
    fund(operator, OPERATOR_COINS);
    Ok(Genesis::build(spec)?)
}

/// Settings of the sidechain that the user can choose.
#[derive(Clone, Copy, Debug)]
pub struct SidechainChoices {
    /// Time between blocks in milliseconds.
    pub block_interval_ms: u64,
    /// Blocks between checkpoints.
    pub checkpoint_interval: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Blocks of an epoch.
    pub epoch_length: u64,
    /// Seconds that stake stays locked after it left its validator.
    pub unbonding_seconds: u64,
    /// Blocks after which a validator that was silent throughout is jailed.
    pub downtime_window: u64,
    /// Seconds before a jailed validator may return.
    pub jail_seconds: u64,
}

/// Genesis of the sidechain. It has no coin: all of it comes through the vault. The development accounts have stake tokens.
pub fn sidechain_genesis(
    validators: &[ValidatorKeys],
    peg: PegSpec,
    choices: SidechainChoices,
) -> eyre::Result<Genesis> {
    let mut spec: ChainSpec = ceremony::new_spec(CHAIN_ID, "Causeway testnet", now()?, Some(peg));
    spec.block_interval_ms = choices.block_interval_ms;
    spec.checkpoint_interval = choices.checkpoint_interval;
    spec.gas_limit = choices.gas_limit;
    spec.epoch_length = choices.epoch_length;
    spec.staking.unbonding_seconds = choices.unbonding_seconds;
    spec.staking.downtime_window = choices.downtime_window;
    spec.staking.jail_seconds = choices.jail_seconds;
    spec.staking.alloc = accounts::addresses().into_iter().map(|account| (account, coins(STAKE))).collect();
    spec.validators = validators.iter().map(entry).collect();
    Ok(Genesis::build(spec)?)
}

fn entry(validator: &ValidatorKeys) -> causeway_genesis::GenesisValidator {
    let stake: U256 = coins(STAKE);
    ceremony::validator_entry(&validator.name, validator.operator, stake, &validator.node)
}

fn now() -> eyre::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| eyre!("the clock is before 1970"))?.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_chains_are_valid_and_the_sidechain_starts_without_coin() {
        let directory = tempfile::tempdir().unwrap();
        let validators: Vec<ValidatorKeys> =
            (0..4).map(|i| validator_keys(&format!("v-{i}"), &directory.path().join(i.to_string())).unwrap()).collect();
        let parent = parent_genesis(&validators[0], Address::repeat_byte(9), &[validators[1].relayer]).unwrap();
        assert!(parent.alloc[&Address::repeat_byte(9)].balance > U256::ZERO);
        let peg = ceremony::predicted_peg(PARENT_CHAIN_ID, Address::repeat_byte(9), 0).unwrap();
        let choices = SidechainChoices {
            block_interval_ms: 1_000,
            checkpoint_interval: 10,
            gas_limit: 60_000_000,
            epoch_length: 60,
            unbonding_seconds: 300,
            downtime_window: 300,
            jail_seconds: 60,
        };
        let sidechain = sidechain_genesis(&validators, peg, choices).unwrap();
        assert!(sidechain.alloc.values().all(|account| account.balance.is_zero()));
        assert_eq!(sidechain.validator_set().len(), 4);
        assert_eq!((sidechain.spec.staking.alloc.len(), sidechain.spec.epoch_length), (10, 60));
    }

    #[test]
    fn keys_are_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = validator_keys("v", directory.path()).unwrap();
        let second = validator_keys("v", directory.path()).unwrap();
        assert_eq!((first.node, first.operator, first.relayer), (second.node, second.operator, second.relayer));
        assert_ne!(first.operator, first.relayer);
    }

    #[test]
    fn those_who_join_later_borrow_accounts_until_none_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let operator = |position: usize| {
            joiner_keys("v", &directory.path().join(position.to_string()), position).unwrap().operator
        };
        let accounts = accounts::addresses();
        assert_eq!((operator(0), operator(8)), (accounts[8], accounts[0]));
        assert!(!accounts.contains(&operator(9)));
        assert_eq!(operator(9), operator(9), "made once");
    }
}
