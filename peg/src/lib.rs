//! The rules of the two-way peg: deposits, withdrawals, checkpoints and the certificates for them.
//!
//! This crate owns the signed data ([`domain`]), the set of signers ([`validators`]), the collection of signatures
//! ([`attestations`]) and their verification ([`certificate`]), the deposit accumulator ([`deposit`]), the
//! withdrawal tree ([`tree`]), the record of what a key has signed ([`signs`]), and the state machine of the native peg module over storage slots ([`module`]).
//!
//! It must never know a clock, a socket, a file, the parent chain's endpoint, or how the EVM stores its
//! state. It reads and writes slots only through the [`Slots`] trait, so the same rules run in the execution of
//! a block, in a read-only view and in the tests' model.
//!
//! All hashed or signed data has one fixed-width encoding: Solidity's ABI under EIP-712. Strings are
//! never hashed and fields are never joined by delimiters, so the parent's contracts, the
//! sidechain and the auditor compute the same digests from the same bytes. Gossiped messages are borsh.
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
pub mod signs;
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
    CheckpointBlock, CheckpointRecorded, HandoverRecord, Mint, ModuleError, PegFault, PegFigures, PegGenesis, PegModule,
};
pub use relay::{RegistryState, next_handover};
pub use signature::{LocalPegSigner, PegSigner, Signature65, SignatureError, sign_digest};
pub use signs::PegSigns;
pub use slots::Slots;
pub use tree::{Frontier, Proof, TREE_DEPTH};
pub use types::{Checkpoint, Deposit, ParentView, SetAcknowledged, Withdrawal};
pub use validators::{PegValidator, PegValidatorSet, PegValidatorSetError};
