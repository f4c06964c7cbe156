//! The binary from outside: keys and the remote signer.
#![allow(clippy::unwrap_used, missing_docs)]

mod keys;
mod signer;
mod signer_node;
