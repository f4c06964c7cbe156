//! The binary from outside: keys, and a node with a remote signer.
#![allow(clippy::unwrap_used, missing_docs)]

mod documents;
mod keys;
mod signer_node;
