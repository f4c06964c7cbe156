//! The peg's rules, each with a positive and a negative test, against golden vectors, naive oracles and random sequences.
// Decoders are fed garbage for their panics alone, hence the results that nobody looks at.
#![allow(clippy::unwrap_used, clippy::let_underscore_must_use, missing_docs, unreachable_pub)]

mod attestations;
mod certificates;
mod checkpoints;
mod codecs;
mod deposits;
mod federation;
mod golden;
mod layout;
mod model;
mod quorum;
mod relay;
mod rotation;
mod tree;
mod validators;
mod withdrawals;
