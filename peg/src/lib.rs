//! The two-way peg's rules: deposits, withdrawals, checkpoints and the certificates over them.
//!
//! This crate owns what is signed ([`domain`]), who may sign it ([`validators`]), how signatures are
//! gathered ([`attestations`]) and verified ([`certificate`]), the deposit accumulator ([`deposit`]), the
//! withdrawal tree ([`tree`]), and the native peg module's state machine over storage slots ([`module`]).
//!
//! It must never know a clock, a socket, a file, the parent chain's endpoint, or how the EVM keeps its
//! state: slots are read and written through the [`Slots`] trait alone, so that the same rules run inside
//! a block's execution, in a read-only view and in the tests' model.
//!
//! Everything that is hashed or signed has one fixed-width encoding: Solidity's ABI under EIP-712. No
//! strings are ever hashed and no fields are ever joined by delimiters, so the parent's contracts, the
//! sidechain and the auditor compute the same digests from the same bytes. What travels by gossip is borsh.
//!
//! Start reading at [`types`], then [`module`].

pub mod abi;
pub mod attestations;
pub mod certificate;
pub mod deposit;
pub mod domain;
pub mod layout;
pub mod message;
pub mod module;
mod recovered;
pub mod relay;
pub mod signature;
pub mod slots;
pub mod tree;
pub mod types;
pub mod validators;
pub mod withdrawal;

pub use abi::IPeg;
pub use attestations::{Attestations, Outcome, Refusal, Settled};
pub use certificate::{CertificateError, CertificateSig, verify_signatures};
pub use domain::PegDomain;
pub use message::{Attestation, PegMessage};
pub use module::{
    CheckpointRecorded, HandoverRecord, Mint, ModuleError, ParentHeaderInfo, PegFault, PegFigures, PegGenesis,
    PegModule,
};
pub use relay::{RegistryState, next_handover};
pub use signature::{LocalPegSigner, PegSigner, Signature65, SignatureError, sign_digest};
pub use slots::Slots;
pub use tree::{Frontier, Proof, TREE_DEPTH};
pub use types::{Checkpoint, Deposit, ParentView, SetAcknowledged, Withdrawal};
pub use validators::{PegValidator, PegValidatorSet, PegValidatorSetError};
