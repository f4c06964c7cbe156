//! Selects the members of the next set to be computed, and the stake that counts for each.
//!
//! Candidates are registered validators that have their minimum self-bond and are not jailed, tombstoned or exited. Those
//! with the most stake are selected, within bounds on the change from the previous set, whose total stake is `O`. New and
//! growing members together gain at most `O / 3`; a member that brings more counts with a part and grows with the next
//! sets. A full set replaces members by larger new ones only while the lost stake is at most `O / 3`. At most a third leaves
//! by the queue (`leaving`), so `gained + 2 * lost <= O`. Therefore more than 2/3 of the new set's stake always belongs to
//! holders of more than 1/3 of the old set's. A client that trusts the old set (a light client, the parent) cannot be led
//! to a set without stake of the old one. Only faults (jail, tombstone, slashes, a self-bond slashed below the minimum)
//! remove stake without a bound. A chain with one seat has no such bounds, and sets below three units of stake do not grow.

use alloy_primitives::{Address, U256};
use std::collections::BTreeMap;

use super::{
    Ruling, StakingModule,
    epochs::{ValidatorSet, load_epoch},
    leaving::stake_in,
};
use crate::{
    StakingFault, layout,
    records::{Validator, items},
    slots::{Slots, address},
    staged::Staged,
};

/// A validator that may be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    operator: Address,
    /// Stake that would count without the bounds.
    stake: U256,
    /// Stake that counts in the previous set; zero for a new member.
    before: U256,
    /// Stake that will count; zero when it is not selected.
    counted: U256,
}

impl StakingModule {
    /// The set of `epoch`, the one after the next, computed from the current stake and the set before it.
    pub(super) fn select<S: Slots>(
        &self,
        st: &mut Staged<'_, S>,
        epoch: u64,
        before: &ValidatorSet,
    ) -> Ruling<ValidatorSet, S> {
        let previous: BTreeMap<Address, U256> = before.seats.iter().map(|seat| (seat.operator, seat.stake)).collect();
        let current = load_epoch(st)?.number;
        let mut candidates = Vec::new();
        for item in items(st, layout::CANDIDATES)? {
            let validator = Validator::load(st, address(item))?;
            if !self.is_eligible(st, &validator, epoch)? {
                continue;
            }
            let stake = stake_in(st, &validator, current, epoch)?;
            if !stake.is_zero() {
                let before = previous.get(&validator.operator).copied().unwrap_or_default();
                candidates.push(Candidate { operator: validator.operator, stake, before, counted: U256::ZERO });
            }
        }
        candidates.sort_by(|a, b| b.stake.cmp(&a.stake).then(a.operator.cmp(&b.operator)));
        let seats = usize::try_from(self.params.max_validators).map_err(|_| StakingFault::Accounting)?;
        bound(&mut candidates, before.stake, seats)?;
        let counted: Vec<(Address, U256)> = candidates
            .into_iter()
            .filter(|candidate| !candidate.counted.is_zero())
            .map(|candidate| (candidate.operator, candidate.counted))
            .collect();
        if counted.is_empty() {
            // No candidate is left: the old set stays, because an empty set could decide nothing.
            return Ok(before.clone());
        }
        Ok(ValidatorSet::new(counted)?)
    }

    fn is_eligible<S: Slots>(&self, st: &mut Staged<'_, S>, validator: &Validator, epoch: u64) -> Ruling<bool, S> {
        if validator.jailed || validator.tombstoned {
            return Ok(false);
        }
        if validator.exiting {
            return Ok(validator.exit_epoch > epoch);
        }
        Ok(validator.self_bond(st)? >= self.params.min_self_bond)
    }
}

