//! Jobs outside the node's loop: their durations, and the checks of a commit.

use causeway::{
    handle::Event as NodeEvent,
    jobs::{Job, JobEnd},
};

use super::{World, event::Event, scene};
use crate::{Violation, disk::WriteFault};

/// Durations of jobs, minimum and maximum.
const BUILD_MS: (u64, u64) = (1, 20);
const EXECUTE_MS: (u64, u64) = (1, 30);
const COMMIT_MS: (u64, u64) = (1, 25);
const COMPARE_MS: (u64, u64) = (1, 3);

impl World {
    /// Draws the time at which a job does its work, and the time at which the node gets the result.
    pub(super) fn plan_job(&mut self, index: usize, job: Job) {
        let rng = &mut self.streams.jobs;
        let (work_ms, then_ms) = match &job {
            // It ends by its deadline, on the node's clock.
            Job::Build { deadline_ms, .. } => {
                let left_ms = deadline_ms.saturating_sub(self.machines[index].clock.steady_ms());
                (rng.between(BUILD_MS.0, BUILD_MS.1.min(left_ms.max(BUILD_MS.0))), 0)
            }
            Job::Execute { .. } => (rng.between(EXECUTE_MS.0, EXECUTE_MS.1), 0),
            // A crash may happen after the block is durable and before the node knows it.
            Job::Commit { .. } => (rng.between(COMMIT_MS.0, COMMIT_MS.1), rng.between(COMMIT_MS.0, COMMIT_MS.1)),
            Job::Compare(_) => (rng.between(COMPARE_MS.0, COMPARE_MS.1), 0),
        };
        let event = Event::Work(self.life(index), Box::new(job), then_ms);
        self.schedule.after(work_ms, event);
    }

    /// A job does its work.
    pub(super) fn work(&mut self, index: usize, job: Job, then_ms: u64) -> Result<(), Violation> {
        let Some(up) = &self.machines[index].up else { return Ok(()) };
        let committed = match &job {
            Job::Commit { executed, certificate } => Some((executed.clone(), certificate.clone())),
            _ => None,
        };
        let mut end = job.run(&up.performer.chain);
        if let Some(fault) = self.machines[index].disk.struck() {
            if committed.is_some() {
                self.coverage.hit("crash_in_commit");
            }
            self.fell(index, fault);
            return Ok(());
        }
        if let (Some((executed, certificate)), JobEnd::Event(_)) = (&committed, &end) {
            self.trace.note((self.now_ms, index, "commit", executed.block.header.number, executed.hash));
            self.trace.line(self.now_ms, || {
                let (header, round) = (&executed.block.header, certificate.round.0);
                let transactions = executed.block.transactions.len();
                format!(
                    "{index} commits {} {}, round {round}, {transactions} transactions",
                    header.number, executed.hash
                )
            });
            self.checks.committed(&mut scene!(self), index, executed, certificate)?;
        }
        if let JobEnd::Event(NodeEvent::Built { executed, .. }) = &mut end {
            self.trace.note((self.now_ms, index, "built", executed.hash));
            if let Some(mut strategy) = self.machines[index].strategy.take() {
                let (mut context, _) = self.context(index);
                *executed = strategy.built(&mut context, executed.clone());
                self.machines[index].strategy = Some(strategy);
            }
        }
        if matches!(end, JobEnd::Nothing) {
            return Ok(());
        }
        if then_ms == 0 {
            return self.feed(index, end, None);
        }
        let event = Event::End(self.life(index), Box::new(end));
        self.schedule.after(then_ms, event);
        Ok(())
    }

    /// A machine whose block is durable but not yet reported to the node.
    pub fn crash_at_disk(&mut self, index: usize, fault: WriteFault) {
        self.machines[index].disk.arm_soon(SOON_POINTS, fault);
    }
}

/// A crash at the disk strikes within this number of writes and syncs.
const SOON_POINTS: u64 = 12;
