//! Profiles: a profile and a seed determine a plan completely.

mod draw;
mod scenarios;

use alloy_primitives::{B256, Keccak256};

use self::draw::Draw;
pub use self::scenarios::{FAILING_MACHINE, Scenario};
use crate::{
    Plan,
    strategies::{StrategyKind, control::Control},
};

/// Number of plans in the hash of a profile.
const HASHED_PLANS: u64 = 64;

/// A profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Profile {
    /// All kinds of faults, with sets from 4 to 31 validators and sometimes 100
    Default,
    /// Losses to 30 %, delays to 10 s, partitions of all kinds
    Network,
    /// Crashes at any moment and at writes and syncs, in all six ways
    Crash,
    /// Byzantine members, less than a third of the stake
    Byzantine,
    /// Short epochs, members that join, leave, are jailed and come back
    Churn,
    /// A faulty parent chain, relayers, users on both sides
    Peg,
    /// A third of the stake or more is Byzantine: the chain must fork, and the fork must yield evidence
    Control,
    /// The rules change at heights on the way, among crashes and losses
    Upgrade,
}

impl Profile {
    /// All values.
    pub const ALL: [Self; 8] = [
        Self::Default,
        Self::Network,
        Self::Crash,
        Self::Byzantine,
        Self::Churn,
        Self::Peg,
        Self::Control,
        Self::Upgrade,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Network => "network",
            Self::Crash => "crash",
            Self::Byzantine => "byzantine",
            Self::Churn => "churn",
            Self::Peg => "peg",
            Self::Control => "control",
            Self::Upgrade => "upgrade",
        }
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Where the profile's draws begin. 7 belongs to [`strategy_plan`].
    const fn index(self) -> u32 {
        match self {
            Self::Upgrade => 8,
            other => other as u32,
        }
    }

    /// The plan of a seed.
    pub fn plan(self, seed: u64) -> Plan {
        let draw = Draw::new(seed, self.index());
        match self {
            Self::Default => default(draw),
            Self::Network => network(draw),
            Self::Crash => crash(draw),
            Self::Byzantine => byzantine(draw),
            Self::Churn => churn(draw),
            Self::Peg => peg(draw),
            Self::Control => Control::of(seed).plan(seed),
            Self::Upgrade => upgrade(draw),
        }
    }

    /// Hash of the plans of the first seeds. It identifies the profile's parameters and the code that draws from them.
    pub fn hash(self) -> B256 {
        let mut hasher = Keccak256::new();
        for seed in 0..HASHED_PLANS {
            hasher.update(format!("{:?}\n", self.plan(seed)));
        }
        hasher.finalize()
    }
}

/// Where the draws of [`strategy_plan`] begin.
const STRATEGIES: u32 = 7;

/// The plan in which a strategy is measured: it acts over a bad network, alone or with others, and goes on after the healing.
pub fn strategy_plan(kind: StrategyKind, seed: u64) -> Plan {
    let mut draw = Draw::new(seed, STRATEGIES);
    draw.validators(&[(850, 4, 4), (100, 7, 7), (50, 10, 10)]);
    if kind.needs_peg() {
        draw.pegged();
    }
    draw.rhythm(8);
    draw.users();
    draw.links(20);
    draw.byzantine(None, &[kind]);
    draw.finish(3)
}

/// For each range of set sizes its share of 1000 seeds.
const SMALL: [(u64, usize, usize); 3] = [(700, 4, 4), (250, 5, 7), (50, 8, 13)];
const PEGGED: [(u64, usize, usize); 2] = [(850, 4, 4), (150, 5, 7)];
const MIXED: [(u64, usize, usize); 6] =
    [(620, 4, 4), (240, 5, 7), (105, 8, 13), (24, 14, 21), (9, 22, 31), (2, 100, 100)];

