//! Genesis files, genesis blocks and key files, each rule both ways.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod block;
mod keys;
mod keystore;
mod reference;
mod rules;
mod support;
mod validity;
