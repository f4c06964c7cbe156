//! Deposits as the vault hashes them: each is a leaf, and the leaves are folded into an accumulator.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolStruct;

use crate::types::Deposit;

/// Most deposits that one import may add. The cut points inside a parent block are also this far apart, so a
/// certificate never has to cover more.
pub const MAX_DEPOSITS_PER_VIEW: u64 = 256;

/// The accumulator before the first deposit.
pub const EMPTY_DEPOSIT_ACC: B256 = B256::ZERO;

/// `keccak256(abi.encode(DEPOSIT_TYPEHASH, nonce, token, sender, recipient, amount))`.
pub fn deposit_leaf(deposit: &Deposit) -> B256 {
    deposit.eip712_hash_struct()
}

/// `keccak256(abi.encode(acc, leaf))`: the accumulator after one more deposit.
pub fn extend_acc(acc: B256, leaf: B256) -> B256 {
    keccak256([acc.0, leaf.0].concat())
}

/// Folds deposits, in order, into `acc`.
pub fn fold_deposits<'a>(acc: B256, deposits: impl IntoIterator<Item = &'a Deposit>) -> B256 {
    deposits.into_iter().fold(acc, |acc, deposit| extend_acc(acc, deposit_leaf(deposit)))
}
