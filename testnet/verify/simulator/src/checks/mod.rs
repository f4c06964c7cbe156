//! The invariants of docs/reliability.md, checked at every event.
//!
//! Each check computes its expectation by itself: from the blocks that honest nodes made durable (the canonical chain,
//! [`canon`]), from the state that those blocks' changes give ([`mirror`]), from signatures and logs, and from the parent's
//! own record of its contracts. A check reads only what a node's operator can read: the database, sent messages, sizes.
//! Byzantine machines are not judged.

mod agreement;
mod attesting;
mod backing;
mod bounds;
mod bridge;
pub mod canon;
mod checkpoints;
pub mod database;
mod durability;
#[cfg(test)]
mod kit;
mod liveness;
pub mod members;
pub mod mirror;
mod pace;
mod signing;
mod slashes;
mod slots;
mod stake;
mod state;
mod transactions;
mod validity;
pub mod violation;

use std::collections::{BTreeMap, BTreeSet};

use causeway_consensus::CommitCertificate;
use causeway_execution::ExecutedBlock;
use causeway_network::GossipMessage;

use self::{
    attesting::Attested,
    backing::Vault,
    bridge::{Crossings, ParentFacts},
    canon::Canon,
    database::{Database, NodeDatabase, committed_block},
    durability::Acknowledged,
    liveness::{Liveliness, Patience},
    members::Members,
    pace::Pace,
    signing::{Noted, Signatures},
    stake::{Staked, Stakes},
    validity::Proofs,
    violation::{DURABILITY, LIVENESS, STATE, VALIDITY, ensure},
};
use crate::{Coverage, Plan, machine::Machine, world::Scene};

pub use violation::Violation;

/// Allowance after the healing for clocks, restarts, listening after a start, catching up and the parent, in addition to the rounds.
const SLACK_MS: u64 = 60_000;

/// An honest node has made a block durable.
pub(crate) struct Commit<'a> {
    /// The node's machine.
    pub(crate) machine: usize,
    /// Milliseconds since the world began.
    pub(crate) now_ms: u64,
    /// The latest wall clock of any honest machine, Unix milliseconds.
    pub(crate) latest_wall_ms: u64,
    /// The block.
    pub(crate) executed: &'a ExecutedBlock,
    /// Its commit certificate.
    pub(crate) certificate: &'a CommitCertificate,
    /// The node's database, which contains it.
    pub(crate) database: &'a dyn Database,
}

impl Commit<'_> {
    fn height(&self) -> u64 {
        self.executed.block.header.number
    }
}

/// All invariants.
#[derive(Debug, Default)]
pub struct Checks {
    inner: Option<Box<Inner>>,
    muted: bool,
    /// Whether a fork is required instead of forbidden.
    awaits_fork: bool,
    fork: Option<Violation>,
}

#[derive(Debug)]
struct Inner {
    canon: Canon,
    all_honest: bool,
    proofs: Proofs,
    acknowledged: Acknowledged,
    signatures: Signatures,
    attested: Attested,
    liveliness: Liveliness,
    pace: Pace,
    /// Machines that have not begun a height since their start.
    starting: BTreeSet<usize>,
    crossings: Crossings,
    stakes: Stakes,
    latest_wall_ms: u64,
    /// Events handled, by machine.
    handled: BTreeMap<usize, u64>,
    /// Claims paid, checkpoints accepted and the greatest epoch among them, as last seen on the parent.
    parent_seen: (usize, usize, u64),
}

impl Inner {
    fn new(scene: &Scene<'_>) -> Result<Self, Violation> {
        let canon = Canon::new(scene.genesis.clone()).map_err(|fault| Violation::new(STATE, 0, fault))?;
        let honest = || scene.machines.iter().filter(|machine| machine.honest);
        // A twin's key counts as Byzantine, whichever of the two nodes signs.
        let dishonest = |id| scene.machines.iter().any(|machine| !machine.honest && machine.validator() == id);
        let keys = honest().filter(|machine| !dishonest(machine.validator()));
        Ok(Self {
            all_honest: scene.machines.iter().all(|machine| machine.honest),
            proofs: Proofs::default(),
            acknowledged: Acknowledged::default(),
            signatures: Signatures::new(keys.clone().map(|machine| machine.validator())),
            attested: Attested::new(keys.map(|machine| machine.keys.peg_address())),
            liveliness: Liveliness::new(patience(scene.plan)),
            pace: Pace::new(scene.plan.clocks.drift_ppm),
            starting: BTreeSet::new(),
            crossings: Crossings::default(),
            stakes: Stakes::new(scene.genesis),
            latest_wall_ms: 0,
            handled: BTreeMap::new(),
            parent_seen: (0, 0, 0),
            canon,
        })
    }

