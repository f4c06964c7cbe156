//! The Causeway node: the binary's parts as a library, so that the testnet's tools and tests use the same code.
//!
//! [`handle`] decides (pure), [`perform`] performs the decisions (synchronous, ordered), [`jobs`] execute and commit blocks,
//! [`assemble`] builds a node. These need no runtime and no network, so that a simulator can run the same code.
//! [`driver`] and [`start`] add the parts of a process (tokio). No crate below this one knows it. Start reading
//! at [`handle`].

pub mod assemble;
pub mod chain;
pub mod cli;
pub mod clocks;
pub mod config;
pub mod driver;
pub mod evidence;
pub mod handle;
pub mod hold;
pub mod jobs;
pub mod metrics;
pub mod perform;
pub mod relayer;
pub mod serve;
pub mod sets;
pub mod start;
pub mod status;
pub mod sync;
pub mod transactions;
pub mod trust;