fn default(mut draw: Draw) -> Plan {
    draw.validators(&MIXED);
    if draw.size() <= 7 && draw.percent(25) {
        draw.pegged();
    }
    draw.rhythm(10);
    draw.users();
    if draw.percent(40) {
        draw.epochs();
        draw.stakers();
    }
    if draw.percent(15) {
        draw.followers(1);
    }
    if draw.percent(60) {
        draw.links(15);
    }
    if draw.percent(40) {
        draw.partitions(2);
    }
    if draw.percent(45) {
        draw.crashes(3);
    }
    if draw.percent(35) {
        draw.clocks();
    }
    if draw.percent(30) {
        draw.byzantine(None, StrategyKind::ALL);
    }
    if draw.percent(60) {
        draw.parent();
    }
    draw.finish(2)
}

fn network(mut draw: Draw) -> Plan {
    draw.validators(&SMALL);
    draw.rhythm(9);
    draw.users();
    if draw.percent(50) {
        draw.epochs();
    }
    draw.links(30);
    if draw.percent(50) {
        draw.slow_messages();
    }
    draw.partitions(3);
    draw.finish(2)
}

fn crash(mut draw: Draw) -> Plan {
    draw.validators(&SMALL);
    draw.rhythm(9);
    draw.users();
    if draw.percent(30) {
        draw.epochs();
    }
    if draw.percent(40) {
        draw.links(5);
    }
    draw.crashes(10);
    draw.finish(2)
}

fn byzantine(mut draw: Draw) -> Plan {
    // Strategies take turns, so that a campaign of a few hundred seeds meets each of them; further members draw theirs.
    let first = draw.turn(StrategyKind::ALL);
    draw.validators(if first.needs_peg() { &PEGGED } else { &SMALL });
    if first.needs_peg() || (draw.size() <= 7 && draw.percent(4)) {
        draw.pegged();
    }
    draw.rhythm(9);
    draw.users();
    if draw.percent(50) {
        draw.epochs();
    }
    if draw.percent(40) {
        draw.stakers();
    }
    if draw.percent(50) {
        draw.links(10);
    }
    if draw.percent(30) {
        draw.partitions(1);
    }
    if draw.percent(20) {
        draw.crashes(2);
    }
    draw.byzantine(Some(first), StrategyKind::ALL);
    draw.finish(2)
}

fn churn(mut draw: Draw) -> Plan {
    draw.validators(&[(300, 4, 4), (600, 5, 5), (100, 6, 8)]);
    draw.rhythm(9);
    draw.epochs();
    draw.users();
    draw.stakers();
    draw.busy_stakers();
    if draw.percent(5) {
        draw.absent_member();
    } else if draw.percent(5) {
        draw.stake_leaves();
    } else if draw.percent(40) {
        draw.partitions(1);
    }
    if draw.percent(40) {
        draw.links(5);
    }
    draw.finish(3)
}

fn peg(mut draw: Draw) -> Plan {
    draw.validators(&PEGGED);
    draw.pegged();
    draw.rhythm(8);
    draw.epochs();
    draw.users();
    if draw.percent(5) {
        draw.stake_leaves();
    } else if draw.percent(40) {
        draw.stakers();
    }
    draw.parent();
    if draw.percent(25) {
        draw.links(5);
    }
    if draw.percent(25) {
        draw.crashes(2);
    }
    draw.finish(3)
}