    /// An honest machine's commit has returned.
    fn committed(
        &mut self,
        coverage: &mut Coverage,
        parent: &ParentFacts<'_>,
        commit: &Commit<'_>,
    ) -> Result<(), Violation> {
        agreement::check(&self.canon, commit)?;
        self.acknowledged.committed(commit)?;
        self.decided(coverage, parent, commit)?;
        state::of_node(commit)
    }

    /// A height has a durable block on an honest machine.
    fn decided(
        &mut self,
        coverage: &mut Coverage,
        parent: &ParentFacts<'_>,
        commit: &Commit<'_>,
    ) -> Result<(), Violation> {
        let (height, executed) = (commit.height(), commit.executed);
        self.proofs.certificate(&self.canon, commit)?;
        self.signatures.certificate(&self.canon, commit.certificate)?;
        if height <= self.canon.height() {
            if height + 2 <= self.canon.height() {
                coverage.hit("height_caught_up");
                if self.canon.rules(height) != self.canon.rules(height - 1) {
                    coverage.hit("caught_up_over_rules");
                }
            }
            return Ok(());
        }
        self.proofs.header(&self.canon, commit, self.all_honest)?;
        transactions::check(&self.canon, executed)?;
        let crossed = self.crossings.decided(executed, parent)?;
        let (staked, due) = self.stakes.read(&self.canon, executed);
        let rotated =
            self.canon.advance(executed, commit.now_ms).map_err(|fault| Violation::new(STATE, height, fault))?;
        self.crossings.follow(&self.canon);
        state::of_mirror(&self.canon)?;
        backing::of_sidechain(&self.canon, &self.crossings)?;
        self.stakes.decided(&self.canon, executed, &due)?;
        self.signatures.committed(height);
        let interval_ms = self.canon.rules(height + 1).block.interval_ms;
        if self.canon.rules(height) != self.canon.rules(height - 1) {
            coverage.hit("rules_changed");
        }
        self.pace.decided(commit.now_ms, height, interval_ms)?;
        let round = commit.certificate.round.0;
        if let Some(first) = self.liveliness.decided(commit.now_ms, height, round)? {
            coverage.sample("rounds_after_heal", u64::from(first.rounds));
            coverage.sample("ms_after_heal", first.ms);
        }
        coverage.hit("height");
        coverage.add("transaction", executed.block.transactions.len() as u64);
        coverage.add("deposit_minted", crossed.minted);
        coverage.add("withdrawal_burned", crossed.burned);
        coverage.add("checkpoint_recorded", crossed.recorded);
        coverage.add("set_acknowledged", crossed.acknowledged);
        count_stake(coverage, staked);
        coverage.add("jailed", self.stakes.take_jailed());
        if round > 0 {
            coverage.hit("round_above_zero");
        }
        if rotated {
            self.count_rotation(coverage);
        }
        Ok(())
    }

    /// After its start a node begins the height in progress at once.
    fn follow_start(&mut self, now_ms: u64, machine: &Machine) {
        let Some(node) = machine.node().filter(|node| !node.is_held()) else { return };
        if self.starting.remove(&machine.index) && node.height().0 > self.canon.height() {
            self.pace.begun(now_ms);
        }
    }

    fn count_rotation(&self, coverage: &mut Coverage) {
        let height = self.canon.height();
        let (Some(old), Some(new)) = (self.canon.members(height), self.canon.members(height + 1)) else { return };
        if old.epoch != new.epoch {
            coverage.hit("epoch_change");
        }
        let joined = |of: &Members, to: &Members| to.iter().filter(|member| of.get(&member.id).is_none()).count();
        coverage.add("joined", joined(old, new) as u64);
        coverage.add("left", joined(new, old) as u64);
    }
}

