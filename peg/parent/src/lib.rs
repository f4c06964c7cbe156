//! The parent chain's IO: a watcher that reads finalised deposits and a submitter that sends transactions.
//!
//! This crate owns all communication with the parent's JSON-RPC endpoints. It decides *what was seen*: blocks that are final
//! at every configured source, and deposits that match the vault's own accumulator, cut at canonical points. It never
//! decides on the consequences: signing, minting and checkpoints belong to the sidechain. It does not know nodes, storage or
//! consensus.
//!
//! The watcher relies on the `finalized` tag and never on a number of confirmations. Endpoints are untrusted: every answer
//! has a deadline, a size limit and a type. In case of doubt deposits wait, and [`ParentStatus`] gives the reason.
//!
//! All IO and time goes through one trait, [`Wire`]: production uses [`Http`], the simulator uses its own implementation.
//!
//! Start reading at [`ParentWatcher`], then [`cuts`]; for transactions to the parent at [`relay`].

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
