//! One node: its wake-ups, its events and its effects.

use causeway::jobs::JobEnd;

use super::{
    World,
    event::{Event, Wanted},
    scene,
};
use crate::{Violation, network::SharedPacket, setup};

impl World {
    /// A node's deadline may have come.
    pub(super) fn wake(&mut self, index: usize) -> Result<(), Violation> {
        let machine = &mut self.machines[index];
        let Some(up) = &mut machine.up else { return Ok(()) };
        if up.wakes_ms > self.now_ms {
            // An earlier wake-up was scheduled in the meantime.
            return Ok(());
        }
        up.wakes_ms = u64::MAX;
        if up.performer.next_deadline_ms().is_some_and(|at| at <= machine.clock.steady_ms()) {
            return self.feed(index, JobEnd::Event(causeway::handle::Event::Tick), None);
        }
        self.set_wake(index);
        Ok(())
    }

    /// Puts the node's next deadline into the queue, unless an earlier wake-up is there.
    pub(super) fn set_wake(&mut self, index: usize) {
        let life = self.life(index);
        let machine = &mut self.machines[index];
        let Some(up) = &mut machine.up else { return };
        let Some(deadline) = up.performer.next_deadline_ms() else { return };
        if deadline <= machine.clock.steady_ms() {
            // Everything due was done: within the same millisecond the node's deadline would be the same.
            if up.wakes_ms > self.now_ms + 1 {
                up.wakes_ms = self.now_ms + 1;
                self.schedule.at(self.now_ms + 1, Event::Wake(life));
            }
            return;
        }
        let at = machine.clock.when(deadline);
        if at < up.wakes_ms {
            up.wakes_ms = at;
            self.schedule.at(at, Event::Wake(life));
        }
    }

    /// Lets a node handle an event and performs its effects. `packet` is the gossip for its verdict.
    pub(super) fn feed(&mut self, index: usize, what: JobEnd, packet: Option<&SharedPacket>) -> Result<(), Violation> {
        let machine = &mut self.machines[index];
        let Some(up) = &mut machine.up else { return Ok(()) };
        let had_failed = machine.disk.files_failed();
        let mut outbox = std::mem::take(&mut self.outbox);
        let outcome = up.performer.finish(what, &mut outbox);
        let mut result = if had_failed && outcome.is_ok() {
            Err(self.violation(
                index,
                "write error",
                "it goes on after a write or sync of a file has failed".to_owned(),
            ))
        } else {
            Ok(())
        };
        for wanted in outbox.0.drain(..) {
            if result.is_ok() {
                result = self.want(index, wanted, packet);
            }
        }
        self.outbox = outbox;
        result?;
        self.after(index, outcome)
    }

    /// Checks whether the machine still runs, and schedules its next deadline.
    fn after(&mut self, index: usize, outcome: eyre::Result<()>) -> Result<(), Violation> {
        if let Some(fault) = self.machines[index].disk.struck() {
            self.fell(index, fault);
            return Ok(());
        }
        if let Err(error) = outcome {
            return self.gave_up(index, error.to_string());
        }
        self.set_wake(index);
        self.checks.handled(&mut scene!(self), index)
    }

    fn want(&mut self, index: usize, wanted: Wanted, packet: Option<&SharedPacket>) -> Result<(), Violation> {
        match wanted {
            Wanted::Publish(message) => self.publish(index, message),
            Wanted::Send(to, message) => self.send(index, to, message),
            Wanted::Verdict(verdict) => self.judged(index, verdict, packet),
            Wanted::Penalize(peer, reason) => {
                let blamed = self.machines.get(setup::machine_of(peer));
                let judged = self.machines[index].honest && !self.checks.is_muted();
                if judged && blamed.is_some_and(|blamed| blamed.honest) {
                    return Err(self.violation(index, "blame", format!("it blames honest peer {peer}: {reason:?}")));
                }
                Ok(())
            }
            Wanted::Request(peer, request) => {
                self.ask(index, peer, request);
                Ok(())
            }
            Wanted::Run(job) => {
                self.plan_job(index, job);
                Ok(())
            }
        }
    }
}
