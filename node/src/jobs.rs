//! Work on the durable head that takes too long for the loop. A job blocks its thread; its result goes back to
//! the node.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{CommitCertificate, Height, Round, SignedVote, ValidatorId};
use causeway_execution::{ExecutedBlock, SystemCall};

use crate::{
    chain::{Chain, Outcome},
    evidence,
    handle::Event,
};

/// One piece of work.
#[derive(Debug)]
pub enum Job {
    /// Build a block; ends with [`Event::Built`]. A failure is logged, and the round goes on without a proposal.
    Build {
        /// Its height.
        height: Height,
        /// Its round.
        round: Round,
        /// When the proposal should be sent, Unix milliseconds on the steady clock.
        deadline_ms: u64,
        /// The proposer: this node's validator.
        proposer: ValidatorId,
        /// System transactions at the start of the block.
        system: Vec<SystemCall>,
    },
    /// Decode and execute a body; ends with [`Event::Executed`], [`Event::Refused`] or [`Event::ExecutionFailed`].
    Execute {
        /// Identifies the answer.
        job: u64,
        /// The height of the block.
        height: Height,
        /// The hash by which consensus knows the block.
        block_hash: B256,
        /// Whether more than two thirds have decided that hash.
        certified: bool,
        /// The encoded block.
        body: Bytes,
    },
    /// Make a decided block durable; ends with [`Event::Committed`]. A failed write is fatal.
    Commit {
        /// The block.
        executed: Arc<ExecutedBlock>,
        /// The certificate of the decision.
        certificate: CommitCertificate,
    },
    /// Compare a late precommit with the stored certificate of its height; ends with [`Event::Conflict`] if they conflict.
    Compare(SignedVote),
}

/// The result of a job.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are events, and few exist at a time")]
pub enum JobEnd {
    /// An event for the node.
    Event(Event),
    /// No result.
    Nothing,
    /// The process must stop for this reason.
    Fatal(String),
}

impl Job {
    /// Runs the job. Blocking.
    pub fn run(self, chain: &Chain) -> JobEnd {
        match self {
            Self::Build { height, round, deadline_ms, proposer, system } => {
                match chain.build(height, deadline_ms, proposer, system) {
                    Ok(executed) => JobEnd::Event(Event::Built { height, round, executed: Arc::new(executed) }),
                    Err(error) => {
                        tracing::error!(height = height.0, %error, "cannot build a block; this round has no proposal from this node");
                        JobEnd::Nothing
                    }
                }
            }
            Self::Execute { job, height, block_hash, certified, body } => {
                JobEnd::Event(match chain.execute(height, block_hash, certified, &body) {
                    Ok(executed) => Event::Executed { job, executed: Arc::new(executed) },
                    Err(Outcome::Refused(fault)) => Event::Refused { job, fault },
                    Err(Outcome::Failed(error)) => {
                        tracing::error!(height = height.0, %block_hash, %error, "cannot judge a block; no vote is cast on it until that works");
                        Event::ExecutionFailed { job }
                    }
                })
            }
            Self::Commit { executed, certificate } => match chain.commit(&executed, &certificate) {
                Ok(next) => JobEnd::Event(Event::Committed { executed, next: Box::new(next) }),
                Err(error) => JobEnd::Fatal(format!(
                    "cannot make block {} durable: {error}. Check the disk; the write-ahead log still holds the block.",
                    executed.block.header.number
                )),
            },
            Self::Compare(vote) => match evidence::compare(&chain.storage, &vote) {
                Ok(Some(found)) => JobEnd::Event(Event::Conflict(found)),
                Ok(None) => JobEnd::Nothing,
                Err(error) => {
                    tracing::error!(%error, "cannot compare a late vote with the certificate of its height");
                    JobEnd::Nothing
                }
            },
        }
    }
}
