//! Why the module refuses an operation.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolError;

use crate::{abi::IPeg, certificate::CertificateError};

/// Why an operation was not performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError<E> {
    /// A slot could not be read or written: a local failure or the journal's halt. It is never a verdict.
    #[error("the storage of the peg failed")]
    Slots(E),
    /// The operation breaks a rule. Deterministic: every node refuses it.
    #[error(transparent)]
    Refused(#[from] PegFault),
}

/// A broken rule of the peg. Faults of `withdraw` are the caller's. Faults of `announce_next` and `rotate` are a bug of the
/// block hook. The others are the proposer's and make its block invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PegFault {
    /// The chain has no peg state, or one of a layout this code does not know.
    #[error("this chain has no peg")]
    NotPegged,
    /// The withdrawal's value is zero.
    #[error("the withdrawal has no value")]
    ZeroAmount,
    /// The zero address, or one of the peg's own contracts, which accept no payments.
    #[error("{recipient} cannot receive a withdrawal")]
    InvalidRecipient {
        /// The requested recipient.
        recipient: Address,
    },
    /// The relayer's fee exceeds the amount.
    #[error("relayer fee {relayer_fee} exceeds the amount {amount}")]
    FeeExceedsAmount {
        /// Fee, wei.
        relayer_fee: U256,
        /// Amount, wei.
        amount: U256,
    },
    /// The tree has no position for another leaf.
    #[error("the withdrawal tree is full")]
    TreeFull,
    /// The burn exceeds the supply: the chain's own accounting is broken.
    #[error("the burned amount {amount} exceeds the supply {supply}")]
    SupplyUnderflow {
        /// Supply, wei.
        supply: U256,
        /// Amount, wei.
        amount: U256,
    },
    /// The supply would exceed 256 bits.
    #[error("the supply would exceed 256 bits")]
    SupplyOverflow,
    /// An import without deposits.
    #[error("the certificate covers no new deposits")]
    NoDeposits,
    /// More than [`crate::deposit::MAX_DEPOSITS_PER_VIEW`].
    #[error("an import with {count} deposits is too large")]
    TooManyDeposits {
        /// Number of deposits.
        count: usize,
    },
    /// A gap, a repetition, or a last deposit other than the view's.
    #[error("the deposit has nonce {got}, but nonce {expected} is expected")]
    UnexpectedNonce {
        /// The expected nonce.
        expected: u64,
        /// The nonce found.
        got: u64,
    },
    /// A token other than the native coin.
    #[error("this chain does not mint token {token}")]
    UnsupportedToken {
        /// The token.
        token: Address,
    },
    /// The deposits differ from those that the view certifies.
    #[error("the accumulator of the deposits is {computed}, but the certificate has {certified}")]
    AccumulatorMismatch {
        /// Accumulator over the deposits.
        computed: B256,
        /// Accumulator in the view.
        certified: B256,
    },
    /// The view is older than the last imported one, or names another block at its height.
    #[error("the view at parent height {got} is not newer than the last one at {last}")]
    StaleParentView {
        /// Height of the last imported view.
        last: u64,
        /// Height of this view.
        got: u64,
    },
    /// A checkpoint that was never built.
    #[error("checkpoint {number} was never built")]
    UnknownCheckpoint {
        /// The number.
        number: u64,
    },
    /// The checkpoint's number is not above the last recorded one.
    #[error("checkpoint {number} is not newer than the recorded checkpoint {recorded}")]
    CheckpointNotNewer {
        /// Last recorded number.
        recorded: u64,
        /// The number.
        number: u64,
    },
    /// The checkpoint is not of the current epoch.
    #[error("the checkpoint is of epoch {epoch}, but the chain is in epoch {current}")]
    StaleEpoch {
        /// Epoch of the set in force.
        current: u64,
        /// Epoch of the checkpoint.
        epoch: u64,
    },
    /// The announced set is not for the next epoch.
    #[error("the announced validator set is for epoch {got}, but epoch {expected} is next")]
    NotNextEpoch {
        /// The next epoch.
        expected: u64,
        /// Epoch of the announced set.
        got: u64,
    },
    /// The announced set differs from the one that a checkpoint already names. Signatures of that checkpoint may be on their way
    /// to the parent, which accepts only one name, permanently.
    #[error("a checkpoint already names the validator set of epoch {epoch}, so it cannot change any more")]
    NextSetFixed {
        /// The announced epoch.
        epoch: u64,
    },
    /// No block carries a certificate that names the next set.
    #[error("no certificate of epoch {epoch} names the next validator set yet")]
    HandoverNotReady {
        /// The current epoch.
        epoch: u64,
    },
    /// The acknowledged epoch has not begun.
    #[error("epoch {epoch} has not begun; the chain is in epoch {current}")]
    UnknownEpoch {
        /// Epoch of the set in force.
        current: u64,
        /// The epoch.
        epoch: u64,
    },
    /// The acknowledged epoch is not above the last one.
    #[error("epoch {epoch} is not newer than the acknowledged epoch {acked}")]
    EpochNotNewer {
        /// Last acknowledged epoch.
        acked: u64,
        /// The epoch.
        epoch: u64,
    },
    /// The certificate does not verify.
    #[error("the certificate is invalid: {0}")]
    Certificate(#[from] CertificateError),
}

