//! A certificate: signatures of more than two thirds of the power over one digest.

use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    signature::{Signature65, SignatureError},
    validators::PegValidatorSet,
};

/// One validator's signature in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct CertificateSig {
    /// Address of the signer's peg key.
    pub signer: Address,
    /// Its signature over the certificate's digest.
    pub signature: Signature65,
}

/// Why a certificate is invalid. The author of the certificate is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A signer is not in the set.
    #[error("{signer} is not in the validator set of epoch {epoch}")]
    UnknownSigner {
        /// The named signer.
        signer: Address,
        /// Epoch of the set.
        epoch: u64,
    },
    /// A signer appears twice, or before a signer that precedes it in the set.
    #[error("the signature of {signer} is a duplicate or not in the set's order")]
    OutOfOrder {
        /// The named signer.
        signer: Address,
    },
    /// A signature is not the named signer's over this digest.
    #[error("the signature listed for {signer} is not its signature over this digest")]
    WrongSigner {
        /// The named signer.
        signer: Address,
    },
    /// No key can be recovered from a signature.
    #[error("the signature of {signer} is invalid: {source}")]
    Signature {
        /// The named signer.
        signer: Address,
        /// The reason.
        source: SignatureError,
    },
    /// The signers' power does not exceed two thirds of the total.
    #[error("the signers have power {power} of {total}, but more than two thirds is required")]
    NoQuorum {
        /// Sum of the signers' powers.
        power: u128,
        /// Total power of the set.
        total: u64,
    },
}

/// Verifies that every signature is a member's over `digest`, in the set's order and without duplicates,
/// and that the signers are a quorum. One invalid signature makes the certificate invalid even when the others
/// would be a quorum, because no honest proposer assembles such a certificate.
///
/// # Errors
/// The first [`CertificateError`] found.
pub fn verify_signatures(
    digest: B256,
    signatures: &[CertificateSig],
    set: &PegValidatorSet,
) -> Result<(), CertificateError> {
    let mut next = 0usize;
    let mut power = 0u128;
    for CertificateSig { signer, signature } in signatures {
        let signer = *signer;
        let (position, member) =
            set.get(&signer).ok_or(CertificateError::UnknownSigner { signer, epoch: set.epoch() })?;
        if position < next {
            return Err(CertificateError::OutOfOrder { signer });
        }
        next = position + 1;
        let recovered = signature.recover(digest).map_err(|source| CertificateError::Signature { signer, source })?;
        if recovered != signer {
            return Err(CertificateError::WrongSigner { signer });
        }
        power += u128::from(member.power);
    }
    if !set.is_quorum(power) {
        return Err(CertificateError::NoQuorum { power, total: set.total_power() });
    }
    Ok(())
}

/// The smallest quorum among `signatures`, chosen by descending power and returned in the set's order; `None` when all
/// together are not a quorum. Ignores signatures of non-members and repeated entries of a signer.
pub fn smallest_quorum(
    signatures: impl IntoIterator<Item = CertificateSig>,
    set: &PegValidatorSet,
) -> Option<Vec<CertificateSig>> {
    let mut by_position = std::collections::BTreeMap::new();
    for signature in signatures {
        if let Some((position, member)) = set.get(&signature.signer) {
            by_position.entry(position).or_insert((member.power, signature));
        }
    }
    let mut power = 0u128;
    let mut chosen = Vec::new();
    for (member_power, signature) in by_position.into_values() {
        power += u128::from(member_power);
        chosen.push(signature);
        if set.is_quorum(power) {
            return Some(chosen);
        }
    }
    None
}
