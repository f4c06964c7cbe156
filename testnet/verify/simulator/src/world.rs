//! Machines, network, parent chain and users under one clock.
//!
//! A world takes one event after the other from its queue and lets its machine handle it; the effects of the node
//! (messages, jobs, requests) become further events. Handling takes no simulated time; jobs and messages do.

mod byzantine;
mod event;
mod faults;
mod jobs;
mod life;
mod messages;
mod node;
mod outer;
mod pools;
mod requests;

use std::sync::Arc;

use causeway::jobs::JobEnd;
use causeway_genesis::Genesis;
use causeway_network::GossipMessage;

use self::event::{Event, Life, Outbox};
use crate::{
    Checks, Coverage, Machine, Network, Plan, Trace, Users, Violation,
    clock::MachineClock,
    disk::{MachineDisk, Point},
    machine::Role,
    network::MachineSet,
    outlook::{Ways, Woken},
    parent::Parent,
    rng::Streams,
    schedule::Schedule,
    setup,
    strategies::witness::Witness,
    thread::work_alone,
};

/// Start of every world, Unix milliseconds.
pub const START_UNIX_MS: u64 = 1_800_000_000_000;
/// The sidechain's id.
pub const CHAIN_ID: u64 = 777;
/// The world counts as stuck when the heights that must follow the healing take longer than this, and [`HEIGHT_MS`] each.
const STUCK_MS: u64 = 120_000;
/// Allowance for a height in addition to the block interval.
const HEIGHT_MS: u64 = 2_000;

/// The state of the world that checks and users read.
pub struct Scene<'a> {
    /// Milliseconds since the world began.
    pub now_ms: u64,
    /// The plan of the run.
    pub plan: &'a Plan,
    /// The chain.
    pub genesis: &'a Arc<Genesis>,
    /// All machines.
    pub machines: &'a [Machine],
    /// The parent chain, on a pegged one.
    pub parent: Option<&'a mut Parent>,
    /// Coverage.
    pub coverage: &'a mut Coverage,
    /// Whether all faults have ended.
    pub healed: bool,
}

/// A world.
pub struct World {
    /// Milliseconds since it began.
    pub now_ms: u64,
    /// The plan of the run.
    pub plan: Plan,
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// All machines.
    pub machines: Vec<Machine>,
    /// The parent chain, on a pegged one.
    pub parent: Option<Parent>,
    /// The links between them.
    pub network: Network,
    /// The users.
    pub users: Users,
    /// The invariants.
    pub checks: Checks,
    /// Coverage.
    pub coverage: Coverage,
    /// The trace.
    pub trace: Trace,
    /// Whether nodes may stop by themselves without a violation; the reason is kept in [`Machine::stopped`].
    pub may_stop: bool,
    /// Sees all messages that honest machines receive, and the evidence in them.
    pub witness: Witness,
    /// Sees every outgoing message, and decides whether it is sent; for scenarios.
    pub gate: Option<Gate>,
    healed: bool,
    streams: Streams,
    schedule: Schedule<Event>,
    outbox: Outbox,
    /// The connections of each machine.
    connected: Vec<MachineSet>,
    /// The connections that each node knows of.
    told: Vec<MachineSet>,
    /// Connection of each machine to the parent.
    ways: Vec<Option<Ways>>,
    woken: Woken,
    /// Time of the parent's next turn in the queue; `u64::MAX` for never.
    parent_due_ms: u64,
}

/// An outgoing message of a machine.
#[derive(Debug)]
pub struct Leaving<'a> {
    /// Milliseconds since the world began.
    pub now_ms: u64,
    /// The machine.
    pub machine: usize,
    /// Its life.
    pub life: u64,
    /// The message.
    pub message: &'a GossipMessage,
}

