//! A world under a test's control: running machines, allowed messages, operators' transactions, and a record of signatures.

pub(crate) mod accounts;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use alloy_primitives::{Address, B256, U256};
use causeway::{chain::Chain, handle::Event, handle::Node};
use causeway_consensus::{ConsensusMessage, ValidatorId};
use causeway_execution::{StateSource, staking_state};
use causeway_network::GossipMessage;
use causeway_simulator::{
    Machine, Plan, World,
    disk::{MachineDisk, MachineTables, WriteFault},
};
use causeway_staking::views::{self, ValidatorView};

/// Signatures of the machines' own keys, and a switch for peg signatures.
#[derive(Debug, Default)]
struct Said {
    /// The lowest height each machine has signed at in each of its lives.
    lowest: BTreeMap<(usize, u64), u64>,
    /// Whether all peg signatures are dropped.
    peg_muted: bool,
}

/// A directed world.
pub(crate) struct Scenario {
    pub(crate) world: World,
    said: Rc<RefCell<Said>>,
    nonces: BTreeMap<Address, u64>,
    /// Time of the first commit of each height.
    pub(crate) committed_ms: BTreeMap<u64, u64>,
}

/// A quiet standalone chain of this many validators.
pub(crate) fn plan(validators: usize, seed: u64) -> Plan {
    Plan { seed, ..Plan::quiet(seed, validators) }
}

/// Epochs of this many blocks, with the longest unbonding period that they allow.
pub(crate) fn epochs(plan: Plan, epoch_length: u64) -> Plan {
    let unbonding_s = plan.unbonding_s.min(epoch_length * plan.block_interval_ms * 10);
    Plan { epoch_length, unbonding_s, ..plan }
}

impl Scenario {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self::with_offenders(plan, &[])
    }

    /// Members whose keys the test uses to sign twice are not checked.
    pub(crate) fn with_offenders(plan: &Plan, offenders: &[usize]) -> Self {
        let mut world = World::new(plan);
        offenders.iter().for_each(|index| world.machines[*index].honest = false);
        let said = Rc::new(RefCell::new(Said::default()));
        let ids: Vec<ValidatorId> = world.machines.iter().map(Machine::validator).collect();
        let written = said.clone();
        world.gate = Some(Box::new(move |leaving| {
            let mut said = written.borrow_mut();
            let own = match leaving.message {
                GossipMessage::Consensus(ConsensusMessage::Vote(signed)) => {
                    Some((signed.vote.validator, signed.vote.height))
                }
                GossipMessage::Consensus(ConsensusMessage::Proposal(signed)) => {
                    Some((signed.proposal.proposer, signed.proposal.height))
                }
                GossipMessage::Peg(_) => return !said.peg_muted,
                _ => None,
            };
            if let Some((_, height)) = own.filter(|(signer, _)| *signer == ids[leaving.machine]) {
                let lowest = said.lowest.entry((leaving.machine, leaving.life)).or_insert(height.0);
                *lowest = height.0.min(*lowest);
            }
            true
        }));
        let mut scenario = Self { world, said, nonces: BTreeMap::new(), committed_ms: BTreeMap::new() };
        assert!(scenario.run(0, |scenario| scenario.world.machines.iter().all(Machine::is_up)));
        scenario
    }

    /// Runs until `done` holds, or for this much simulated time.
    pub(crate) fn run(&mut self, limit_ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.world.now_ms + limit_ms;
        loop {
            let head = self.world.head();
            let now_ms = self.world.now_ms;
            self.committed_ms.entry(head).or_insert(now_ms);
            if done(self) {
                return true;
            }
            if self.world.next_ms().is_none_or(|next| next > end) {
                self.world.run_until(end).unwrap();
                return done(self);
            }
            self.world.step().unwrap_or_else(|violation| panic!("{violation}"));
        }
    }

    /// Runs for this long.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.world.now_ms + ms;
        self.run(ms, |scenario| scenario.world.now_ms >= until);
    }

    /// Kills a machine's node; it stays down.
    pub(crate) fn crash(&mut self, index: usize) {
        self.world.switch_off(index, WriteFault::Clean);
    }

    pub(crate) fn start(&mut self, index: usize) {
        self.world.switch_on(index).unwrap_or_else(|violation| panic!("{violation}"));
    }

    /// A backup of a machine that is down.
    pub(crate) fn snapshot(&self, index: usize) -> (MachineDisk, MachineTables) {
        let machine = &self.world.machines[index];
        (machine.disk.snapshot(self.world.plan.seed + 1, index), machine.tables.snapshot())
    }

    pub(crate) fn restore(&mut self, index: usize, (disk, tables): (MachineDisk, MachineTables)) {
        let machine = &mut self.world.machines[index];
        (machine.disk, machine.tables) = (disk, tables);
        self.world.checks.restored(index);
    }

    pub(crate) fn happens(&mut self, index: usize, delay_ms: u64, event: Event) {
        self.world.happens(index, delay_ms, event);
    }

    pub(crate) fn mute_peg(&mut self, muted: bool) {
        self.said.borrow_mut().peg_muted = muted;
    }

    /// The lowest height a machine has signed at in its present life.
    pub(crate) fn lowest_signed(&self, index: usize) -> Option<u64> {
        self.said.borrow().lowest.get(&(index, self.world.machines[index].life)).copied()
    }

    pub(crate) fn machine(&self, index: usize) -> &Machine {
        &self.world.machines[index]
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.machine(index).node().unwrap()
    }

    pub(crate) fn chain(&self, index: usize) -> &Chain {
        self.machine(index).chain().unwrap()
    }

    pub(crate) fn id(&self, index: usize) -> ValidatorId {
        self.machine(index).validator()
    }

    pub(crate) fn head(&self, index: usize) -> u64 {
        self.machine(index).head().unwrap_or(0)
    }

    /// Whether all running machines have committed `height`.
    pub(crate) fn all_reached(&self, height: u64) -> bool {
        self.world.machines.iter().filter_map(Machine::head).all(|head| head >= height)
    }

    /// The set of the height after machine 0's head.
    pub(crate) fn set(&self) -> Vec<usize> {
        let set = self.chain(0).sets.of_next().set;
        (0..self.world.machines.len()).filter(|index| set.get(&self.id(*index)).is_some()).collect()
    }

    /// The epoch of the height after a machine's head.
    pub(crate) fn epoch(&self, index: usize) -> u64 {
        let state = self.chain(index).storage.latest();
        views::epoch(&mut staking_state(state.as_ref())).unwrap().number
    }

    pub(crate) fn validator(&self, index: usize) -> Option<ValidatorView> {
        let state = self.chain(0).storage.latest();
        views::validator(&mut staking_state(state.as_ref()), self.machine(index).operator.address()).unwrap()
    }

    pub(crate) fn balance(&self, index: usize, address: Address) -> U256 {
        self.chain(index).storage.latest().account(address).unwrap().unwrap_or_default().balance
    }

    /// Whether a machine has signed one of the last `heights` certificates.
    pub(crate) fn signs(&self, index: usize, heights: u64) -> bool {
        let (storage, id) = (&self.chain(0).storage, self.id(index));
        let head = self.head(0);
        (head.saturating_sub(heights - 1).max(1)..=head).any(|height| {
            let certificate = storage.certificate(height).unwrap().unwrap();
            certificate.signatures.iter().any(|signature| signature.validator == id)
        })
    }

    pub(crate) fn hash(&self, index: usize, height: u64) -> B256 {
        self.chain(index).storage.hash_by_number(height).unwrap().unwrap()
    }
}
