//! The peg messages that validators gossip.

use alloy_primitives::Address;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    domain::PegDomain,
    signature::{PegSigner, Signature65, SignatureError},
    types::{Checkpoint, ParentView, SetAcknowledged},
};

/// Largest encoded [`PegMessage`]: a checkpoint (1 + 232 bytes), an address and a signature, with some reserve.
pub const MAX_PEG_MESSAGE_BYTES: usize = 512;

/// The statement of a validator. Each variant holds all data of its digest. If it held a checkpoint's number
/// beside only a digest, anyone could move an honest signature to another number, and its signer would look like
/// an equivocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Attestation {
    /// "The parent's finalised chain contains these deposits."
    ParentView(ParentView),
    /// "This is the canonical checkpoint with its number."
    Checkpoint(Checkpoint),
    /// "The parent's finalised chain has this set in force."
    SetAcknowledged(SetAcknowledged),
}

/// A signed attestation, as gossiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PegMessage {
    /// The attestation.
    pub attestation: Attestation,
    /// Address of the signer's peg key.
    pub signer: Address,
    /// Its signature over the attestation's digest.
    pub signature: Signature65,
}

/// Why bytes are not a [`PegMessage`]. The peer is at fault.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// More than [`MAX_PEG_MESSAGE_BYTES`].
    #[error("the peg message has {got} bytes, but at most {MAX_PEG_MESSAGE_BYTES} are allowed")]
    TooLarge {
        /// Length of the bytes.
        got: usize,
    },
    /// Not the encoding of a message, or followed by more bytes.
    #[error("not a peg message: {0}")]
    Malformed(#[from] borsh::io::Error),
}

impl PegMessage {
    /// Signs an attestation.
    ///
    /// # Errors
    /// The signer's error.
    pub fn sign(domain: &PegDomain, attestation: Attestation, signer: &dyn PegSigner) -> Result<Self, SignatureError> {
        Ok(Self { attestation, signer: signer.address(), signature: signer.sign_attestation(domain, &attestation)? })
    }

    /// The borsh encoding.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory cannot fail")
    }

    /// Decodes exactly one message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_PEG_MESSAGE_BYTES {
            return Err(MessageError::TooLarge { got: bytes.len() });
        }
        Ok(borsh::from_slice(bytes)?)
    }
}
