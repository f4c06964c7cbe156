//! Events in the queue, and effects of a node on the world.

use causeway::{
    handle::Event as NodeEvent,
    jobs::{Job, JobEnd},
    perform::Outside,
};
use causeway_consensus::{ConsensusMessage, PeerToken};
use causeway_network::{GossipMessage, PenaltyReason, SyncRequest, Verdict};

use crate::network::SharedPacket;

/// A life of a machine: events for another life are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) machine: usize,
    pub(super) life: u64,
}

/// An event at its time.
#[derive(Debug)]
pub(super) enum Event {
    /// A machine's deadline may have come.
    Wake(Life),
    /// A gossiped message arrives from the machine `via`.
    Gossip { to: Life, via: usize, packet: SharedPacket },
    /// A message to a single machine arrives.
    Direct { to: Life, packet: SharedPacket },
    /// A node learns that a connection to a peer was made or has ended.
    Link(Life, usize),
    /// An event of a node.
    Node(Life, Box<NodeEvent>),
    /// A job does its work; its result is reported after a further delay.
    Work(Life, Box<Job>, u64),
    /// A job has ended.
    End(Life, Box<JobEnd>),
    /// A request arrives at a peer.
    Request { to: Life, from: Life, request: SyncRequest },
    /// A pool may have transactions to gossip.
    Announce(Life),
    /// A machine starts.
    Start(usize),
    /// A machine may crash.
    Crash(usize),
    /// A machine's wall clock is set.
    Jump(usize),
    /// A partition begins, flips or ends.
    Partition { index: usize, cut: bool },
    /// Connections over links that stay cut end.
    Disconnect { index: usize },
    /// The parent's turn.
    Parent,
    /// The users' turn.
    Users,
    /// A Byzantine member may send messages on its own.
    Strategy(usize),
}

/// Effects of a node while it handled an event, in order.
#[derive(Debug)]
pub(super) enum Wanted {
    Publish(GossipMessage),
    Send(PeerToken, ConsensusMessage),
    Verdict(Verdict),
    Penalize(PeerToken, PenaltyReason),
    Request(PeerToken, SyncRequest),
    Run(Job),
}

/// Collects the effects.
#[derive(Debug, Default)]
pub(super) struct Outbox(pub(super) Vec<Wanted>);

impl Outside for Outbox {
    fn publish(&mut self, message: GossipMessage) {
        self.0.push(Wanted::Publish(message));
    }

    fn send(&mut self, to: PeerToken, message: ConsensusMessage) {
        self.0.push(Wanted::Send(to, message));
    }

    fn verdict(&mut self, verdict: Verdict) {
        self.0.push(Wanted::Verdict(verdict));
    }

    fn penalize(&mut self, peer: PeerToken, reason: PenaltyReason) {
        self.0.push(Wanted::Penalize(peer, reason));
    }

    fn request(&mut self, peer: PeerToken, request: SyncRequest) {
        self.0.push(Wanted::Request(peer, request));
    }

    fn run(&mut self, job: Job) {
        self.0.push(Wanted::Run(job));
    }
}
