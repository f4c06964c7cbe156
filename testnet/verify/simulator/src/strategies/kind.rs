//! The strategies, and the plan that each needs to act.

use super::{
    Strategy, amnesia::Amnesia, bad_signatures::BadSignatures, duplicate_signer::DuplicateSigner,
    equivocate_proposals::EquivocateProposals, equivocate_votes::EquivocateVotes, fake_evidence::FakeEvidence,
    fake_sync::FakeSync, forged_certificates::ForgedCertificates, invalid_block::InvalidBlock,
    late_proposer::LateProposer, peg_checkpoint::ForgedCheckpoint, peg_import::ForgedImport,
    peg_next_set::WrongNextSet, peg_views::TwoViews, peg_withhold::WithholdAttestations, selective::Selective,
    silent::Silent, spam::Spam, time_lies::TimeLies, twins::Twin, withhold_parts::WithholdParts,
    withhold_votes::WithholdVotes, wrong_state_root::WrongStateRoot,
};
use crate::{Plan, plan::PoolLimits};

/// The strategy's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StrategyKind {
    /// Sends nothing.
    Silent,
    /// Signs two votes of a round and shows each to some machines.
    EquivocateVotes,
    /// Proposes two valid blocks, one to each half, and votes with each half for its block.
    EquivocateProposals,
    /// Forgets its log, lock and sign state at restarts, and prevotes against its lock.
    Amnesia,
    /// Sends its messages to a few machines only.
    SelectiveSending,
    /// Proposes blocks and withholds their parts.
    WithholdParts,
    /// Withholds its votes.
    WithholdVotes,
    /// Proposes blocks that break a rule, a different one each time.
    InvalidBlock,
    /// Proposes blocks with a wrong state root.
    WrongStateRoot,
    /// Signs votes, proposals, certificates and attestations wrongly.
    BadSignatures,
    /// Floods with messages of past and future heights and rounds.
    Spam,
    /// Proposes at the end of the others' time-out or after it.
    LateProposer,
    /// Sends certificates of polkas, rounds and decisions that never happened.
    ForgedCertificates,
    /// Dates its blocks ahead or back.
    TimeLies,
    /// Repeats votes, and counts signers several times in certificates.
    DuplicateSigner,
    /// Reports offences that never happened.
    FakeEvidence,
    /// Claims heads that it does not have, and answers catch-up requests with false blocks.
    FakeSync,
    /// Runs twice, with a disk of its own each time.
    Twins,
    /// Attests two views of the parent, or deposits that were never made.
    PegTwoViews,
    /// Attests checkpoints of undecided blocks.
    PegForgedCheckpoint,
    /// Attests a wrong set as the next one, or as the current one.
    PegWrongNextSet,
    /// Attests nothing.
    PegWithhold,
    /// Mints deposits that were never made, with certificates assembled from pieces.
    PegForgedImport,
}

/// Restarts and losses that make an amnesiac's memory matter.
const AMNESIA_DOWN_MS: (u64, u64) = (50, 400);
/// Pools that spam fills.
const SPAMMED_POOL: PoolLimits = PoolLimits { transactions: 12, queued: 8, of_sender: 10 };

