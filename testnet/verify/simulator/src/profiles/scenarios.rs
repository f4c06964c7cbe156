//! The runs in which every write and sync of one machine is made to fail, each in every way.

use crate::{Plan, plan::ChurnPlan, strategies::StrategyKind};

/// The machine whose disk fails.
pub const FAILING_MACHINE: usize = 0;

/// A base run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Scenario {
    /// Four validators without a parent, over epoch boundaries; one signs votes twice, is reported and slashed
    Standalone,
    /// The same, after the machine was killed before: writes and syncs of a recovery can fail, too
    Recovery,
    /// Four validators with a parent: deposits, checkpoints, a handover
    Pegged,
}

impl Scenario {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Standalone, Self::Recovery, Self::Pegged];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Recovery => "recovery",
            Self::Pegged => "pegged",
        }
    }

    /// Time at which the machine is killed and started again, before anything fails.
    pub const fn kill_at_ms(self) -> Option<u64> {
        match self {
            Self::Recovery => Some(530),
            Self::Standalone | Self::Pegged => None,
        }
    }

    /// Coverage required of the base run before the healing, when points are enumerated.
    pub const fn requires(self) -> &'static [&'static str] {
        match self {
            Self::Standalone => &["epoch_change", "included", "evidence_included", "slashed"],
            Self::Recovery => &["epoch_change", "recovery_with_log"],
            Self::Pegged => &["epoch_change", "deposit_minted", "checkpoint_recorded", "checkpoint_accepted"],
        }
    }

    /// Its plan, without a failing point.
    pub fn plan(self) -> Plan {
        let mut plan = Plan::quiet(1, 4);
        plan.crashes.down_ms = (50, 400);
        plan.epoch_length = 4;
        plan.unbonding_s = 1;
        plan.heights_after_heal = 2;
        plan.churn = ChurnPlan { user_every_ms: 100, staking_every_ms: 250 };
        match self {
            Self::Standalone => {
                plan.byzantine = vec![(3, StrategyKind::EquivocateVotes)];
                plan.faults_until_ms = 1_500;
            }
            Self::Recovery => plan.faults_until_ms = 1_000,
            Self::Pegged => {
                plan.pegged = true;
                plan.checkpoint_interval = 2;
                plan.block_interval_ms = 3_000;
                plan.churn = ChurnPlan { user_every_ms: 3_000, staking_every_ms: 9_000 };
                plan.faults_until_ms = 50_000;
            }
        }
        plan
    }
}
