//! The trie against two other implementations, and its errors.
#![allow(clippy::unwrap_used)]

mod against_oracles;
mod errors;