impl StrategyKind {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::Silent,
        Self::EquivocateVotes,
        Self::EquivocateProposals,
        Self::Amnesia,
        Self::SelectiveSending,
        Self::WithholdParts,
        Self::WithholdVotes,
        Self::InvalidBlock,
        Self::WrongStateRoot,
        Self::BadSignatures,
        Self::Spam,
        Self::LateProposer,
        Self::ForgedCertificates,
        Self::TimeLies,
        Self::DuplicateSigner,
        Self::FakeEvidence,
        Self::FakeSync,
        Self::Twins,
        Self::PegTwoViews,
        Self::PegForgedCheckpoint,
        Self::PegWrongNextSet,
        Self::PegWithhold,
        Self::PegForgedImport,
    ];

    /// The counter of [`Coverage`](crate::Coverage) for its actions.
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Silent => "strategy:silent",
            Self::EquivocateVotes => "strategy:equivocate_votes",
            Self::EquivocateProposals => "strategy:equivocate_proposals",
            Self::Amnesia => "strategy:amnesia",
            Self::SelectiveSending => "strategy:selective_sending",
            Self::WithholdParts => "strategy:withhold_parts",
            Self::WithholdVotes => "strategy:withhold_votes",
            Self::InvalidBlock => "strategy:invalid_block",
            Self::WrongStateRoot => "strategy:wrong_state_root",
            Self::BadSignatures => "strategy:bad_signatures",
            Self::Spam => "strategy:spam",
            Self::LateProposer => "strategy:late_proposer",
            Self::ForgedCertificates => "strategy:forged_certificates",
            Self::TimeLies => "strategy:time_lies",
            Self::DuplicateSigner => "strategy:duplicate_signer",
            Self::FakeEvidence => "strategy:fake_evidence",
            Self::FakeSync => "strategy:fake_sync",
            Self::Twins => "strategy:twins",
            Self::PegTwoViews => "strategy:peg_two_views",
            Self::PegForgedCheckpoint => "strategy:peg_forged_checkpoint",
            Self::PegWrongNextSet => "strategy:peg_wrong_next_set",
            Self::PegWithhold => "strategy:peg_withhold",
            Self::PegForgedImport => "strategy:peg_forged_import",
        }
    }

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        self.counter().trim_start_matches("strategy:")
    }

    /// The strategy with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether a second machine with the same keys runs beside the member's.
    pub const fn twins(self) -> bool {
        matches!(self, Self::Twins)
    }

    /// Whether it can act only on a pegged chain.
    pub const fn needs_peg(self) -> bool {
        matches!(
            self,
            Self::PegTwoViews
                | Self::PegForgedCheckpoint
                | Self::PegWrongNextSet
                | Self::PegWithhold
                | Self::PegForgedImport
        )
    }

    /// Whether it sends transactions in the name of its machine's operator.
    pub const fn sends_transactions(self) -> bool {
        matches!(self, Self::Spam | Self::FakeEvidence)
    }

    /// Whether it signs conflicting votes or proposals, which are evidence once one honest node has received both.
    pub const fn is_provable(self) -> bool {
        matches!(self, Self::EquivocateVotes | Self::EquivocateProposals)
    }

    /// Adds to a plan what the strategy needs.
    pub fn prepare(self, plan: &mut Plan) {
        plan.pegged |= self.needs_peg();
        if self == Self::Amnesia && plan.crashes.down_ms.1 == 0 {
            plan.crashes.down_ms = AMNESIA_DOWN_MS;
        }
        // A pool of the usual size has room for all spam of a run.
        if self == Self::Spam && plan.seed.is_multiple_of(2) {
            plan.pool = Some(SPAMMED_POOL);
        }
        // Views are attested of deposits, which users make.
        if self.needs_peg() && plan.churn.user_every_ms == 0 {
            plan.churn.user_every_ms = 200;
        }
    }

    /// A new strategy of this kind.
    pub fn start(self) -> Box<dyn Strategy> {
        match self {
            Self::Silent => Box::new(Silent),
            Self::EquivocateVotes => Box::<EquivocateVotes>::default(),
            Self::EquivocateProposals => Box::<EquivocateProposals>::default(),
            Self::Amnesia => Box::<Amnesia>::default(),
            Self::SelectiveSending => Box::<Selective>::default(),
            Self::WithholdParts => Box::<WithholdParts>::default(),
            Self::WithholdVotes => Box::<WithholdVotes>::default(),
            Self::InvalidBlock => Box::new(InvalidBlock),
            Self::WrongStateRoot => Box::new(WrongStateRoot),
            Self::BadSignatures => Box::new(BadSignatures),
            Self::Spam => Box::<Spam>::default(),
            Self::LateProposer => Box::<LateProposer>::default(),
            Self::ForgedCertificates => Box::<ForgedCertificates>::default(),
            Self::TimeLies => Box::new(TimeLies),
            Self::DuplicateSigner => Box::<DuplicateSigner>::default(),
            Self::FakeEvidence => Box::new(FakeEvidence),
            Self::FakeSync => Box::new(FakeSync),
            Self::Twins => Box::<Twin>::default(),
            Self::PegTwoViews => Box::new(TwoViews),
            Self::PegForgedCheckpoint => Box::new(ForgedCheckpoint),
            Self::PegWrongNextSet => Box::new(WrongNextSet),
            Self::PegWithhold => Box::new(WithholdAttestations),
            Self::PegForgedImport => Box::<ForgedImport>::default(),
        }
    }
}

/// The largest number of members of equal power below a third of `validators`.
pub const fn most_byzantine(validators: usize) -> usize {
    validators.saturating_sub(1) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_lead_back() {
        for kind in StrategyKind::ALL {
            assert_eq!(StrategyKind::named(kind.name()), Some(*kind));
        }
        assert_eq!(StrategyKind::named("nobody"), None);
    }

    #[test]
    fn the_most_is_strictly_below_a_third() {
        for validators in 1..200 {
            let most = most_byzantine(validators);
            assert!(3 * most < validators && 3 * (most + 1) >= validators, "{validators}");
        }
    }
}