fn count_stake(coverage: &mut Coverage, staked: Staked) {
    for (what, times) in [
        ("registered", staked.registered),
        ("exited", staked.exited),
        ("unjailed", staked.unjailed),
        ("slashed", staked.slashed),
        ("slashed_leaving", staked.slashed_leaving),
        ("evidence_included", staked.tombstoned),
        ("redelegated", staked.redelegated),
        ("unbonded", staked.unbonded),
        ("rewarded", staked.rewarded),
    ] {
        coverage.add(what, times);
    }
}

fn patience(plan: &Plan) -> Patience {
    let clocks = plan.clocks;
    Patience {
        timeouts: plan.timeouts,
        block_interval_ms: plan.block_interval_ms,
        byzantine: u32::try_from(plan.byzantine.len()).unwrap_or(u32::MAX),
        slack_ms: SLACK_MS + 4 * (clocks.offset_ms + clocks.jump_ms),
    }
}

/// The checks, created at the first event, and the facts of the parent.
macro_rules! open {
    ($checks:ident, $scene:ident) => {{
        if $checks.muted {
            return Ok(());
        }
        if $checks.inner.is_none() {
            $checks.inner = Some(Box::new(Inner::new($scene)?));
        }
        $checks.inner.as_mut().expect("they were just made")
    }};
}

fn facts<'a>(scene: &'a Scene<'_>) -> ParentFacts<'a> {
    scene.parent.as_deref().map_or(ParentFacts::NONE, ParentFacts::of)
}

impl Checks {
    /// An honest machine sends a message: to everybody, or to one peer.
    ///
    /// # Errors
    /// I5.
    pub fn sent(&mut self, scene: &mut Scene<'_>, machine: usize, message: &GossipMessage) -> Result<(), Violation> {
        let inner = open!(self, scene);
        match message {
            GossipMessage::Consensus(message) => {
                match inner.signatures.sent(&inner.canon, message)? {
                    Noted::Usual => {}
                    Noted::LaterRound => scene.coverage.hit("signed_in_later_round"),
                    Noted::ProposedAgain => scene.coverage.hit("polka_proposed_again"),
                    Noted::LockChanged => scene.coverage.hit("lock_changed"),
                }
                Ok(())
            }
            GossipMessage::Peg(message) => {
                let head = scene.machines[machine].head().unwrap_or(0);
                inner.attested.sent(&inner.canon, head, message)
            }
            GossipMessage::Transactions(_) => Ok(()),
        }
    }

    /// A machine has made a block durable.
    ///
    /// # Errors
    /// I1 to I4, I6 to I9.
    pub fn committed(
        &mut self,
        scene: &mut Scene<'_>,
        machine: usize,
        executed: &ExecutedBlock,
        certificate: &CommitCertificate,
    ) -> Result<(), Violation> {
        let outcome = self.durable(scene, machine, executed, certificate);
        self.judged(outcome)
    }

    fn durable(
        &mut self,
        scene: &mut Scene<'_>,
        machine: usize,
        executed: &ExecutedBlock,
        certificate: &CommitCertificate,
    ) -> Result<(), Violation> {
        let inner = open!(self, scene);
        let node = &scene.machines[machine];
        let Some(database) = NodeDatabase::of(node).filter(|_| node.honest) else { return Ok(()) };
        inner.latest_wall_ms = inner.latest_wall_ms.max(node.clock.wall_ms());
        let commit = Commit {
            machine,
            now_ms: scene.now_ms,
            latest_wall_ms: inner.latest_wall_ms,
            executed,
            certificate,
            database: &database,
        };
        let before = inner.canon.members(inner.canon.height() + 1).map(|members| members.epoch);
        let parent = scene.parent.as_deref().map_or(ParentFacts::NONE, ParentFacts::of);
        inner.committed(scene.coverage, &parent, &commit)?;
        let after = inner.canon.members(inner.canon.height() + 1).map(|members| members.epoch);
        if before != after && is_partitioned(scene) {
            scene.coverage.hit("epoch_change_in_partition");
        }
        Ok(())
    }

