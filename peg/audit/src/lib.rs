//! The peg's auditor: it computes verdicts from public data of both chains, and anyone can repeat them.
//!
//! [`collect()`] reads a sidechain and a parent endpoint into a [`Bundle`]. [`audit()`] checks a bundle against the genesis
//! file and nothing else, so a saved bundle gives the same report without a network. The conclusions follow from hashes,
//! Merkle proofs and the validators' signatures; where a value is believed from an endpoint, the report states it.
//!
//! This crate must never link the node, its storage or its execution, because it must not share their bugs. It rebuilds
//! withdrawal trees, accumulators and checkpoints from the chain's bytes.
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
