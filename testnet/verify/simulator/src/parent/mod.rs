//! The simulated parent chain: Ethereum as the peg sees it, in memory and without a clock of its own.
//!
//! Blocks come at an interval and execute signed transactions on revm, with the committed bytecode of the peg's contracts;
//! pools, fees, receipts, events, finality and the JSON-RPC methods of watchers and relayers behave as on the real chain.
//! Consensus does not: the parent's blocks have synthetic roots and no signatures, because nothing here checks them. States are
//! kept for every height that may be queried, so a reorganisation only undoes its blocks.
//!
//! Several endpoints show the one chain, each with its own faults ([`EndpointFaults`]): behind, slow, down, cut, or lying, up to
//! a whole branch that is consistent with itself. The chain has its own ([`ChainFaults`]). [`ParentFaults`] draws them over time.
//!
//! [`Parent`] owns everything. Clients hold a [`Wire`] whose futures end when [`Parent::advance`] comes to their time. The
//! [`Ledger`] is the checks' own record of the contracts' actions.

mod branches;
mod calls;
mod chain;
mod endpoint;
mod episodes;
mod events;
mod evm;
mod faults;
mod ledger;
mod lies;
mod plan;
mod pool;
mod rpc;
mod state;
mod traffic;
mod users;
mod wire;

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod harness;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_contracts::PegVault;
use causeway_parent::{BlockRef, Wire};
use parking_lot::Mutex;

use chain::{Chain, Weather};
use endpoint::Endpoint;
use episodes::{Begin, Change, Episodes};
use traffic::Due;
use wire::{Mailbox, ParentWire};

pub use episodes::{FaultKind, ParentFaults};
pub use events::{ParentCounters, ParentEvent};
pub use faults::{BranchId, ChainFaults, EndpointFaults, ForgedDeposit, Lie, Outage};
pub use ledger::{CheckpointAccepted, ClaimPaid, DepositMade, Ledger};
pub use plan::{ParentPlan, PegDeployment};
pub use pool::PoolError;
pub use users::{At, RegistryAt, TxStatus};

use crate::rng::{Purpose, Rng};

/// Most lying branches at once.
const MAX_BRANCHES: usize = 4;

/// The parent chain and the connections to it.
#[derive(Debug)]
pub struct Parent {
    plan: Arc<ParentPlan>,
    contracts: Option<(Address, Address)>,
    rng: Rng,
    now_ms: u64,
    next_block_ms: u64,
    chain: Chain,
    branches: BTreeMap<BranchId, Chain>,
    next_branch: u32,
    faults: ChainFaults,
    endpoints: Vec<Endpoint>,
    cut_off: BTreeSet<usize>,
    episodes: Episodes,
    mailbox: Arc<Mutex<Mailbox>>,
    /// Events in order of time, then of posting.
    queue: BTreeMap<(u64, u64), Due>,
    posted: u64,
    counters: ParentCounters,
}

impl Parent {
    /// A parent at time 0 with two blocks: the funded accounts, and the peg's contracts.
    pub fn new(plan: ParentPlan, seed: u64, alloc: &[(Address, U256)], peg: Option<&PegDeployment>) -> Self {
        assert!(plan.finality_blocks > 0 && plan.block_ms > 0, "a head is never final, and blocks take time");
        let plan = Arc::new(plan);
        let mut rng = Rng::new(seed, Purpose::Parent, 0);
        let chain = Chain::new(plan.clone(), rng.bits(), alloc, peg);
        Self {
            contracts: peg.map(PegDeployment::addresses),
            now_ms: 0,
            next_block_ms: plan.block_ms,
            chain,
            branches: BTreeMap::new(),
            next_branch: 0,
            faults: ChainFaults::default(),
            endpoints: vec![Endpoint::default(); plan.endpoints],
            cut_off: BTreeSet::new(),
            episodes: Episodes::new(plan.faults.clone(), plan.endpoints, &mut rng),
            mailbox: Arc::default(),
            queue: BTreeMap::new(),
            posted: 0,
            counters: ParentCounters::default(),
            rng,
            plan,
        }
    }

    /// URL of an endpoint.
    pub fn url(&self, endpoint: usize) -> String {
        format!("http://parent-{endpoint}")
    }

    /// A machine's connection to all endpoints. Sleeps and deadlines count in simulated time from the last [`Self::advance`] on.
    pub fn wire(&self, machine: usize) -> Arc<dyn Wire> {
        Arc::new(ParentWire { machine, start_unix_s: self.plan.start_unix_s, mailbox: self.mailbox.clone() })
    }

    /// Faults of the chain, mutable.
    pub fn faults_mut(&mut self) -> &mut ChainFaults {
        &mut self.faults
    }

    /// Faults of an endpoint, mutable.
    ///
    /// # Panics
    /// When there is no such endpoint.
    pub fn endpoint_mut(&mut self, endpoint: usize) -> &mut EndpointFaults {
        &mut self.endpoints[endpoint].faults
    }

    /// Cuts a machine off from every endpoint, or connects it again.
    pub fn cut_off(&mut self, machine: usize, cut: bool) {
        if cut {
            self.cut_off.insert(machine);
        } else {
            self.cut_off.remove(&machine);
        }
    }

    /// Ends every fault, and keeps new ones from beginning.
    pub fn heal(&mut self) {
        self.episodes.stop();
        self.faults = ChainFaults::default();
        self.endpoints = vec![Endpoint::default(); self.endpoints.len()];
        self.branches.clear();
        self.cut_off.clear();
        self.chain.release(self.now_ms);
    }

