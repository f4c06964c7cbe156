//! The staking parameters and validators of the genesis file.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

/// Largest value of `max_validators`.
pub const MAX_SET: u64 = 128;

/// Most validators that may be registered and neither tombstoned nor fully exited at the same time. A
/// rotation loops over them and nothing else.
pub const MAX_CANDIDATES: u64 = 1_024;

/// Number of epochs in which an undelegation searches for room to leave.
pub const LEAVE_HORIZON: u64 = 64;

/// Live redelegation records that one delegator may have.
pub const MAX_REDELEGATIONS: u64 = 16;

/// Live unbonding entries that one delegator may have.
pub const MAX_UNBONDINGS: u64 = 1_024;

/// 100 % in parts per million.
pub const MILLION: u64 = 1_000_000;

/// 100 % in basis points.
pub const WHOLE_BPS: u16 = 10_000;

/// Seconds between two changes of a commission.
pub const COMMISSION_CHANGE_SECONDS: u64 = 86_400;

/// All issued stake is below 2 to this power, so that products of two amounts fit 256 bits.
pub const ISSUED_BITS: usize = 128;

/// Figures of staking. They may differ from height to height; the chain's rules hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StakingParams {
    /// Blocks of an epoch that is not extended; at least 1.
    pub epoch_length: u64,
    /// Whether the chain has a peg: then rotations wait for handovers, and claims for acknowledgements.
    pub pegged: bool,
    /// Most members of a set, 1 to [`MAX_SET`].
    pub max_validators: u64,
    /// Smallest self-bond of an operator, smallest unit.
    pub min_self_bond: U256,
    /// Smallest delegation and redelegation, smallest unit.
    pub min_delegation: U256,
    /// Seconds that stake stays slashable after it left, and that evidence stays valid; 1 to 31,536,000.
    pub unbonding_seconds: u64,
    /// Blocks of a downtime window, 10 to 1,000,000.
    pub downtime_window: u64,
    /// Slash for downtime, parts per million.
    pub downtime_slash_ppm: u64,
    /// Seconds until a validator jailed for downtime may return.
    pub jail_seconds: u64,
    /// Slash for a double signature, parts per million.
    pub double_sign_slash_ppm: u64,
    /// The reporter's part of the stake slashed for a double signature, parts per million.
    pub reporter_ppm: u64,
    /// Stake issued each epoch, parts per million of the bonded stake; at most 10,000.
    pub issuance_ppm: u64,
    /// Largest change of a commission in one day, basis points.
    pub max_commission_change_bps: u16,
}

impl StakingParams {
    /// The defaults of the chain spec, for epochs of `epoch_length` blocks.
    pub fn new(epoch_length: u64, pegged: bool) -> Self {
        Self {
            epoch_length,
            pegged,
            max_validators: 100,
            min_self_bond: U256::from(1_000_000_000_000_000_000u64),
            min_delegation: U256::from(1_000_000_000_000_000u64),
            unbonding_seconds: 1_209_600,
            downtime_window: 1_000,
            downtime_slash_ppm: 100,
            jail_seconds: 600,
            double_sign_slash_ppm: 50_000,
            reporter_ppm: 50_000,
            issuance_ppm: 0,
            max_commission_change_bps: 100,
        }
    }

    /// Whether every parameter is in its range.
    ///
    /// # Errors
    /// [`GenesisFault::Parameter`] with the first parameter out of its range.
    pub fn check(&self) -> Result<(), GenesisFault> {
        let ranges = [
            ("epochLength", self.epoch_length, 1, u64::MAX / 2),
            ("maxValidators", self.max_validators, 1, MAX_SET),
            ("unbondingSeconds", self.unbonding_seconds, 1, 31_536_000),
            ("downtimeWindow", self.downtime_window, 10, 1_000_000),
            ("downtimeSlashPpm", self.downtime_slash_ppm, 0, MILLION),
            ("jailSeconds", self.jail_seconds, 0, 31_536_000),
            ("doubleSignSlashPpm", self.double_sign_slash_ppm, 0, MILLION),
            ("reporterPpm", self.reporter_ppm, 0, MILLION),
            ("issuancePpm", self.issuance_ppm, 0, 10_000),
            ("maxCommissionChangeBps", u64::from(self.max_commission_change_bps), 0, u64::from(WHOLE_BPS)),
        ];
        for (name, value, least, most) in ranges {
            if value < least || value > most {
                return Err(GenesisFault::Parameter { name, value, least, most });
            }
        }
        for (name, amount) in [("minSelfBond", self.min_self_bond), ("minDelegation", self.min_delegation)] {
            if amount.is_zero() || amount.bit_len() > ISSUED_BITS {
                return Err(GenesisFault::Minimum { name, amount });
            }
        }
        Ok(())
    }
}

