//! The validator sets of all epochs: the evidence's claims, and the sets that certificates have proven.
//!
//! Every checkpoint of epoch e names the commitment of the set of e + 1. So a checkpoint that the proven set of e certified in
//! a block proves the set of e + 1; the chain starts at genesis's set. An unproven set is never used to verify anything.

use crate::{
    bundle::SetEvidence,
    report::{Check, Object},
};
use alloy_primitives::B256;
use causeway_peg::PegValidatorSet;
use std::ops::RangeInclusive;

const AGAIN: &str = "collect the evidence again from another sidechain endpoint";

/// The data of an epoch.
#[derive(Debug)]
struct Epoch {
    commitment: B256,
    /// The members, if they hash to the commitment.
    set: Option<PegValidatorSet>,
    /// Number of the first checkpoint of the epoch.
    first: Option<u64>,
}

/// The sets of genesis and of all epochs after it.
#[derive(Debug)]
pub(crate) struct History {
    /// Epoch of genesis's set.
    base: u64,
    /// From `base` on, without gaps; the last one is announced and not yet in force.
    epochs: Vec<Epoch>,
    /// Number of proven epochs, from `base` on.
    proven: usize,
}

impl History {
    /// Genesis's set and the claims about later sets. Reading stops at the first claim that contradicts itself, which
    /// fails `check`.
    pub(crate) fn read(genesis: &PegValidatorSet, claims: &[SetEvidence], check: &mut Check) -> Self {
        let base = genesis.epoch();
        let first = Epoch { commitment: genesis.commitment(), set: Some(genesis.clone()), first: Some(1) };
        let mut history = Self { base, epochs: vec![first], proven: 1 };
        for (claim, epoch) in claims.iter().zip(base.saturating_add(1)..) {
            let object = Object::ValidatorSet(claim.epoch);
            if claim.epoch != epoch {
                check.fail(object, format!("it is at the position of the set of epoch {epoch}"), AGAIN);
                break;
            }
            let before = history.epochs.last().and_then(|before| before.first);
            let rises = claim.first_checkpoint.is_none_or(|first| before.is_some_and(|before| first > before));
            if !rises {
                check.fail(object, "its first checkpoint is not after that of the previous epoch", AGAIN);
                break;
            }
            let set = members(claim, check);
            history.epochs.push(Epoch { commitment: claim.commitment, set, first: claim.first_checkpoint });
        }
        // The announced set has no checkpoint yet, the set in force may have one, and each earlier set must have one.
        let begun = |back: usize| {
            let position = history.epochs.len().checked_sub(back)?;
            history.epochs.get(position).map(|epoch| epoch.first.is_some())
        };
        if history.epochs.len() < 2 || begun(1) == Some(true) || begun(3) == Some(false) {
            let object = Object::ValidatorSet(history.last().saturating_add(1));
            check.fail(object, "the last set is not the one announced at the head", AGAIN);
        }
        history
    }

    /// Epoch of genesis's set.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The last epoch that has a set: the announced one.
    fn last(&self) -> u64 {
        let after = u64::try_from(self.epochs.len()).unwrap_or(u64::MAX).saturating_sub(1);
        self.base.saturating_add(after)
    }

    /// The epoch in force at the head, according to the claims.
    pub(crate) fn current(&self) -> u64 {
        self.last().saturating_sub(1).max(self.base)
    }

    fn get(&self, epoch: u64) -> Option<&Epoch> {
        let position = usize::try_from(epoch.checked_sub(self.base)?).ok()?;
        self.epochs.get(position)
    }

    /// Commitment to the set of an epoch, according to the claims. The previous epoch's checkpoints must name it.
    pub(crate) fn commitment(&self, epoch: u64) -> Option<B256> {
        self.get(epoch).map(|epoch| epoch.commitment)
    }

    /// Number of the first checkpoint of an epoch, according to the claims.
    pub(crate) fn first_checkpoint(&self, epoch: u64) -> Option<u64> {
        self.get(epoch)?.first
    }

    /// The set of an epoch, if certificates have proven it.
    pub(crate) fn set(&self, epoch: u64) -> Option<&PegValidatorSet> {
        let position = usize::try_from(epoch.checked_sub(self.base)?).ok()?;
        if position < self.proven { self.epochs.get(position)?.set.as_ref() } else { None }
    }

    /// Notes that a checkpoint certified by the previous set in a block named the set of `epoch`.
    pub(crate) fn prove(&mut self, epoch: u64) {
        let position = epoch.checked_sub(self.base).and_then(|position| usize::try_from(position).ok());
        if position == Some(self.proven) && self.get(epoch).is_some_and(|epoch| epoch.set.is_some()) {
            self.proven = self.proven.saturating_add(1);
        }
    }

    /// Epoch of checkpoint `number`, which is that of the state after its block; genesis's for number 0.
    pub(crate) fn epoch_of(&self, number: u64) -> u64 {
        let begun = self.epochs.partition_point(|epoch| epoch.first.is_some_and(|first| first <= number));
        let position = u64::try_from(begun.saturating_sub(1)).unwrap_or(u64::MAX);
        self.base.saturating_add(position)
    }

    /// Epochs in which the state after block `height` may be, according to the checkpoints around it.
    pub(crate) fn epochs_at(&self, height: u64, interval: u64, head: u64) -> RangeInclusive<u64> {
        let before = height.checked_div(interval).unwrap_or_default();
        let lower = self.epoch_of(before);
        if before.checked_mul(interval) == Some(height) {
            return lower..=lower;
        }
        let after = before.saturating_add(1);
        let due = after.checked_mul(interval).is_some_and(|height| height <= head);
        lower..=if due { self.epoch_of(after) } else { self.current() }
    }
}

/// The members of a claim, if they are a valid set and hash to its commitment.
fn members(claim: &SetEvidence, check: &mut Check) -> Option<PegValidatorSet> {
    let object = Object::ValidatorSet(claim.epoch);
    let set = match PegValidatorSet::from_committed_order(claim.epoch, claim.validators.clone()) {
        Ok(set) => set,
        Err(error) => {
            check.fail(object, error.to_string(), AGAIN);
            return None;
        }
    };
    let hash = set.commitment();
    if hash != claim.commitment {
        let reason = format!("its members hash to {hash}, but earlier checkpoints name {}", claim.commitment);
        check.fail(object, reason, AGAIN);
        return None;
    }
    Some(set)
}
