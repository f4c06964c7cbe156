//! Coverage of a run. A campaign in which a required fault never happened proves nothing.

use std::collections::BTreeMap;

use crate::strategies::StrategyKind;

/// The counters and their meaning. Disks, the parent and strategies add counters under their own names.
pub const COUNTERS: &[(&str, &str)] = &[
    ("height", "a height was decided"),
    ("transaction", "a transaction was included"),
    ("round_above_zero", "a height was decided in a round above the first"),
    ("signed_in_later_round", "an honest member signed in a round above the first"),
    ("polka_proposed_again", "an honest member proposed a block again, with its polka"),
    ("lock_changed", "an honest member precommitted another block than before at a height"),
    ("height_caught_up", "a machine committed a height long after others"),
    ("sync_request", "a machine asked another for its head or for blocks"),
    ("message_lost", "a copy of a message was lost"),
    ("partition", "links were cut"),
    ("crash", "a machine went down"),
    ("crash_at_disk", "a crash was set at a write or sync"),
    ("crash_in_commit", "a machine went down while it committed"),
    ("durable_before_known", "a block was durable on a machine that went down, and nowhere known yet"),
    ("restart", "a machine came back"),
    ("recovery_with_log", "a machine came back with entries in its log"),
    ("write_error_stop", "a node stopped because a write or sync failed"),
    ("clock_jump", "a wall clock was set"),
    ("healed", "all faults ended"),
    ("epoch_change", "another epoch began"),
    ("epoch_change_in_partition", "another epoch began while links were cut"),
    ("joined", "a member joined a set"),
    ("left", "a member left a set"),
    ("rules_changed", "a block went by other rules than the one before it"),
    ("caught_up_over_rules", "a machine caught up with the first block under other rules"),
    ("registered", "a validator registered"),
    ("exited", "a validator announced its exit"),
    ("jailed", "a validator came into jail"),
    ("unjailed", "a validator left jail"),
    ("evidence_included", "a block carried evidence that convicted"),
    ("slashed", "a block's transactions slashed stake"),
    ("redelegated", "stake moved between validators"),
    ("slashed_leaving", "a validator was punished while stake of it was on its way out"),
    ("unbonded", "unbonded stake was taken back"),
    ("rewarded", "rewards were taken"),
    ("deposit_made", "a user deposited on the parent"),
    ("deposit_minted", "a deposit was minted"),
    ("withdrawal_burned", "coin was burned for payment on the parent"),
    ("withdrawal_claimed", "the vault paid"),
    ("claim_sent", "a user sent a claim to the vault"),
    ("claim_refused", "the vault refused a claim that was not due"),
    ("checkpoint_recorded", "a block carried a checkpoint's certificate"),
    ("checkpoint_accepted", "the registry accepted a checkpoint"),
    ("handover_relayed", "the registry followed to another epoch's set"),
    ("set_acknowledged", "a block carried the acknowledgement of a set"),
    ("parent_reorganised", "blocks of the parent were replaced"),
    ("submitted", "users gave a transaction to a node"),
    ("submitted_again", "users gave a transaction that seemed lost to another node"),
    ("replaced", "a transaction was replaced by a dearer one and one of both included"),
    ("included", "users saw a transaction of theirs included"),
    ("reverted", "a transaction that was to revert did"),
    ("spam", "the pools were flooded"),
    ("contract_deployed", "a contract was deployed"),
    ("module_called_by_contract", "a contract called a module"),
    ("fork", "two honest machines committed different blocks, as too many Byzantine members can make them"),
    ("fork_evidence", "evidence of a fork convicted every Byzantine member"),
    ("fork_by_twins", "members that ran twice forked a chain"),
    ("fork_by_equivocators", "members that signed two blocks forked a chain"),
    ("pool_full", "a full pool of a node refused transactions"),
    ("pool_made_room", "a full pool of a node took a transaction: another one was evicted or replaced"),
];

/// Coverage required of every run of a profile, or of every campaign.
const ALWAYS: &[&str] = &["height", "healed", "transaction", "submitted", "included"];