    /// Makes a branch for [`Lie::Branch`] that leaves the chain `depth` blocks below its head, or at the last final block, and
    /// goes on from there with every block of the chain, `forged` in its first. `None` when there are too many.
    pub fn branch_off(&mut self, depth: u64, forged: Option<ForgedDeposit>) -> Option<BranchId> {
        let followed: Vec<BranchId> = self.endpoints.iter().filter_map(|endpoint| endpoint.followed()).collect();
        self.branches.retain(|id, _| followed.contains(id));
        if self.branches.len() >= MAX_BRANCHES {
            return None;
        }
        let deposit = forged.zip(self.contracts).map(|(forged, (_, vault))| {
            let call = PegVault::depositNativeCall { recipient: forged.recipient };
            (vault, forged.amount, Bytes::from(call.abi_encode()))
        });
        let base = self.chain.head().height.saturating_sub(depth);
        let branch = self.chain.branch(base, self.rng.bits(), self.weather(), deposit);
        let id = BranchId(self.next_branch);
        self.next_branch += 1;
        self.branches.insert(id, branch);
        Some(id)
    }

    /// Replaces the last `depth` blocks that are not final, now.
    pub fn reorganise(&mut self, depth: u64) -> ParentEvent {
        let weather = self.weather();
        let undone = self.chain.reorganise(depth, self.faults.drop_percent, weather, &mut self.rng);
        let counters = &mut self.counters;
        counters.reorganisations += 1;
        counters.deepest = counters.deepest.max(undone.blocks);
        counters.blocks += undone.blocks;
        counters.transactions_undone += undone.transactions;
        counters.transactions_dropped += undone.dropped;
        counters.deposits_undone += undone.deposits;
        ParentEvent::Reorganised { blocks: undone.blocks, deposits: undone.deposits }
    }

    /// Time at which [`Self::advance`] has something to do next. It may change when clients are polled, because they may post requests.
    pub fn next_due_ms(&mut self) -> u64 {
        self.empty_mailbox();
        let queued = self.queue.first_key_value().map_or(u64::MAX, |((due, _), _)| *due);
        queued.min(self.next_block_ms).min(self.episodes.next_ms())
    }

    /// Advances the time to `now_ms`: makes blocks, serves requests, ends answers and sleeps. Returns the events.
    pub fn advance(&mut self, now_ms: u64) -> Vec<ParentEvent> {
        let mut events = Vec::new();
        loop {
            let due = self.next_due_ms();
            if due > now_ms {
                break;
            }
            self.set_time(due);
            if self.next_block_ms <= due {
                self.block(&mut events);
            } else if self.episodes.next_ms() <= due {
                if let Some(change) = self.episodes.due(due, &mut self.rng) {
                    self.change(change, &mut events);
                }
            } else if let Some((_, due)) = self.queue.pop_first() {
                self.take(due);
            }
        }
        self.set_time(now_ms);
        events
    }

    fn set_time(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.mailbox.lock().now_ms = self.now_ms;
    }

    fn weather(&self) -> Weather {
        let ChainFaults { fee_factor, finality_stalled, .. } = self.faults;
        Weather { fee_factor, finality_stalled }
    }

    fn block(&mut self, events: &mut Vec<ParentEvent>) {
        let slot_ms = self.next_block_ms;
        self.next_block_ms = slot_ms.saturating_add(self.plan.block_ms);
        if self.faults.halted {
            return;
        }
        if self.rng.percent(self.faults.reorg_percent) {
            let depth = self.rng.between(1, self.faults.reorg_depth.max(1));
            events.push(self.reorganise(depth));
        }
        let weather = self.weather();
        for chain in std::iter::once(&mut self.chain).chain(self.branches.values_mut()) {
            chain.make_block(slot_ms, weather, Vec::new());
        }
        self.counters.blocks += 1;
        let head = self.chain.head();
        events.push(ParentEvent::Block {
            height: head.height,
            hash: head.hash,
            transactions: head.transactions.len(),
            finalized: head.finalized,
        });
    }

    fn change(&mut self, change: Change, events: &mut Vec<ParentEvent>) {
        let Parent { rng, faults, endpoints, counters, chain, .. } = self;
        match change {
            Change::Begin(Begin { kind, endpoint }) => {
                episodes::strike_chain(kind, faults, rng);
                episodes::strike_endpoint(kind, chain.head().height, &mut endpoints[endpoint].faults, rng);
                *counters.faults.entry(kind).or_default() += 1;
                if kind == FaultKind::Lie {
                    let lie = match episodes::draw_lie(rng) {
                        Ok(lie) => Some(lie),
                        Err((depth, forged)) => self.branch_off(depth, forged).map(Lie::Branch),
                    };
                    self.endpoints[endpoint].faults.lie = lie;
                }
                events.push(ParentEvent::Began(kind, endpoint));
            }
            Change::End(Begin { kind, endpoint }) => {
                episodes::calm_chain(kind, faults);
                episodes::calm_endpoint(kind, &mut endpoints[endpoint].faults);
                if kind == FaultKind::Stuck {
                    self.chain.release(self.now_ms);
                }
                events.push(ParentEvent::Ended(kind, endpoint));
            }
        }
    }

    /// The newest block.
    pub fn head(&self) -> BlockRef {
        self.block_at(self.chain.head().height)
    }

    /// The newest final block.
    pub fn finalized(&self) -> BlockRef {
        self.block_at(self.chain.finalized())
    }

    fn block_at(&self, height: u64) -> BlockRef {
        let block = self.chain.block(height).expect("the height was just asked for");
        BlockRef { height, hash: block.hash, timestamp: block.timestamp }
    }

    /// Counts of events.
    pub fn counters(&self) -> &ParentCounters {
        &self.counters
    }
}
