//! Withdrawals as leaves of the withdrawal tree.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolStruct;

use crate::types::Withdrawal;

/// `keccak256(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, index, token, sender, recipient, amount, relayerFee)))`.
///
/// It is hashed twice so that an inner node of the tree (64 bytes hashed once) can never be accepted as a leaf.
pub fn withdrawal_leaf(withdrawal: &Withdrawal) -> B256 {
    keccak256(withdrawal.eip712_hash_struct())
}
