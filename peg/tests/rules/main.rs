//! The peg's rules, each with a positive and a negative test, against golden vectors, naive oracles and random sequences.
// Decoders get garbage only to show that they do not panic, so the tests ignore their results.
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
