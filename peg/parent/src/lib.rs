//! The parent chain's IO: a watcher that reads finalised deposits and a submitter that sends transactions.
//!
//! This crate owns everything that talks to the parent's JSON-RPC endpoints. It decides *what was seen* (blocks final at
//! every configured source, deposits that fit the vault's own accumulator, cut at canonical points) and never what
//! follows from it: signing, minting and checkpoints are the sidechain's business. It knows nothing of nodes, storage or
//! consensus.
//!
//! The watcher trusts the `finalized` tag and never a number of confirmations. Endpoints are untrusted input: every
//! answer has a deadline, a size limit and a type, and any doubt means that deposits wait, with the reason in
//! [`ParentStatus`].
//!
//! It reaches the world through one trait, [`Wire`]: production passes [`Http`], the simulator a parent of its own.
//!
//! Start reading at [`ParentWatcher`], then [`cuts`]; for the other direction at [`relay`].

mod claims;
pub mod config;
pub mod cuts;
mod deployment;
mod endpoint;
mod fees;
pub mod history;
mod http;
mod peg_calls;
pub mod relay;
mod submitter;
mod transport;
mod update;
mod watcher;
mod wire;

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod manual_tests;
#[cfg(test)]
mod registry_tests;
#[cfg(test)]
mod relay_tests;
#[cfg(test)]
mod submitter_tests;
#[cfg(test)]
mod watcher_tests;

pub use claims::{Burned, ClaimReader, Claims};
pub use config::{ConfigError, ParentConfig, WatchFrom, redact};
pub use deployment::{DeployParams, Deployment};
pub use endpoint::EndpointError;
pub use http::Http;
pub use peg_calls::{DepositReceipt, Submission};
pub use reqwest::Url;
pub use submitter::{Included, IncludedLog, SubmitError, Submitter, SubmitterConfig};
pub use update::{BlockRef, Conflict, ParentStatus, ParentUpdate};
pub use watcher::{ParentHandle, ParentWatcher};
pub use wire::{Answer, ExchangeError, Wire};
