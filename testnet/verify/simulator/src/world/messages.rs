//! Messages between machines.

use std::{
    cell::Cell,
    hash::{DefaultHasher, Hasher},
    rc::Rc,
};

use causeway::{handle::Event as NodeEvent, jobs::JobEnd};
use causeway_consensus::{ConsensusMessage, PeerToken};
use causeway_network::{GossipMessage, Verdict};
use causeway_peg::PegMessage;

use super::{Leaving, World, event::Event, pools::is_full, scene};
use crate::{
    Violation,
    network::{MachineSet, Packet, SharedPacket},
    setup::{machine_of, token},
};

/// Number of peers to which a node forwards an accepted message.
const MESH: u64 = 4;

/// The message decoded from its bytes on the wire, and a hash of these.
fn over_the_wire(message: GossipMessage) -> (u64, GossipMessage) {
    let mut hasher = DefaultHasher::new();
    let message = match message {
        GossipMessage::Consensus(message) => {
            let bytes = message.encode();
            hasher.write(&bytes);
            GossipMessage::Consensus(ConsensusMessage::decode(&bytes).expect("what a node encodes, its peers decode"))
        }
        GossipMessage::Peg(message) => {
            let bytes = message.encode();
            hasher.write(&bytes);
            GossipMessage::Peg(PegMessage::decode(&bytes).expect("what a node encodes, its peers decode"))
        }
        // A list of byte strings, whose content is decoded by the receiver.
        GossipMessage::Transactions(batch) => {
            batch.iter().for_each(|transaction| hasher.write(transaction));
            GossipMessage::Transactions(batch)
        }
    };
    (hasher.finish(), message)
}

pub(super) fn packet(origin: usize, message: GossipMessage) -> SharedPacket {
    let (digest, message) = over_the_wire(message);
    let reached = Cell::new(MachineSet::from_iter([origin]));
    Rc::new(Packet { digest, origin, message, reached })
}

/// For the transcript.
pub(super) fn describe(message: &GossipMessage) -> String {
    match message {
        GossipMessage::Transactions(batch) => format!("{} transactions", batch.len()),
        GossipMessage::Peg(message) => format!("{message:?}").chars().take(160).collect(),
        GossipMessage::Consensus(message) => match message {
            ConsensusMessage::Vote(signed) => {
                let vote = &signed.vote;
                let what = vote.block_hash.map_or("nil".to_owned(), |hash| hash.to_string());
                format!("{:?} {what} at {}/{}", vote.kind, vote.height.0, vote.round.0)
            }
            ConsensusMessage::Proposal(signed) => {
                let proposal = &signed.proposal;
                format!("proposal {} at {}/{}", proposal.block_hash, proposal.height.0, proposal.round.0)
            }
            ConsensusMessage::Part(part) => format!("part {} at {}", part.index, part.height.0),
            other => format!("{other:?}").chars().take(120).collect(),
        },
    }
}

impl World {
    /// A node publishes a message.
    pub(super) fn publish(&mut self, index: usize, message: GossipMessage) -> Result<(), Violation> {
        self.trace.line(self.now_ms, || format!("{index} publishes {}", describe(&message)));
        if !self.lets_out(index, &message)? {
            return Ok(());
        }
        if self.machines[index].strategy.is_some() {
            self.distort(index, None, &message);
            return Ok(());
        }
        let packet = packet(index, message);
        self.trace.note((self.now_ms, index, packet.digest));
        self.spread(index, &packet);
        Ok(())
    }

    /// Shows a message to the checks and the gate. Returns whether it is sent.
    fn lets_out(&mut self, index: usize, message: &GossipMessage) -> Result<bool, Violation> {
        if self.machines[index].honest {
            self.checks.sent(&mut scene!(self), index, message)?;
        }
        let Some(gate) = &mut self.gate else { return Ok(true) };
        Ok(gate(&Leaving { now_ms: self.now_ms, machine: index, life: self.machines[index].life, message }))
    }

    /// Sends a copy to every machine without one.
    fn spread(&mut self, from: usize, packet: &SharedPacket) {
        for to in 0..self.machines.len() {
            if !packet.reached.get().contains(to) {
                self.copy(from, to, packet, 0);
            }
        }
    }

    /// Sends one copy.
    pub(super) fn copy(&mut self, from: usize, to: usize, packet: &SharedPacket, extra_ms: u64) {
        if !self.machines[to].is_up() {
            return;
        }
        let passage = self.network.pass(&mut self.streams.network, from, to);
        let Some(arrives_ms) = passage.arrives_ms else {
            self.coverage.hit("message_lost");
            return;
        };
        // A slow copy does not prevent a third machine from forwarding its own.
        if !self.network.is_slow(from, to) {
            let mut reached = packet.reached.get();
            reached.insert(to);
            packet.reached.set(reached);
        }
        let to = self.life(to);
        for delay_ms in [Some(arrives_ms), passage.again_ms].into_iter().flatten() {
            let event = Event::Gossip { to, via: from, packet: packet.clone() };
            self.schedule.after(delay_ms + extra_ms, event);
        }
    }