/// Sees messages and decides which are sent.
pub type Gate = Box<dyn FnMut(&Leaving<'_>) -> bool>;

/// The parts of a world that checks read, borrowed separately from the checks.
macro_rules! scene {
    ($world:ident) => {
        crate::world::Scene {
            now_ms: $world.now_ms,
            plan: &$world.plan,
            genesis: &$world.genesis,
            machines: &$world.machines,
            parent: $world.parent.as_mut(),
            coverage: &mut $world.coverage,
            healed: $world.healed,
        }
    };
}
use scene;

impl std::fmt::Debug for World {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("World").field("now_ms", &self.now_ms).field("trace", &self.trace).finish_non_exhaustive()
    }
}

impl World {
    /// The world of a plan: all machines are about to start for the first time.
    ///
    /// # Panics
    /// When the plan is invalid: no validators, a missing machine, a genesis that breaks a rule.
    pub fn new(plan: &Plan) -> Self {
        work_alone();
        let users = Users::new(plan);
        let (genesis, parent) = outer::genesis_and_parent(plan, &users);
        let twins: Vec<usize> =
            plan.byzantine.iter().filter(|(_, kind)| kind.twins()).map(|(machine, _)| *machine).collect();
        let count = plan.machines() + twins.len();
        let schedule = Schedule::default();
        let mut world = Self {
            now_ms: 0,
            network: Network::new(count, plan.network.clone()),
            machines: Vec::with_capacity(count),
            users,
            checks: Checks::default(),
            coverage: Coverage::default(),
            trace: Trace::default(),
            may_stop: false,
            witness: Witness::default(),
            gate: None,
            healed: false,
            streams: Streams::new(plan.seed),
            outbox: Outbox::default(),
            connected: vec![MachineSet::default(); count],
            told: vec![MachineSet::default(); count],
            ways: Vec::new(),
            woken: Woken::default(),
            parent_due_ms: u64::MAX,
            parent,
            genesis,
            schedule,
            plan: plan.clone(),
        };
        for index in 0..count {
            let keys = setup::node_keys(index.checked_sub(plan.machines()).map_or(index, |twin| twins[twin]));
            let role = match index {
                _ if index < plan.validators || index >= plan.machines() => Role::Validator,
                _ if index < plan.validators + plan.others => Role::Other,
                _ => Role::Follower,
            };
            let disk = MachineDisk::new(plan.seed, index);
            let machine = Machine::new(index, keys, role, disk, MachineClock::new(world.schedule.now().clone()));
            machine.init().expect("no fault strikes before the first start");
            machine.disk.forget_points();
            world.machines.push(machine);
            world.ways.push(world.ways_of(index));
            world.schedule.at(0, Event::Start(index));
        }
        for (machine, kind) in &plan.byzantine {
            world.machines[*machine].honest = false;
            world.machines[*machine].strategy = Some(kind.start());
            world.schedule.at(0, Event::Strategy(*machine));
        }
        for machine in &mut world.machines[plan.machines()..] {
            machine.honest = false;
        }
        world.witness = Witness::new(&world.machines);
        world.plan_faults();
        world.plan_outer();
        world
    }

