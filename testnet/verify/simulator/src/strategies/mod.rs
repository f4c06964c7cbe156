//! Byzantine members: production nodes whose messages a strategy replaces on their way out.
//!
//! A strategy runs around a node that executes production code with the member's own keys. It sees what arrives at its machine,
//! replaces what leaves, doctors the blocks its node builds and the answers it gives, speaks unasked, and may have its machine
//! restart and forget. Whatever it signs beside its node it signs with the same keys. All its chances come from the strategies'
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

/// How often [`Strategy::tick`] is called.
pub const TICK_MS: u64 = 50;

/// What a strategy may use.
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
    /// Which strategy it is.
    pub kind: StrategyKind,
    /// Where it says that it has acted.
    pub coverage: &'a mut Coverage,
    /// Randomness.
    pub rng: &'a mut Rng,
}

/// What leaves: each message after an extra delay in milliseconds.
pub type Outgoing = Vec<(u64, GossipMessage)>;

/// What a member does instead of what it should.
pub trait Strategy: std::fmt::Debug {
    /// What really leaves for `to` when the node publishes or sends `message`. Asked once for each receiver, in ascending order.
    fn outgoing(&mut self, out: &mut Context<'_>, to: usize, message: &GossipMessage) -> Outgoing;

    /// What arrives from a peer; whether its node hears it. Unless the strategy wants otherwise, a node is not shown what its
    /// own key has signed: it would notice that somebody else signs with it, and stop.
    fn heard(&mut self, out: &mut Context<'_>, _from: usize, message: &GossipMessage) -> bool {
        !out.is_own(message)
    }

    /// Whether its node passes on a message of others that it has accepted.
    fn relays(&self, _: &Context<'_>, _: &GossipMessage) -> bool {
        true
    }

    /// The block that is proposed instead of the one that was built.
    fn built(&mut self, _: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        block
    }

    /// What a peer that asks is answered; `None` for nothing.
    fn answer(&mut self, _: &mut Context<'_>, _: &SyncRequest, honest: SyncResponse) -> Option<SyncResponse> {
        Some(honest)
    }

    /// What it sends unasked, and to whom, every [`TICK_MS`].
    fn tick(&mut self, _: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        Vec::new()
    }

    /// Whether its machine restarts now. Asked at every tick.
    fn restarts(&mut self, _: &mut Context<'_>) -> bool {
        false
    }

    /// What of its disk it forgets when it starts again.
    fn forgets(&mut self, _: &mut Context<'_>) -> Vec<&'static str> {
        Vec::new()
    }
}

impl Context<'_> {
    /// Counts a wrong that was done.
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

/// A message that leaves as it is.
fn as_it_is(message: &GossipMessage) -> Outgoing {
    vec![(0, message.clone())]
}