/// Determines the stake that counts for each candidate, best first; the previous set has `before` of stake.
fn bound(candidates: &mut [Candidate], before: U256, seats: usize) -> Result<(), StakingFault> {
    // With a single seat the whole set changes or none of it.
    let third = if seats == 1 { U256::MAX } else { before / U256::from(3) };
    let mut kept = U256::ZERO;
    let mut taken = 0usize;
    for candidate in candidates.iter_mut().filter(|candidate| !candidate.before.is_zero()) {
        candidate.counted = candidate.stake.min(candidate.before);
        kept = kept.checked_add(candidate.counted).ok_or(StakingFault::Accounting)?;
        taken += 1;
    }
    let mut lost = before.checked_sub(kept).ok_or(StakingFault::Accounting)?;
    // If nothing of the old set is left, there is no continuity to protect.
    let mut growth = if taken == 0 { U256::MAX } else { third };
    for at in 0..candidates.len() {
        let Candidate { stake, before, counted, .. } = candidates[at];
        let gain = stake.checked_sub(counted).ok_or(StakingFault::Accounting)?.min(growth);
        if before.is_zero() {
            if gain.is_zero() {
                continue;
            }
            if taken < seats {
                taken += 1;
            } else {
                // The weakest later member whose stake still counts in full.
                let Some(weakest) = (at + 1..candidates.len()).rev().find(|at| !candidates[*at].counted.is_zero())
                else {
                    continue;
                };
                let given_up = candidates[weakest].counted;
                let after = lost.checked_add(given_up).ok_or(StakingFault::Accounting)?;
                let is_larger = stake > candidates[weakest].stake && gain >= given_up;
                if !is_larger || after > third {
                    continue;
                }
                lost = after;
                candidates[weakest].counted = U256::ZERO;
                candidates[weakest].stake = U256::ZERO;
            }
        }
        candidates[at].counted = counted.checked_add(gain).ok_or(StakingFault::Accounting)?;
        growth = growth.checked_sub(gain).ok_or(StakingFault::Accounting)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn select(list: &[(u64, u64)], before: u64, seats: usize) -> Vec<u64> {
        let candidate = |(at, (stake, before)): (usize, &(u64, u64))| Candidate {
            operator: Address::with_last_byte(u8::try_from(at).unwrap()),
            stake: U256::from(*stake),
            before: U256::from(*before),
            counted: U256::ZERO,
        };
        let mut candidates: Vec<Candidate> = list.iter().enumerate().map(candidate).collect();
        bound(&mut candidates, U256::from(before), seats).unwrap();
        candidates.iter().map(|candidate| candidate.counted.to::<u64>()).collect()
    }

    #[test]
    fn members_without_change_count_in_full() {
        assert_eq!(select(&[(90, 90), (60, 60)], 150, 100), [90, 60]);
    }

    #[test]
    fn joiners_and_growing_members_share_a_third() {
        assert_eq!(select(&[(100, 0), (90, 90), (60, 60)], 150, 100), [50, 90, 60]);
        assert_eq!(select(&[(100, 70), (60, 60), (30, 0), (20, 20)], 150, 100), [100, 60, 20, 20]);
        assert_eq!(select(&[(1_000, 90), (60, 60), (1, 0)], 150, 100), [140, 60, 0]);
    }

    #[test]
    fn a_full_set_gives_up_its_weakest_within_a_third() {
        assert_eq!(select(&[(70, 0), (60, 60), (50, 50), (40, 40)], 150, 3), [50, 60, 50, 0]);
        // The queue has already taken a third.
        assert_eq!(select(&[(70, 0), (60, 60), (10, 50), (5, 40)], 150, 3), [0, 60, 10, 5]);
        // The second new member would exceed the bound on lost stake.
        assert_eq!(select(&[(41, 0), (40, 0), (30, 30), (30, 30), (30, 30)], 90, 3), [30, 0, 30, 30, 0]);
        // The new candidate is smaller than the weakest member: nothing changes.
        assert_eq!(select(&[(60, 60), (50, 50), (40, 40), (30, 0)], 150, 3), [60, 50, 40, 0]);
    }

    #[test]
    fn joiners_are_unbounded_when_no_member_of_the_old_set_is_left() {
        assert_eq!(select(&[(100, 0), (90, 0), (80, 0)], 150, 2), [100, 90, 0]);
    }
}
