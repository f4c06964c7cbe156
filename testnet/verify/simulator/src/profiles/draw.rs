//! The building blocks of drawn plans. Times are fractions of a run's length, so that longer runs do not have more faults.

use causeway_genesis::RulesEntry;
use serde_json::json;

use crate::{
    Plan,
    parent::ParentFaults,
    plan::{ChurnPlan, ClockFaults, CrashFaults, NetworkFaults, Partition, PartitionKind, PoolLimits},
    rng::{Purpose, Rng},
    strategies::{StrategyKind, most_byzantine},
};

/// An epoch longer than any run of a small chain.
const NO_EPOCHS: u64 = 3_600;
/// Time of a height in addition to the block interval and messages: building, executing, committing.
const WORK_MS: u64 = 60;
/// Heights that a member misses until it is jailed, and heights until it returns: more than the users' chain requires.
const ABSENT_HEIGHTS: u64 = 20;
const RETURN_HEIGHTS: u64 = 24;

/// Percentage of plans with users that have small pools.
const TIGHT_POOLS: u64 = 20;

/// Epochs of such a run: stake leaves with the second epoch after the request. On a pegged chain, where coin has to arrive first and the
/// parent must acknowledge the set without the stake, that takes longer.
const LEAVING_EPOCHS: u64 = 4;
const PEGGED_LEAVING_EPOCHS: u64 = 9;

/// A plan that is being drawn.
#[derive(Debug)]
pub(super) struct Draw {
    rng: Rng,
    plan: Plan,
}

impl Draw {
    /// The plan of a seed in the profile `index`.
    pub(super) fn new(seed: u64, index: u32) -> Self {
        Self { rng: Rng::new(seed, Purpose::Plan, index), plan: Plan::quiet(seed, 4) }
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.rng.percent(percent)
    }

    /// The element whose turn it is for this seed.
    pub(super) fn turn<T: Copy>(&self, items: &[T]) -> T {
        let turn = self.plan.seed % items.len() as u64;
        items[usize::try_from(turn).unwrap_or(0)]
    }

    /// Validators at genesis.
    pub(super) fn size(&self) -> usize {
        self.plan.validators
    }

    /// Number of validators: for each range of sizes its share of 1000 seeds.
    pub(super) fn validators(&mut self, sizes: &[(u64, usize, usize)]) {
        let mut left = self.rng.below(1_000);
        for (share, least, most) in sizes {
            if left < *share {
                self.plan.validators = least + self.rng.index(most - least + 1);
                return;
            }
            left -= share;
        }
    }

    /// Adds a parent chain. Blocks are slower than without: a deposit waits half a minute for the parent's finality.
    pub(super) fn pegged(&mut self) {
        self.plan.pegged = true;
        self.plan.checkpoint_interval = self.rng.between(2, 3);
        self.plan.epoch_length = NO_EPOCHS;
    }

    /// Sets the block interval and the time of faults: about `heights` heights of a set of four, and fewer of a larger set, whose
    /// heights cost more.
    pub(super) fn rhythm(&mut self, heights: u64) {
        let size = self.plan.validators as u64;
        let heights = (heights * 6).div_ceil(size + 2).max(2);
        let heights = self.rng.between(heights.div_ceil(2), heights + heights / 2);
        let interval = match (self.plan.pegged, self.rng.below(4)) {
            (true, _) => self.rng.between(3_000, 8_000),
            (_, 0) => self.rng.between(10, 60),
            (_, 1) => self.rng.between(300, 1_000),
            _ => self.rng.between(60, 300),
        };
        self.plan.block_interval_ms = interval;
        self.plan.network.delay_ms = (1, self.rng.between(2, 40));
        self.plan.faults_until_ms = heights * interval.max(WORK_MS + 3 * self.plan.network.delay_ms.1);
    }

    /// The chain starts under Prague, and its rules change once or twice within the run.
    pub(super) fn rules(&mut self) {
        let interval_ms = self.plan.block_interval_ms;
        let (first, gas_limit) = (self.rng.between(2, 6), self.rng.between(20, 90) * 1_000_000);
        let change = |height: u64, figures: serde_json::Value| RulesEntry {
            height,
            version: 1,
            changes: figures.as_object().cloned().unwrap_or_default(),
        };
        self.plan.rules = vec![
            change(0, json!({ "evm": { "fork": "prague" } })),
            change(
                first,
                json!({
                    "evm": { "fork": "osaka" },
                    "block": { "gasLimit": gas_limit, "intervalMs": (interval_ms * 3 / 4).max(10) },
                    "modules": { "prices": { "leaf": self.rng.between(151, 600), "signature": self.rng.between(3_001, 6_000) } },
                }),
            ),
        ];
        if self.rng.percent(50) {
            let figures = json!({
                "baseFee": { "elasticity": self.rng.between(3, 6), "changeDenominator": self.rng.between(9, 50) },
                "staking": { "doubleSignSlashPpm": self.rng.between(50_001, 200_000), "jailSeconds": 1 },
            });
            self.plan.rules.push(change(first + self.rng.between(1, 4), figures));
        }
    }

