//! Why a transaction is refused, with the texts that clients match on.

use alloy_primitives::{Address, U256};
use thiserror::Error;

/// A refusal. The texts begin as geth's do (`core/error.go`, `core/txpool/errors.go`), because
/// wallets and libraries tell refusals apart by them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolError {
    /// The transaction is in the pool already.
    #[error("already known")]
    AlreadyKnown,
    /// A transaction type that the chain does not support, such as blob transactions.
    #[error("transaction type not supported: tx type {kind} not supported by this pool")]
    TypeNotSupported {
        /// The EIP-2718 type.
        kind: u8,
    },
    /// Larger than the pool allows.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Encoded bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Signed for another chain.
    #[error("invalid sender: invalid chain id for signer: have {have} want {want}")]
    InvalidChainId {
        /// The transaction's chain id.
        have: u64,
        /// This chain's id.
        want: u64,
    },
    /// A submitted transaction without replay protection.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCodeTooLarge {
        /// Bytes of init code.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// EIP-7825.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitTooHigh {
        /// The cap on one transaction.
        cap: u64,
        /// The transaction's gas limit.
        gas: u64,
    },
    /// The gas limit is above that of a block.
    #[error("exceeds block gas limit")]
    ExceedsBlockGasLimit,
    /// Priority fee above the fee cap.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    /// EIP-2681.
    #[error("nonce has max value")]
    NonceMax,
    /// The gas limit is below the intrinsic gas.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// The transaction's gas limit.
        gas: u64,
        /// The least it needs.
        needed: u64,
    },
    /// The gas limit is below the floor for its calldata (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorDataGas {
        /// The transaction's gas limit.
        gas: u64,
        /// The least it needs.
        needed: u64,
    },
    /// The priority fee is below this node's minimum.
    #[error("transaction gas price below minimum: gas tip cap {tip}, minimum needed {needed}")]
    TipTooLow {
        /// The transaction's priority fee in wei.
        tip: u128,
        /// The least in wei.
        needed: u128,
    },
    /// The total fee of a submitted transaction is above the operator's cap.
    #[error("tx fee ({} ether) exceeds the configured cap ({} ether)", ether(*.fee_wei), ether(*.cap_wei))]
    FeeCapExceeded {
        /// Gas limit times fee cap, in wei.
        fee_wei: u128,
        /// The configured cap in wei.
        cap_wei: u128,
    },
    /// EIP-7702 requires at least one authorization.
    #[error("set code tx must have at least one authorization tuple")]
    NoAuthorization,
    /// More authorizations than the pool allows.
    #[error("set code tx has too many authorization tuples: {count}, limit {limit}")]
    TooManyAuthorizations {
        /// Authorizations in the transaction.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// EIP-3607.
    #[error("sender not an eoa: address {0}")]
    SenderNotEoa(Address),
    /// The account has used this nonce already.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's next nonce.
        next: u64,
        /// The transaction's nonce.
        nonce: u64,
    },
    /// The balance does not cover the transaction alone.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        .cost.saturating_sub(*.balance)
    )]
    InsufficientFunds {
        /// The sender's balance in wei.
        balance: U256,
        /// Gas limit times fee cap plus value, in wei; saturated.
        cost: U256,
    },
    /// The balance does not cover the transaction together with the sender's runnable ones.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        .queued.saturating_add(*.cost).saturating_sub(*.balance)
    )]
    Overdraft {
        /// The sender's balance in wei.
        balance: U256,
        /// Sum of the costs of the sender's other runnable transactions, in wei.
        queued: U256,
        /// Cost of this one: gas limit times fee cap plus value, in wei.
        cost: U256,
    },
    /// The pool has a transaction with the same nonce, and the new one does not exceed its fees by enough.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The sender has as many transactions in the pool as allowed.
    #[error("account limit exceeded: pooled {pooled} txs")]
    AccountLimit {
        /// Transactions of the sender in the pool.
        pooled: usize,
    },
    /// The sender is delegated or about to be, and has a transaction in flight.
    #[error("in-flight transaction limit reached for delegated accounts")]
    InflightLimit,
    /// The sender is delegated or about to be, and the nonce is not its next one.
    #[error("gapped-nonce tx from delegated accounts")]
    GappedDelegated,
    /// An authorization is signed by an account with transactions in flight.
    #[error("authority already reserved")]
    AuthorityReserved,
    /// The pool is full, and all transactions in it pay at least as much.
    #[error("transaction underpriced: txpool is full, effective tip {tip}, more than {needed} needed")]
    Underpriced {
        /// Effective tip at the pool's base fee in wei (negative: the fee cap is below the base fee).
        tip: i128,
        /// Effective tip of the cheapest transaction in the pool, in wei.
        needed: i128,
    },
    /// The pool is full, and this transaction may not evict others.
    #[error("txpool is full")]
    Full,
    /// The sender's account cannot be read from this node's database. The operator has to repair it; it is not the sender's fault.
    #[error("cannot read the sender's account: {0}")]
    StateUnavailable(String),
}

impl PoolError {
    /// Whether the rules of the next block refuse the transaction whatever the state is. Where no other rules of the chain
    /// allow it ([`Mempool::allows_under`](crate::Mempool::allows_under)), a peer that gossips it is faulty. All other
    /// refusals can happen between honest nodes.
    #[must_use]
    pub fn is_never_valid(&self) -> bool {
        matches!(
            self,
            Self::TypeNotSupported { .. }
                | Self::Oversized { .. }
                | Self::InvalidChainId { .. }
                | Self::InitCodeTooLarge { .. }
                | Self::GasLimitTooHigh { .. }
                | Self::ExceedsBlockGasLimit
                | Self::TipAboveFeeCap
                | Self::NonceMax
                | Self::IntrinsicGas { .. }
                | Self::FloorDataGas { .. }
                | Self::NoAuthorization
        )
    }
}

/// Wei as ether with two decimals, rounded down, as geth prints it.
fn ether(wei: u128) -> String {
    const WEI: u128 = 1_000_000_000_000_000_000;
    format!("{}.{:02}", wei / WEI, wei % WEI / (WEI / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_ones_clients_match() {
        let cases: [(PoolError, &str); 7] = [
            (PoolError::NonceTooLow { next: 4, nonce: 2 }, "nonce too low: next nonce 4, tx nonce 2"),
            (PoolError::AlreadyKnown, "already known"),
            (PoolError::ReplacementUnderpriced, "replacement transaction underpriced"),
            (
                PoolError::InsufficientFunds { balance: U256::from(3), cost: U256::from(5) },
                "insufficient funds for gas * price + value: balance 3, tx cost 5, overshot 2",
            ),
            (
                PoolError::Overdraft { balance: U256::from(3), queued: U256::from(2), cost: U256::from(5) },
                "insufficient funds for gas * price + value: balance 3, queued cost 2, tx cost 5, overshot 4",
            ),
            (
                PoolError::IntrinsicGas { gas: 20_999, needed: 21_000 },
                "intrinsic gas too low: gas 20999, minimum needed 21000",
            ),
            (
                PoolError::FeeCapExceeded { fee_wei: 1_239_000_000_000_000_000, cap_wei: 1_000_000_000_000_000_000 },
                "tx fee (1.23 ether) exceeds the configured cap (1.00 ether)",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn only_faults_that_no_state_excuses_are_the_senders() {
        assert!(PoolError::TipAboveFeeCap.is_never_valid());
        assert!(!PoolError::Full.is_never_valid());
        assert!(!PoolError::NonceTooLow { next: 1, nonce: 0 }.is_never_valid());
    }
}
