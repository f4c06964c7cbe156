//! The audit itself: evidence and genesis in, verdicts out. Pure: the same for a live read and for a saved bundle.

use crate::{
    bundle::Bundle,
    checkpoints::{Canonical, canonical},
    checks,
    parent::{Parent, check_values},
    report::{At, Check, Figure, Object, REPORT_FORMAT, Report},
    sidechain::{Sidechain, audited_slots},
};
use alloy_primitives::B256;
use causeway_genesis::{Genesis, PegSpec};
use causeway_peg::{PegDomain, PegValidatorSet};
use std::collections::BTreeMap;

/// Why nothing can be audited. The operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The genesis file describes a chain without a peg.
    #[error("the genesis file describes a chain without a peg: nothing to audit")]
    NotPegged,
    /// The bundle is of another chain than the genesis file.
    #[error("the evidence is of the chain {evidence}, the genesis file gives {genesis}: use that chain's genesis file")]
    OtherChain {
        /// Genesis hash of the evidence.
        evidence: B256,
        /// Genesis hash of the file.
        genesis: B256,
    },
}

/// Everything the checks look at.
pub(crate) struct Facts<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) genesis: &'a Genesis,
    pub(crate) spec: &'a PegSpec,
    pub(crate) set: PegValidatorSet,
    pub(crate) domain: PegDomain,
    pub(crate) chain: Sidechain,
    pub(crate) parent: Parent,
    pub(crate) canonical: BTreeMap<u64, Canonical>,
    /// Latest checkpoint whose certificate holds over the recomputed digest.
    pub(crate) certified: Option<u64>,
}

impl Facts<'_> {
    /// Blocks between checkpoints.
    pub(crate) fn interval(&self) -> u64 {
        self.genesis.spec.checkpoint_interval
    }

    /// Heights at which the peg's state has to be proven: that of the latest certified checkpoint, and the head.
    pub(crate) fn proven_heights(&self) -> Vec<u64> {
        let certified = self.certified.map(|number| number.saturating_mul(self.interval()));
        let mut heights: Vec<u64> = certified.into_iter().chain([self.chain.head]).collect();
        heights.dedup();
        heights
    }
}

/// Audits the evidence of a pegged chain.
///
/// # Errors
/// [`AuditError`], when the evidence and the genesis file do not belong together. Anything wrong with the peg is in the
/// report.
pub fn audit(bundle: &Bundle, genesis: &Genesis) -> Result<Report, AuditError> {
    let (Some(spec), Some(set), Some(domain)) = (&genesis.spec.peg, genesis.peg_validator_set(), genesis.peg_domain())
    else {
        return Err(AuditError::NotPegged);
    };
    if bundle.genesis_hash != genesis.hash {
        return Err(AuditError::OtherChain { evidence: bundle.genesis_hash, genesis: genesis.hash });
    }
    let mut evidence = Check::new(0, "the evidence is what its hashes, roots and proofs cover");
    check_identity(bundle, genesis, spec, &mut evidence);
    let chain = Sidechain::read(&bundle.sidechain, &mut evidence);
    let parent = Parent::read(&bundle.parent, spec, &mut evidence);
    check_values(&bundle.parent, spec, &mut evidence);
    let interval = genesis.spec.checkpoint_interval;
    let canonical = canonical(&chain, &domain, interval, set.epoch(), &mut evidence);
    let mut facts = Facts { bundle, genesis, spec, set, domain, chain, parent, canonical, certified: None };
    let certificates = checks::certificates(&mut facts);
    let certified_height = facts.certified.unwrap_or_default().saturating_mul(interval);
    facts.chain.check_links(interval, certified_height, &mut evidence);
    if facts.chain.head > certified_height {
        evidence.believe(format!("block {} is the sidechain's head", facts.chain.head));
    }
    check_proofs(&facts, &mut evidence);
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

/// A length as a figure.
pub(crate) fn count(length: usize) -> Figure {
    Figure::Count(u64::try_from(length).unwrap_or(u64::MAX))
}

/// Every slot that the checks look at must be proven.
fn check_proofs(facts: &Facts<'_>, check: &mut Check) {
    for height in facts.proven_heights() {
        let missing = audited_slots(height, facts.interval())
            .into_iter()
            .filter(|slot| facts.chain.slot(height, *slot).is_none())
            .count();
        if missing > 0 {
            let next = "collect the evidence from a sidechain endpoint that keeps the state of that block";
            check.fail(Object::Block(height), format!("no valid proof of {missing} slots of the peg's state"), next);
        }
    }
}

fn check_identity(bundle: &Bundle, genesis: &Genesis, spec: &PegSpec, check: &mut Check) {
    let next = "point the endpoints at the chains that the genesis file names";
    if bundle.sidechain.chain_id != genesis.spec.chain_id {
        let reason = format!("chain id {}, genesis has {}", bundle.sidechain.chain_id, genesis.spec.chain_id);
        check.fail(Object::Block(bundle.sidechain.head), reason, next);
    }
    if bundle.parent.chain_id != spec.parent_chain_id {
        let reason = format!("chain id {}, genesis has {}", bundle.parent.chain_id, spec.parent_chain_id);
        check.fail(Object::ParentBlock(bundle.parent.finalized.height), reason, next);
    }
}
