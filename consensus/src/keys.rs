//! Consensus keys (ed25519), the validator's signer, and the only verification rule.
//!
//! Every signature in this crate is checked with `verify_strict` and nothing else: mixing strict, lax and batch
//! verification lets two honest nodes disagree about the same bytes (pitfall 10).

use std::fmt;

use alloy_primitives::{Address, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::height::Round;
use crate::verified;

/// Identifies a validator: the last 20 bytes of keccak256 over its ed25519 consensus key.
pub type ValidatorId = Address;

/// Length of an ed25519 signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// An ed25519 public key as written in genesis and in the staking registry; not necessarily a valid point.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct ConsensusKey(pub [u8; 32]);

impl ConsensusKey {
    /// The validator id derived from this key.
    pub fn id(&self) -> ValidatorId {
        Address::from_slice(&keccak256(self.0)[12..])
    }

    /// Decodes the point. `None` when the bytes are not a point of the curve, or a point of small order, under which
    /// signatures could be valid for any message.
    pub fn decode(&self) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(&self.0).ok().filter(|key| !key.is_weak())
    }

    /// Whether `signature` over `bytes` verifies strictly under this key; `false` for a key that [`Self::decode`] refuses.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.decode().is_some_and(|key| verify(&key, bytes, signature))
    }
}

impl fmt::Debug for ConsensusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsensusKey({})", self.id())
    }
}

/// Whether `signature` over `bytes` verifies strictly under `key`. Successful results are cached.
pub(crate) fn verify(key: &VerifyingKey, bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    verified::remembered(key, bytes, signature, || key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
}

/// Why a signer gave no signature. Always a local fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The key store or remote signer could not answer; the host continues without this signature.
    #[error("the signer is unavailable: {0}")]
    Unavailable(String),
}

/// Signs consensus messages for one validator. The host requests a signature only after the sign state permits it.
pub trait Signer: Send {
    /// The validator this signer signs for.
    fn validator(&self) -> ValidatorId;

    /// Signs `bytes` exactly as given (no prehash). Must be deterministic, as ed25519 is.
    ///
    /// # Errors
    /// [`SignerError::Unavailable`] when no signature could be made; the host then stays silent.
    fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignerError>;

    /// As [`Signer::sign`], with the round of the polka on which the proposal for a vote rests. A signer with its own sign
    /// state needs it to enforce a lock.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    fn sign_on_polka(&self, bytes: &[u8], _pol_round: Option<Round>) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        self.sign(bytes)
    }
}

/// A signer holding its ed25519 secret in memory.
pub struct Ed25519Signer {
    key: SigningKey,
    id: ValidatorId,
}

impl Ed25519Signer {
    /// Builds a signer from the 32 secret bytes (the RFC 8032 seed).
    pub fn new(secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let id = ConsensusKey(key.verifying_key().to_bytes()).id();
        Self { key, id }
    }

    /// The public key to be registered for this signer.
    pub fn key(&self) -> ConsensusKey {
        ConsensusKey(self.key.verifying_key().to_bytes())
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is never printed.
        write!(f, "Ed25519Signer({})", self.id)
    }
}

impl Signer for Ed25519Signer {
    fn validator(&self) -> ValidatorId {
        self.id
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        Ok(self.key.sign(bytes).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_signature_verifies_under_its_key_and_message_only() {
        let signer = Ed25519Signer::new(&[7; 32]);
        let other = Ed25519Signer::new(&[8; 32]);
        let signature = signer.sign(b"message").unwrap();
        let key = signer.key().decode().unwrap();
        assert!(verify(&key, b"message", &signature));
        assert!(!verify(&key, b"another", &signature));
        assert!(!verify(&other.key().decode().unwrap(), b"message", &signature));
        assert!(signer.key().verifies(b"message", &signature) && !other.key().verifies(b"message", &signature));
        for byte in 0..SIGNATURE_BYTES {
            let mut broken = signature;
            broken[byte] ^= 1;
            assert!(!verify(&key, b"message", &broken), "byte {byte}");
        }
    }

    #[test]
    fn small_order_keys_are_refused() {
        // The identity point: accepts trivial signatures under lax rules.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(ConsensusKey(identity).decode().is_none());
        assert!(ConsensusKey([0; 32]).decode().is_none());
        assert!(!ConsensusKey(identity).verifies(b"message", &[0; SIGNATURE_BYTES]));
    }

    #[test]
    fn the_id_is_the_tail_of_the_keys_hash() {
        let key = ConsensusKey([3; 32]);
        assert_eq!(key.id().as_slice(), &keccak256([3u8; 32])[12..]);
    }
}
