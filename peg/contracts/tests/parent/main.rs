//! The contracts, run by an EVM in memory, against the rules in `causeway-peg`. One binary: linking the EVM
//! once is what these tests cost most.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, unreachable_pub)]

mod bindings;
mod chain;
mod checkpoints;
mod claims;
mod deployment;
mod deposits;
mod differential;
mod gas;
mod history;
mod invariants;
mod mutations;
mod quorum;
mod rotation;
mod world;
