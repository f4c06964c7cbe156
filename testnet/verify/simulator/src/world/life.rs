//! Machines start, crash, and stop by themselves.

use causeway::handle::Event as NodeEvent;
use causeway::jobs::JobEnd;

use super::{World, event::Event, scene};
use crate::{
    Violation,
    disk::WriteFault,
    machine::{Up, dir},
    network::MachineSet,
    outlook::Outlook,
    setup::token,
};

/// Time after which an operator starts a stopped node again.
const OPERATOR_MS: (u64, u64) = (500, 5_000);
/// Longest time until peers notice each other.
const CONNECT_MS: u64 = 100;
/// Longest time until peers notice that one is gone.
const GONE_MS: u64 = 2_000;

impl World {
    /// A machine starts from its disk.
    pub(super) fn start(&mut self, index: usize) -> Result<(), Violation> {
        let machine = &mut self.machines[index];
        if machine.up.is_some() {
            return Ok(());
        }
        machine.stopped = None;
        machine.life += 1;
        self.forget(index);
        let machine = &self.machines[index];
        let assembled = match machine.assemble(&self.genesis, &self.plan) {
            Ok(assembled) => assembled,
            Err(error) => {
                if let Some(fault) = machine.disk.struck() {
                    self.fell(index, fault);
                    return Ok(());
                }
                return self.gave_up(index, format!("it cannot start: {error}"));
            }
        };
        let life = machine.life;
        let outlook =
            self.ways[index].as_ref().and_then(|ways| Outlook::start(index, &assembled.performer, ways, &self.woken));
        if life > 1 {
            self.coverage.hit("restart");
            if !assembled.wal_entries.is_empty() {
                self.coverage.hit("recovery_with_log");
            }
        }
        let head = assembled.performer.chain.storage.head_number();
        self.trace.note((self.now_ms, index, "start", head, assembled.wal_entries.len()));
        self.trace.line(self.now_ms, || {
            format!("{index} starts, life {life}, head {head}, {} log entries", assembled.wal_entries.len())
        });
        self.told[index] = MachineSet::default();
        self.machines[index].up = Some(Up {
            performer: assembled.performer,
            admission: assembled.admission,
            outlook,
            wakes_ms: u64::MAX,
            announces_ms: u64::MAX,
        });
        self.checks.started(&mut scene!(self), index)?;
        self.feed(index, JobEnd::Event(NodeEvent::Start { wal: assembled.wal_entries }), None)?;
        for other in 0..self.machines.len() {
            self.connect(index, other);
        }
        Ok(())
    }

    /// A strategy may delete files of its machine.
    fn forget(&mut self, index: usize) {
        let Some(mut strategy) = self.machines[index].strategy.take() else { return };
        let (mut context, machine) = self.context(index);
        let forgotten = strategy.forgets(&mut context);
        for name in &forgotten {
            machine.disk.remove(&dir().0.join(name));
        }
        if !forgotten.is_empty() {
            // A node without files does not start; a fault of the disk shows at its start.
            let _outcome = machine.init();
        }
        self.machines[index].strategy = Some(strategy);
    }

    /// Two machines that are up and can reach each other connect.
    pub(super) fn connect(&mut self, one: usize, other: usize) {
        let both_up = one != other && self.machines[one].is_up() && self.machines[other].is_up();
        let cut = self.network.is_cut(one, other) || self.network.is_cut(other, one);
        if !both_up || cut || self.connected[one].contains(other) {
            return;
        }
        self.connected[one].insert(other);
        self.connected[other].insert(one);
        let delay = self.streams.network.between(1, CONNECT_MS);
        for (to, peer) in [(one, other), (other, one)] {
            self.schedule.after(delay, Event::Link(self.life(to), peer));
        }
    }