    /// Gossip arrives.
    pub(super) fn hear(&mut self, index: usize, via: usize, packet: &SharedPacket) -> Result<(), Violation> {
        self.trace.note((self.now_ms, index, via, packet.digest));
        if !self.lets_in(index, via, &packet.message) {
            return Ok(());
        }
        match NodeEvent::gossiped(token(via), packet.message.clone()) {
            Ok(event) => self.feed_witnessed(index, event, packet, true),
            Err(batch) => {
                let Some(up) = &self.machines[index].up else { return Ok(()) };
                let was_full = is_full(&self.machines[index], self.plan.pool);
                let verdict = up.admission.gossiped(&batch);
                if was_full && verdict == Verdict::Accept {
                    self.coverage.hit("pool_made_room");
                }
                self.judged(index, verdict, Some(packet))?;
                self.set_announce(index, 0);
                Ok(())
            }
        }
    }

    /// A node gives its verdict on a gossiped message. It forwards an accepted message to the peers of its mesh that lack it.
    pub(super) fn judged(
        &mut self,
        index: usize,
        verdict: Verdict,
        packet: Option<&SharedPacket>,
    ) -> Result<(), Violation> {
        let Some(packet) = packet else { return Ok(()) };
        match verdict {
            Verdict::Ignore => {}
            Verdict::Accept => {
                if !self.passes_on(index, &packet.message) {
                    return Ok(());
                }
                let all = MachineSet::first(self.machines.len());
                for to in all.without(&packet.reached.get()).iter() {
                    if self.streams.network.below(self.machines.len() as u64 - 1) < MESH {
                        self.copy(index, to, packet, 0);
                    }
                }
            }
            Verdict::Reject => {
                let judged = !self.checks.is_muted();
                if judged && self.machines[index].honest && self.machines[packet.origin].honest {
                    let text =
                        format!("it rejects an honest message of {}: {}", packet.origin, describe(&packet.message));
                    return Err(self.violation(index, "blame", text));
                }
            }
        }
        Ok(())
    }

    /// A node sends a message to one peer.
    pub(super) fn send(&mut self, index: usize, to: PeerToken, message: ConsensusMessage) -> Result<(), Violation> {
        let message = GossipMessage::Consensus(message);
        let to = machine_of(to);
        self.trace.line(self.now_ms, || format!("{index} sends {to} {}", describe(&message)));
        if !self.lets_out(index, &message)? || to >= self.machines.len() {
            return Ok(());
        }
        if self.machines[index].strategy.is_some() {
            self.distort(index, Some(to), &message);
            return Ok(());
        }
        let packet = packet(index, message);
        self.trace.note((self.now_ms, index, to, packet.digest));
        self.direct(index, to, &packet, 0);
        Ok(())
    }

    pub(super) fn direct(&mut self, from: usize, to: usize, packet: &SharedPacket, extra_ms: u64) {
        if !self.machines[to].is_up() {
            return;
        }
        let passage = self.network.pass(&mut self.streams.network, from, to);
        for delay_ms in [passage.arrives_ms, passage.again_ms].into_iter().flatten() {
            let event = Event::Direct { to: self.life(to), packet: packet.clone() };
            self.schedule.after(delay_ms + extra_ms, event);
        }
    }

    /// A message to a single machine arrives.
    pub(super) fn hear_direct(&mut self, index: usize, packet: &SharedPacket) -> Result<(), Violation> {
        self.trace.note((self.now_ms, index, "direct", packet.digest));
        if !self.lets_in(index, packet.origin, &packet.message) {
            return Ok(());
        }
        match NodeEvent::gossiped(token(packet.origin), packet.message.clone()) {
            Ok(event) => self.feed_witnessed(index, event, packet, false),
            Err(_) => Ok(()),
        }
    }

    /// A node handles a message; the witness records the offences that the node can now prove.
    fn feed_witnessed(
        &mut self,
        index: usize,
        event: NodeEvent,
        packet: &SharedPacket,
        gossiped: bool,
    ) -> Result<(), Violation> {
        let life = self.machines[index].life;
        let exposure = self.witness.hears(self.genesis.hash, &self.machines[index], &packet.message);
        self.feed(index, JobEnd::Event(event), gossiped.then_some(packet))?;
        let lives = self.machines[index].is_up() && self.machines[index].life == life;
        if let Some(exposure) = exposure.filter(|_| lives)
            && self.witness.expose(exposure)
        {
            self.coverage.hit("offence_exposed");
        }
        Ok(())
    }
}
