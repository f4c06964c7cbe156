//! The rules of staking, each with a positive and a negative test, golden vectors, and a naive oracle in rational numbers.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod delegation;
mod downtime;
mod epochs;
mod genesis;
mod golden;
mod operators;
mod oracle;
mod redelegation;
mod rewards;
mod sequences;
mod slashing;
mod splitting;
mod token;
mod unbonding;
mod world;
