//! The audit: computes the verdicts from evidence and genesis. Pure: the same for a live read and for a saved bundle.

use crate::{
    bundle::Bundle,
    checkpoints::{Canonical, canonical},
    checks,
    history::History,
    parent::{Parent, check_values},
    report::{At, Check, Figure, Object, REPORT_FORMAT, Report},
    sidechain::{Sidechain, audited_slots},
};
use alloy_primitives::B256;
use causeway_genesis::{Genesis, PegSpec, UnknownRules};
use causeway_peg::{PegDomain, PegValidatorSet};
use std::collections::BTreeMap;

/// Why an audit is impossible. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The genesis file describes a chain without a peg.
    #[error("the genesis file describes a chain without a peg, so there is nothing to audit")]
    NotPegged,
    /// The bundle is of another chain than the genesis file.
    #[error(
        "the evidence is of the chain {evidence}, but the genesis file gives {genesis}: use that chain's genesis file"
    )]
    OtherChain {
        /// Genesis hash of the evidence.
        evidence: B256,
        /// Genesis hash of the file.
        genesis: B256,
    },
    /// The evidence reaches blocks under rules that this auditor does not know.
    #[error(transparent)]
    UnknownRules(#[from] UnknownRules),
}

/// The inputs of the checks.
pub(crate) struct Facts<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) genesis: &'a Genesis,
    pub(crate) spec: &'a PegSpec,
    /// Genesis's validator set, the first of `history`.
    pub(crate) set: PegValidatorSet,
    pub(crate) history: History,
    pub(crate) domain: PegDomain,
    pub(crate) chain: Sidechain,
    pub(crate) parent: Parent,
    pub(crate) canonical: BTreeMap<u64, Canonical>,
    /// Latest checkpoint whose certificate verifies over the recomputed digest.
    pub(crate) certified: Option<u64>,
}

impl Facts<'_> {
    /// Blocks between checkpoints.
    pub(crate) fn interval(&self) -> u64 {
        self.genesis.schedule.first().peg.checkpoint_interval
    }

    /// Heights at which the peg's state must be proven: that of the latest certified checkpoint, and the head.
    pub(crate) fn proven_heights(&self) -> Vec<u64> {
        let certified = self.certified.map(|number| number.saturating_mul(self.interval()));
        let mut heights: Vec<u64> = certified.into_iter().chain([self.chain.head]).collect();
        heights.dedup();
        heights
    }

    /// The epoch in force after a block of [`Self::proven_heights`].
    pub(crate) fn epoch_after(&self, height: u64) -> u64 {
        if height == self.chain.head {
            self.history.current()
        } else {
            self.history.epoch_of(height.checked_div(self.interval()).unwrap_or_default())
        }
    }
}

/// Audits the evidence of a pegged chain.
///
/// # Errors
/// [`AuditError`], when the evidence and the genesis file do not belong together. Faults of the peg are in the
/// report.
pub fn audit(bundle: &Bundle, genesis: &Genesis) -> Result<Report, AuditError> {
    let (Some(spec), Some(set), Some(domain)) = (&genesis.spec.peg, genesis.peg_validator_set(), genesis.peg_domain())
    else {
        return Err(AuditError::NotPegged);
    };
    if bundle.genesis_hash != genesis.hash {
        return Err(AuditError::OtherChain { evidence: bundle.genesis_hash, genesis: genesis.hash });
    }
    genesis.rules(bundle.sidechain.head)?;
    let mut evidence = Check::new(0, "the evidence matches its hashes, roots and proofs");
    check_identity(bundle, genesis, spec, &mut evidence);
    let chain = Sidechain::read(&bundle.sidechain, &mut evidence);
    let parent = Parent::read(&bundle.parent, spec, &mut evidence);
    check_values(&bundle.parent, spec, &mut evidence);
    check_deployment(bundle, &parent, spec, set.epoch(), &mut evidence);
    // Checkpoints are numbered by it: no entry of the rules changes it.
    let interval = genesis.schedule.first().peg.checkpoint_interval;
    let mut certificates = checks::certificates_check();
    let history = History::read(&set, &bundle.sidechain.validator_sets, &mut certificates);
    let canonical = canonical(&chain, &domain, interval, &history, &mut evidence);
    let mut facts = Facts { bundle, genesis, spec, set, history, domain, chain, parent, canonical, certified: None };
    checks::certificates(&mut facts, &mut certificates);
    let certified_height = facts.certified.unwrap_or_default().saturating_mul(interval);
    facts.chain.check_links(interval, certified_height, &mut evidence);
    if facts.chain.head > certified_height {
        evidence.believe(format!("block {} is the sidechain's head", facts.chain.head));
    }
    check_proofs(&facts, &mut evidence);
    check_rules(&facts, &mut evidence);
    evidence.figure("blocks of the peg", count(facts.chain.blocks.len()));
    evidence.figure("headers", count(facts.chain.headers.len()));
    evidence.figure("parent events", count(bundle.parent.logs.len()));
    let checks = vec![
        evidence,
        checks::backing(&facts),
        checks::locked(&facts),
        checks::supply(&facts),
        checks::equation(&facts),
        checks::mints(&facts),
        certificates,
        checks::withdrawals(&facts),
        checks::checkpoints(&facts),
        checks::claims(&facts),
        checks::code(&facts),
        checks::stake(&facts),
    ];
    let head = facts.chain.head;
    Ok(Report {
        format: REPORT_FORMAT,
        holds: checks.iter().all(|check| check.holds),
        genesis_hash: genesis.hash,
        sidechain: At { height: head, hash: facts.chain.headers.get(&head).map(|s| s.hash).unwrap_or_default() },
        parent: At { height: bundle.parent.finalized.height, hash: bundle.parent.finalized.hash },
        certified_checkpoint: facts.certified,
        checks,
    })
}

