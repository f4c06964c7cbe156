//! Why the module refuses an operation.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolError;

use crate::abi::{IStakeToken, IStaking};

/// Why an operation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError<E> {
    /// A slot could not be read or written: a local failure or the journal's halt, never a verdict.
    #[error("the staking module's storage failed")]
    Slots(E),
    /// The operation breaks a rule. Deterministic: every node refuses it.
    #[error(transparent)]
    Refused(#[from] StakingFault),
}

/// A broken rule of staking or of the stake token. The caller's fault, except [`StakingFault::Accounting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StakingFault {
    /// An amount of zero.
    #[error("the amount is zero")]
    ZeroAmount,
    /// Below the least allowed.
    #[error("{amount} is below the minimum of {minimum}")]
    BelowMinimum {
        /// Amount given.
        amount: U256,
        /// Least allowed.
        minimum: U256,
    },
    /// More than the caller has to move.
    #[error("{needed} of stake needed, {available} available")]
    InsufficientStake {
        /// What could be moved.
        available: U256,
        /// What was asked for.
        needed: U256,
    },
    /// Nobody registered so.
    #[error("{operator} is no validator")]
    UnknownValidator {
        /// The operator.
        operator: Address,
    },
    /// One registration for each operator.
    #[error("{operator} is registered already")]
    AlreadyRegistered {
        /// The operator.
        operator: Address,
    },
    /// The consensus key is zero or was registered before.
    #[error("consensus key {consensus_key} cannot be registered")]
    ConsensusKeyTaken {
        /// The key.
        consensus_key: B256,
    },
    /// The peg key is zero or was registered before.
    #[error("peg key {peg_address} cannot be registered")]
    PegAddressTaken {
        /// Address of the key.
        peg_address: Address,
    },
    /// A key's proof of possession does not verify; found by execution.
    #[error("a proof of possession does not verify")]
    InvalidProof,
    /// No place for another validator.
    #[error("too many validators")]
    TooManyValidators,
    /// A commission above the whole, a second change in a day, or too large a change.
    #[error("a commission of {bps} basis points is refused")]
    CommissionRefused {
        /// Basis points.
        bps: u16,
    },
    /// The self-bond would fall below the least allowed.
    #[error("a self-bond of {remaining} would remain, the minimum is {minimum}: exit instead")]
    SelfBondTooLow {
        /// What would remain.
        remaining: U256,
        /// Least allowed.
        minimum: U256,
    },
    /// The validator double-signed and is out for ever.
    #[error("{operator} is tombstoned")]
    Tombstoned {
        /// The operator.
        operator: Address,
    },
    /// The validator leaves or has left.
    #[error("{operator} is exiting")]
    Exiting {
        /// The operator.
        operator: Address,
    },
    /// Everything bonded with the validator was slashed.
    #[error("everything bonded with {operator} was slashed")]
    FullySlashed {
        /// The operator.
        operator: Address,
    },
    /// The validator has more shares than can be counted.
    #[error("too many shares")]
    SharesOverflow,
    /// From and to are one validator.
    #[error("a redelegation to the same validator")]
    SameValidator,
    /// More stake leaves within the next epochs than the bounds allow.
    #[error("too much stake is leaving")]
    ExitQueueFull,
    /// More would move in this epoch than the bounds allow.
    #[error("only {room} may move in this epoch")]
    RedelegationLimit {
        /// What may move.
        room: U256,
    },
    /// Too many moves at once.
    #[error("too many redelegations")]
    TooManyRedelegations,
    /// Too many unbondings at once.
    #[error("too many unbondings")]
    TooManyUnbondings,
    /// No such move.
    #[error("redelegation {id} is not live")]
    UnknownRedelegation {
        /// Its number.
        id: u64,
    },
    /// Nothing leaves so.
    #[error("nothing is unbonding there")]
    NothingUnbonding,
    /// Not yet.
    #[error("stake that leaves in epoch {leave_epoch} cannot be claimed yet")]
    NotClaimable {
        /// Epoch it leaves in.
        leave_epoch: u64,
    },
    /// The validator is not in jail.
    #[error("not in jail")]
    NotJailed,
    /// Not yet.
    #[error("in jail until {until}")]
    StillJailed {
        /// Seconds.
        until: u64,
    },
    /// The evidence does not verify; found by execution.
    #[error("the evidence does not verify")]
    InvalidEvidence,
    /// The evidence's height is not in that epoch.
    #[error("height {height} is not in epoch {epoch}")]
    WrongEvidenceEpoch {
        /// Height of the evidence.
        height: u64,
        /// Epoch claimed.
        epoch: u64,
    },
    /// The evidence is too old.
    #[error("evidence of epoch {epoch} has expired")]
    EvidenceExpired {
        /// Epoch of the evidence.
        epoch: u64,
    },
    /// Nobody registered that consensus key.
    #[error("consensus key {consensus_key} is no validator's")]
    UnknownConsensusKey {
        /// The key.
        consensus_key: B256,
    },
    /// The validator was punished for a double signature before.
    #[error("{operator} is tombstoned already")]
    AlreadyTombstoned {
        /// The operator.
        operator: Address,
    },
    /// A sum or difference that cannot be: the chain's own accounting is broken (a bug).
    #[error("the staking accounts are broken")]
    Accounting,
    /// The token's balance is too small.
    #[error("{owner} has {balance}, {needed} needed")]
    TokenBalance {
        /// Account.
        owner: Address,
        /// Its liquid stake.
        balance: U256,
        /// What was asked for.
        needed: U256,
    },
    /// The zero address, or one of the modules: it could never be taken out again.
    #[error("{receiver} cannot receive stake")]
    TokenReceiver {
        /// The receiver.
        receiver: Address,
    },
    /// An approval for the zero address.
    #[error("{spender} cannot spend")]
    TokenSpender {
        /// The spender.
        spender: Address,
    },
    /// The allowance is too small.
    #[error("{spender} may spend {allowance}, {needed} needed")]
    TokenAllowance {
        /// The spender.
        spender: Address,
        /// What it may spend.
        allowance: U256,
        /// What was asked for.
        needed: U256,
    },
}

