//! The BFT host: validators, votes, certificates, evidence, and the pure step function that decides blocks.
//!
//! Owns the consensus messages, their signatures and their order. Must never know the content of a block (a body is bytes,
//! and its hash is the consensus value), where data is stored, how it travels, or the current time. Start reading at
//! [`Host`], then [`Output`].
//!
//! Pitfalls of this library and of similar ones. Each was a real bug; the table says how this crate avoids it:
//!
//! | # | Pitfall | Answer |
//! |---|---|---|
//! | 1 | a failed write becomes "continue" | the caller writes, outside the library; [`Output`] says which failures are fatal |
//! | 2 | order of fsync and replay | [`Output`]'s order, `host/recover.rs`, `tests/recovery.rs` |
//! | 3 | `is_restart` resets the log | always false in `engine.rs`; a replay emits no `ResetWal` |
//! | 4 | the library reads a clock | no target time; the result of its only other read is never used |
//! | 5 | buffered before verified | `future.rs` buffers verified messages only; the library's queue stays empty |
//! | 6 | evidence forgotten | `index.rs`, over a window of heights; [`Output::LatePrecommit`] for all heights before |
//! | 7 | sign bytes | `sign_bytes.rs`, golden vectors in `tests/codec.rs` |
//! | 8 | power times 3 overflows | [`MAX_TOTAL_POWER`] |
//! | 9 | proposer not a pure function | [`ValidatorSet::proposer`] |
//! | 10 | `decide()` panics on a failed verification | one rule (strict), answered from `index.rs` |
//! | 11 | different parts when a block is streamed again | parts follow from the body alone; bodies are in the log |
//! | 12 | attestations in vote extensions | extensions are off |
//! | 13 | gossip settings | they belong to the network; [`Host::verdict`] supplies the consensus part |
//! | 14 | a local error becomes a vote against the block | the caller gives no verdict after a local error |
//! | 15 | lost messages stall the protocol | `decisions.rs`, pulls, [`Output::Behind`]; `tests/network.rs` |
//! | 16 | every block counts as valid | mode `ProposalAndParts` |
//! | 17 | parts without a proof | [`PartList`], `bodies.rs` |
//! | 18 | the checked bytes are not the decided bytes | [`Output::ValidateBlock`] passes the same body that is decided |

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
mod known_keys;
pub mod message;
mod peers;
pub mod proposal;
mod sign_bytes;
pub mod sign_guard;
pub mod sign_state;
pub mod validators;
mod verified;
pub mod vote;
mod wal;

pub use certificate::{
    CertificateError, CommitCertificate, CommitSignature, PolkaCertificate, RoundCertificate, RoundCertificateKind,
    RoundSignature,
};
pub use evidence::{Evidence, EvidenceError};
pub use height::{Height, Round};
pub use host::{Host, Size};
pub use io::{
    HostConfig, HostStatus, HostStep, Input, MessageVerdict, Misbehaviour, Output, PeerToken, RecoverError, Timeouts,
};
pub use keys::{ConsensusKey, Ed25519Signer, SIGNATURE_BYTES, Signer, SignerError, ValidatorId};
pub use known_keys::MAX_KNOWN_KEYS;
pub use message::{
    ConsensusMessage, DecisionNotice, MAX_CERTIFICATE_BYTES, MAX_MESSAGE_BYTES, MessageError, PartRequest,
    ProposalRequest,
};
pub use peers::LATE_PRECOMMITS_PER_SECOND;
pub use proposal::{MAX_BLOCK_BYTES, MAX_PARTS, PART_BYTES, PartList, Proposal, ProposalPart, SignedProposal};
pub use sign_guard::{GuardRefusal, Guarded, sign_guarded};
pub use sign_state::{SignRefusal, SignState, SignStep};
pub use validators::{MAX_TOTAL_POWER, MAX_VALIDATORS, PROPOSER_WINDOW, Validator, ValidatorSet, ValidatorSetError};
pub use vote::{SignedVote, Vote, VoteKind};

/// Greater rounds are refused, so that round arithmetic cannot overflow; at the longest timeouts this lasts two years.
pub const MAX_ROUND: Round = Round(1_000_000);

/// Most bytes of decided bodies kept to answer lagging peers.
pub const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;
