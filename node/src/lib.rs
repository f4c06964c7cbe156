//! The Causeway node: the binary's parts as a library, so that the testnet's tools and tests use the same code.
//!
//! [`handle`] decides (pure), [`driver`] performs (tokio), [`chain`] executes and commits blocks. Everything below this crate
//! knows nothing of it. Start reading at [`handle`].

pub mod chain;
pub mod cli;
#[cfg(test)]
mod cluster_tests;
pub mod config;
pub mod driver;
pub mod evidence;
pub mod handle;
pub mod hold;
pub mod metrics;
pub mod peg_desk;
pub mod relayer;
pub mod sets;
pub mod signer;
pub mod start;
pub mod status;
pub mod sync;
pub mod transactions;
pub mod trust;