    /// A machine's disk was replaced by an older copy of itself, as from a backup.
    pub fn restored(&mut self, machine: usize) {
        if let Some(inner) = &mut self.inner {
            inner.acknowledged.restored(machine);
        }
    }

    /// A machine has started from its disk.
    ///
    /// # Errors
    /// I4; and the checks of [`Checks::committed`] for blocks that became durable while every machine went down.
    pub fn started(&mut self, scene: &mut Scene<'_>, machine: usize) -> Result<(), Violation> {
        let outcome = self.recovered(scene, machine);
        self.judged(outcome)
    }

    fn recovered(&mut self, scene: &mut Scene<'_>, machine: usize) -> Result<(), Violation> {
        let inner = open!(self, scene);
        let node = &scene.machines[machine];
        let Some(database) = NodeDatabase::of(node).filter(|_| node.honest) else { return Ok(()) };
        let (Some(storage), parent) =
            (node.storage(), scene.parent.as_deref().map_or(ParentFacts::NONE, ParentFacts::of))
        else {
            return Ok(());
        };
        for height in inner.canon.height() + 1..=database.head() {
            let block = committed_block(scene.genesis, storage, height);
            let (executed, certificate) = block.map_err(|fault| Violation::new(DURABILITY, height, fault))?;
            let commit = Commit {
                machine,
                now_ms: scene.now_ms,
                latest_wall_ms: inner.latest_wall_ms,
                executed: &executed,
                certificate: &certificate,
                database: &database,
            };
            agreement::check(&inner.canon, &commit)?;
            inner.decided(scene.coverage, &parent, &commit)?;
            scene.coverage.hit("durable_before_known");
        }
        inner.starting.insert(machine);
        inner.acknowledged.started(&inner.canon, machine, &database)
    }

    /// A machine has handled an event.
    ///
    /// # Errors
    /// I6, I10.
    pub fn handled(&mut self, scene: &mut Scene<'_>, machine: usize) -> Result<(), Violation> {
        let inner = open!(self, scene);
        let node = &scene.machines[machine];
        let Some(performer) = node.performer().filter(|_| node.honest) else { return Ok(()) };
        inner.latest_wall_ms = inner.latest_wall_ms.max(node.clock.wall_ms());
        let handled = inner.handled.entry(machine).or_default();
        *handled += 1;
        if handled.is_multiple_of(bounds::LOOK_EVERY) {
            bounds::check(inner.canon.height(), machine, performer.sizes())?;
        }
        inner.follow_start(scene.now_ms, node);
        inner.liveliness.waited(scene.now_ms, inner.canon.height())
    }

    /// The parent has a new block.
    ///
    /// # Errors
    /// I7, I8.
    pub fn parent_block(&mut self, scene: &mut Scene<'_>) -> Result<(), Violation> {
        let inner = open!(self, scene);
        let Some(parent) = scene.parent.as_deref() else { return Ok(()) };
        let facts = ParentFacts::of(parent);
        inner.crossings.parent_block(&inner.canon, &facts)?;
        backing::of_both(&inner.canon, &inner.crossings, &facts, Vault::of(parent))?;
        let epoch = facts.checkpoints.iter().map(|accepted| accepted.epoch).max().unwrap_or(0);
        let (claims, checkpoints, epoch_seen) = inner.parent_seen;
        scene.coverage.add("withdrawal_claimed", facts.claims.len().saturating_sub(claims) as u64);
        scene.coverage.add("checkpoint_accepted", facts.checkpoints.len().saturating_sub(checkpoints) as u64);
        scene.coverage.add("handover_relayed", epoch.saturating_sub(epoch_seen));
        inner.parent_seen = (facts.claims.len(), facts.checkpoints.len(), epoch.max(epoch_seen));
        Ok(())
    }