impl StakingFault {
    /// The ABI-encoded custom error of [`IStaking`] or [`IStakeToken`], as revert data.
    pub fn revert_data(&self) -> Bytes {
        match *self {
            Self::ZeroAmount => IStaking::ZeroAmount {}.abi_encode(),
            Self::BelowMinimum { amount, minimum } => IStaking::BelowMinimum { amount, minimum }.abi_encode(),
            Self::InsufficientStake { available, needed } => {
                IStaking::InsufficientStake { available, needed }.abi_encode()
            }
            Self::UnknownValidator { operator } => IStaking::UnknownValidator { operator }.abi_encode(),
            Self::AlreadyRegistered { operator } => IStaking::AlreadyRegistered { operator }.abi_encode(),
            Self::ConsensusKeyTaken { consensus_key } => {
                IStaking::ConsensusKeyTaken { consensusKey: consensus_key }.abi_encode()
            }
            Self::PegAddressTaken { peg_address } => IStaking::PegAddressTaken { pegAddress: peg_address }.abi_encode(),
            Self::InvalidProof => IStaking::InvalidProof {}.abi_encode(),
            Self::TooManyValidators => IStaking::TooManyValidators {}.abi_encode(),
            Self::CommissionRefused { bps } => IStaking::CommissionRefused { bps }.abi_encode(),
            Self::SelfBondTooLow { remaining, minimum } => IStaking::SelfBondTooLow { remaining, minimum }.abi_encode(),
            Self::Tombstoned { operator } => IStaking::IsTombstoned { operator }.abi_encode(),
            Self::Exiting { operator } => IStaking::IsExiting { operator }.abi_encode(),
            Self::FullySlashed { operator } => IStaking::FullySlashed { operator }.abi_encode(),
            Self::SharesOverflow => IStaking::SharesOverflow {}.abi_encode(),
            Self::SameValidator => IStaking::SameValidator {}.abi_encode(),
            Self::ExitQueueFull => IStaking::ExitQueueFull {}.abi_encode(),
            Self::RedelegationLimit { room } => IStaking::RedelegationLimit { room }.abi_encode(),
            Self::TooManyRedelegations => IStaking::TooManyRedelegations {}.abi_encode(),
            Self::TooManyUnbondings => IStaking::TooManyUnbondings {}.abi_encode(),
            Self::UnknownRedelegation { id } => IStaking::UnknownRedelegation { id }.abi_encode(),
            Self::NothingUnbonding => IStaking::NothingUnbonding {}.abi_encode(),
            Self::NotClaimable { leave_epoch } => IStaking::NotClaimable { leaveEpoch: leave_epoch }.abi_encode(),
            Self::NotJailed => IStaking::NotJailed {}.abi_encode(),
            Self::StillJailed { until } => IStaking::StillJailed { until }.abi_encode(),
            Self::InvalidEvidence => IStaking::InvalidEvidence {}.abi_encode(),
            Self::WrongEvidenceEpoch { height, epoch } => IStaking::WrongEvidenceEpoch { height, epoch }.abi_encode(),
            Self::EvidenceExpired { epoch } => IStaking::EvidenceExpired { epoch }.abi_encode(),
            Self::UnknownConsensusKey { consensus_key } => {
                IStaking::UnknownConsensusKey { consensusKey: consensus_key }.abi_encode()
            }
            Self::AlreadyTombstoned { operator } => IStaking::AlreadyTombstoned { operator }.abi_encode(),
            Self::Accounting => IStaking::Accounting {}.abi_encode(),
            Self::TokenBalance { owner, balance, needed } => {
                IStakeToken::ERC20InsufficientBalance { sender: owner, balance, needed }.abi_encode()
            }
            Self::TokenReceiver { receiver } => IStakeToken::ERC20InvalidReceiver { receiver }.abi_encode(),
            Self::TokenSpender { spender } => IStakeToken::ERC20InvalidSpender { spender }.abi_encode(),
            Self::TokenAllowance { spender, allowance, needed } => {
                IStakeToken::ERC20InsufficientAllowance { spender, allowance, needed }.abi_encode()
            }
        }
        .into()
    }
}
