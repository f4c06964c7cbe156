//! The peg's federation: the validators' secp256k1 addresses with their powers, and the commitment to
//! them that the registry stores.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Largest set: a certificate on the parent names its signers by one 256-bit bitmap.
pub const MAX_PEG_VALIDATORS: usize = 256;

/// One member: the address of its peg key, and its power (scaled stake, never 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct PegValidator {
    /// Address of the secp256k1 peg key.
    pub address: Address,
    /// Voting power; positive.
    pub power: u64,
}

/// Why a list of validators is not a valid set. The author of the list (genesis, staking) is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PegValidatorSetError {
    /// Without members there can be no signature.
    #[error("the peg validator set is empty")]
    Empty,
    /// More members than a certificate can name.
    #[error("there are {count} peg validators, but a certificate can name at most {MAX_PEG_VALIDATORS}")]
    TooMany {
        /// Number of members.
        count: usize,
    },
    /// ecrecover returns the zero address on failure, so it must never be a member.
    #[error("the zero address cannot be a peg validator")]
    ZeroAddress,
    /// A member has no power.
    #[error("peg validator {address} has no power")]
    ZeroPower {
        /// The member.
        address: Address,
    },
    /// A key appears twice.
    #[error("peg validator {address} is listed twice")]
    Duplicate {
        /// The member.
        address: Address,
    },
    /// The sum of the powers exceeds 64 bits.
    #[error("the peg validators' total power exceeds 64 bits")]
    PowerOverflow,
    /// A list that must be in committed order is not.
    #[error("the peg validators are not in committed order (power descending, then address ascending)")]
    OutOfOrder,
}

/// A non-empty set in committed order: power descending, then address ascending. Total power is positive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PegValidatorSet {
    epoch: u64,
    validators: Vec<PegValidator>,
    positions: BTreeMap<Address, usize>,
    total_power: u64,
}

impl PegValidatorSet {
    /// Sorts `validators` into committed order and checks them.
    ///
    /// # Errors
    /// Every variant of [`PegValidatorSetError`] except `OutOfOrder`.
    pub fn new(epoch: u64, mut validators: Vec<PegValidator>) -> Result<Self, PegValidatorSetError> {
        if validators.is_empty() {
            return Err(PegValidatorSetError::Empty);
        }
        if validators.len() > MAX_PEG_VALIDATORS {
            return Err(PegValidatorSetError::TooMany { count: validators.len() });
        }
        validators.sort_by_key(|validator| (std::cmp::Reverse(validator.power), validator.address));
        let mut positions = BTreeMap::new();
        let mut total_power = 0u64;
        for (position, PegValidator { address, power }) in validators.iter().enumerate() {
            if address.is_zero() {
                return Err(PegValidatorSetError::ZeroAddress);
            }
            if *power == 0 {
                return Err(PegValidatorSetError::ZeroPower { address: *address });
            }
            total_power = total_power.checked_add(*power).ok_or(PegValidatorSetError::PowerOverflow)?;
            if positions.insert(*address, position).is_some() {
                return Err(PegValidatorSetError::Duplicate { address: *address });
            }
        }
        Ok(Self { epoch, validators, positions, total_power })
    }

    /// As [`PegValidatorSet::new`], for a list that must already be in committed order.
    ///
    /// # Errors
    /// [`PegValidatorSetError`], `OutOfOrder` when sorting would change the list.
    pub fn from_committed_order(epoch: u64, validators: Vec<PegValidator>) -> Result<Self, PegValidatorSetError> {
        let set = Self::new(epoch, validators.clone())?;
        if set.validators != validators {
            return Err(PegValidatorSetError::OutOfOrder);
        }
        Ok(set)
    }

    /// Epoch in which the set signs.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Members in committed order.
    pub fn validators(&self) -> &[PegValidator] {
        &self.validators
    }

    /// Number of members, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// A member and its position in committed order.
    pub fn get(&self, address: &Address) -> Option<(usize, &PegValidator)> {
        let position = *self.positions.get(address)?;
        Some((position, self.validators.get(position)?))
    }

    /// Sum of all powers; positive.
    pub fn total_power(&self) -> u64 {
        self.total_power
    }

    /// Whether `power` is strictly more than two thirds of the total.
    pub fn is_quorum(&self, power: u128) -> bool {
        // Both sides stay far below 128 bits for any power of a real set. A larger value saturates, which no honest
        // sum reaches.
        power.saturating_mul(3) > u128::from(self.total_power) * 2
    }

    /// `address (20 bytes) ++ power (8 bytes, big-endian)` of each member, in order: the form that the registry
    /// takes in calldata and hashes.
    pub fn packed(&self) -> Vec<u8> {
        self.validators
            .iter()
            .flat_map(|validator| {
                let mut entry = [0u8; PACKED_ENTRY_BYTES];
                entry[..20].copy_from_slice(validator.address.as_slice());
                entry[20..].copy_from_slice(&validator.power.to_be_bytes());
                entry
            })
            .collect()
    }

    /// `keccak256(packed)`. It commits to the order and to every power, and so to the total.
    pub fn commitment(&self) -> B256 {
        keccak256(self.packed())
    }
}

/// Bytes of one member in [`PegValidatorSet::packed`].
pub const PACKED_ENTRY_BYTES: usize = 28;
