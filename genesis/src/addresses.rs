//! Fixed addresses of every Causeway chain.
//!
//! Native modules live behind these addresses. Their code is the single byte `0xfe` (the designated invalid opcode), so that an
//! EVM which did not know them would fail instead of doing nothing, and so that `EXTCODESIZE` checks of callers pass.

use alloy_primitives::{Address, address};

/// The staking module.
pub const STAKING: Address = address!("ca00000000000000000000000000000000000001");
/// The peg module: mints deposits, burns withdrawals, keeps checkpoints.
pub const PEG: Address = address!("ca00000000000000000000000000000000000002");
/// The chain's own staking token.
pub const STAKE_TOKEN: Address = address!("ca00000000000000000000000000000000000003");
/// Collects base fees and tips for the stakers. An account without code and without a key.
pub const REWARD_POOL: Address = address!("ca00000000000000000000000000000000000004");
/// Sender of system transactions and of the EIP-2935 and EIP-4788 calls. Nobody holds its key.
pub const SYSTEM: Address = address!("fffffffffffffffffffffffffffffffffffffffe");
/// EIP-2935 history contract.
pub const HISTORY_STORAGE: Address = alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
/// EIP-4788 contract. Here it serves hashes of commit certificates.
pub const BEACON_ROOTS: Address = alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;

/// Code of a native module.
pub const NATIVE_CODE: [u8; 1] = [0xfe];

/// Modules implemented by the node itself.
pub const NATIVE_MODULES: [Address; 3] = [STAKING, PEG, STAKE_TOKEN];

/// Greatest address, read as a number, that is reserved for precompiles.
const LAST_PRECOMPILE: u64 = 0x01ff;

/// Whether a genesis file may not say anything about `address`, because the protocol owns it.
///
/// ```
/// use causeway_genesis::addresses::{PEG, is_reserved};
/// assert!(is_reserved(&PEG));
/// assert!(is_reserved(&alloy_primitives::Address::with_last_byte(1)));
/// assert!(!is_reserved(&alloy_primitives::Address::repeat_byte(0x11)));
/// ```
pub fn is_reserved(address: &Address) -> bool {
    NATIVE_MODULES.contains(address)
        || [REWARD_POOL, SYSTEM, HISTORY_STORAGE, BEACON_ROOTS].contains(address)
        || is_precompile_range(address)
}

/// The zero address and the low addresses in which Ethereum places its precompiles.
fn is_precompile_range(address: &Address) -> bool {
    let (high, low) = address.split_at(12);
    let mut number = [0u8; 8];
    number.copy_from_slice(low);
    high.iter().all(|byte| *byte == 0) && u64::from_be_bytes(number) <= LAST_PRECOMPILE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precompiles_modules_and_the_zero_address_are_reserved() {
        for reserved in [
            Address::ZERO,
            Address::with_last_byte(0x11),
            address!("0000000000000000000000000000000000000100"),
            STAKING,
            REWARD_POOL,
            SYSTEM,
            HISTORY_STORAGE,
            BEACON_ROOTS,
        ] {
            assert!(is_reserved(&reserved), "{reserved}");
        }
    }

    #[test]
    fn ordinary_addresses_are_not_reserved() {
        for free in [
            address!("0000000000000000000000000000000000000200"),
            address!("0000000000000000000000010000000000000001"),
            address!("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"),
        ] {
            assert!(!is_reserved(&free), "{free}");
        }
    }
}
