//! The inputs and outputs of the node's decisions.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{
    CommitCertificate, ConsensusMessage, Evidence, Height, PeerToken, Round, SignState, SignedVote,
};
use causeway_execution::{BlockFault, DecodeError, ExecutedBlock, SystemCall};
use causeway_network::{GossipMessage, PenaltyReason, SyncResponse, Verdict};
use causeway_parent::ParentUpdate;
use causeway_peg::{PegMessage, PegSigns};

use crate::{sets::NextHeight, sync::Ask};

/// An input.
#[derive(Debug)]
pub enum Event {
    /// The node starts: begin the height after the durable head, or recover it from the write-ahead log.
    Start {
        /// Entries of the write-ahead log for the height in progress; empty when there are none.
        wal: Vec<Vec<u8>>,
    },
    /// A peer connected.
    PeerConnected(PeerToken),
    /// A peer disconnected.
    PeerDisconnected(PeerToken),
    /// A consensus message, gossiped or sent to this node only; it needs a verdict.
    Consensus {
        /// The sender.
        from: PeerToken,
        /// The message.
        message: ConsensusMessage,
    },
    /// A gossiped peg signature.
    Peg {
        /// The sender.
        from: PeerToken,
        /// The message.
        message: PegMessage,
    },
    /// A peer reported its head.
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
        /// The blocks, unverified.
        blocks: Vec<(Bytes, CommitCertificate)>,
    },
    /// A request to a peer failed.
    RequestFailed {
        /// The peer.
        from: PeerToken,
    },
    /// The block requested by [`Effect::Build`] is ready.
    Built {
        /// Its height.
        height: Height,
        /// Its round.
        round: Round,
        /// The block with its outcome.
        executed: Arc<ExecutedBlock>,
    },
    /// The block of [`Effect::Execute`] was executed and is valid.
    Executed {
        /// The job.
        job: u64,
        /// Its outcome.
        executed: Arc<ExecutedBlock>,
    },
    /// The body of [`Effect::Execute`] is invalid.
    Refused {
        /// The job.
        job: u64,
        /// The rule it breaks.
        fault: BodyFault,
    },
    /// This node could not execute the body because of a local failure; it tries again.
    ExecutionFailed {
        /// The job.
        job: u64,
    },
    /// The block given in [`Effect::Commit`] is durable.
    Committed {
        /// The block.
        executed: Arc<ExecutedBlock>,
        /// The data of the next height from its state.
        next: Box<NextHeight>,
    },
    /// A late precommit conflicts with the certificate of its height.
    Conflict(Evidence),
    /// An update from the parent chain.
    Parent(ParentUpdate),
    /// A deadline passed.
    Tick,
}

impl Event {
    /// Converts a gossiped message to an event.
    ///
    /// # Errors
    /// A batch of transactions, which is [admitted](crate::transactions::Admission) outside the loop.
    pub fn gossiped(from: PeerToken, message: GossipMessage) -> Result<Self, Vec<Bytes>> {
        match message {
            GossipMessage::Consensus(message) => Ok(Self::Consensus { from, message }),
            GossipMessage::Peg(message) => Ok(Self::Peg { from, message }),
            GossipMessage::Transactions(batch) => Err(batch),
        }
    }

    /// Converts a peer's answer to an event.
    pub fn answered(from: PeerToken, answer: SyncResponse) -> Self {
        match answer {
            SyncResponse::Status { head, .. } => Self::PeerHead { from, head },
            SyncResponse::Blocks(blocks) => Self::Blocks { from, blocks },
        }
    }
}

/// An output. The outputs are performed in order; see [`crate::perform`].
#[derive(Debug)]
pub enum Effect {
    /// Write and fsync the sign state.
    PersistSignState(SignState),
    /// Append to the write-ahead log; fsynced before the next message leaves.
    AppendWal(Vec<u8>),
    /// Start the write-ahead log of a height.
    ResetWal(Height),
    /// Write and fsync the record of the peg key's signatures.
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
    /// Tell gossip whether to forward the current message; a rejected message counts against its sender.
    Verdict(Verdict),
    /// Count a fault of a peer.
    Penalize {
        /// The peer.
        peer: PeerToken,
        /// The fault.
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
        /// When the proposal should be sent, Unix milliseconds.
        deadline_ms: u64,
        /// System transactions at the start of the block.
        system: Vec<SystemCall>,
    },
    /// Decode, execute and check a block on the durable head.
    Execute {
        /// Identifies the answer.
        job: u64,
        /// Its height.
        height: Height,
        /// The hash by which consensus knows the block; the body may have another.
        block_hash: B256,
        /// Whether more than two thirds have decided that hash; then the check against this node's clock is skipped.
        certified: bool,
        /// The encoded block.
        body: Bytes,
    },
    /// Make a decided block durable, then answer [`Event::Committed`].
    Commit {
        /// The block.
        executed: Arc<ExecutedBlock>,
        /// The certificate of the decision.
        certificate: CommitCertificate,
        /// Whether this node's validator is a member and the certificate lacks its signature.
        missed: bool,
    },
    /// A validator signed two conflicting messages: store the evidence for a block.
    Evidence(Evidence),
    /// Compare this verified precommit with the stored certificate of its height; answer [`Event::Conflict`] if they conflict.
    Compare(SignedVote),
    /// A proposed block is invalid; count it.
    InvalidBlock,
    /// Stop the process, because it cannot continue safely.
    Halt(String),
}

/// Why a body from consensus is invalid.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The bytes are not a block.
    #[error("not a block: {0}")]
    Encoding(#[from] DecodeError),
    /// The block's hash differs from the proposal's.
    #[error("the block's hash is {actual}, the proposal says {expected}")]
    Hash {
        /// The hash by which consensus knows the block.
        expected: B256,
        /// The hash of the bytes.
        actual: B256,
    },
    /// The transactions or the certificate of the previous block differ from the header's commitments.
    #[error(
        "this is not the content of block {0}: its header commits to other transactions or another parent certificate"
    )]
    Content(B256),
    /// The block breaks a rule.
    #[error(transparent)]
    Block(Box<BlockFault>),
}
