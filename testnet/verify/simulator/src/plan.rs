//! The plan of a run: the machines and their faults. A plan is a value; equal plans give equal runs.

use causeway_consensus::Timeouts;
use causeway_genesis::RulesEntry;

use crate::{disk::CrashPoint, parent::ParentFaults, strategies::StrategyKind};

/// The plan of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed of all randomness.
    pub seed: u64,
    /// Validators at genesis: machines `0..validators`.
    pub validators: usize,
    /// Nodes with keys that may register later: the machines after the validators.
    pub others: usize,
    /// Nodes without keys: the machines after those.
    pub followers: usize,
    /// Whether there is a parent chain with the contracts.
    pub pegged: bool,
    /// Time from block to block.
    pub block_interval_ms: u64,
    /// Blocks of an epoch.
    pub epoch_length: u64,
    /// Blocks from checkpoint to checkpoint.
    pub checkpoint_interval: u64,
    /// The unbonding period.
    pub unbonding_s: u64,
    /// Changes of the rules by height.
    pub rules: Vec<RulesEntry>,
    /// The timeouts of every node.
    pub timeouts: Timeouts,
    /// Faults of the links.
    pub network: NetworkFaults,
    /// Crashes.
    pub crashes: CrashFaults,
    /// Faults of clocks.
    pub clocks: ClockFaults,
    /// Faults of the parent chain and its endpoints.
    pub parent: ParentFaults,
    /// Actions of users and operators.
    pub churn: ChurnPlan,
    /// Limits of every node's transaction pool, when they are tighter than usual.
    pub pool: Option<PoolLimits>,
    /// The Byzantine members, by machine.
    pub byzantine: Vec<(usize, StrategyKind)>,
    /// Time of the healing, milliseconds after the start.
    pub faults_until_ms: u64,
    /// Heights that must be decided after the healing.
    pub heights_after_heal: u64,
    /// A crash at one exact write or sync.
    pub disk_point: Option<CrashPoint>,
}

/// Faults of links between machines.
#[derive(Debug, Clone, Default)]
pub struct NetworkFaults {
    /// Probability that a copy of a message is lost, 0 to 100.
    pub loss_percent: u64,
    /// Probability that it arrives twice, 0 to 100.
    pub duplicate_percent: u64,
    /// Usual delay of a message, minimum and maximum. A wide range reorders messages.
    pub delay_ms: (u64, u64),
    /// Probability that a message is slow, 0 to 100.
    pub slow_percent: u64,
    /// Largest delay of a slow message.
    pub slow_ms: u64,
    /// Cuts, with their times.
    pub partitions: Vec<Partition>,
}

/// A partition: links that are cut for a time.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Start, milliseconds after the world's start.
    pub from_ms: u64,
    /// End.
    pub until_ms: u64,
    /// The machines on one side.
    pub side: Vec<usize>,
    /// Machines on neither side: their links stay as they are. All others are on the other side.
    pub neutral: Vec<usize>,
    /// The cut links.
    pub kind: PartitionKind,
}

/// The cut links between two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// Both directions.
    Symmetric,
    /// Only messages from the side.
    Mute,
    /// Only messages to the side.
    Deaf,
    /// No link is cut: messages between the sides take longer, in both directions.
    Slow {
        /// Extra delay.
        by_ms: u64,
    },
    /// Both directions, cut and restored in turn, each for the given time.
    Flapping {
        /// Duration, at least 1.
        period_ms: u64,
    },
}

/// Crashes of machines.
#[derive(Debug, Clone, Copy, Default)]
pub struct CrashFaults {
    /// Mean time between two crashes of one machine; 0 for none.
    pub every_ms: u64,
    /// Downtime of a machine, minimum and maximum.
    pub down_ms: (u64, u64),
    /// Percentage of crashes that strike at a write or sync of the disk instead of between two events.
    pub at_disk_percent: u64,
    /// Largest number of machines that are down by crashes at once; 0 for no limit.
    pub most_down: usize,
}

/// Faults of the machines' clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClockFaults {
    /// Largest error of a wall clock at the start, in either direction.
    pub offset_ms: u64,
    /// Largest drift of a clock, in parts per million.
    pub drift_ppm: u64,
    /// The mean time between two jumps of a machine's wall clock; 0 for none.
    pub jump_every_ms: u64,
    /// Largest jump, in either direction.
    pub jump_ms: u64,
}

/// Actions of users and operators during the whole run.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChurnPlan {
    /// The mean time between two actions of users (transfers, calls, deposits, withdrawals, claims); 0 for none.
    pub user_every_ms: u64,
    /// The mean time between two actions of stakers and operators (registering, delegating, unbonding, exiting, unjailing); 0
    /// for none.
    pub staking_every_ms: u64,
}

/// Limits of a transaction pool that few users can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Most transactions in the pool.
    pub transactions: usize,
    /// Most of them that wait for an earlier nonce or for coin.
    pub queued: usize,
    /// Most of one sender.
    pub of_sender: usize,
}

impl Plan {
    /// A quiet standalone chain: no faults, no users.
    pub fn quiet(seed: u64, validators: usize) -> Self {
        Self {
            seed,
            validators,
            others: 0,
            followers: 0,
            pegged: false,
            block_interval_ms: 100,
            epoch_length: 3_600,
            checkpoint_interval: 5,
            unbonding_s: 3_600,
            rules: Vec::new(),
            timeouts: Timeouts {
                propose_ms: 300,
                prevote_ms: 100,
                precommit_ms: 100,
                delta_ms: 50,
                rebroadcast_ms: 300,
            },
            network: NetworkFaults { delay_ms: (1, 20), ..NetworkFaults::default() },
            crashes: CrashFaults::default(),
            clocks: ClockFaults::default(),
            parent: ParentFaults::default(),
            churn: ChurnPlan::default(),
            pool: None,
            byzantine: Vec::new(),
            faults_until_ms: 0,
            heights_after_heal: 0,
            disk_point: None,
        }
    }

    /// Machines in all; a strategy that needs further ones (a twin) adds them after these.
    pub fn machines(&self) -> usize {
        self.validators + self.others + self.followers
    }
}
