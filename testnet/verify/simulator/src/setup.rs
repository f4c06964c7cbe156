//! The setup of a world: keys, the genesis of its chain, and the machines' names.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::PeerToken;
use causeway_genesis::{AllocAccount, Genesis, NodeKeys, PegSpec, SecretKey, ceremony};
use parking_lot::Mutex;

use crate::{
    Plan, Users,
    world::{CHAIN_ID, START_UNIX_MS},
};

/// Stake of each validator at genesis, and staking tokens of each other node's operator.
pub const STAKE_TOKENS: u64 = 1_000;

/// An amount of staking tokens.
pub fn stake(tokens: u64) -> U256 {
    U256::from(tokens) * U256::from(10).pow(U256::from(18))
}

/// The peer identity of a machine.
pub fn token(machine: usize) -> PeerToken {
    machine as PeerToken + 1
}

/// The machine with this peer identity.
pub fn machine_of(token: PeerToken) -> usize {
    usize::try_from(token.saturating_sub(1)).unwrap_or(usize::MAX)
}

fn secret(role: u8, index: usize) -> [u8; 32] {
    let mut bytes = [role; 32];
    bytes[24..].copy_from_slice(&(index as u64 + 1).to_be_bytes());
    bytes
}

/// The keys of a machine, the same in every world.
pub fn node_keys(index: usize) -> NodeKeys {
    let key = |role: u8| SecretKey::from_bytes(secret(role, index));
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

/// Accounts by role and index, the same in every world: their addresses are computed once.
static ACCOUNTS: Mutex<BTreeMap<(u8, usize), PrivateKeySigner>> = Mutex::new(BTreeMap::new());

fn account(role: u8, index: usize) -> PrivateKeySigner {
    let new = || PrivateKeySigner::from_slice(&secret(role, index)).expect("a small number is a secp256k1 key");
    ACCOUNTS.lock().entry((role, index)).or_insert_with(new).clone()
}

/// The account of a machine's operator.
pub fn operator(index: usize) -> PrivateKeySigner {
    account(4, index)
}

/// The account on the parent that a machine's relayer pays from.
pub fn relayer(index: usize) -> PrivateKeySigner {
    account(5, index)
}

/// The account of a user.
pub fn user(index: usize) -> PrivateKeySigner {
    account(6, index)
}

/// The account that deploys the contracts on the parent.
pub const DEPLOYER: Address = Address::repeat_byte(0xdd);

/// The contracts on the parent.
pub fn peg(parent_chain_id: u64) -> PegSpec {
    ceremony::predicted_peg(parent_chain_id, DEPLOYER, 0).expect("0 is not the last nonce")
}

/// The chain of a plan.
pub fn genesis(plan: &Plan, peg: Option<PegSpec>, users: &Users) -> Genesis {
    let mut spec = ceremony::new_spec(CHAIN_ID, "simulated", START_UNIX_MS / 1_000, peg);
    spec.block_interval_ms = plan.block_interval_ms;
    spec.checkpoint_interval = plan.checkpoint_interval;
    spec.epoch_length = plan.epoch_length;
    spec.staking.unbonding_seconds = plan.unbonding_s;
    spec.rules.clone_from(&plan.rules);
    let coin = AllocAccount { balance: U256::from(10).pow(U256::from(20)), ..AllocAccount::default() };
    for index in 0..plan.validators + plan.others {
        let operator = operator(index);
        if !plan.pegged {
            spec.alloc.insert(operator.address(), coin.clone());
        }
        if index < plan.validators {
            let keys = node_keys(index);
            let name = format!("v{index}");
            spec.validators.push(ceremony::validator_entry(&name, operator.address(), stake(STAKE_TOKENS), &keys));
        } else {
            spec.staking.alloc.insert(operator.address(), stake(STAKE_TOKENS));
        }
    }
    users.endow(&mut spec);
    Genesis::build(spec).expect("a plan gives a sound chain")
}