    /// Makes epochs end within the run, and unbonding, too.
    pub(super) fn epochs(&mut self) {
        let least = if self.plan.pegged { 2 * self.plan.checkpoint_interval } else { 4 };
        self.plan.epoch_length = self.rng.between(least.max(4), least.max(4) + 2);
        self.plan.unbonding_s = self.rng.between(1, 4);
    }

    /// Adds users.
    pub(super) fn users(&mut self) {
        let actions = self.rng.between(6, 30);
        self.plan.churn = ChurnPlan { user_every_ms: (self.span() / actions).max(20), ..self.plan.churn };
    }

    /// Adds stakers and operators, and nodes that may register.
    pub(super) fn stakers(&mut self) {
        let actions = self.rng.between(4, 12);
        self.plan.churn.staking_every_ms = (self.span() / actions).max(20);
        self.plan.others = self.rng.index(3);
    }

    /// Adds stakers and operators that act often, and nodes that register.
    pub(super) fn busy_stakers(&mut self) {
        let actions = self.rng.between(12, 50);
        self.plan.churn.staking_every_ms = (self.span() / actions).max(20);
        self.plan.others = 1 + self.rng.index(2);
    }

    /// Adds up to this many nodes without keys.
    pub(super) fn followers(&mut self, most: usize) {
        self.plan.followers = 1 + self.rng.index(most);
    }

    /// Adds losses (up to this percentage), duplicates and reordering of messages.
    pub(super) fn links(&mut self, most_lost: u64) {
        let delay_ms = (1, self.plan.network.delay_ms.1.max(self.rng.between(5, 150)));
        self.plan.network = NetworkFaults {
            loss_percent: self.rng.between(0, most_lost),
            duplicate_percent: self.rng.between(0, 20),
            delay_ms,
            slow_percent: self.rng.between(0, 3),
            slow_ms: self.rng.between(200, 2_000),
            partitions: std::mem::take(&mut self.plan.network.partitions),
        };
    }

    /// Adds messages that take up to ten seconds.
    pub(super) fn slow_messages(&mut self) {
        self.plan.network.slow_percent = self.rng.between(1, 15);
        self.plan.network.slow_ms = self.rng.between(2_000, 10_000);
        self.plan.faults_until_ms += self.rng.between(1_000, 6_000);
    }

    /// Adds one to `most` partitions, of any kind, between any two sides. A side with a quorum goes on; without one the chain stops.
    pub(super) fn partitions(&mut self, most: u64) {
        let span = self.span();
        for _ in 0..self.rng.between(1, most) {
            let from_ms = self.rng.below(span);
            let until_ms = from_ms + self.rng.between(span.div_ceil(8), span.div_ceil(2).max(1_500));
            let mut machines: Vec<usize> = (0..self.plan.machines()).collect();
            self.rng.shuffle(&mut machines);
            let most_on_side = (machines.len() / 2).max(1);
            machines.truncate(1 + self.rng.index(most_on_side));
            machines.sort_unstable();
            let kind = match self.rng.below(4) {
                0 => PartitionKind::Mute,
                1 => PartitionKind::Deaf,
                2 => PartitionKind::Flapping { period_ms: self.rng.between(20, 800) },
                _ => PartitionKind::Symmetric,
            };
            self.plan.network.partitions.push(Partition {
                from_ms,
                until_ms,
                side: machines,
                neutral: Vec::new(),
                kind,
            });
        }
    }

    /// Makes stake that is undelegated early leave and become free within the run.
    pub(super) fn stake_leaves(&mut self) {
        self.busy_stakers();
        // On a pegged chain it waits one to four times this long, depending on the parent's acknowledgement.
        let (epochs, unbonding_s, interval_ms) = if self.plan.pegged {
            (PEGGED_LEAVING_EPOCHS, self.rng.between(3, 5), 3_000)
        } else {
            (LEAVING_EPOCHS, 1, self.rng.between(250, 350))
        };
        self.plan.unbonding_s = unbonding_s;
        self.plan.block_interval_ms = interval_ms;
        self.plan.faults_until_ms = epochs * self.plan.epoch_length * interval_ms;
        self.plan.churn.staking_every_ms = self.plan.block_interval_ms / 2;
    }

