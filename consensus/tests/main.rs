//! The rules of consensus from outside: votes, proofs, heights, recovery, and whole networks in memory.
#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub)]

mod codec;
mod epochs;
mod heights;
mod kit;
mod network;
mod proofs;
mod quorum;
mod recovery;
mod rules;
mod sim;
