//! The messages that the keys of a new validator sign to prove that their holder agrees to the registration.
//!
//! Both messages contain the chain's genesis hash and the operator, so a proof for one chain or for
//! one operator is invalid for any other. Execution verifies the signatures, because it knows the curves.

use alloy_primitives::{Address, B256, Keccak256};

/// First bytes of the message of the consensus key.
pub const CONSENSUS_TAG: &[u8] = b"causeway/register-consensus/1";

/// First bytes of the preimage of the peg key's digest.
pub const PEG_TAG: &[u8] = b"causeway/register-peg/1";

/// The message that the consensus key signs with ed25519: tag, genesis hash (32), operator (20), consensus key (32).
pub fn consensus_message(genesis_hash: B256, operator: Address, consensus_key: B256) -> Vec<u8> {
    [CONSENSUS_TAG, genesis_hash.as_slice(), operator.as_slice(), consensus_key.as_slice()].concat()
}

/// The digest that the peg key signs with secp256k1: keccak256 of tag, genesis hash (32), operator (20), peg address (20).
pub fn peg_digest(genesis_hash: B256, operator: Address, peg_address: Address) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(PEG_TAG);
    hasher.update(genesis_hash);
    hasher.update(operator);
    hasher.update(peg_address);
    hasher.finalize()
}
