//! Performs the effects of [`Node::handle`], strictly in order: the log is synced before the sign state is written, before a
//! message leaves, and before a block is committed. Synchronous; everything but the disk is behind [`Outside`].

use causeway_consensus::{ConsensusMessage, Evidence, PeerToken, Size, ValidatorId};
use causeway_federation::Federation;
use causeway_network::{GossipMessage, PenaltyReason, SyncRequest, Verdict};
use causeway_records::{PegSignStateFile, SignStateFile, Wal};
use eyre::eyre;

use crate::{
    chain::Chain,
    evidence::{self, Kept},
    handle::{Effect, Event, Node},
    jobs::{Job, JobEnd},
    sync::Ask,
};

/// Everything outside the node's loop.
pub trait Outside {
    /// Gossips a message.
    fn publish(&mut self, message: GossipMessage);
    /// Sends a message to one peer.
    fn send(&mut self, to: PeerToken, message: ConsensusMessage);
    /// Tells gossip whether to forward the message whose event is being handled; a rejected message counts against its sender.
    /// Called at most once for an event; has no effect when the message was not gossiped.
    fn verdict(&mut self, verdict: Verdict);
    /// Counts a fault of a peer.
    fn penalize(&mut self, peer: PeerToken, reason: PenaltyReason);
    /// Sends a request to a peer.
    fn request(&mut self, peer: PeerToken, request: SyncRequest);
    /// Runs a job off the loop; its result comes back through [`Performer::finish`].
    fn run(&mut self, job: Job);
    /// Runs a write that waits for the disk, and returns when it is done.
    fn blocking(&mut self, write: &mut dyn FnMut()) {
        write();
    }
}

/// The node's durable records: the log and the sign states.
#[derive(Debug)]
pub struct Records {
    /// The consensus write-ahead log.
    pub wal: Wal,
    /// The consensus key's sign state.
    pub sign_state: SignStateFile,
    /// The peg key's sign state.
    pub peg_signs: PegSignStateFile,
}

/// A node and its disk.
pub struct Performer {
    /// The decisions.
    pub node: Node,
    /// The chain its jobs work on.
    pub chain: Chain,
    records: Records,
    /// Whether the log has entries that are not synced.
    wal_dirty: bool,
}

impl Performer {
    /// A node that has not started; its first event is [`Event::Start`].
    pub fn new(node: Node, chain: Chain, records: Records) -> Self {
        Self { node, chain, records, wal_dirty: false }
    }

    /// The id of this node's consensus key, if it has one; it need not be a member of the set.
    pub fn validator(&self) -> Option<ValidatorId> {
        self.node.settings().validator
    }

