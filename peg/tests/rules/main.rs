//! The peg's rules, each both ways, against golden vectors, naive oracles and random sequences.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod attestations;
mod certificates;
mod checkpoints;
mod codecs;
mod deposits;
mod federation;
mod golden;
mod layout;
mod model;
mod tree;
mod validators;
mod withdrawals;
