//! Timed faults: partitions, crashes, jumps of clocks; and the healing of all of them.

use super::{World, event::Event};
use crate::{Violation, disk::WriteFault, network::MachineSet, plan::PartitionKind};

/// A connection over a cut link ends after this long.
const TIMEOUT_MS: u64 = 4_000;

impl World {
    /// Schedules the faults of the plan.
    pub(super) fn plan_faults(&mut self) {
        let clocks = self.plan.clocks;
        let rng = &mut self.streams.clock;
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            let offset = rng.between(0, clocks.offset_ms.saturating_mul(2));
            machine.clock.jump(signed(offset) - signed(clocks.offset_ms));
            let drift = rng.between(0, clocks.drift_ppm.saturating_mul(2));
            machine.clock.set_rate(signed(drift) - signed(clocks.drift_ppm));
            if clocks.jump_every_ms > 0 {
                self.schedule.at(rng.wait(clocks.jump_every_ms), Event::Jump(index));
            }
            if self.plan.crashes.every_ms > 0 {
                self.schedule.at(self.streams.crash.wait(self.plan.crashes.every_ms), Event::Crash(index));
            }
        }
        for (index, partition) in self.plan.network.partitions.iter().enumerate() {
            self.schedule.at(partition.from_ms, Event::Partition { index, cut: true });
        }
        if let Some(point) = self.plan.disk_point {
            self.machines[point.machine].disk.arm(point.point, point.fault);
        }
    }

    /// A partition begins, flips or ends.
    pub(super) fn partition(&mut self, index: usize, cut: bool) {
        if self.healed {
            return;
        }
        let partition = self.plan.network.partitions[index].clone();
        let over = self.now_ms >= partition.until_ms;
        let cut = cut && !over;
        let side: MachineSet = partition.side.iter().copied().collect();
        let neutral: MachineSet = partition.neutral.iter().copied().collect();
        let others = MachineSet::first(self.machines.len()).without(&side).without(&neutral);
        for one in side.iter() {
            for other in others.iter() {
                let (out, back) = match partition.kind {
                    PartitionKind::Symmetric | PartitionKind::Slow { .. } | PartitionKind::Flapping { .. } => {
                        (true, true)
                    }
                    PartitionKind::Mute => (true, false),
                    PartitionKind::Deaf => (false, true),
                };
                for (from, to, concerned) in [(one, other, out), (other, one, back)] {
                    match (concerned, cut, partition.kind) {
                        (true, true, PartitionKind::Slow { by_ms }) => self.network.slow(from, to, by_ms),
                        (true, true, _) => self.network.cut(from, to),
                        (true, false, _) => self.network.restore(from, to),
                        (false, ..) => {}
                    }
                }
                if !cut {
                    self.connect(one, other);
                }
            }
        }
        self.trace.note((self.now_ms, "partition", index, cut));
        self.trace.line(self.now_ms, || {
            format!("links of {:?} are {} ({:?})", partition.side, if cut { "bad" } else { "up" }, partition.kind)
        });
        if cut {
            self.coverage.hit("partition");
        }
        match partition.kind {
            _ if over => {}
            PartitionKind::Flapping { period_ms } => {
                let next = (self.now_ms + period_ms.max(1)).min(partition.until_ms);
                self.schedule.at(next, Event::Partition { index, cut: !cut });
            }
            _ => {
                self.schedule.at(partition.until_ms, Event::Partition { index, cut: false });
                self.schedule.after(TIMEOUT_MS, Event::Disconnect { index });
            }
        }
    }

    /// Connections over links that a partition still cuts end.
    pub(super) fn disconnect(&mut self, index: usize) {
        let side: MachineSet = self.plan.network.partitions[index].side.iter().copied().collect();
        for one in side.iter() {
            for other in MachineSet::first(self.machines.len()).without(&side).iter() {
                if self.network.is_cut(one, other) || self.network.is_cut(other, one) {
                    self.part(one, other);
                }
            }
        }
    }

    /// A machine's scheduled crash.
    pub(super) fn maybe_crash(&mut self, index: usize) -> Result<(), Violation> {
        if self.healed {
            return Ok(());
        }
        let crashes = self.plan.crashes;
        let again_ms = self.streams.crash.wait(crashes.every_ms);
        self.schedule.after(again_ms, Event::Crash(index));
        let down = self.machines.iter().filter(|machine| !machine.is_up()).count();
        if !self.machines[index].is_up() || (crashes.most_down > 0 && down >= crashes.most_down) {
            return Ok(());
        }
        if self.streams.crash.percent(crashes.at_disk_percent) {
            let fault = *self.streams.crash.pick(&WriteFault::ALL);
            self.coverage.hit("crash_at_disk");
            self.crash_at_disk(index, fault);
        } else {
            let fault = *self.streams.crash.pick(&WriteFault::CUTS);
            self.crash(index, fault);
        }
        Ok(())
    }

    /// A machine's wall clock is set forward or back.
    pub(super) fn jump(&mut self, index: usize) {
        if self.healed {
            return;
        }
        let clocks = self.plan.clocks;
        let rng = &mut self.streams.clock;
        let by = signed(rng.between(0, clocks.jump_ms.saturating_mul(2))) - signed(clocks.jump_ms);
        self.schedule.after(rng.wait(clocks.jump_every_ms), Event::Jump(index));
        self.machines[index].clock.jump(by);
        self.coverage.hit("clock_jump");
        self.trace.note((self.now_ms, index, "jump", by));
        self.trace.line(self.now_ms, || format!("{index}: the wall clock jumps by {by} ms"));
    }

    /// Ends every fault: links are up, machines are up, clocks are correct, the parent answers. Byzantine members go on.
    pub fn heal(&mut self) {
        self.healed = true;
        self.witness.healed(self.head());
        self.network.heal();
        if let Some(parent) = &mut self.parent {
            parent.heal();
        }
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            machine.disk.disarm();
            machine.clock.set_right();
            // Its wake-up was computed with the earlier clock.
            self.set_wake_again(index);
            if !self.machines[index].is_up() && self.machines[index].stopped.is_none() {
                self.schedule.after(0, Event::Start(index));
            }
            for other in 0..index {
                self.connect(index, other);
            }
        }
        self.coverage.hit("healed");
        self.trace.note((self.now_ms, "heal"));
        self.trace.line(self.now_ms, || "all faults end");
    }

    fn set_wake_again(&mut self, index: usize) {
        if let Some(up) = &mut self.machines[index].up {
            up.wakes_ms = u64::MAX;
        }
        self.set_wake(index);
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}
