//! The pool of transactions that wait for a block.
//!
//! The crate owns admission (in geth's own error words, since clients match on them), the order per
//! sender by nonce and across senders by effective tip, replacement, eviction when the pool is full,
//! the lifetime of transactions behind a nonce gap, and which local transactions are to be gossiped.
//!
//! What a transaction must be like follows from the rules of the next block, which enter with each block
//! ([`causeway_execution::TransactionLimits`]); a [`PoolConfig`] holds only this node's own limits.
//!
//! It is a plain data structure: no task, no clock, no storage, no network. Time and the accounts'
//! nonces and balances enter as values, so the caller decides which state they are read from.
//!
//! Start at [`Mempool`]; the rules of admission are in `admission`, the arithmetic of one sender's
//! chain of nonces in `sender`.
//!
//! What an attacker can and cannot do to it:
//! - a transaction behind a nonce gap never evicts one that can run, and all such transactions share
//!   a bounded part of the pool;
//! - the costs of all runnable transactions of a sender are covered by its balance together, so a
//!   chain of overdrafts is refused;
//! - what is evicted is always the highest nonce of a sender, so eviction never makes a transaction
//!   that stays un-runnable; a sender ranks by the cheapest of its own chain, so a dear last
//!   transaction protects nothing cheap before it;
//! - an account whose code is a delegation (EIP-7702), which anybody may be able to empty, holds one
//!   transaction at a time.

mod account;
mod admission;
mod announce;
mod best;
mod config;
mod error;
mod evict;
mod pool;
mod sender;

pub use account::{AccountCode, AccountView};
pub use best::Best;
pub use config::{MAX_EVICTIONS_PER_ADD, PoolConfig, REANNOUNCE_AFTER_MS};
pub use error::PoolError;
pub use pool::{Added, BlockUpdate, Mempool, PoolStatus, SenderContent};
