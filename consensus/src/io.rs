//! The host's inputs, outputs and settings.

use alloy_primitives::{B256, Bytes};

use crate::certificate::CommitCertificate;
use crate::evidence::Evidence;
use crate::height::{Height, Round};
use crate::keys::ValidatorId;
use crate::message::ConsensusMessage;
use crate::sign_state::{SignState, SignStep};
use crate::validators::ValidatorSet;
use crate::vote::SignedVote;

/// Identifies a connected peer; the caller assigns it and the host only compares it.
pub type PeerToken = u64;

/// An event for the host.
#[derive(Clone, Debug)]
pub enum Input {
    /// Starts `height`. Feed it for height h + 1 only when block h is durable: the host answers with [`Output::ResetWal`],
    /// which truncates the write-ahead log from which block h could still be restored.
    StartHeight {
        /// The height to decide.
        height: Height,
        /// Its validators.
        validators: ValidatorSet,
    },
    /// A message from the network. [`crate::Host::verdict`] then says how gossip should treat it.
    Message {
        /// The peer that sent it to us (not necessarily its author).
        from: PeerToken,
        /// The decoded message.
        message: ConsensusMessage,
    },
    /// The answer to [`Output::BuildBlock`]. A caller that cannot build does not answer.
    BlockBuilt {
        /// The height of the request.
        height: Height,
        /// The round of the request.
        round: Round,
        /// The consensus value.
        block_hash: B256,
        /// The block's body, at most [`crate::MAX_BLOCK_BYTES`].
        body: Bytes,
    },
    /// The answer to [`Output::ValidateBlock`]. `valid: false` means that the block breaks a rule at every node. A local
    /// failure (disk, parent endpoint) is not a verdict: the caller does not answer then (pitfall 14).
    BlockVerdict {
        /// The height of the request.
        height: Height,
        /// The block hash of the request.
        block_hash: B256,
        /// Whether every honest node would accept the block.
        valid: bool,
    },
    /// A decided block fetched by the node's catch-up.
    SyncedBlock {
        /// The peer that sent it.
        from: PeerToken,
        /// Its proof; verified here.
        certificate: CommitCertificate,
        /// Its body; validated by the caller on [`Output::ValidateBlock`].
        body: Bytes,
    },
    /// [`crate::Host::next_deadline_ms`] has passed.
    Tick,
}

/// An action of the caller. Outputs must be performed strictly in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// First fsync the log entries appended so far, then write and fsync the sign state, then continue. A replay of the log
    /// must derive every message that the sign state remembers, and so get the same signature again. Otherwise a single
    /// validator (or a third of them after one power cut) could be bound by a vote for a block whose body is lost. Failure
    /// is fatal to the process (pitfall 1).
    PersistSignState(SignState),
    /// Append to the write-ahead log. Must be fsynced before the next `PersistSignState`, `Broadcast`, `Send` or
    /// `Decided`. Failure is fatal.
    AppendWal(Vec<u8>),
    /// Truncate the write-ahead log: the new height needs none of its entries.
    ResetWal {
        /// The height that begins.
        height: Height,
    },
    /// Publish to all.
    Broadcast(ConsensusMessage),
    /// Send to one peer.
    Send {
        /// The peer.
        to: PeerToken,
        /// The message.
        message: ConsensusMessage,
    },
    /// Build a block on the last committed one and answer with [`Input::BlockBuilt`] before the deadline.
    BuildBlock {
        /// The height to build for.
        height: Height,
        /// The round it is for.
        round: Round,
        /// When the other validators stop waiting for it (Unix milliseconds).
        deadline_ms: u64,
    },
    /// Decode, check and execute `body`, and answer with [`Input::BlockVerdict`]. The caller must check that the body hashes
    /// to `block_hash`; one that does not is invalid. Validate exactly these bytes and use exactly these bytes afterwards
    /// (pitfall 18). Do not cache a verdict by the hash alone: another body may arrive for the same hash.
    ValidateBlock {
        /// The height the block is for.
        height: Height,
        /// The round in which it was proposed or certified.
        round: Round,
        /// The first proposer in that round; must equal the proposer in the block.
        proposer: ValidatorId,
        /// The hash the body must have.
        block_hash: B256,
        /// The body.
        body: Bytes,
    },
    /// The block is final. Commit it, then start the next height. Occurs once per height.
    Decided {
        /// The proof.
        certificate: CommitCertificate,
        /// The decided block's body.
        body: Bytes,
    },
    /// A validator signed two conflicting messages.
    Equivocation(Evidence),
    /// A verified precommit of a decided height that the host no longer has in memory: compare it with the stored commit
    /// certificate of its height ([`crate::CommitCertificate::contradicted_by`]). The host passes at most
    /// [`crate::LATE_PRECOMMITS_PER_SECOND`] from one peer per second.
    LatePrecommit(SignedVote),
    /// A peer proved or claimed a greater height: fetch decided blocks from it.
    Behind {
        /// The peer.
        peer: PeerToken,
        /// The height of its message.
        height: Height,
    },
    /// A peer sent a message that no honest node sends.
    Misbehaved {
        /// The peer.
        peer: PeerToken,
        /// What is wrong with the message.
        reason: Misbehaviour,
    },
}