impl PegFault {
    /// The ABI-encoded custom error of [`IPeg`] for this fault, as revert data.
    pub fn revert_data(&self) -> Bytes {
        match *self {
            Self::NotPegged => IPeg::NotPegged {}.abi_encode(),
            Self::ZeroAmount => IPeg::ZeroAmount {}.abi_encode(),
            Self::InvalidRecipient { recipient } => IPeg::InvalidRecipient { recipient }.abi_encode(),
            Self::FeeExceedsAmount { relayer_fee, amount } => {
                IPeg::FeeExceedsAmount { relayerFee: relayer_fee, amount }.abi_encode()
            }
            Self::TreeFull => IPeg::TreeFull {}.abi_encode(),
            Self::SupplyUnderflow { supply, amount } => IPeg::SupplyUnderflow { supply, amount }.abi_encode(),
            Self::SupplyOverflow => IPeg::SupplyOverflow {}.abi_encode(),
            Self::NoDeposits => IPeg::NoDeposits {}.abi_encode(),
            Self::TooManyDeposits { count } => IPeg::TooManyDeposits { count: U256::from(count) }.abi_encode(),
            Self::UnexpectedNonce { expected, got } => IPeg::UnexpectedNonce { expected, got }.abi_encode(),
            Self::UnsupportedToken { token } => IPeg::UnsupportedToken { token }.abi_encode(),
            Self::AccumulatorMismatch { computed, certified } => {
                IPeg::AccumulatorMismatch { computed, certified }.abi_encode()
            }
            Self::StaleParentView { last, got } => IPeg::StaleParentView { last, got }.abi_encode(),
            Self::UnknownCheckpoint { number } => IPeg::UnknownCheckpoint { number }.abi_encode(),
            Self::CheckpointNotNewer { recorded, number } => IPeg::CheckpointNotNewer { recorded, number }.abi_encode(),
            Self::StaleEpoch { current, epoch } => IPeg::StaleEpoch { current, epoch }.abi_encode(),
            Self::NotNextEpoch { expected, got } => IPeg::NotNextEpoch { expected, got }.abi_encode(),
            Self::NextSetFixed { epoch } => IPeg::NextSetFixed { epoch }.abi_encode(),
            Self::HandoverNotReady { epoch } => IPeg::HandoverNotReady { epoch }.abi_encode(),
            Self::UnknownEpoch { current, epoch } => IPeg::UnknownEpoch { current, epoch }.abi_encode(),
            Self::EpochNotNewer { acked, epoch } => IPeg::EpochNotNewer { acked, epoch }.abi_encode(),
            Self::Certificate(_) => IPeg::InvalidCertificate {}.abi_encode(),
        }
        .into()
    }
}