    /// A connection ends; each side that is up learns of it in time.
    pub(super) fn part(&mut self, one: usize, other: usize) {
        if !self.connected[one].contains(other) {
            return;
        }
        self.connected[one].remove(other);
        self.connected[other].remove(one);
        for (to, peer) in [(one, other), (other, one)] {
            let delay = self.streams.network.between(1, GONE_MS);
            self.schedule.after(delay, Event::Link(self.life(to), peer));
        }
    }

    /// Tells a node whether it has a connection to a peer. A connection that ended and was made again in the meantime is not reported.
    pub(super) fn link(&mut self, index: usize, peer: usize) -> Result<(), Violation> {
        let connected = self.connected[index].contains(peer);
        if connected == self.told[index].contains(peer) {
            return Ok(());
        }
        let event = if connected {
            self.told[index].insert(peer);
            NodeEvent::PeerConnected(token(peer))
        } else {
            self.told[index].remove(peer);
            NodeEvent::PeerDisconnected(token(peer))
        };
        self.feed(index, JobEnd::Event(event), None)
    }

    /// Ends a machine's process now; the fault determines what its disk keeps.
    pub fn crash(&mut self, index: usize, fault: WriteFault) {
        if self.machines[index].is_up() {
            self.machines[index].disk.end(fault);
            self.fell(index, fault);
        }
    }

    /// Ends a machine's process now; it does not start again by itself.
    pub fn switch_off(&mut self, index: usize, fault: WriteFault) {
        if self.machines[index].is_up() {
            self.machines[index].disk.end(fault);
            self.go_down(index);
            self.trace.note((self.now_ms, index, "off", fault));
            self.trace.line(self.now_ms, || format!("{index} is switched off ({})", fault.name()));
        }
    }

    /// Starts a machine that is down.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn switch_on(&mut self, index: usize) -> Result<(), Violation> {
        self.start(index)
    }

    /// Delivers an event to a node after a delay, unless its machine goes down before. For scenarios.
    pub fn happens(&mut self, index: usize, delay_ms: u64, event: NodeEvent) {
        self.schedule.after(delay_ms, Event::Node(self.life(index), Box::new(event)));
    }

    /// A machine's process has ended. It starts again later.
    pub(super) fn fell(&mut self, index: usize, fault: WriteFault) {
        let (least, most) = self.plan.crashes.down_ms;
        let down_ms = self.streams.crash.between(least.max(1), most.max(1));
        self.go_down(index);
        self.coverage.hit("crash");
        self.coverage.hit(fault.name());
        self.trace.note((self.now_ms, index, "crash", fault));
        self.trace.line(self.now_ms, || format!("{index} crashes ({}), down for {down_ms} ms", fault.name()));
        self.schedule.after(down_ms, Event::Start(index));
    }

    /// A node stops by itself. After a failed write it must, and its operator starts it again; for an honest node without such
    /// a cause it is a violation.
    pub(super) fn gave_up(&mut self, index: usize, reason: String) -> Result<(), Violation> {
        let machine = &self.machines[index];
        let failed = machine.disk.has_failed();
        self.trace.note((self.now_ms, index, "stop", &reason));
        self.trace.line(self.now_ms, || format!("{index} stops: {reason}"));
        if machine.honest && !failed && !self.may_stop {
            return Err(self.violation(index, "stop", reason));
        }
        machine.disk.end(WriteFault::SyncError);
        self.go_down(index);
        if failed {
            self.coverage.hit("write_error_stop");
            self.coverage.hit(WriteFault::SyncError.name());
            let wait = self.streams.crash.between(OPERATOR_MS.0, OPERATOR_MS.1);
            self.schedule.after(wait, Event::Start(index));
        } else if self.machines[index].honest {
            self.machines[index].stopped = Some(reason);
        } else {
            // The operator of a Byzantine member starts it again, too.
            let wait = self.streams.crash.between(OPERATOR_MS.0, OPERATOR_MS.1);
            self.schedule.after(wait, Event::Start(index));
        }
        Ok(())
    }

    fn go_down(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        machine.up = None;
        machine.life += 1;
        for other in self.connected[index].iter() {
            self.part(index, other);
        }
    }
}
