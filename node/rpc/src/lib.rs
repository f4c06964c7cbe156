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

mod accept;
mod api;
mod args;
mod budget;
mod chain;
mod config;
mod consensus;
mod context;
mod convert;
mod criteria;
mod debug;
mod debug_trace;
mod errors;
mod eth_blocks;
mod eth_call;
mod eth_filters;
mod eth_send;
mod eth_send_sync;
mod eth_state;
mod feed;
mod fees;
mod filters;
mod flow;
mod gate;
mod hosts;
mod logs;
mod net;
mod peg;
mod peg_index;
mod peg_sets;
mod peg_status;
mod peg_summary;
mod pending;
mod server;
mod staking;
mod staking_accounts;
mod staking_validators;
mod subscriptions;
mod subtrees;
mod txpool;
mod unread;
mod words;
mod work;

pub use config::{DEFAULT_PORT, RpcConfig, RpcLimits};
pub use context::{ConsensusProgress, NodeStatus, PegProgress, RpcContext, Submit, SyncProgress};
pub use jsonrpsee::server::ServerHandle;
pub use pending::PendingFeed;
pub use server::{RpcError, Unlistened, start};

#[cfg(test)]
mod tests;
