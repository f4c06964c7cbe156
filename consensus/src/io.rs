//! The host's vocabulary: what goes into a step, what comes out of it, and the settings.

use alloy_primitives::{B256, Bytes};

use crate::certificate::CommitCertificate;
use crate::evidence::Evidence;
use crate::height::{Height, Round};
use crate::keys::ValidatorId;
use crate::message::ConsensusMessage;
use crate::sign_state::{SignState, SignStep};
use crate::validators::ValidatorSet;
use crate::vote::SignedVote;

/// Names a connected peer; the caller gives them out and the host only compares them.
pub type PeerToken = u64;

/// What happened to the host.
#[derive(Clone, Debug)]
pub enum Input {
    /// Work on `height` from now on. Feed it for height h + 1 only once block h is durable: the write-ahead log that
    /// could still produce block h is truncated by the [`Output::ResetWal`] this answers with.
    StartHeight {
        /// The height to decide.
        height: Height,
        /// Its validators.
        validators: ValidatorSet,
    },
    /// A message from the network. See [`crate::Host::verdict`] for what to tell gossip about it.
    Message {
        /// Who handed it to us (not necessarily its author).
        from: PeerToken,
        /// The decoded message.
        message: ConsensusMessage,
    },
    /// The answer to [`Output::BuildBlock`]. A caller that cannot build simply never answers.
    BlockBuilt {
        /// As asked.
        height: Height,
        /// As asked.
        round: Round,
        /// The consensus value.
        block_hash: B256,
        /// The block's body, at most [`crate::MAX_BLOCK_BYTES`].
        body: Bytes,
    },
    /// The answer to [`Output::ValidateBlock`]. `valid: false` means the block breaks a rule for everybody; a local
    /// failure (disk, parent endpoint) is no verdict and is never answered (pitfall 14).
    BlockVerdict {
        /// As asked.
        height: Height,
        /// As asked.
        block_hash: B256,
        /// Whether every honest node would accept the block.
        valid: bool,
    },
    /// A decided block fetched by the node's catch-up.
    SyncedBlock {
        /// Who sent it.
        from: PeerToken,
        /// Its proof; verified here.
        certificate: CommitCertificate,
        /// Its body; validated by the caller on [`Output::ValidateBlock`].
        body: Bytes,
    },
    /// [`crate::Host::next_deadline_ms`] has passed.
    Tick,
}

/// What the caller must do, strictly in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// First fsync the log entries appended so far, then write and fsync the sign state, before going on. The log must
    /// lead to every signature the sign state remembers: replaying it then derives the same message and gets the same
    /// signature, where otherwise a validator alone (or a third of them at one power cut) could be bound by a vote for a
    /// block whose body is lost. Failure is fatal to the process (pitfall 1).
    PersistSignState(SignState),
    /// Append to the write-ahead log. Must be fsynced before the next `PersistSignState`, `Broadcast`, `Send` or
    /// `Decided`. Failure is fatal.
    AppendWal(Vec<u8>),
    /// Truncate the write-ahead log: this height begins and needs none of it.
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
    /// Build a block on the last committed one; answer with [`Input::BlockBuilt`] before the deadline.
    BuildBlock {
        /// The height to build for.
        height: Height,
        /// The round it is for.
        round: Round,
        /// When the other validators stop waiting for it (Unix milliseconds).
        deadline_ms: u64,
    },
    /// Decode, check and execute `body`; answer with [`Input::BlockVerdict`]. The body is not yet known to hash to
    /// `block_hash`: a body that does not is invalid. Judge these very bytes and use these very bytes afterwards
    /// (pitfall 18), and cache no verdict under the hash alone: another body may come for the same hash.
    ValidateBlock {
        /// The height the block is for.
        height: Height,
        /// The round it was proposed in, or certified in.
        round: Round,
        /// Who proposed it first in that round; must equal what the block says.
        proposer: ValidatorId,
        /// The hash the body must have.
        block_hash: B256,
        /// The body.
        body: Bytes,
    },
    /// The block is final. Commit it, then start the next height. Comes once a height.
    Decided {
        /// The proof.
        certificate: CommitCertificate,
        /// The decided block's body.
        body: Bytes,
    },
    /// A validator signed two conflicting messages.
    Equivocation(Evidence),
    /// A verified precommit of a decided height that has left the host's memory: compare it with the stored commit
    /// certificate of its height ([`crate::CommitCertificate::contradicted_by`]). At most
    /// [`crate::LATE_PRECOMMITS_PER_SECOND`] come from one peer in a second.
    LatePrecommit(SignedVote),
    /// A peer shows or claims a greater height: fetch decided blocks from it.
    Behind {
        /// The peer.
        peer: PeerToken,
        /// The height it spoke of.
        height: Height,
    },
    /// A peer sent what no honest node sends.
    Misbehaved {
        /// The peer.
        peer: PeerToken,
        /// What it did.
        reason: Misbehaviour,
    },
}

