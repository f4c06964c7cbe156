//! Blocks, calls and the native modules, against oracles and hostile input.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod arrows;
mod blocks;
mod calls;
mod conservation;
mod differential;
mod encoding;
mod faults;
mod hostile;
mod overlay;
mod peg_module;
mod rules_change;
mod stake_books;
mod stake_epochs;
mod stake_evidence;
mod stake_module;
mod stake_token;
mod support;
mod traces;
