//! The auditor over worlds in which the peg is sound and in which it is not.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod audit;
mod endpoints;
mod rotations;
mod world;
