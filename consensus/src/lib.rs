//! The BFT host: votes, certificates, evidence and the pure step function.
mod bodies;
pub mod certificate;
mod decisions;
mod engine;
pub mod evidence;
mod future;
pub mod height;
mod host;
mod index;
pub mod io;
pub mod keys;
pub mod message;
mod peers;
pub mod proposal;
mod sign_bytes;
pub mod sign_state;
pub mod validators;
pub mod vote;
mod wal;

pub use certificate::{
    CertificateError, CommitCertificate, CommitSignature, PolkaCertificate, RoundCertificate, RoundCertificateKind,
    RoundSignature,
};
pub use evidence::{Evidence, EvidenceError};
pub use height::{Height, Round};
pub use host::Host;
pub use io::{
    HostConfig, HostStatus, HostStep, Input, MessageVerdict, Misbehaviour, Output, PeerToken, RecoverError, Timeouts,
};
pub use keys::{ConsensusKey, Ed25519Signer, SIGNATURE_BYTES, Signer, SignerError, ValidatorId};
pub use message::{
    ConsensusMessage, DecisionNotice, MAX_CERTIFICATE_BYTES, MAX_MESSAGE_BYTES, MessageError, PartRequest,
};
pub use proposal::{MAX_BLOCK_BYTES, MAX_PARTS, PART_BYTES, PartList, Proposal, ProposalPart, SignedProposal};
pub use sign_state::{SignRefusal, SignState, SignStep};
pub use validators::{MAX_TOTAL_POWER, MAX_VALIDATORS, PROPOSER_WINDOW, Validator, ValidatorSet, ValidatorSetError};
pub use vote::{SignedVote, Vote, VoteKind};

/// Rounds beyond this are refused, so that no round arithmetic can overflow; at the longest timeouts it lasts two years.
pub const MAX_ROUND: Round = Round(1_000_000);

/// Most bytes of decided bodies kept to answer laggards.
pub const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;
