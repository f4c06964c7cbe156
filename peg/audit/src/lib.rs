//! The peg's auditor: from public data of both chains to verdicts that anybody can repeat.
//!
//! [`collect()`] reads a sidechain and a parent endpoint into a [`Bundle`]; [`audit()`] judges a bundle against the genesis
//! file and nothing else, so a saved bundle gives the same report without a network. The checks rely on hashes, Merkle proofs
//! and the validators' signatures. Where they rely on an endpoint, the report says so.
//!
//! A report without failures proves that the vault covers the supply that the peg module records in a state root signed by
//! the validators, and that this supply comes from deposits and burns only. It does not prove that the balances of all accounts
//! add up to that supply: the auditor does not execute transactions.
//!
//! This crate must never link the node, its storage or its execution: it is a second opinion. It rebuilds withdrawal
//! trees, accumulators and checkpoints from the chain's bytes.
//!
//! Start reading at [`audit()`], then `checks`.

mod audit;
mod bundle;
mod checkpoints;
mod checks;
mod collect;
mod history;
mod parent;
mod proof;
mod report;
mod rpc;
mod sidechain;

pub use audit::{AuditError, audit};
pub use bundle::{
    AccountEvidence, BUNDLE_FORMAT, BlockEvidence, Bundle, BundleError, CommittedSet, LogEvidence, MAX_BUNDLE_BYTES,
    ParentBlock, ParentEvidence, ParentValues, RecordEvidence, SetEvidence, SidechainEvidence, SlotEvidence,
};
pub use collect::{CollectError, Endpoints, collect};
pub use report::{At, Check, Failure, Figure, Object, REPORT_FORMAT, Report};
pub use rpc::{ReadError, Side};
