//! The pool of transactions that wait for a block.
//!
//! The crate owns admission (with geth's error texts, since clients match on them), the order by nonce
//! within a sender and by effective tip across senders, replacement, eviction when the pool is full,
//! the lifetime of transactions behind a nonce gap, the choice of local transactions to gossip, and the
//! feed of admitted transactions ([`PendingFeed`]).
//!
//! The form that a transaction must have follows from the rules of the next block. They come in with each block
//! ([`causeway_execution::TransactionLimits`]). A [`PoolConfig`] holds only this node's own limits.
//!
//! [`Mempool`] is a plain data structure: no task, no clock, no storage, no network. Time and the
//! accounts' nonces and balances are arguments, so the caller decides which state they are read from.
//!
//! Start at [`Mempool`]. The rules of admission are in `admission`, the arithmetic of one sender's
//! chain of nonces in `sender`.
//!
//! Defences against attackers:
//! - A transaction behind a nonce gap never evicts a runnable one. All such transactions share a
//!   bounded part of the pool.
//! - A sender's balance covers the sum of its runnable transactions' costs, so a chain of overdrafts
//!   is refused.
//! - Eviction takes the highest nonce of a sender, so the transactions that stay remain runnable. A
//!   sender ranks by the cheapest transaction of its chain, so an expensive last transaction does not
//!   protect cheap ones before it.
//! - An account whose code is a delegation (EIP-7702) may have one transaction at a time, since others
//!   may be able to spend its balance.

mod account;
mod admission;
mod announce;
mod best;
mod config;
mod error;
mod evict;
mod pending_feed;
mod pool;
mod sender;

pub use account::{AccountCode, AccountView};
pub use best::Best;
pub use config::{MAX_EVICTIONS_PER_ADD, PoolConfig, REANNOUNCE_AFTER_MS};
pub use error::PoolError;
pub use pending_feed::PendingFeed;
pub use pool::{Added, BlockUpdate, Mempool, PoolStatus, SenderContent};