/// Coverage required of a campaign in a profile; an unknown profile has the common requirements.
pub fn required(profile: &str) -> Vec<&'static str> {
    let own: &[&str] = match profile {
        "default" => &[
            "round_above_zero",
            "signed_in_later_round",
            "polka_proposed_again",
            "height_caught_up",
            "message_lost",
            "partition",
            "crash",
            "crash_at_disk",
            "crash_in_commit",
            "restart",
            "recovery_with_log",
            "clock_jump",
            "epoch_change",
            "epoch_change_in_partition",
            "registered",
            "joined",
            "exited",
            "left",
            "redelegated",
            "rewarded",
            "deposit_minted",
            "withdrawal_burned",
            "withdrawal_claimed",
            "checkpoint_recorded",
            "checkpoint_accepted",
            "handover_relayed",
            "set_acknowledged",
            "parent_reorganised",
            "replaced",
            "reverted",
            "submitted_again",
            "spam",
            "contract_deployed",
            "module_called_by_contract",
            "pool_full",
            "pool_made_room",
        ],
        "network" => &[
            "round_above_zero",
            "signed_in_later_round",
            "polka_proposed_again",
            "lock_changed",
            "height_caught_up",
            "sync_request",
            "message_lost",
            "partition",
            "epoch_change_in_partition",
        ],
        "crash" => &[
            "crash",
            "crash_at_disk",
            "crash_in_commit",
            "restart",
            "recovery_with_log",
            "write_error_stop",
            "height_caught_up",
            "disk:clean",
            "disk:torn_prefix",
            "disk:byte_subset",
            "disk:unsynced_lost",
            "disk:sync_error",
            "disk:crash_again",
        ],
        "byzantine" => &["round_above_zero", "signed_in_later_round", "evidence_included", "slashed"],
        "churn" => &[
            "epoch_change",
            "registered",
            "joined",
            "exited",
            "left",
            "jailed",
            "unjailed",
            "redelegated",
            "unbonded",
            "rewarded",
        ],
        "peg" => &[
            "deposit_made",
            "deposit_minted",
            "withdrawal_burned",
            "withdrawal_claimed",
            "claim_refused",
            "checkpoint_recorded",
            "checkpoint_accepted",
            "handover_relayed",
            "set_acknowledged",
            "parent_reorganised",
        ],
        "upgrade" => &["rules_changed", "caught_up_over_rules", "restart", "message_lost", "deposit_minted"],
        // After a fork there is no single history.
        "control" => return vec!["height", "fork", "fork_evidence", "fork_by_twins", "fork_by_equivocators"],
        _ => &[],
    };
    let strategies = StrategyKind::ALL.iter().map(|kind| kind.counter()).filter(|_| profile == "byzantine");
    ALWAYS.iter().chain(own).copied().chain(strategies).collect()
}

/// Counts by name, and samples of sizes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    /// By name: the number of each value.
    samples: BTreeMap<&'static str, BTreeMap<u64, u64>>,
}

impl Coverage {
    /// Adds one to the count of `what`.
    pub fn hit(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// Adds `times` to the count of `what`.
    pub fn add(&mut self, what: &'static str, times: u64) {
        if times > 0 {
            *self.counts.entry(what).or_default() += times;
        }
    }

    /// Adds a sample of `what`.
    pub fn sample(&mut self, what: &'static str, value: u64) {
        *self.samples.entry(what).or_default().entry(value).or_default() += 1;
    }

    /// The count.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// All counts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(what, count)| (*what, *count))
    }

    /// The names that have samples.
    pub fn sampled(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.samples.keys().copied()
    }

    /// The value that `percent` of the samples of `what` do not exceed; `None` without samples.
    pub fn percentile(&self, what: &str, percent: u64) -> Option<u64> {
        let samples = self.samples.get(what)?;
        let all: u64 = samples.values().sum();
        let rank = (u128::from(all) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0u128;
        samples.iter().find_map(|(value, times)| {
            seen += u128::from(*times);
            (seen >= rank).then_some(*value)
        })
    }

    /// Adds another run's counts and samples.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in other.iter() {
            self.add(what, count);
        }
        for (what, samples) in &other.samples {
            let own = self.samples.entry(what).or_default();
            for (value, times) in samples {
                *own.entry(*value).or_default() += times;
            }
        }
    }

    /// Required coverage that a campaign in `profile` has not met.
    pub fn missing(&self, profile: &str) -> Vec<&'static str> {
        required(profile).into_iter().filter(|what| self.count(what) == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn runs_add_up() {
        let mut all = Coverage::default();
        for run in 1..=3u64 {
            let mut one = Coverage::default();
            one.add("height", run);
            one.hit("crash");
            one.add("spam", 0);
            one.sample("rounds_after_heal", run);
            all.merge(&one);
        }
        assert_eq!((all.count("height"), all.count("crash"), all.count("spam")), (6, 3, 0));
        assert_eq!(all.iter().collect::<Vec<_>>(), [("crash", 3), ("height", 6)]);
        assert_eq!(all.percentile("rounds_after_heal", 50), Some(2));
        assert_eq!(all.percentile("rounds_after_heal", 99), Some(3));
        assert_eq!(all.percentile("rounds_after_heal", 0), Some(1));
        assert_eq!(all.percentile("ms_after_heal", 50), None);
    }

    #[test]
    fn a_promise_that_was_not_kept_is_named() {
        let mut coverage = Coverage::default();
        assert!(coverage.missing("peg").contains(&"withdrawal_claimed"));
        for what in required("peg") {
            coverage.hit(what);
        }
        assert!(coverage.missing("peg").is_empty());
        assert!(coverage.missing("crash").contains(&"disk:torn_prefix"));
    }

    #[test]
    fn a_byzantine_campaign_has_to_have_met_every_strategy() {
        let mut coverage = Coverage::default();
        required("byzantine").into_iter().for_each(|what| coverage.hit(what));
        assert!(coverage.missing("byzantine").is_empty());
        for kind in StrategyKind::ALL {
            coverage.counts.remove(kind.counter());
            assert_eq!(coverage.missing("byzantine"), [kind.counter()]);
            coverage.hit(kind.counter());
        }
    }

    #[test]
    fn what_profiles_require_is_counted_under_that_name() {
        for profile in ["default", "network", "crash", "byzantine", "churn", "peg", "control", "upgrade", "another"] {
            let own = |what: &&str| {
                what.starts_with("disk:")
                    || what.starts_with("strategy:")
                    || COUNTERS.iter().any(|(name, _)| name == what)
            };
            assert!(required(profile).iter().all(own), "{profile}");
        }
        let mut names: Vec<_> = COUNTERS.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNTERS.len());
    }
}
