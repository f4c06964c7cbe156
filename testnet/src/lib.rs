//! The local testnet: processes of the real node on this machine, started, watched, broken and loaded.
//!
//! This crate owns `testnet/up`, `down`, `load`, `fault`, `node`, `blocks` and `chaos`, and the tests that cross rooms. It starts the `causeway` binary as
//! any user would, and talks to it only over its command line, its files and JSON-RPC, so what works here works for an operator.
//!
//! Start reading at [`up`], then [`supervisor`] (what runs until Ctrl-C) and [`load`].

pub mod accounts;
pub mod blocks;
pub mod chain;
pub mod chaos;
pub mod cli;
pub mod control;
pub mod directory;
pub mod fault;
pub mod funding;
pub mod join;
pub mod load;
pub mod node;
pub mod node_files;
pub mod peg;
pub mod ports;
pub mod record;
pub mod rpc;
pub mod settings;
pub mod summary;
pub mod supervisor;
pub mod up;
