//! Converts protocol values to calldata, and the vault's events to protocol values.

use alloy_primitives::{B256, U256};
use causeway_peg::{
    CertificateSig, Checkpoint, Deposit, ParentView, PegValidatorSet, Proof, Withdrawal, certificate::smallest_quorum,
    tree::zero_hashes,
};

use crate::bindings::{CheckpointRegistry, PegVault};

/// Why a call cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The registry would refuse the call.
    #[error("the signatures are not a quorum of the validator set of epoch {epoch}")]
    NoQuorum {
        /// Epoch of the set.
        epoch: u64,
    },
}

/// `CheckpointRegistry.submit` with the smallest number of `signatures` that is a quorum.
///
/// `later_deposits` are the leaves ([`causeway_peg::deposit::deposit_leaf`]) of the deposits after
/// `checkpoint.depositNonce`, up to one that the vault stores. Leave it empty while the vault's `depositNonce` is less than
/// `SNAPSHOTS` (4096) ahead of the checkpoint's.
///
/// # Errors
/// [`CallError::NoQuorum`].
pub fn submit_call(
    checkpoint: &Checkpoint,
    set: &PegValidatorSet,
    signatures: &[CertificateSig],
    later_deposits: &[B256],
) -> Result<CheckpointRegistry::submitCall, CallError> {
    let chosen = smallest_quorum(signatures.iter().copied(), set).ok_or(CallError::NoQuorum { epoch: set.epoch() })?;
    let mut signers = U256::ZERO;
    let mut packed = Vec::new();
    for CertificateSig { signer, signature } in &chosen {
        let (position, _) = set.get(signer).expect("a quorum consists of members");
        signers.set_bit(position, true);
        packed.extend_from_slice(signature.as_bytes());
    }
    Ok(CheckpointRegistry::submitCall {
        c: checkpoint.into(),
        validators: set.packed().into(),
        signers,
        signatures: packed.into(),
        laterDeposits: later_deposits.to_vec(),
    })
}

/// `PegVault.claim` of a withdrawal against the accepted checkpoint `number`. The proof is against that checkpoint's root:
/// [`causeway_peg::tree::prove`] with its `withdrawalCount`. Empty subtrees at the proof's end are left out, because
/// calldata costs more than the vault's own hashing.
pub fn claim_call(withdrawal: &Withdrawal, number: u64, proof: &Proof) -> PegVault::claimCall {
    let empty_tail = proof.iter().zip(zero_hashes()).rev().take_while(|(sibling, empty)| sibling == empty).count();
    let proof = proof[..proof.len() - empty_tail].to_vec();
    PegVault::claimCall { w: withdrawal.into(), checkpoint: number, proof }
}

/// The deposit in a vault event.
pub fn deposit_of(event: &PegVault::Deposited) -> Deposit {
    Deposit {
        nonce: event.nonce,
        token: event.token,
        sender: event.sender,
        recipient: event.recipient,
        amount: event.amount,
    }
}

/// The view that ends at a vault event found in the parent block `(height, hash)`.
pub fn view_of(event: &PegVault::Deposited, parent_height: u64, parent_hash: B256) -> ParentView {
    ParentView {
        parentHeight: parent_height,
        parentHash: parent_hash,
        depositNonce: event.nonce,
        depositAcc: event.depositAcc,
    }
}
