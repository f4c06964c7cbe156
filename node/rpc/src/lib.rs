//! Ethereum JSON-RPC over HTTP and WebSocket on one port, and the namespaces of our own.
//!
//! This crate owns the shapes and words that clients match on, and every bound on what a request may cost. It reads
//! the durable head only: storage, pool and executor through [`RpcContext`], the running node through [`NodeStatus`].
//!
//! It must never know: peers, consensus messages, keys, or how blocks are made. It changes nothing but by
//! [`RpcContext::submit`].
//!
//! Start reading at `server.rs` (what is registered, which limits hold), then `api.rs` (how a method runs), then one file
//! for each concern.

mod api;
mod args;
mod budget;
mod chain;
mod config;
mod connection_budget;
mod context;
mod debug;
mod errors;
mod eth;
mod lanes;
mod peg;
mod server;
mod staking;
mod transport;

pub use config::{DEFAULT_PORT, RpcConfig, RpcLimits};
pub use context::{ConsensusProgress, NodeStatus, PegProgress, RpcContext, Submit, SyncProgress};
pub use jsonrpsee::server::ServerHandle;
pub use server::{RpcError, Unlistened, start};

#[cfg(test)]
mod tests;
