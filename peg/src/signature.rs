//! secp256k1 signatures over digests, in the only form that both chains accept.

use alloy_consensus::crypto::{SECP256K1N_HALF, secp256k1};
use alloy_primitives::{Address, B256, FixedBytes, Signature, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Serialize};

use crate::{domain::PegDomain, message::Attestation, recovered};

/// Length of [`Signature65`].
pub const SIGNATURE_BYTES: usize = 65;

/// A recoverable signature `r ++ s ++ v` with `v` 27 or 28, `r` and `s` not zero, and `s` in the lower
/// half of the curve's order. The constructor checks the form, so each (key, digest) has
/// one accepted encoding per nonce, and a third party cannot flip `v` and `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature65([u8; SIGNATURE_BYTES]);

/// Why bytes are not a signature (the sender is at fault), or why a key cannot sign (the operator is at fault).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 65 bytes.
    #[error("the signature has {got} bytes instead of {SIGNATURE_BYTES}")]
    Length {
        /// Length of the bytes.
        got: usize,
    },
    /// `v` is neither 27 nor 28.
    #[error("the signature's v is {got}, but must be 27 or 28")]
    RecoveryId {
        /// The byte found.
        got: u8,
    },
    /// `r` or `s` is zero.
    #[error("the signature's r or s is zero")]
    Zero,
    /// `s` is above half the curve's order, so the signature is malleable.
    #[error("the signature's s is in the upper half of the curve's order")]
    HighS,
    /// No public key can be recovered from this signature.
    #[error("no signer can be recovered from the signature")]
    Unrecoverable,
    /// The secret is zero or not below the curve's order.
    #[error("the secret key is not a valid secp256k1 scalar")]
    InvalidSecret,
    /// A remote signer did not answer, or refuses this statement.
    #[error("the signer gave no signature")]
    Unavailable,
}

impl Signature65 {
    /// Checks the form of `bytes`.
    ///
    /// # Errors
    /// `Length`, `RecoveryId`, `Zero` or `HighS`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        let bytes: [u8; SIGNATURE_BYTES] = bytes.try_into().map_err(|_| SignatureError::Length { got: bytes.len() })?;
        let signature = Self(bytes);
        if !matches!(signature.v(), 27 | 28) {
            return Err(SignatureError::RecoveryId { got: signature.v() });
        }
        if signature.r().is_zero() || signature.s().is_zero() {
            return Err(SignatureError::Zero);
        }
        if signature.s() > SECP256K1N_HALF {
            return Err(SignatureError::HighS);
        }
        Ok(signature)
    }

    /// Builds a signature from the three ABI values.
    ///
    /// # Errors
    /// As [`Signature65::from_bytes`].
    pub fn from_parts(r: B256, s: B256, v: u8) -> Result<Self, SignatureError> {
        let mut bytes = [0u8; SIGNATURE_BYTES];
        bytes[..32].copy_from_slice(r.as_slice());
        bytes[32..64].copy_from_slice(s.as_slice());
        bytes[64] = v;
        Self::from_bytes(&bytes)
    }

    /// `r ++ s ++ v`.
    pub fn as_bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }

    /// The first 32 bytes.
    pub fn r(&self) -> U256 {
        U256::from_be_slice(&self.0[..32])
    }

    /// The second 32 bytes.
    pub fn s(&self) -> U256 {
        U256::from_be_slice(&self.0[32..64])
    }

    /// 27 or 28.
    pub fn v(&self) -> u8 {
        self.0[64]
    }

    /// The address whose key signed `digest`. Results are cached.
    ///
    /// # Errors
    /// `Unrecoverable` when no key matches.
    pub fn recover(&self, digest: B256) -> Result<Address, SignatureError> {
        recovered::remembered(digest, self, || self.recover_anew(digest))
    }

    /// As [`Signature65::recover`], without the cache.
    pub(crate) fn recover_anew(&self, digest: B256) -> Result<Address, SignatureError> {
        let signature = Signature::new(self.r(), self.s(), self.v() == 28);
        secp256k1::recover_signer(&signature, digest).map_err(|_| SignatureError::Unrecoverable)
    }
}

impl BorshSerialize for Signature65 {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.0.serialize(writer)
    }
}

impl BorshDeserialize for Signature65 {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = <[u8; SIGNATURE_BYTES]>::deserialize_reader(reader)?;
        Self::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Serialize for Signature65 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&FixedBytes(self.0), serializer)
    }
}

impl<'de> Deserialize<'de> for Signature65 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <FixedBytes<SIGNATURE_BYTES> as Deserialize>::deserialize(deserializer)?;
        Self::from_bytes(bytes.as_slice()).map_err(serde::de::Error::custom)
    }
}

/// Signs `digest` with a secp256k1 secret (RFC 6979 nonce, so equal inputs give equal signatures).
///
/// # Errors
/// `InvalidSecret` when the secret is zero or not below the curve's order.
pub fn sign_digest(secret: &B256, digest: B256) -> Result<Signature65, SignatureError> {
    let signature = secp256k1::sign_message(*secret, digest).map_err(|_| SignatureError::InvalidSecret)?.normalized_s();
    Signature65::from_parts(signature.r().into(), signature.s().into(), if signature.v() { 28 } else { 27 })
}

/// The address of a secp256k1 secret.
///
/// # Errors
/// `InvalidSecret` when the secret is zero or not below the curve's order.
pub fn address_of(secret: &B256) -> Result<Address, SignatureError> {
    // Recovery from a signature keeps public-key types out of this crate's interface.
    let digest = keccak256("causeway peg address probe");
    sign_digest(secret, digest)?.recover_anew(digest)
}

/// Holds a peg key. The node protects it with the durable sign state: `(number, digest)` is on disk
/// before a checkpoint's signature leaves.
pub trait PegSigner: Send + Sync {
    /// Address of the key.
    fn address(&self) -> Address;

    /// Signs a digest made by [`crate::PegDomain`].
    ///
    /// # Errors
    /// The reason why the key does not sign.
    fn sign(&self, digest: B256) -> Result<Signature65, SignatureError>;

    /// Signs an attestation. A signer that decides by itself whether to sign needs the content of the digest.
    ///
    /// # Errors
    /// The reason why the key does not sign.
    fn sign_attestation(&self, domain: &PegDomain, attestation: &Attestation) -> Result<Signature65, SignatureError> {
        self.sign(domain.attestation_digest(attestation))
    }
}

/// A signer with its secret in memory.
#[derive(Clone)]
pub struct LocalPegSigner {
    secret: B256,
    address: Address,
}

impl LocalPegSigner {
    /// Checks the secret and derives its address.
    ///
    /// # Errors
    /// `InvalidSecret` when the secret is zero or not below the curve's order.
    pub fn new(secret: B256) -> Result<Self, SignatureError> {
        Ok(Self { secret, address: address_of(&secret)? })
    }
}

impl std::fmt::Debug for LocalPegSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret is never printed.
        formatter.debug_struct("LocalPegSigner").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PegSigner for LocalPegSigner {
    fn address(&self) -> Address {
        self.address
    }

    fn sign(&self, digest: B256) -> Result<Signature65, SignatureError> {
        sign_digest(&self.secret, digest)
    }
}
