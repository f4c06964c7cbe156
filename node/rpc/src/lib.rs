//! Ethereum JSON-RPC over HTTP and WebSocket on one port, with namespaces for consensus, staking and the peg.
//!
//! This crate owns the JSON shapes and error texts that clients match on, and every limit on the cost of a request. It reads
//! the durable head only. Storage, pool and executor come through [`RpcContext`], the running node through [`NodeStatus`].
//!
//! It must never know peers, consensus messages, keys, or how blocks are made. [`RpcContext::submit`] is the only way in
//! which it changes anything.
//!
//! Start reading at `server.rs` (the server and its methods), then `api.rs` (how a method runs). The folders are:
//! - `transport`: connections, budgets of memory, HTTP and WebSocket. It knows no method.
//! - `eth`, `debug`, `peg`, `staking`: the methods. They know [`RpcContext`] and no transport. `debug` uses the calls of `eth`,
//!   and `peg` an alarm of `staking`.
//!
//! The files beside them serve both: limits, errors, budgets, lanes, and reading storage.

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

pub use config::{DEFAULT_PORT, RpcConfig, RpcLimits, ZeroLimit};
pub use context::{ConsensusProgress, NodeStatus, PegProgress, RpcContext, Submit, SyncProgress};
pub use jsonrpsee::server::ServerHandle;
pub use server::{RpcError, Unlistened, start};

#[cfg(test)]
mod tests;
