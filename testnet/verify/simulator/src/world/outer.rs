//! The world around the machines: the parent chain and the users.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, U256};
use causeway::{handle::Event as NodeEvent, jobs::JobEnd};
use causeway_execution::RecoveredTx;
use causeway_genesis::Genesis;
use causeway_mempool::PoolError;

use super::{START_UNIX_MS, World, event::Event, pools::is_full, scene};
use crate::{
    Plan, Users, Violation,
    outlook::{MachineWire, Ways},
    parent::{Parent, ParentEvent, ParentPlan, PegDeployment},
    setup,
};

/// Machines `0..RELAYERS` relay to the parent, each some seconds after the previous one.
const RELAYERS: usize = 3;
/// Endpoints of the parent; each machine asks the first and one other.
const ENDPOINTS: usize = 4;
/// Delay between two relayers.
const RELAY_DELAY_S: u64 = 4;

/// The chain of a plan, and its parent if it has one.
pub(super) fn genesis_and_parent(plan: &Plan, users: &Users) -> (Arc<Genesis>, Option<Parent>) {
    let parent_plan = ParentPlan {
        start_unix_s: START_UNIX_MS / 1_000,
        endpoints: ENDPOINTS,
        faults: plan.parent.clone(),
        ..ParentPlan::default()
    };
    let peg = plan.pegged.then(|| setup::peg(parent_plan.chain_id));
    let genesis = Arc::new(setup::genesis(plan, peg, users));
    let parent = plan.pegged.then(|| {
        let deployment = PegDeployment {
            deployer: setup::DEPLOYER,
            deployer_nonce: 0,
            genesis_hash: genesis.hash,
            validators: genesis.peg_validator_set().expect("the chain is pegged"),
            claim_delay_s: 2,
        };
        let coin = U256::from(10).pow(U256::from(24));
        let mut alloc: Vec<_> = (0..RELAYERS).map(|index| (setup::relayer(index).address(), coin)).collect();
        alloc.extend((0..plan.machines()).map(|index| (setup::operator(index).address(), coin)));
        alloc.extend(users.parent_alloc());
        Parent::new(parent_plan, plan.seed, &alloc, Some(&deployment))
    });
    (genesis, parent)
}

impl World {
    /// A machine's connection to the parent.
    pub(super) fn ways_of(&self, index: usize) -> Option<Ways> {
        let (parent, peg) = (self.parent.as_ref()?, self.genesis.spec.peg.clone()?);
        let relays = (index < RELAYERS).then(|| {
            let delay = Duration::from_secs(RELAY_DELAY_S * index as u64);
            (setup::relayer(index), delay)
        });
        // The first endpoint is honest, so that no machine has only lying endpoints.
        let endpoints = vec![parent.url(0), parent.url(1 + index % (ENDPOINTS - 1))];
        let wire = MachineWire { wire: parent.wire(index), clock: self.machines[index].clock.clone() };
        Some(Ways { endpoints, peg, wire: Arc::new(wire), relays })
    }

    /// Schedules the first turns of the parent and the users.
    pub(super) fn plan_outer(&mut self) {
        self.set_parent();
        self.set_users();
    }

    fn set_parent(&mut self) {
        if let Some(parent) = &mut self.parent {
            let due = parent.next_due_ms();
            if due < self.parent_due_ms {
                self.parent_due_ms = due;
                self.schedule.at(due, Event::Parent);
            }
        }
    }

    /// The parent's turn.
    pub(super) fn parent_due(&mut self) -> Result<(), Violation> {
        if self.parent_due_ms > self.now_ms {
            return Ok(());
        }
        self.parent_due_ms = u64::MAX;
        self.advance_parent()?;
        self.set_parent();
        Ok(())
    }

    fn advance_parent(&mut self) -> Result<(), Violation> {
        let Some(parent) = &mut self.parent else { return Ok(()) };
        for event in parent.advance(self.now_ms) {
            self.trace.line(self.now_ms, || format!("parent: {event:?}"));
            match event {
                ParentEvent::Block { height, hash, .. } => {
                    self.trace.note((self.now_ms, "parent", height, hash));
                    self.checks.parent_block(&mut scene!(self))?;
                }
                ParentEvent::Reorganised { .. } => self.coverage.hit("parent_reorganised"),
                ParentEvent::Began(..) | ParentEvent::Ended(..) => {}
            }
        }
        Ok(())
    }

    /// Polls watchers and relayers whose wait is over, and gives their updates to the nodes.
    pub(super) fn look_out(&mut self) -> Result<(), Violation> {
        // The tasks' timers count in the parent's time.
        self.advance_parent()?;
        while !self.woken.is_empty() {
            for index in self.woken.take() {
                if let Some(outlook) = self.machines[index].up.as_mut().and_then(|up| up.outlook.as_mut()) {
                    outlook.poll();
                }
                self.take_updates(index)?;
            }
        }
        self.set_parent();
        Ok(())
    }

    fn take_updates(&mut self, index: usize) -> Result<(), Violation> {
        while let Some(up) = &mut self.machines[index].up {
            if !up.performer.takes_parent_updates() {
                break;
            }
            let Some(update) = up.outlook.as_mut().and_then(crate::outlook::Outlook::update) else { break };
            self.trace.note((self.now_ms, index, "parent_update"));
            self.trace.line(self.now_ms, || format!("{index} learns from the parent: {update:?}"));
            self.feed(index, JobEnd::Event(NodeEvent::Parent(update)), None)?;
        }
        Ok(())
    }

    fn set_users(&mut self) {
        if let Some(at) = self.users.next_ms() {
            self.schedule.at(at, Event::Users);
        }
    }

    /// Gives a transaction to a machine's JSON-RPC; `None` when it is down.
    pub fn submit(&mut self, machine: usize, transaction: Arc<RecoveredTx>) -> Option<Result<B256, PoolError>> {
        let hash = transaction.hash;
        let up = self.machines.get(machine)?.up.as_ref()?;
        let was_full = is_full(&self.machines[machine], self.plan.pool);
        let outcome = up.admission.submit(transaction);
        match &outcome {
            Ok(_) if was_full => self.coverage.hit("pool_made_room"),
            Err(PoolError::Full | PoolError::Underpriced { .. }) => self.coverage.hit("pool_full"),
            _ => {}
        }
        self.trace.note((self.now_ms, machine, "submit", hash, outcome.is_ok()));
        self.trace.line(self.now_ms, || format!("{machine} is given transaction {hash}: {outcome:?}"));
        self.submitted(machine);
        Some(outcome)
    }

    /// The users' turn.
    pub(super) fn users_act(&mut self) -> Result<(), Violation> {
        let submissions = self.users.act(&mut scene!(self), &mut self.streams.users)?;
        for submission in submissions {
            // A transaction to a machine that is down is lost like a refused connection; the user handles a refusal of the pool.
            let _outcome = self.submit(submission.machine, submission.transaction);
        }
        self.set_users();
        // The users' transactions may make the parent's next turn earlier.
        self.set_parent();
        Ok(())
    }
}
