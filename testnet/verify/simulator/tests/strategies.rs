//! Byzantine members, strictly less than a third: no invariant breaks, and each strategy really acts. With one more, the
//! chain forks, and the fork convicts them.

use causeway_simulator::{
    Coverage, Plan, World,
    plan::{ChurnPlan, NetworkFaults, Partition, PartitionKind},
    strategies::{StrategyKind, control::Control, most_byzantine},
};

/// Losses, a partition of one honest member, users; then enough time for evidence to reach a block.
fn plan(kind: StrategyKind, validators: usize, seed: u64) -> Plan {
    let mut plan = Plan::quiet(seed, validators);
    let (side, neutral, kind_of_cut) = (vec![0], Vec::new(), PartitionKind::Symmetric);
    let cut = Partition { from_ms: 2_000, until_ms: 4_000, side, neutral, kind: kind_of_cut };
    plan.network = NetworkFaults {
        loss_percent: 5,
        duplicate_percent: 5,
        delay_ms: (1, 40),
        slow_percent: 2,
        slow_ms: 800,
        partitions: vec![cut],
    };
    plan.churn = ChurnPlan { user_every_ms: 400, staking_every_ms: 0 };
    plan.faults_until_ms = 6_000;
    plan.heights_after_heal = 4 * validators as u64 + 24;
    plan.byzantine = (validators - most_byzantine(validators)..validators).map(|member| (member, kind)).collect();
    kind.prepare(&mut plan);
    plan
}

/// Runs some seeds of some strategies at 4 and 7 members.
fn tried(kinds: &[StrategyKind], seeds: std::ops::Range<u64>) -> Coverage {
    let mut all = Coverage::default();
    for kind in kinds {
        for (validators, seed) in seeds.clone().map(|seed| (4 + 3 * (seed % 2) as usize, seed)) {
            let mut world = World::new(&plan(*kind, validators, seed));
            let outcome = world.run();
            outcome.unwrap_or_else(|violation| panic!("{} with {validators}, seed {seed}: {violation}", kind.name()));
            all.merge(&world.coverage);
        }
        assert!(all.count(kind.counter()) > 0, "{} never acted", kind.name());
    }
    all
}

#[test]
fn equivocators_are_tombstoned_and_decide_nothing_twice() {
    let kinds = [StrategyKind::EquivocateVotes, StrategyKind::EquivocateProposals];
    for kind in kinds {
        let coverage = tried(&[kind], 0..4);
        assert!(coverage.count("offence_exposed") > 0, "{}", kind.name());
        assert!(coverage.count("evidence_included") > 0, "{}", kind.name());
    }
}

#[test]
fn amnesiacs_and_twins_break_nothing() {
    tried(&[StrategyKind::Amnesia, StrategyKind::Twins], 10..14);
}

#[test]
fn what_is_withheld_or_late_is_done_without() {
    use StrategyKind::{LateProposer, SelectiveSending, Silent, WithholdParts, WithholdVotes};
    tried(&[Silent, SelectiveSending, WithholdParts, WithholdVotes, LateProposer], 20..22);
}

#[test]
fn what_breaks_a_rule_is_not_decided() {
    use StrategyKind::{DuplicateSigner, FakeEvidence, InvalidBlock, TimeLies, WrongStateRoot};
    tried(&[InvalidBlock, WrongStateRoot, TimeLies, FakeEvidence, DuplicateSigner], 30..32);
}

#[test]
fn what_is_forged_or_senseless_is_refused() {
    use StrategyKind::{BadSignatures, FakeSync, ForgedCertificates, Spam};
    tried(&[BadSignatures, ForgedCertificates, Spam, FakeSync], 40..42);
}

#[test]
fn the_peg_stands_what_its_members_attest() {
    use StrategyKind::{PegForgedCheckpoint, PegForgedImport, PegTwoViews, PegWithhold, PegWrongNextSet};
    tried(&[PegTwoViews, PegForgedCheckpoint, PegWrongNextSet, PegWithhold, PegForgedImport], 50..52);
}

#[test]
fn more_than_a_third_of_the_power_forks_the_chain_and_is_convicted_to_the_last_member() {
    for (control, seed) in Control::ALL.into_iter().flat_map(|control| (0..6).map(move |seed| (control, seed))) {
        let plan = control.plan(seed);
        let fork = control.expect(seed).unwrap_or_else(|violation| panic!("{} {seed}: {violation}", control.name()));
        assert!(3 * fork.power > fork.total, "{fork:?}");
        assert_eq!(fork.convicted.len(), plan.byzantine.len(), "{} {seed}", control.name());
    }
}

#[test]
fn a_run_with_strategies_is_the_same_again() {
    let hash = |kind| {
        let mut world = World::new(&plan(kind, 4, 60));
        world.run().unwrap();
        world.trace.hash()
    };
    for kind in [StrategyKind::EquivocateVotes, StrategyKind::Spam, StrategyKind::InvalidBlock] {
        assert_eq!(hash(kind), hash(kind), "{}", kind.name());
    }
}
