//! What goes into the node's decisions and what comes out.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{
    CommitCertificate, ConsensusMessage, Evidence, Height, PeerToken, Round, SignState, SignedVote,
};
use causeway_execution::{BlockFault, DecodeError, ExecutedBlock, SystemCall};
use causeway_network::{GossipMessage, PenaltyReason, SyncResponse, Verdict};
use causeway_parent::ParentUpdate;
use causeway_peg::PegMessage;

use crate::{peg_desk::PegSigns, sets::NextHeight, sync::Ask};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The node starts: begin the height after the durable head, or recover it from the write-ahead log.
    Start {
        /// Entries of the write-ahead log for the height in progress; empty when there are none.
        wal: Vec<Vec<u8>>,
    },
    /// A connection to a peer stands.
    PeerConnected(PeerToken),
    /// A connection to a peer ended.
    PeerDisconnected(PeerToken),
    /// A consensus message, by gossip or sent to this node alone; it wants a verdict.
    Consensus {
        /// The sender.
        from: PeerToken,
        /// The message.
        message: ConsensusMessage,
    },
    /// A peg signature by gossip.
    Peg {
        /// The sender.
        from: PeerToken,
        /// The message.
        message: PegMessage,
    },
    /// A peer told its head.
    PeerHead {
        /// The peer.
        from: PeerToken,
        /// The height it has committed.
        head: u64,
    },
    /// A peer answered a request for blocks.
    Blocks {
        /// The peer.
        from: PeerToken,
        /// Its blocks, unverified.
        blocks: Vec<(Bytes, CommitCertificate)>,
    },
    /// A request to a peer failed.
    RequestFailed {
        /// The peer.
        from: PeerToken,
    },
    /// The block asked for by [`Effect::Build`] is ready.
    Built {
        /// Its height.
        height: Height,
        /// Its round.
        round: Round,
        /// The block with its outcome.
        executed: Arc<ExecutedBlock>,
    },
    /// The block given in [`Effect::Execute`] was executed and holds.
    Executed {
        /// The job.
        job: u64,
        /// Its outcome.
        executed: Arc<ExecutedBlock>,
    },
    /// The body given in [`Effect::Execute`] is invalid.
    Refused {
        /// The job.
        job: u64,
        /// The rule it breaks.
        fault: BodyFault,
    },
    /// This node could not execute the body for a reason of its own; it is tried again.
    ExecutionFailed {
        /// The job.
        job: u64,
    },
    /// The block given in [`Effect::Commit`] is durable.
    Committed {
        /// The block.
        executed: Arc<ExecutedBlock>,
        /// What its state says of the next height.
        next: Box<NextHeight>,
    },
    /// A late precommit conflicts with the certificate of its height.
    Conflict(Evidence),
    /// News from the parent chain.
    Parent(ParentUpdate),
    /// A deadline passed.
    Tick,
}

impl Event {
    /// A gossiped message as an event.
    ///
    /// # Errors
    /// The batch, when it is one of transactions: those are [admitted](crate::transactions::Admission) beside the loop.
    pub fn gossiped(from: PeerToken, message: GossipMessage) -> Result<Self, Vec<Bytes>> {
        match message {
            GossipMessage::Consensus(message) => Ok(Self::Consensus { from, message }),
            GossipMessage::Peg(message) => Ok(Self::Peg { from, message }),
            GossipMessage::Transactions(batch) => Err(batch),
        }
    }

    /// A peer's answer as an event.
    pub fn answered(from: PeerToken, answer: SyncResponse) -> Self {
        match answer {
            SyncResponse::Status { head, .. } => Self::PeerHead { from, head },
            SyncResponse::Blocks(blocks) => Self::Blocks { from, blocks },
        }
    }
}

/// What is to be done next, in order; see [`crate::perform`].
#[derive(Debug)]
pub enum Effect {
    /// Write and fsync the sign state.
    PersistSignState(SignState),
    /// Append to the write-ahead log; fsynced before the next message leaves.
    AppendWal(Vec<u8>),
    /// Begin the write-ahead log of a height.
    ResetWal(Height),
    /// Write and fsync what the peg key has signed.
    PersistPegSigns(PegSigns),
    /// Gossip a consensus message.
    GossipConsensus(ConsensusMessage),
    /// Gossip a peg signature.
    GossipPeg(PegMessage),
    /// Send a consensus message to one peer.
    Send {
        /// The peer.
        to: PeerToken,
        /// The message.
        message: ConsensusMessage,
    },
    /// Tell gossip whether the message in hand is forwarded; a rejected one counts against its sender.
    Verdict(Verdict),
    /// Count a fault of a peer.
    Penalize {
        /// The peer.
        peer: PeerToken,
        /// What it did.
        reason: PenaltyReason,
    },
    /// Ask a peer for its head or for blocks.
    Ask(Ask),
    /// Build a block on the durable head.
    Build {
        /// Its height.
        height: Height,
        /// Its round.
        round: Round,
        /// When the proposal should be out, Unix milliseconds.
        deadline_ms: u64,
        /// System transactions it begins with.
        system: Vec<SystemCall>,
    },
    /// Decode, execute and check a block on the durable head.
    Execute {
        /// Names the answer.
        job: u64,
        /// Its height.
        height: Height,
        /// The hash that consensus knows it by; the body need not have it.
        block_hash: B256,
        /// Whether more than two thirds have decided that hash: then this node's own clock has no say in it.
        certified: bool,
        /// Its encoding.
        body: Bytes,
    },
    /// Make a decided block durable, then answer [`Event::Committed`].
    Commit {
        /// The block.
        executed: Arc<ExecutedBlock>,
        /// What decided it.
        certificate: CommitCertificate,
        /// Whether this node's validator is a member and its signature is missing.
        missed: bool,
    },
    /// A validator signed two conflicting messages: keep that for a block.
    Evidence(Evidence),
    /// Compare this verified precommit with the stored certificate of its height; answer [`Event::Conflict`] if they conflict.
    Compare(SignedVote),
    /// A proposed block was found invalid; for the counter.
    InvalidBlock,
    /// Stop the process: going on would be unsafe.
    Halt(String),
}

/// Why a body that consensus carries is refused.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The bytes are not a block.
    #[error("not a block: {0}")]
    Encoding(#[from] DecodeError),
    /// The block has another hash than the proposal said.
    #[error("the block's hash is {actual}, the proposal says {expected}")]
    Hash {
        /// What consensus knows it by.
        expected: B256,
        /// What the bytes hash to.
        actual: B256,
    },
    /// Transactions or parent certificate are others than the header commits to.
    #[error(
        "this is not the content of block {0}: its header commits to other transactions or another parent certificate"
    )]
    Content(B256),
    /// The block breaks a rule.
    #[error(transparent)]
    Block(Box<BlockFault>),
}