fn upgrade(mut draw: Draw) -> Plan {
    draw.validators(&PEGGED);
    if draw.percent(30) {
        draw.pegged();
    }
    draw.rhythm(10);
    draw.rules();
    draw.users();
    if draw.percent(60) {
        draw.epochs();
        draw.stakers();
    }
    if draw.percent(30) {
        draw.followers(1);
    }
    if draw.percent(40) {
        draw.links(10);
    }
    if draw.percent(40) {
        draw.crashes(3);
    }
    if draw.percent(25) {
        draw.byzantine(None, StrategyKind::ALL);
    }
    draw.finish(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_and_each_profile_its_own() {
        for profile in Profile::ALL {
            assert_eq!(format!("{:?}", profile.plan(5)), format!("{:?}", profile.plan(5)));
            assert_ne!(format!("{:?}", profile.plan(5)), format!("{:?}", profile.plan(6)));
            assert_eq!(Profile::named(profile.name()), Some(profile));
            assert_eq!(profile.hash(), profile.hash());
        }
        let mut hashes: Vec<B256> = Profile::ALL.map(Profile::hash).into();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), Profile::ALL.len());
    }

    #[test]
    fn profiles_hold_what_they_promise() {
        for profile in Profile::ALL {
            for seed in 0..2_000 {
                let plan = profile.plan(seed);
                let (members, byzantine) = (plan.validators, plan.byzantine.len());
                if profile == Profile::Control {
                    assert!(3 * byzantine >= members, "{profile:?} {seed}");
                } else {
                    assert!(3 * byzantine < members, "{profile:?} {seed}");
                }
                assert!(plan.byzantine.iter().all(|(machine, _)| *machine < members), "{profile:?} {seed}");
                assert!(!plan.pegged || 2 * plan.checkpoint_interval <= plan.epoch_length, "{profile:?} {seed}");
                assert!(plan.parent.liars.iter().all(|endpoint| *endpoint != 0), "{profile:?} {seed}");
                assert!(plan.network.loss_percent <= 30 && plan.network.slow_ms <= 10_000, "{profile:?} {seed}");
                let within = |partition: &crate::plan::Partition| {
                    partition.from_ms < partition.until_ms && !partition.side.is_empty()
                };
                assert!(plan.network.partitions.iter().all(within), "{profile:?} {seed}");
            }
        }
    }

    #[test]
    fn the_rules_of_an_upgrade_change_within_the_run_and_are_valid() {
        for seed in 0..500 {
            let plan = Profile::Upgrade.plan(seed);
            let heights: Vec<u64> = plan.rules.iter().map(|entry| entry.height).collect();
            assert!(heights.len() >= 2 && heights[0] == 0 && heights[1] <= 6, "{seed}: {heights:?}");
            let genesis = crate::setup::genesis(&plan, None, &crate::Users::new(&plan));
            assert_eq!(genesis.schedule.known().count(), heights.len(), "{seed}");
        }
        assert!(Profile::ALL.iter().all(|profile| {
            *profile == Profile::Upgrade || (0..100).all(|seed| profile.plan(seed).rules.is_empty())
        }));
    }

    #[test]
    fn every_strategy_has_its_turn_in_the_byzantine_profile() {
        let turns = StrategyKind::ALL.len() as u64;
        for seed in 0..4 * turns {
            let due = StrategyKind::ALL[usize::try_from(seed % turns).unwrap_or(0)];
            let plan = Profile::Byzantine.plan(seed);
            assert!(plan.byzantine.iter().any(|(_, kind)| *kind == due), "{seed}");
            assert!(plan.pegged || !due.needs_peg(), "{seed}");
        }
    }

    #[test]
    fn some_chains_with_users_have_small_pools() {
        let small = (0..1_000).map(|seed| Profile::Default.plan(seed)).filter_map(|plan| plan.pool);
        let pools: Vec<_> = small.collect();
        assert!((100..350).contains(&pools.len()), "{}", pools.len());
        assert!(pools.iter().all(|pool| pool.queued <= pool.transactions && pool.of_sender >= 4));
    }

    #[test]
    fn sets_of_the_default_profile_are_mostly_small_and_sometimes_large() {
        let sizes: Vec<usize> = (0..20_000).map(|seed| Profile::Default.plan(seed).validators).collect();
        let share = |least: usize, most: usize| sizes.iter().filter(|size| (least..=most).contains(*size)).count();
        assert!(share(4, 4) > 10_000 && share(14, 31) > 300);
        assert!((20..80).contains(&share(100, 100)), "{}", share(100, 100));
        assert_eq!(share(4, 31) + share(100, 100), 20_000);
    }
}