/// Why a message cannot come from an honest node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// A vote, proposal or certificate whose signature does not verify.
    #[error("invalid signature on a {0}")]
    InvalidSignature(&'static str),
    /// A certificate that breaks another rule.
    #[error("invalid {0}")]
    InvalidCertificate(&'static str),
    /// A proposal from a validator that is not the proposer of its round.
    #[error("a proposal from a validator that is not the proposer of its round")]
    WrongProposer,
    /// A proposal whose polka is of its own round or a later one.
    #[error("a proposal with an impossible polka round")]
    WrongPolRound,
    /// A part with another length or hash than its proposal lists.
    #[error("a part that does not match its proposal")]
    WrongPart,
    /// An invalid certified block, or a body that is not the certified one.
    #[error("a decided block with a wrong body")]
    WrongBody,
    /// A list or body over its limit.
    #[error("a message over its limits")]
    OverLimit,
    /// A round beyond [`crate::MAX_ROUND`].
    #[error("a round above the limit")]
    RoundTooHigh,
}

/// How gossip should treat the last message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MessageVerdict {
    /// Verified and useful: forward it.
    Accept,
    /// Old, known, or not verifiable here: do not forward, do not blame.
    Ignore,
    /// Provably wrong: do not forward, and blame the peer.
    Reject,
}

/// Timeouts in milliseconds. Those of the steps grow by `delta_ms` each round, up to [`Timeouts::MAX_MS`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Wait for a complete proposal (built, gossiped, executed) before prevoting nil.
    pub propose_ms: u64,
    /// Wait for more prevotes after a quorum voted without a majority for one value.
    pub prevote_ms: u64,
    /// Wait for more precommits after a quorum voted without a majority for one value.
    pub precommit_ms: u64,
    /// Added to each of the three for every round.
    pub delta_ms: u64,
    /// Interval at which our last votes are repeated while nothing happens.
    pub rebroadcast_ms: u64,
}

impl Timeouts {
    /// The longest wait.
    pub const MAX_MS: u64 = 60_000;

    pub(crate) fn step_ms(self, base_ms: u64, round: Round) -> u64 {
        let growth = self.delta_ms.saturating_mul(u64::from(round.0));
        base_ms.saturating_add(growth).min(Self::MAX_MS)
    }
}

impl Default for Timeouts {
    /// For validators around the world, with a block interval of one second.
    fn default() -> Self {
        Self { propose_ms: 2_000, prevote_ms: 1_000, precommit_ms: 1_000, delta_ms: 500, rebroadcast_ms: 1_000 }
    }
}

/// The host's settings.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Genesis block hash: part of all signed bytes.
    pub chain: B256,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// Wait for parts and proposals to arrive before requesting them from a peer.
    pub pull_after_ms: u64,
    /// Most decided heights kept to answer lagging peers; their total size is at most [`crate::MAX_KEPT_BYTES`].
    pub kept_decisions: usize,
}

impl HostConfig {
    /// Default settings for a chain.
    pub fn new(chain: B256) -> Self {
        Self { chain, timeouts: Timeouts::default(), pull_after_ms: 150, kept_decisions: 64 }
    }
}

/// The state of the host, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// The height being decided, or last decided; 0 before the first start.
    pub height: Height,
    /// The current round.
    pub round: Round,
    /// The step within the round, or `None` before the first start.
    pub step: Option<HostStep>,
    /// The proposer of this round.
    pub proposer: Option<ValidatorId>,
    /// Whether our signer's validator is in the current set.
    pub validating: bool,
    /// Validators in the current set.
    pub validators: usize,
    /// The height and round of our last signature.
    pub last_signed: (Height, Round),
    /// The last refusal of the sign state at this height, if any.
    pub last_refusal: Option<(SignStep, String)>,
}

/// The step of a round.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HostStep {
    /// Waiting for a proposal.
    Propose,
    /// Prevoted.
    Prevote,
    /// Precommitted.
    Precommit,
    /// Decided; waiting for the caller to start the next height.
    Decided,
}

/// Why the write-ahead log cannot be replayed. The operator must act: the host never resets the log by itself (pitfall 2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// An entry does not decode.
    #[error("entry {index} of the write-ahead log is corrupt: {reason}")]
    Corrupt {
        /// Place in the log, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// An entry belongs to another height.
    #[error("entry {index} of the write-ahead log is of height {found}, not {expected}")]
    WrongHeight {
        /// Place in the log, from 0.
        index: usize,
        /// The entry's height.
        found: Height,
        /// The height to recover.
        expected: Height,
    },
    /// An entry's signature does not verify under this height's validators.
    #[error("entry {index} of the write-ahead log holds a message that does not verify")]
    Unverifiable {
        /// Place in the log, from 0.
        index: usize,
    },
    /// The replay derived a message that differs from the recorded one.
    #[error("replaying the write-ahead log diverged at entry {index}: {reason}")]
    Diverged {
        /// Place in the log, from 0.
        index: usize,
        /// The core's report.
        reason: String,
    },
}
