//! Signing for a validator: the keys in this process, or a remote signer behind the same two traits.
//!
//! A remote signer ([`SignerServer`], the program `causeway-signer`) is a process, perhaps on another machine, that holds a
//! validator's consensus and peg keys and the durable record of what they have signed. Whatever a node asks for, also a node that
//! was broken into, and also two nodes at once, it signs no two conflicting things. [`RemoteSigner`] is the node's side of it.
//!
//! This crate must never know the database, peers or the EVM. It also holds what its program shares with `causeway`: passwords
//! ([`password`]), logging ([`logs`]) and how a process starts and ends ([`process`]). Start reading at [`signers`], then
//! [`Vault`].

mod address;
mod channel;
mod client;
pub mod logs;
pub mod password;
pub mod process;
mod protocol;
mod server;
pub mod signers;
mod vault;

pub use self::{
    address::{NotAnAddress, SignerAddress},
    client::{RemoteError, RemoteSigner},
    server::{MAX_CONNECTIONS, SignerServer},
    signers::{SignerSection, Signers, open},
    vault::{StateOrigin, Vault},
};