/// A validator in the genesis file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisMember {
    /// Account that owns the stake and identifies the validator.
    pub operator: Address,
    /// Ed25519 consensus key.
    pub consensus_key: B256,
    /// Address of the secp256k1 peg key.
    pub peg_address: Address,
    /// Self-bond, smallest unit.
    pub stake: U256,
    /// Commission, basis points.
    pub commission_bps: u16,
}

/// Why a genesis file cannot start a chain. Its author is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisFault {
    /// A number is out of its range.
    #[error("staking.{name} is {value}, outside {least} to {most}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The smallest allowed value.
        least: u64,
        /// The largest allowed value.
        most: u64,
    },
    /// A minimum is zero, or larger than all stake that can exist.
    #[error("staking.{name} is {amount}, outside 1 to 2^128 - 1")]
    Minimum {
        /// The parameter.
        name: &'static str,
        /// Its value.
        amount: U256,
    },
    /// There is no validator, or more than a set may have.
    #[error("{count} validators, outside 1 to staking.maxValidators")]
    ValidatorCount {
        /// Number of validators.
        count: usize,
    },
    /// The validator's stake is below the minimum self-bond, so it could never be selected again.
    #[error("validator {operator} has {stake} of stake, below staking.minSelfBond")]
    SelfBond {
        /// Its operator.
        operator: Address,
        /// Its stake.
        stake: U256,
    },
    /// A commission exceeds 100 %.
    #[error("validator {operator} has a commission of {bps} basis points")]
    Commission {
        /// Its operator.
        operator: Address,
        /// Basis points.
        bps: u16,
    },
    /// Two validators share an operator or a key, or one is zero.
    #[error("validator {operator} has an operator or a key that is zero or another's")]
    Identity {
        /// Its operator.
        operator: Address,
    },
    /// Stake is allocated to the zero address or to the modules.
    #[error("staking.alloc gives stake to {account}")]
    AllocTo {
        /// The account.
        account: Address,
    },
    /// The total is 2^128 or more.
    #[error("the stake issued reaches 2^128")]
    Issued,
}

/// Checks that staking can start: parameters are in range, validators are distinct and above the minimum, and the total is
/// below 2^128. [`StakingModule::genesis_slots`](crate::StakingModule::genesis_slots) relies on it.
///
/// # Errors
/// The first [`GenesisFault`] found.
pub fn check_genesis(
    params: &StakingParams,
    validators: &[GenesisMember],
    alloc: &BTreeMap<Address, U256>,
) -> Result<(), GenesisFault> {
    params.check()?;
    let count = validators.len();
    if count == 0 || u64::try_from(count).is_ok_and(|count| count > params.max_validators) {
        return Err(GenesisFault::ValidatorCount { count });
    }
    let mut issued = U256::ZERO;
    let mut add = |amount: U256| {
        issued = issued.checked_add(amount).filter(|sum| sum.bit_len() <= ISSUED_BITS).ok_or(GenesisFault::Issued)?;
        Ok(())
    };
    for (at, member) in validators.iter().enumerate() {
        let operator = member.operator;
        let shared = validators[..at].iter().any(|other| {
            other.operator == operator
                || other.consensus_key == member.consensus_key
                || other.peg_address == member.peg_address
        });
        if shared || operator.is_zero() || member.consensus_key.is_zero() || member.peg_address.is_zero() {
            return Err(GenesisFault::Identity { operator });
        }
        if member.stake < params.min_self_bond {
            return Err(GenesisFault::SelfBond { operator, stake: member.stake });
        }
        if member.commission_bps > WHOLE_BPS {
            return Err(GenesisFault::Commission { operator, bps: member.commission_bps });
        }
        add(member.stake)?;
    }
    for (account, amount) in alloc {
        if account.is_zero() || *account == crate::STAKING || *account == crate::STAKE_TOKEN {
            return Err(GenesisFault::AllocTo { account: *account });
        }
        add(*amount)?;
    }
    Ok(())
}
