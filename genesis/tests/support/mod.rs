//! Specs that the tests start from.

use alloy_primitives::{Address, B256, U256};
use causeway_genesis::{AllocAccount, ChainSpec, GenesisValidator, NodeKeys, SecretKey, ceremony};

/// Keys that depend on a number alone.
pub fn keys(seed: u8) -> NodeKeys {
    let key = |role: u8| {
        let mut bytes = [seed; 32];
        bytes[0] = role;
        SecretKey::from_bytes(bytes)
    };
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

/// A validator that depends on a number alone.
pub fn validator(seed: u8) -> GenesisValidator {
    let stake = U256::from(1_000_000u64) * U256::from(10u64).pow(U256::from(18));
    let operator = Address::from_word(B256::repeat_byte(0x40 ^ seed));
    let operator = if seed == 0x40 { Address::repeat_byte(0xfa) } else { operator };
    ceremony::validator_entry(&format!("validator-{seed}"), operator, stake, &keys(seed))
}

/// A standalone chain of four validators with one rich account.
pub fn dev_spec() -> ChainSpec {
    let mut spec = ceremony::new_spec(4_242, "Test chain", 1_700_000_000, None);
    spec.validators = (0..4).map(validator).collect();
    let rich = AllocAccount { balance: U256::from(10u64).pow(U256::from(24)), ..AllocAccount::default() };
    spec.alloc.insert(Address::repeat_byte(0xaa), rich);
    spec
}

/// The same validators on a chain pegged to chain 31337.
pub fn pegged_spec() -> ChainSpec {
    let peg = ceremony::predicted_peg(31_337, Address::repeat_byte(0xdd), 5);
    let mut spec = ceremony::new_spec(4_242, "Test chain", 1_700_000_000, peg);
    spec.validators = (0..4).map(validator).collect();
    spec
}
