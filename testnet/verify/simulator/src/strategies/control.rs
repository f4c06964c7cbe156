//! Control runs: with the least power above a third Byzantine the chain must fork, and the fork must leave evidence against every
//! Byzantine member and against no other. If the simulator could not show this, its quiet runs would prove
//! nothing.

use std::collections::BTreeSet;

use causeway_consensus::ValidatorId;

use super::{
    StrategyKind, most_byzantine,
    witness::{EVIDENCE, accused},
};
use crate::{
    Machine, Plan, Violation, World,
    checks::violation::AGREEMENT,
    plan::{NetworkFaults, Partition, PartitionKind},
};

/// Number of members, by seed.
const MEMBERS: [usize; 3] = [4, 7, 10];
/// Extra delay between the two halves of the honest members: each half decides before messages arrive.
const HALVES_APART_MS: u64 = 3_000;
/// Time of the healing; the fork must happen before.
const FORKED_BY_MS: u64 = 60_000;
/// Time for honest nodes to find evidence after the healing.
const EVIDENCE_BY_MS: u64 = 60_000;

/// The way in which the chain is forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Members run twice, each copy honest, one with each half of the others; the halves hear each other late.
    Twins,
    /// Members propose two blocks, one to each half of the others, and vote with each half for its own; the halves hear each other
    /// late.
    Equivocators,
}

/// A fork and its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The height of the second block.
    pub height: u64,
    /// The members against whom honest nodes have evidence.
    pub convicted: BTreeSet<ValidatorId>,
    /// Their power.
    pub power: u64,
    /// All power.
    pub total: u64,
}

impl Control {
    /// All values.
    pub const ALL: [Self; 2] = [Self::Twins, Self::Equivocators];

    /// The way of a seed in the control profile.
    pub const fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Twins } else { Self::Equivocators }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twins => "twins",
            Self::Equivocators => "equivocators",
        }
    }

    /// The counter of [`Coverage`](crate::Coverage) for its forks.
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Twins => "fork_by_twins",
            Self::Equivocators => "fork_by_equivocators",
        }
    }

    /// The run of a seed.
    pub fn plan(self, seed: u64) -> Plan {
        let members = MEMBERS[usize::try_from(seed / 2 % MEMBERS.len() as u64).unwrap_or(0)];
        let mut plan = Plan { faults_until_ms: FORKED_BY_MS, ..Plan::quiet(seed, members) };
        let byzantine = members - (most_byzantine(members) + 1)..members;
        let half = (0..byzantine.start).step_by(2);
        // Late messages are evidence once they arrive; lost ones need not be sent again.
        let slow = PartitionKind::Slow { by_ms: HALVES_APART_MS };
        let (kind, side, neutral) = match self {
            Self::Equivocators => (StrategyKind::EquivocateProposals, half.collect(), byzantine.clone().collect()),
            // The second copies are the machines after the members: each side has one of each key.
            Self::Twins => (StrategyKind::Twins, half.chain(byzantine.clone()).collect(), Vec::new()),
        };
        let partition = Partition { from_ms: 0, until_ms: FORKED_BY_MS, side, neutral, kind: slow };
        plan.network = NetworkFaults { partitions: vec![partition], ..plan.network };
        plan.byzantine = byzantine.map(|machine| (machine, kind)).collect();
        plan
    }

    /// Runs the world of such a plan.
    ///
    /// # Errors
    /// When it does not fork, when another invariant than agreement is violated first, or when the evidence does not convict every
    /// Byzantine member, or convicts an honest one.
    pub fn run(self, world: &mut World) -> Result<Fork, Violation> {
        world.may_stop = true;
        world.checks.await_fork();
        // The messages between the halves are still in flight.
        world.run_while(FORKED_BY_MS, |world| world.checks.fork().is_some())?;
        let height = world.checks.fork().map(|fork| fork.height).ok_or_else(|| {
            let text = format!("{}: more than a third of the power was Byzantine and nothing forked", self.name());
            Violation::new(AGREEMENT, world.head(), text)
        })?;
        world.heal();
        let until_ms = world.now_ms + EVIDENCE_BY_MS;
        let mut found = Err(Violation::new(EVIDENCE, height, "nobody was convicted"));
        while found.is_err() && world.now_ms < until_ms {
            world.run_until(world.now_ms + 1_000)?;
            found = convicted(world, height);
        }
        if found.is_ok() {
            world.coverage.hit("fork");
            world.coverage.hit(self.counter());
            world.coverage.hit("fork_evidence");
        }
        found
    }

    /// Makes the world of a seed and runs it.
    ///
    /// # Errors
    /// As [`Control::run`].
    pub fn expect(self, seed: u64) -> Result<Fork, Violation> {
        self.run(&mut World::new(&self.plan(seed)))
    }
}

/// The evidence in the databases of all honest machines, including those that have stopped by themselves.
fn convicted(world: &World, height: u64) -> Result<Fork, Violation> {
    let fail = |text: String| Violation::new(EVIDENCE, height, text);
    let mut convicted = BTreeSet::new();
    for machine in world.machines.iter().filter(|machine| machine.honest) {
        let storage = match machine.storage() {
            Some(storage) => storage.clone(),
            None => machine.open_storage(&world.genesis).map_err(|error| fail(error.to_string()))?,
        };
        convicted.extend(accused(&world.genesis, &storage).map_err(fail)?);
    }
    let byzantine =
        |id: &ValidatorId| world.machines.iter().any(|machine| !machine.honest && machine.validator() == *id);
    if let Some(victim) = convicted.iter().find(|id| !byzantine(id)) {
        return Err(fail(format!("evidence convicts {victim}, which is honest")));
    }
    let missed = |machine: &&Machine| !machine.honest && !convicted.contains(&machine.validator());
    if let Some(free) = world.machines.iter().find(missed) {
        return Err(fail(format!("no evidence convicts machine {}, {} are convicted", free.index, convicted.len())));
    }
    let set = world.genesis.validator_set();
    let power = convicted.iter().filter_map(|id| set.get(id)).map(|member| member.power).sum::<u64>();
    let total = set.total_power();
    Ok(Fork { height, convicted, power, total })
}