/// What an honest node never sends or forwards.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// A vote, proposal or certificate whose signature does not verify.
    #[error("invalid signature on a {0}")]
    InvalidSignature(&'static str),
    /// A certificate that breaks another rule.
    #[error("invalid {0}")]
    InvalidCertificate(&'static str),
    /// A proposal from a validator whose turn it is not.
    #[error("a proposal out of turn")]
    WrongProposer,
    /// A proposal that rests on a polka of its own round or a later one.
    #[error("a proposal with an impossible polka round")]
    WrongPolRound,
    /// A part with another length or hash than its proposal lists.
    #[error("a part that does not match its proposal")]
    WrongPart,
    /// A certified block that is invalid, or another body than the certified one.
    #[error("a decided block with a wrong body")]
    WrongBody,
    /// A list or body over its limit.
    #[error("a message over its limits")]
    OverLimit,
    /// A round beyond [`crate::MAX_ROUND`].
    #[error("an absurd round")]
    AbsurdRound,
}

/// What gossip should do with the last message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MessageVerdict {
    /// Verified and useful: forward it.
    Accept,
    /// Old, known, or not verifiable here: do not forward, do not blame.
    Ignore,
    /// Provably wrong: do not forward, and blame the peer.
    Reject,
}

/// How long the host waits, in milliseconds. Steps grow by `delta_ms` each round up to [`Timeouts::MAX_MS`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole proposal (built, gossiped, executed) before prevoting nil.
    pub propose_ms: u64,
    /// For more prevotes once a quorum voted without agreeing.
    pub prevote_ms: u64,
    /// For more precommits once a quorum voted without agreeing.
    pub precommit_ms: u64,
    /// Added to each of the three for every round.
    pub delta_ms: u64,
    /// Between repetitions of our last votes while nothing happens.
    pub rebroadcast_ms: u64,
}

impl Timeouts {
    /// No wait is longer.
    pub const MAX_MS: u64 = 60_000;

    pub(crate) fn step_ms(self, base_ms: u64, round: Round) -> u64 {
        let growth = self.delta_ms.saturating_mul(u64::from(round.0));
        base_ms.saturating_add(growth).min(Self::MAX_MS)
    }
}

impl Default for Timeouts {
    /// For validators spread over the world, with blocks of a second.
    fn default() -> Self {
        Self { propose_ms: 2_000, prevote_ms: 1_000, precommit_ms: 1_000, delta_ms: 500, rebroadcast_ms: 1_000 }
    }
}

/// The host's settings.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Genesis block hash: bound into every signature.
    pub chain: B256,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How long to wait for parts and proposals on their own before pulling them from a peer.
    pub pull_after_ms: u64,
    /// Decided heights kept to answer laggards, at most; together at most [`crate::MAX_KEPT_BYTES`].
    pub kept_decisions: usize,
}

impl HostConfig {
    /// Default settings for a chain.
    pub fn new(chain: B256) -> Self {
        Self { chain, timeouts: Timeouts::default(), pull_after_ms: 150, kept_decisions: 64 }
    }
}

/// Where the host stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// The height being decided, or last decided; 0 before the first start.
    pub height: Height,
    /// The current round.
    pub round: Round,
    /// The step within the round, or `None` before the first start.
    pub step: Option<HostStep>,
    /// Who proposes in this round.
    pub proposer: Option<ValidatorId>,
    /// Whether we sign for a member of the current set.
    pub validating: bool,
    /// Validators in the current set.
    pub validators: usize,
    /// The height, round and step of our last signature's round.
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

/// Why the write-ahead log cannot be replayed. The operator must act: the log is never reset silently (pitfall 2).
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
    /// Replaying led to another message than the one recorded.
    #[error("replaying the write-ahead log diverged at entry {index}: {reason}")]
    Diverged {
        /// Place in the log, from 0.
        index: usize,
        /// What the core reports.
        reason: String,
    },
}