    /// Handles one event. Returns the time after it, or `None` when the queue is empty.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn step(&mut self) -> Result<Option<u64>, Violation> {
        let Some(event) = self.schedule.pop() else { return Ok(None) };
        self.now_ms = self.schedule.now().ms();
        self.happen(event)?;
        if !self.woken.is_empty() {
            self.look_out()?;
        }
        Ok(Some(self.now_ms))
    }

    /// Time of the next event.
    pub fn next_ms(&self) -> Option<u64> {
        self.schedule.next_ms()
    }

    /// Runs until the time `at_ms`.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run_until(&mut self, at_ms: u64) -> Result<(), Violation> {
        while self.schedule.next_ms().is_some_and(|next| next <= at_ms) {
            self.step()?;
        }
        self.schedule.advance(at_ms);
        self.now_ms = self.schedule.now().ms();
        Ok(())
    }

    /// Runs until `done` holds or until the time `until_ms`. Returns whether it holds.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run_while(&mut self, until_ms: u64, mut done: impl FnMut(&Self) -> bool) -> Result<bool, Violation> {
        while !done(self) {
            if self.schedule.next_ms().is_none_or(|next| next > until_ms) {
                return Ok(false);
            }
            self.step()?;
        }
        Ok(true)
    }

    /// Runs the whole plan: faults, healing, and the heights that must follow.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        self.run_until(self.plan.faults_until_ms)?;
        self.heal();
        self.checks.healed(&mut scene!(self))?;
        let target = self.head() + self.plan.heights_after_heal;
        let limit = self.now_ms + STUCK_MS + self.plan.heights_after_heal * (self.plan.block_interval_ms + HEIGHT_MS);
        // A machine that was far behind catches up while others go on: all of them must reach the height.
        let level = |world: &Self| world.all_reached(target) && world.all_reached(world.head().saturating_sub(1));
        if !self.run_while(limit, level)? {
            let heads: Vec<_> = self.machines.iter().map(Machine::head).collect();
            return Err(Violation {
                invariant: "I6",
                height: self.head(),
                text: format!("not everybody has reached height {target} by {limit} ms: {heads:?}"),
            });
        }
        self.checks.finished(&mut scene!(self))?;
        self.witness.judge(&self.plan, &self.genesis, &self.machines)
    }

    /// The greatest durable head.
    pub fn head(&self) -> u64 {
        self.machines.iter().filter_map(Machine::head).max().unwrap_or(0)
    }

    /// Whether every honest machine is up, or stopped by itself, and has committed `height`.
    pub fn all_reached(&self, height: u64) -> bool {
        let honest = self.machines.iter().filter(|machine| machine.honest && machine.stopped.is_none());
        honest.map(Machine::head).all(|head| head.is_some_and(|head| head >= height))
    }

    /// The writes and syncs of a machine so far, in order: its possible points of failure.
    pub fn disk_points(&self, machine: usize) -> Vec<Point> {
        self.machines[machine].disk.labels()
    }

    /// Whether all faults have ended.
    pub fn is_healed(&self) -> bool {
        self.healed
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Wake(life) if self.is_current(life) => self.wake(life.machine),
            Event::Gossip { to, via, packet } if self.is_current(to) => self.hear(to.machine, via, &packet),
            Event::Direct { to, packet } if self.is_current(to) => self.hear_direct(to.machine, &packet),
            Event::Link(life, peer) if self.is_current(life) => self.link(life.machine, peer),
            Event::Node(life, event) if self.is_current(life) => self.feed(life.machine, JobEnd::Event(*event), None),
            Event::Work(life, job, then_ms) if self.is_current(life) => self.work(life.machine, *job, then_ms),
            Event::End(life, end) if self.is_current(life) => self.feed(life.machine, *end, None),
            Event::Request { to, from, request } => self.asked(to, from, &request),
            Event::Announce(life) if self.is_current(life) => self.announce(life.machine),
            Event::Start(machine) => self.start(machine),
            Event::Crash(machine) => self.maybe_crash(machine),
            Event::Jump(machine) => {
                self.jump(machine);
                Ok(())
            }
            Event::Partition { index, cut } => {
                self.partition(index, cut);
                Ok(())
            }
            Event::Disconnect { index } => {
                self.disconnect(index);
                Ok(())
            }
            Event::Parent => self.parent_due(),
            Event::Users => self.users_act(),
            Event::Strategy(machine) => self.strategy_tick(machine),
            // The event belongs to an earlier life.
            _ => Ok(()),
        }
    }

    fn life(&self, machine: usize) -> Life {
        Life { machine, life: self.machines[machine].life }
    }

    fn is_current(&self, life: Life) -> bool {
        let machine = &self.machines[life.machine];
        machine.life == life.life && machine.up.is_some()
    }

    fn violation(&self, index: usize, invariant: &'static str, text: String) -> Violation {
        let height = self.machines[index].head().unwrap_or(0);
        Violation { invariant, height, text: format!("machine {index} at {} ms: {text}", self.now_ms) }
    }
}