/// A length as a number of the report.
pub(crate) fn count(length: usize) -> Figure {
    Figure::Count(u64::try_from(length).unwrap_or(u64::MAX))
}

/// Checks that every slot that the checks use is proven.
fn check_proofs(facts: &Facts<'_>, check: &mut Check) {
    for height in facts.proven_heights() {
        let missing = audited_slots(height, facts.interval(), facts.epoch_after(height))
            .into_iter()
            .filter(|slot| facts.chain.slot(height, *slot).is_none())
            .count();
        if missing > 0 {
            let next = "collect the evidence from a sidechain endpoint that keeps the state of that block";
            check.fail(Object::Block(height), format!("no valid proof of {missing} slots of the peg's state"), next);
        }
    }
}

/// Every header must go by the rules that the genesis file gives its height.
fn check_rules(facts: &Facts<'_>, check: &mut Check) {
    for (height, sealed) in &facts.chain.headers {
        let Ok(rules) = facts.genesis.rules(*height) else { continue };
        let (limit, actual) = (rules.block.gas_limit, sealed.header.gas_limit);
        if limit != actual {
            let reason = format!("its gas limit is {actual}, the rules of its height say {limit}");
            check.fail(Object::Block(*height), reason, "compare the validators' genesis files: they run another chain");
        }
    }
}

/// Checks that the registry's first event is that of its deployment. Otherwise events before the first read one are missing too.
fn check_deployment(bundle: &Bundle, parent: &Parent, spec: &PegSpec, epoch: u64, check: &mut Check) {
    let (stands, from) = (!bundle.parent.registry_code.is_empty(), bundle.parent.from);
    if !stands || parent.validator_sets.iter().any(|event| event.epoch == epoch) {
        return;
    }
    let reason = format!("the event of its deployment is not among the events read from parent block {from} on");
    let next = if from > 0 {
        "collect the evidence again with --parent-from at or below the block of the deployment (0 reads everything)"
    } else {
        "read the parent from an endpoint that serves events as old as the deployment"
    };
    check.fail(Object::Contract(spec.registry), reason, next);
}

fn check_identity(bundle: &Bundle, genesis: &Genesis, spec: &PegSpec, check: &mut Check) {
    let next = "use endpoints of the chains that the genesis file names";
    if bundle.sidechain.chain_id != genesis.spec.chain_id {
        let reason =
            format!("the chain id is {}, but genesis has {}", bundle.sidechain.chain_id, genesis.spec.chain_id);
        check.fail(Object::Block(bundle.sidechain.head), reason, next);
    }
    if bundle.parent.chain_id != spec.parent_chain_id {
        let reason = format!("the chain id is {}, but genesis has {}", bundle.parent.chain_id, spec.parent_chain_id);
        check.fail(Object::ParentBlock(bundle.parent.finalized.height), reason, next);
    }
}