    /// Cuts one member off long enough to be jailed, and leaves time for its return.
    pub(super) fn absent_member(&mut self) {
        let absent = self.rng.index(self.plan.validators);
        self.plan.block_interval_ms = self.rng.between(250, 350);
        let span = ABSENT_HEIGHTS * self.plan.block_interval_ms;
        self.plan.faults_until_ms = span + RETURN_HEIGHTS * self.plan.block_interval_ms;
        self.plan.churn.staking_every_ms = self.plan.block_interval_ms * 2;
        let kind = PartitionKind::Symmetric;
        let (side, neutral) = (vec![absent], Vec::new());
        self.plan.network.partitions.push(Partition { from_ms: 0, until_ms: span, side, neutral, kind });
    }

    /// Adds about one to `most` crashes, half of them at a write or sync.
    pub(super) fn crashes(&mut self, most: u64) {
        let (span, crashes) = (self.span(), self.rng.between(1, most));
        let most_down = if self.rng.percent(50) { 0 } else { 1 + self.rng.index(self.plan.validators.div_ceil(3)) };
        self.plan.crashes = CrashFaults {
            every_ms: (span * self.plan.machines() as u64 / crashes).max(50),
            down_ms: (10, self.rng.between(20, span.div_ceil(4).max(500))),
            at_disk_percent: 60,
            most_down,
        };
    }

    /// Adds wrong clocks, drift and jumps.
    pub(super) fn clocks(&mut self) {
        let (span, jumps) = (self.span(), self.rng.between(0, 4));
        let every = (span * self.plan.machines() as u64).checked_div(jumps).unwrap_or(0);
        self.plan.clocks = ClockFaults {
            offset_ms: self.rng.between(0, 400),
            drift_ppm: self.rng.between(0, 500),
            jump_every_ms: every,
            jump_ms: self.rng.between(10, 2_000),
        };
    }

    /// Adds failures of the parent and its endpoints. Some endpoints lie, but never the one that every node also asks.
    pub(super) fn parent(&mut self) {
        if !self.plan.pegged {
            return;
        }
        let span = self.span();
        let liars = (1..4).filter(|_| self.rng.percent(40)).collect();
        let every_ms = span / self.rng.between(2, 16);
        self.plan.parent = ParentFaults::all(every_ms, span.div_ceil(3), liars);
    }

    /// Makes one or more members Byzantine, with less than a third of the stake in all; stake moves only to honest members.
    /// One of them follows the strategy `first`, if given; the others draw theirs from `kinds`.
    pub(super) fn byzantine(&mut self, first: Option<StrategyKind>, kinds: &[StrategyKind]) {
        let able: Vec<StrategyKind> =
            kinds.iter().copied().filter(|kind| self.plan.pegged || !kind.needs_peg()).collect();
        let count = 1 + self.rng.index(most_byzantine(self.plan.validators));
        let mut machines: Vec<usize> = (0..self.plan.validators).collect();
        self.rng.shuffle(&mut machines);
        machines.truncate(count);
        machines.sort_unstable();
        let drawn = machines.into_iter().map(|machine| (machine, *self.rng.pick(&able)));
        self.plan.byzantine = drawn.collect();
        if let (Some(first), Some((_, kind))) = (first, self.plan.byzantine.first_mut()) {
            *kind = first;
        }
        for (_, kind) in self.plan.byzantine.clone() {
            kind.prepare(&mut self.plan);
        }
    }

    /// Duration of the faults.
    fn span(&self) -> u64 {
        self.plan.faults_until_ms.max(1)
    }

    /// Returns the plan. `heights` heights must follow the healing. With users, some chains have small pools.
    pub(super) fn finish(mut self, heights_after_heal: u64) -> Plan {
        if self.plan.churn.user_every_ms > 0 && self.plan.pool.is_none() && self.rng.percent(TIGHT_POOLS) {
            let transactions = 6 + self.rng.index(11);
            let queued = 2 + self.rng.index(transactions - 1);
            self.plan.pool = Some(PoolLimits { transactions, queued, of_sender: 4 + self.rng.index(13) });
        }
        Plan { heights_after_heal, ..self.plan }
    }
}