    /// All faults have ended.
    ///
    /// # Errors
    /// No check of its own.
    pub fn healed(&mut self, scene: &mut Scene<'_>) -> Result<(), Violation> {
        let inner = open!(self, scene);
        let height = inner.canon.height() + 1;
        let honest = scene.machines.iter().filter(|machine| machine.honest);
        let standing = honest.filter_map(|machine| machine.node()).map(|node| node.consensus_status());
        let round = standing.filter(|status| status.height.0 == height).map(|status| status.round.0).max();
        inner.liveliness.healed(scene.now_ms, height, round.unwrap_or(0));
        Ok(())
    }

    /// The run ends, after everything required after the healing has happened. Compares every honest database completely.
    ///
    /// # Errors
    /// I1, I3, I6, I7.
    pub fn finished(&mut self, scene: &mut Scene<'_>) -> Result<(), Violation> {
        let inner = open!(self, scene);
        let judged = || scene.machines.iter().filter(|machine| machine.honest && machine.stopped.is_none());
        let heads: Vec<_> = judged().map(|machine| (machine.index, machine.head())).collect();
        inner.liveliness.finished(&heads)?;
        for machine in judged() {
            let Some(database) = NodeDatabase::of(machine) else { continue };
            inner.compare(machine.index, &database)?;
        }
        let facts = facts(scene);
        inner.crossings.parent_block(&inner.canon, &facts)
    }

    /// The canonical chain; `None` before the first event.
    pub fn canon(&self) -> Option<&Canon> {
        self.inner.as_ref().map(|inner| &inner.canon)
    }

    /// From here on a fork is required: the first one is kept for [`Checks::fork`], its machine goes on, and
    /// nothing is checked after it, because there is no single history any more.
    pub fn await_fork(&mut self) {
        self.awaits_fork = true;
    }

    /// The fork, if one has happened.
    pub fn fork(&self) -> Option<&Violation> {
        self.fork.as_ref()
    }

    /// Whether the checks are switched off.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// The checks of a block that became durable.
    fn judged(&mut self, outcome: Result<(), Violation>) -> Result<(), Violation> {
        match outcome {
            Err(fork) if self.awaits_fork && fork.invariant == violation::AGREEMENT => {
                self.muted = true;
                self.fork = Some(fork);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl Inner {
    /// Compares a whole database with the canonical chain, and its tables with its head.
    fn compare(&self, machine: usize, database: &dyn Database) -> Result<(), Violation> {
        let head = database.head();
        for height in 0..=head {
            let (found, known) = (database.hash(height), self.canon.at(height).map(|decided| decided.hash));
            ensure(found == known, violation::AGREEMENT, height, || {
                format!("machine {machine} ends with block {found:?}, decided was {known:?}")
            })?;
        }
        let expected = self.canon.at(head).map(|decided| decided.state_root);
        let rows = database.rows().and_then(|rows| mirror::root_of(rows.accounts.into_iter(), rows.slots.into_iter()));
        ensure(rows.as_ref().ok() == expected.as_ref(), STATE, head, || {
            format!("the tables of machine {machine} have the root {rows:?}, the header names {expected:?}")
        })
    }
}

fn is_partitioned(scene: &Scene<'_>) -> bool {
    let holds = |from_ms: u64, until_ms: u64| (from_ms..until_ms).contains(&scene.now_ms);
    !scene.healed && scene.plan.network.partitions.iter().any(|partition| holds(partition.from_ms, partition.until_ms))
}

/// Descriptions of the invariants, in the order of docs/reliability.md.
pub const INVARIANTS: [(&str, &str); 10] = [
    (violation::AGREEMENT, "agreement: one block a height"),
    (VALIDITY, "validity: what is decided follows the rules"),
    (STATE, "state: one state after a height, its root from nothing"),
    (DURABILITY, "durability: nothing acknowledged is lost"),
    (violation::SIGNING, "signing: no honest key conflicts with itself"),
    (LIVENESS, "liveness: bounded rounds after healing, no block before its time"),
    (violation::BACKING, "backing: locked = coin + to be minted + to be paid"),
    (violation::BRIDGE, "bridge: each deposit and withdrawal once"),
    (violation::STAKE, "stake: conserved, powers as stakes give"),
    (violation::BOUNDS, "bounds: nothing grows past its limit"),
];
