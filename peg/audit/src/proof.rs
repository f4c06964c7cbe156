//! Merkle-Patricia proofs of accounts and slots against a state root.

use crate::bundle::AccountEvidence;
use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{
    EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount,
    proof::{ProofVerificationError, verify_proof},
};
use std::collections::BTreeMap;

/// Why a proof is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// The account's nodes do not lead from the state root to the account.
    #[error("the account's proof does not verify: {0}")]
    Account(Box<ProofVerificationError>),
    /// A slot's nodes do not lead from the storage root to the value.
    #[error("the proof of slot {slot:#x} does not verify: {error}")]
    Slot { slot: U256, error: Box<ProofVerificationError> },
}

/// The slots of `account`, proven against `state_root`.
pub(crate) fn verify(account: &AccountEvidence, state_root: B256) -> Result<BTreeMap<U256, U256>, ProofError> {
    let leaf = TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: account.storage_root,
        code_hash: account.code_hash,
    };
    let empty = TrieAccount { storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK_EMPTY, ..TrieAccount::default() };
    let expected = (leaf != empty).then(|| alloy_rlp::encode(leaf));
    let key = Nibbles::unpack(keccak256(account.address));
    verify_proof(state_root, key, expected, &account.account_proof)
        .map_err(|error| ProofError::Account(Box::new(error)))?;
    let mut slots = BTreeMap::new();
    for evidence in &account.storage {
        let slot = evidence.slot;
        let expected = (!evidence.value.is_zero()).then(|| alloy_rlp::encode(evidence.value));
        let key = Nibbles::unpack(keccak256(B256::from(slot)));
        verify_proof(account.storage_root, key, expected, &evidence.proof)
            .map_err(|error| ProofError::Slot { slot, error: Box::new(error) })?;
        slots.insert(slot, evidence.value);
    }
    Ok(slots)
}