    /// When [`Event::Tick`] is due if nothing else happens, Unix milliseconds on the steady clock.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.node.next_deadline_ms()
    }

    /// Whether the next update from the parent can be handled now; it waits while enough deposits are kept.
    pub fn takes_parent_updates(&self) -> bool {
        !self.node.federation().is_none_or(Federation::is_full)
    }

    /// The sizes of the node's and the pool's buffers, with their limits.
    pub fn sizes(&self) -> Vec<Size> {
        let mut sizes = self.node.sizes();
        let pool = self.chain.pool.lock();
        let (status, limits) = (pool.status(), pool.config());
        let transactions = status.pending.saturating_add(status.queued);
        sizes.push(Size { what: "transactions in the pool", held: transactions, most: limits.max_transactions });
        sizes.push(Size { what: "bytes of transactions in the pool", held: status.bytes, most: limits.max_bytes });
        sizes
    }

    /// Lets the node handle an event and performs the effects.
    ///
    /// # Errors
    /// Why the process must stop. The remaining effects are not performed.
    pub fn take(&mut self, event: Event, outside: &mut dyn Outside) -> eyre::Result<()> {
        for effect in self.node.handle(self.chain.clocks.steady_ms(), event) {
            self.perform(effect, outside)?;
        }
        Ok(())
    }

    /// Handles the result of a job.
    ///
    /// # Errors
    /// As [`Performer::take`].
    pub fn finish(&mut self, end: JobEnd, outside: &mut dyn Outside) -> eyre::Result<()> {
        match end {
            JobEnd::Event(event) => self.take(event, outside),
            JobEnd::Nothing => Ok(()),
            JobEnd::Fatal(reason) => Err(eyre!(reason)),
        }
    }

    fn perform(&mut self, effect: Effect, outside: &mut dyn Outside) -> eyre::Result<()> {
        match effect {
            Effect::PersistSignState(state) => {
                // The log first: the sign state must never name a block whose body a crash can still lose.
                self.sync_wal(outside)?;
                written(outside, || Ok(self.records.sign_state.store(&state)?))?;
            }
            Effect::AppendWal(entry) => {
                self.records.wal.append(&entry)?;
                self.wal_dirty = true;
            }
            Effect::ResetWal(height) => {
                written(outside, || Ok(self.records.wal.reset(height.0)?))?;
                self.wal_dirty = false;
            }
            Effect::PersistPegSigns(signs) => written(outside, || Ok(self.records.peg_signs.store(&signs)?))?,
            Effect::GossipConsensus(message) => {
                self.sync_wal(outside)?;
                outside.publish(GossipMessage::Consensus(message));
            }
            Effect::GossipPeg(message) => outside.publish(GossipMessage::Peg(message)),
            Effect::Send { to, message } => {
                self.sync_wal(outside)?;
                outside.send(to, message);
            }
            Effect::Verdict(verdict) => outside.verdict(verdict),
            Effect::Penalize { peer, reason } => {
                self.chain.metrics.peer_faults.inc();
                outside.penalize(peer, reason);
            }
            Effect::Ask(Ask::Status { peer }) => outside.request(peer, SyncRequest::Status),
            Effect::Ask(Ask::Blocks { peer, from, max }) => outside.request(peer, SyncRequest::Blocks { from, max }),
            Effect::Build { height, round, deadline_ms, system } => {
                if let Some(proposer) = self.validator() {
                    outside.run(Job::Build { height, round, deadline_ms, proposer, system });
                }
            }
            Effect::Execute { job, height, block_hash, certified, body } => {
                outside.run(Job::Execute { job, height, block_hash, certified, body });
            }
            Effect::Commit { executed, certificate, missed } => {
                self.sync_wal(outside)?;
                if missed {
                    self.chain.metrics.missed.inc();
                }
                outside.run(Job::Commit { executed, certificate });
            }
            Effect::Evidence(evidence) => outside.blocking(&mut || keep_evidence(&self.chain, &evidence)),
            Effect::Compare(vote) => outside.run(Job::Compare(vote)),
            Effect::InvalidBlock => {
                self.chain.metrics.invalid_blocks.inc();
            }
            Effect::Halt(reason) => return Err(eyre!(reason)),
        }
        Ok(())
    }

    fn sync_wal(&mut self, outside: &mut dyn Outside) -> eyre::Result<()> {
        if self.wal_dirty {
            written(outside, || Ok(self.records.wal.sync()?))?;
            self.wal_dirty = false;
        }
        Ok(())
    }
}

/// Runs a write that waits for the disk and returns its result.
fn written(outside: &mut dyn Outside, mut write: impl FnMut() -> eyre::Result<()>) -> eyre::Result<()> {
    let mut outcome = None;
    outside.blocking(&mut || outcome = Some(write()));
    outcome.ok_or_else(|| eyre!("a write was not made"))?
}

/// Counts an offence, logs it for the operator, and stores the proof until a block carries it.
fn keep_evidence(chain: &Chain, evidence: &Evidence) {
    chain.metrics.equivocations.inc();
    match evidence::keep(&chain.genesis, &chain.storage, evidence) {
        Ok(Kept::New) => tracing::error!(hash = %evidence.hash(), "{evidence}; the evidence is kept for a block"),
        Ok(Kept::Enough) => tracing::warn!(hash = %evidence.hash(), "{evidence}; enough evidence against it is kept"),
        // A tombstoned validator must not be able to fill the log.
        Ok(Kept::Settled) => tracing::debug!(hash = %evidence.hash(), "{evidence}; that is settled already"),
        Err(error) => tracing::error!(%error, "{evidence}; but the evidence cannot be kept"),
    }
}

#[cfg(test)]
mod tests;
