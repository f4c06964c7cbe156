//! Why the module refuses an operation.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolError;

use crate::abi::{IStakeToken, IStaking};

/// Why an operation was not performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError<E> {
    /// A slot could not be read or written: a local failure or the journal's halt. It is never a verdict.
    #[error("the staking module's storage failed")]
    Slots(E),
    /// The operation breaks a rule. Deterministic: every node refuses it.
    #[error(transparent)]
    Refused(#[from] StakingFault),
}

/// A broken rule of staking or of the stake token. The caller is at fault, except for [`StakingFault::Accounting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StakingFault {
    /// The amount is zero.
    #[error("the amount is zero")]
    ZeroAmount,
    /// The amount is below the minimum.
    #[error("{amount} is below the minimum of {minimum}")]
    BelowMinimum {
        /// The amount.
        amount: U256,
        /// The minimum.
        minimum: U256,
    },
    /// The caller has less stake than needed.
    #[error("{needed} of stake needed, {available} available")]
    InsufficientStake {
        /// The available stake.
        available: U256,
        /// The requested stake.
        needed: U256,
    },
    /// No validator with this operator is registered.
    #[error("{operator} is no validator")]
    UnknownValidator {
        /// The operator.
        operator: Address,
    },
    /// The operator already has a validator.
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
    /// A key's proof of possession does not verify; execution finds this.
    #[error("a proof of possession does not verify")]
    InvalidProof,
    /// The limit of validators is reached.
    #[error("too many validators")]
    TooManyValidators,
    /// The commission exceeds 100 %, changes a second time in a day, or changes by too large a step.
    #[error("a commission of {bps} basis points is refused")]
    CommissionRefused {
        /// Basis points.
        bps: u16,
    },
    /// The self-bond would fall below the minimum.
    #[error("a self-bond of {remaining} would remain, the minimum is {minimum}: exit instead")]
    SelfBondTooLow {
        /// The remaining self-bond.
        remaining: U256,
        /// The minimum.
        minimum: U256,
    },
    /// The validator double-signed and is excluded permanently.
    #[error("{operator} is tombstoned")]
    Tombstoned {
        /// The operator.
        operator: Address,
    },
    /// The validator is exiting or has exited.
    #[error("{operator} is exiting")]
    Exiting {
        /// The operator.
        operator: Address,
    },
    /// All stake bonded with the validator was slashed.
    #[error("everything bonded with {operator} was slashed")]
    FullySlashed {
        /// The operator.
        operator: Address,
    },
    /// The validator has more shares than can be counted.
    #[error("too many shares")]
    SharesOverflow,
    /// Both validators are the same.
    #[error("a redelegation to the same validator")]
    SameValidator,
    /// More stake is leaving in the next epochs than the bounds allow.
    #[error("too much stake is leaving")]
    ExitQueueFull,
    /// More stake would move in this epoch than the bounds allow.
    #[error("only {room} may move in this epoch")]
    RedelegationLimit {
        /// The stake that can move.
        room: U256,
    },
    /// The limit of live redelegations is reached.
    #[error("too many redelegations")]
    TooManyRedelegations,
    /// The limit of live unbondings is reached.
    #[error("too many unbondings")]
    TooManyUnbondings,
    /// No live redelegation has this id.
    #[error("redelegation {id} is not live")]
    UnknownRedelegation {
        /// The id.
        id: u64,
    },
    /// No such stake is unbonding.
    #[error("nothing is unbonding there")]
    NothingUnbonding,
    /// The stake cannot be claimed yet.
    #[error("stake that leaves in epoch {leave_epoch} cannot be claimed yet")]
    NotClaimable {
        /// The epoch in which it leaves.
        leave_epoch: u64,
    },
    /// The validator is not in jail.
    #[error("not in jail")]
    NotJailed,
    /// The jail time is not over.
    #[error("in jail until {until}")]
    StillJailed {
        /// End of the jail time, seconds.
        until: u64,
    },
    /// The evidence does not verify; execution finds this.
    #[error("the evidence does not verify")]
    InvalidEvidence,
    /// The evidence's height is not in that epoch.
    #[error("height {height} is not in epoch {epoch}")]
    WrongEvidenceEpoch {
        /// Height of the evidence.
        height: u64,
        /// The claimed epoch.
        epoch: u64,
    },
    /// The evidence is too old.
    #[error("evidence of epoch {epoch} has expired")]
    EvidenceExpired {
        /// Epoch of the evidence.
        epoch: u64,
    },
    /// The consensus key was never registered.
    #[error("consensus key {consensus_key} is no validator's")]
    UnknownConsensusKey {
        /// The key.
        consensus_key: B256,
    },
    /// The validator was already punished for a double signature.
    #[error("{operator} is tombstoned already")]
    AlreadyTombstoned {
        /// The operator.
        operator: Address,
    },
    /// An impossible sum or difference: the chain's own accounting is broken (a bug).
    #[error("the staking accounts are broken")]
    Accounting,
    /// The token's balance is too small.
    #[error("{owner} has {balance}, {needed} needed")]
    TokenBalance {
        /// Account.
        owner: Address,
        /// Its liquid stake.
        balance: U256,
        /// The requested amount.
        needed: U256,
    },
    /// The receiver is the zero address or one of the modules, from which stake could never be recovered.
    #[error("{receiver} cannot receive stake")]
    TokenReceiver {
        /// The receiver.
        receiver: Address,
    },
    /// The approval is for the zero address.
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
        /// Its allowance.
        allowance: U256,
        /// The requested amount.
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
