//! What a registration and an accusation prove by signatures. The staking rules take these as facts.

use alloy_primitives::{Address, B256};
use causeway_consensus::{ConsensusKey, Evidence};
use causeway_peg::Signature65;
use causeway_staking::registration::{consensus_message, peg_digest};

/// Whether the holder of `key` agreed to be the consensus key of `operator` on this chain.
pub(crate) fn consensus_proof_holds(genesis_hash: B256, operator: Address, key: B256, proof: &[u8]) -> bool {
    let message = consensus_message(genesis_hash, operator, key);
    proof.try_into().is_ok_and(|signature| ConsensusKey(key.0).verifies(&message, signature))
}

/// Whether the holder of the peg key of `address` agreed to sign for `operator` on this chain.
pub(crate) fn peg_proof_holds(genesis_hash: B256, operator: Address, address: Address, proof: &[u8]) -> bool {
    let digest = peg_digest(genesis_hash, operator, address);
    Signature65::from_bytes(proof).and_then(|signature| signature.recover(digest)).is_ok_and(|signer| signer == address)
}

/// Decodes evidence: exactly one piece, nothing after it.
pub(crate) fn decode_evidence(bytes: &[u8]) -> Option<Evidence> {
    borsh::from_slice(bytes).ok()
}
