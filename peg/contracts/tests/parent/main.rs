//! The contracts, run by an EVM in memory, tested against the rules in `causeway-peg`. They are one binary, because linking
//! the EVM is the largest cost of these tests.
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
