//! Control runs: with half of the power Byzantine the chain must fork, and the fork must leave evidence that names Byzantine
//! members alone, with more than a third of the power. A simulator in which that does not happen would prove nothing by the runs
//! in which nothing happens.

use std::collections::BTreeSet;

use causeway_consensus::ValidatorId;

use super::{
    StrategyKind,
    witness::{EVIDENCE, accused},
};
use crate::{
    Plan, Violation, World,
    checks::violation::AGREEMENT,
    plan::{NetworkFaults, Partition, PartitionKind},
};

/// Two honest members and two Byzantine ones.
const MEMBERS: usize = 4;
/// A fork has to come before the world heals then.
const FORKED_BY_MS: u64 = 20_000;
/// How long honest nodes have to find evidence after that.
const EVIDENCE_BY_MS: u64 = 60_000;

/// How the chain is forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Two members run twice, each copy honest, on both sides of a partition.
    Twins,
    /// Two members propose two blocks and vote for both; nothing is wrong with the network.
    Equivocators,
}

/// A fork and what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The height of the second block.
    pub height: u64,
    /// Whom honest nodes convict.
    pub convicted: BTreeSet<ValidatorId>,
    /// Their power.
    pub power: u64,
    /// All power.
    pub total: u64,
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Twins];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twins => "twins",
            Self::Equivocators => "equivocators",
        }
    }

    /// The run of a seed.
    pub fn plan(self, seed: u64) -> Plan {
        let mut plan = Plan { faults_until_ms: FORKED_BY_MS, ..Plan::quiet(seed, MEMBERS) };
        let kind = match self {
            Self::Equivocators => StrategyKind::EquivocateProposals,
            Self::Twins => {
                // The second copies are the machines after the members: each side has three of four keys.
                let partition = Partition {
                    from_ms: 0,
                    until_ms: FORKED_BY_MS,
                    side: vec![0, 2, 3],
                    kind: PartitionKind::Symmetric,
                };
                plan.network = NetworkFaults { partitions: vec![partition], ..plan.network };
                StrategyKind::Twins
            }
        };
        plan.byzantine = vec![(2, kind), (3, kind)];
        plan
    }

    /// Runs the world of such a plan.
    ///
    /// # Errors
    /// When it does not fork, when another invariant than agreement is violated first, or when the evidence does not convict
    /// enough members, or convicts an honest one.
    pub fn run(self, world: &mut World) -> Result<Fork, Violation> {
        world.may_stop = true;
        let fork = match world.run_until(FORKED_BY_MS) {
            Err(violation) if violation.invariant == AGREEMENT => violation,
            Err(other) => return Err(other),
            Ok(()) => {
                let text = format!("{}: half of the power was Byzantine and nothing forked", self.name());
                return Err(Violation::new(AGREEMENT, world.head(), text));
            }
        };
        // What comes now is not one chain's history.
        world.checks.mute();
        world.run_until(FORKED_BY_MS.max(world.now_ms))?;
        world.heal();
        let until_ms = world.now_ms + EVIDENCE_BY_MS;
        let mut found = Err(Violation::new(EVIDENCE, fork.height, "nobody was convicted"));
        while found.is_err() && world.now_ms < until_ms {
            world.run_until(world.now_ms + 1_000)?;
            found = convicted(world, fork.height);
        }
        if found.is_ok() {
            world.coverage.hit("fork");
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

/// What all honest machines' databases say together, of machines that have stopped by themselves, too.
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
    let set = world.genesis.validator_set();
    let power = convicted.iter().filter_map(|id| set.get(id)).map(|member| member.power).sum::<u64>();
    let total = set.total_power();
    if u128::from(power) * 3 <= u128::from(total) {
        return Err(fail(format!("evidence convicts {power} of {total}, not more than a third")));
    }
    Ok(Fork { height, convicted, power, total })
}
