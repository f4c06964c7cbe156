//! Byzantine members: production nodes whose outgoing messages are replaced by a strategy.
//!
//! A strategy wraps a node that executes production code with the member's own keys. It sees the messages that arrive at its machine,
//! replaces outgoing ones, changes the blocks that its node builds and the answers that it gives, sends messages on its own, and may make its machine
//! restart and forget. Its own signatures use the same keys. All its randomness comes from the strategies'
//! own stream.

mod amnesia;
mod bad_signatures;
mod blocks;
pub mod control;
mod duplicate_signer;
mod equivocate_proposals;
mod equivocate_votes;
mod fake_evidence;
mod fake_sync;
mod forged_certificates;
mod forgery;
mod hearsay;
mod invalid_block;
mod kind;
mod late_proposer;
mod peg_checkpoint;
mod peg_import;
mod peg_next_set;
mod peg_views;
mod peg_withhold;
mod selective;
mod silent;
mod spam;
mod time_lies;
mod twins;
mod withhold_parts;
mod withhold_votes;
pub mod witness;
mod wrong_state_root;

use std::sync::Arc;

use causeway_consensus::{ConsensusMessage, SignedVote, ValidatorId, ValidatorSet};
use causeway_execution::ExecutedBlock;
use causeway_genesis::Genesis;
use causeway_network::{GossipMessage, SyncRequest, SyncResponse};

pub use self::kind::{StrategyKind, most_byzantine};
use crate::{Coverage, Machine, Plan, rng::Rng};

/// Interval of the calls of [`Strategy::tick`].
pub const TICK_MS: u64 = 50;

/// The means of a strategy.
#[derive(Debug)]
pub struct Context<'a> {
    /// The world's time.
    pub now_ms: u64,
    /// The plan of the run.
    pub plan: &'a Plan,
    /// The chain.
    pub genesis: &'a Arc<Genesis>,
    /// The machine it runs on.
    pub own: &'a Machine,
    /// Number of machines.
    pub machines: usize,
    /// The height of its durable head.
    pub head: u64,
    /// The strategy's kind.
    pub kind: StrategyKind,
    /// Coverage, where it counts its actions.
    pub coverage: &'a mut Coverage,
    /// Randomness.
    pub rng: &'a mut Rng,
}

/// Outgoing messages, each with an extra delay in milliseconds.
pub type Outgoing = Vec<(u64, GossipMessage)>;

/// The behaviour of a Byzantine member.
pub trait Strategy: std::fmt::Debug {
    /// The messages really sent to `to` when the node publishes or sends `message`. Called once for each receiver, in ascending order.
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing;

    /// A message arrives from a peer. Returns whether its node receives it. By default a node does not receive messages that its
    /// own key has signed: it would detect another signer with its key, and stop.
    fn heard(&mut self, out: &mut Context<'_>, _from: usize, message: &GossipMessage) -> bool {
        !out.is_own(message)
    }

    /// Whether its node passes on a message of others that it has accepted.
    fn relays(&self, _: &Context<'_>, _: &GossipMessage) -> bool {
        true
    }

    /// The block to propose instead of the built one.
    fn built(&mut self, _: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        block
    }

    /// The answer to a peer's request; `None` for no answer.
    fn answer(&mut self, _: &mut Context<'_>, _: &SyncRequest, honest: SyncResponse) -> Option<SyncResponse> {
        Some(honest)
    }

    /// Messages that it sends on its own, with their receivers, every [`TICK_MS`].
    fn tick(&mut self, _: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        Vec::new()
    }

    /// Whether its machine restarts now. Called at every tick.
    fn restarts(&mut self, _: &mut Context<'_>) -> bool {
        false
    }

    /// The files that it deletes before it starts again.
    fn forgets(&mut self, _: &mut Context<'_>) -> Vec<&'static str> {
        Vec::new()
    }
}

impl Context<'_> {
    /// Counts an action.
    pub fn acted(&mut self) {
        self.coverage.hit(self.kind.counter());
    }

    /// The member.
    pub fn id(&self) -> ValidatorId {
        self.own.validator()
    }

    /// All other machines.
    pub fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.own.index;
        (0..self.machines).filter(move |machine| *machine != own)
    }

    /// The members of the height after its head.
    pub fn set(&self) -> Option<ValidatorSet> {
        self.own.chain().map(|chain| chain.sets.of_next().set)
    }

    /// The round its node is in.
    pub fn round(&self) -> u32 {
        self.own.node().map_or(0, |node| node.consensus_status().round.0)
    }

    /// The vote in a message, when this member signed it.
    pub fn own_vote<'m>(&self, message: &'m GossipMessage) -> Option<&'m SignedVote> {
        match message {
            GossipMessage::Consensus(ConsensusMessage::Vote(signed)) if signed.vote.validator == self.id() => {
                Some(signed)
            }
            _ => None,
        }
    }

    /// Whether this member signed a message as a whole.
    pub fn is_own(&self, message: &GossipMessage) -> bool {
        match message {
            GossipMessage::Consensus(ConsensusMessage::Vote(signed)) => signed.vote.validator == self.id(),
            GossipMessage::Consensus(ConsensusMessage::Proposal(signed)) => signed.proposal.proposer == self.id(),
            GossipMessage::Peg(message) => message.signer == self.own.keys.peg_address(),
            _ => false,
        }
    }
}

/// An unchanged message.
fn as_it_is(message: &GossipMessage) -> Outgoing {
    vec![(0, message.clone())]
}
