//! Byzantine members: their strategies change what they receive, send and build.

use causeway_network::GossipMessage;

use super::{
    World,
    event::Event,
    messages::{describe, packet},
};
use crate::{
    Machine, Violation,
    disk::WriteFault,
    network::SharedPacket,
    strategies::{Context, TICK_MS},
};

impl World {
    /// Whether a node receives an arrived message: a Byzantine member's strategy may drop it.
    pub(super) fn lets_in(&mut self, index: usize, from: usize, message: &GossipMessage) -> bool {
        let Some(mut strategy) = self.machines[index].strategy.take() else { return true };
        let (mut context, _) = self.context(index);
        let lets_in = strategy.heard(&mut context, from, message);
        self.machines[index].strategy = Some(strategy);
        lets_in
    }

    /// Whether a node forwards an accepted message: a Byzantine member's strategy may not.
    pub(super) fn passes_on(&mut self, index: usize, message: &GossipMessage) -> bool {
        let Some(strategy) = self.machines[index].strategy.take() else { return true };
        let (context, _) = self.context(index);
        let passes_on = strategy.relays(&context, message);
        self.machines[index].strategy = Some(strategy);
        passes_on
    }

    /// Sends a Byzantine member's message as its strategy changes it. Equal messages are one gossip, which honest nodes forward.
    pub(super) fn distort(&mut self, index: usize, only: Option<usize>, message: &GossipMessage) {
        let Some(mut strategy) = self.machines[index].strategy.take() else { return };
        let mut packets: Vec<SharedPacket> = Vec::new();
        for to in 0..self.machines.len() {
            if to == index || only.is_some_and(|only| only != to) {
                continue;
            }
            let (mut context, _) = self.context(index);
            for (extra_ms, message) in strategy.outgoing(&mut context, to, message) {
                self.leave(index, to, message, extra_ms, only.is_some(), &mut packets);
            }
        }
        self.machines[index].strategy = Some(strategy);
    }

    fn leave(
        &mut self,
        index: usize,
        to: usize,
        message: GossipMessage,
        extra_ms: u64,
        direct: bool,
        packets: &mut Vec<SharedPacket>,
    ) {
        let made = packet(index, message);
        let known = packets.iter().find(|known| known.digest == made.digest).cloned();
        let packet = known.unwrap_or_else(|| {
            packets.push(made.clone());
            made
        });
        self.trace.note((self.now_ms, index, to, packet.digest));
        self.trace.line(self.now_ms, || format!("{index} sends {to} by strategy {}", describe(&packet.message)));
        if direct {
            self.direct(index, to, &packet, extra_ms);
        } else {
            self.copy(index, to, &packet, extra_ms);
        }
    }

    /// Messages that a Byzantine member sends on its own.
    pub(super) fn strategy_tick(&mut self, index: usize) -> Result<(), Violation> {
        self.schedule.after(TICK_MS, Event::Strategy(index));
        if !self.machines[index].is_up() {
            return Ok(());
        }
        let Some(mut strategy) = self.machines[index].strategy.take() else { return Ok(()) };
        let (mut context, _) = self.context(index);
        let said = strategy.tick(&mut context);
        let restarts = strategy.restarts(&mut context);
        self.machines[index].strategy = Some(strategy);
        if restarts {
            self.crash(index, WriteFault::Clean);
            return Ok(());
        }
        let mut packets = Vec::new();
        for (to, message) in said {
            if to != index && to < self.machines.len() {
                self.leave(index, to, message, 0, false, &mut packets);
            }
        }
        Ok(())
    }

    /// A machine's strategy with its means, and its machine.
    pub(super) fn context(&mut self, index: usize) -> (Context<'_>, &Machine) {
        let machine = &self.machines[index];
        let kind = self.plan.byzantine.iter().rev().find(|(member, _)| *member == index).map(|(_, kind)| *kind);
        let context = Context {
            now_ms: self.now_ms,
            plan: &self.plan,
            genesis: &self.genesis,
            own: machine,
            machines: self.machines.len(),
            head: machine.head().unwrap_or(0),
            kind: kind.expect("only members of the plan have strategies"),
            coverage: &mut self.coverage,
            rng: &mut self.streams.strategy,
        };
        (context, machine)
    }
}
