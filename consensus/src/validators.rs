//! Validator sets: stake-weighted quorums and the proposer of each round.

use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::VerifyingKey;

use crate::height::{Height, Round};
use crate::keys::{ConsensusKey, ValidatorId};

/// Most validators a set may hold. Bounds certificates (84 bytes a signature) and the vote tables.
pub const MAX_VALIDATORS: usize = 512;

/// Largest total power of a set. The consensus core multiplies powers by 3 in u64 (pitfall 8).
pub const MAX_TOTAL_POWER: u64 = u64::MAX / 8;

/// Slots in the repeating proposer schedule of a set.
pub const PROPOSER_WINDOW: usize = 1024;

/// A member of a validator set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// Always `key.id()`.
    pub id: ValidatorId,
    /// Verifies this validator's votes, proposals and commit signatures.
    pub key: ConsensusKey,
    /// Voting power: scaled stake, at least 1.
    pub power: u64,
}

impl Validator {
    /// A validator with the id its key implies.
    pub fn new(key: ConsensusKey, power: u64) -> Self {
        Self { id: key.id(), key, power }
    }
}

/// Why a list of validators is not a valid set. The author of the list (genesis or staking rules) is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorSetError {
    /// Without validators no block can be decided.
    #[error("a validator set must not be empty")]
    Empty,
    /// There are more than [`MAX_VALIDATORS`].
    #[error("{0} validators exceed the maximum of {MAX_VALIDATORS}")]
    TooMany(usize),
    /// Two entries have the same key.
    #[error("validator {0} appears twice")]
    Duplicate(ValidatorId),
    /// Zero power: such a member would have to sign, but its vote would not count.
    #[error("validator {0} has no power")]
    NoPower(ValidatorId),
    /// The id is not the hash of the key.
    #[error("validator {0} carries a key of another id")]
    WrongId(ValidatorId),
    /// The key is not a usable ed25519 point.
    #[error("validator {0} has an invalid consensus key")]
    InvalidKey(ValidatorId),
    /// The total power is above [`MAX_TOTAL_POWER`].
    #[error("the total power exceeds {MAX_TOTAL_POWER}")]
    TooMuchPower,
}

#[derive(Debug)]
struct Inner {
    validators: Vec<Validator>,
    keys: Vec<VerifyingKey>,
    /// (id, index into `validators`), sorted by id.
    by_id: Vec<(ValidatorId, usize)>,
    total_power: u64,
    /// Index of the proposer for each slot of the window.
    schedule: Vec<usize>,
}

/// An immutable set of validators, sorted by power (descending), then id (ascending). Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ValidatorSet(Arc<Inner>);

impl PartialEq for ValidatorSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.validators == other.0.validators
    }
}

impl Eq for ValidatorSet {}

impl ValidatorSet {
    /// Sorts and checks `validators` and computes the proposer schedule.
    ///
    /// # Errors
    /// One variant of [`ValidatorSetError`] for each rule of a set.
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, ValidatorSetError> {
        if validators.is_empty() {
            return Err(ValidatorSetError::Empty);
        }
        if validators.len() > MAX_VALIDATORS {
            return Err(ValidatorSetError::TooMany(validators.len()));
        }
        validators.sort_by(|a, b| b.power.cmp(&a.power).then(a.id.cmp(&b.id)));
        let mut total_power = 0u64;
        let mut keys = Vec::with_capacity(validators.len());
        for validator in &validators {
            if validator.power == 0 {
                return Err(ValidatorSetError::NoPower(validator.id));
            }
            if validator.id != validator.key.id() {
                return Err(ValidatorSetError::WrongId(validator.id));
            }
            let key = validator.key.decode();
            keys.push(key.ok_or(ValidatorSetError::InvalidKey(validator.id))?);
            total_power = total_power
                .checked_add(validator.power)
                .filter(|total| *total <= MAX_TOTAL_POWER)
                .ok_or(ValidatorSetError::TooMuchPower)?;
        }
        let mut by_id: Vec<_> = validators.iter().map(|v| v.id).zip(0..).collect();
        by_id.sort_unstable();
        if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(ValidatorSetError::Duplicate(pair[0].0));
        }
        let schedule = proposer_schedule(&validators, total_power);
        Ok(Self(Arc::new(Inner { validators, keys, by_id, total_power, schedule })))
    }

    /// The validators, by power (descending), then id (ascending).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Validator> {
        self.0.validators.iter()
    }

    /// Number of validators, at least 1.
    #[allow(clippy::len_without_is_empty)] // a set is never empty
    pub fn len(&self) -> usize {
        self.0.validators.len()
    }

    /// Sum of all powers.
    pub fn total_power(&self) -> u64 {
        self.0.total_power
    }

    /// The member with this id.
    pub fn get(&self, id: &ValidatorId) -> Option<&Validator> {
        self.index_of(id).and_then(|at| self.0.validators.get(at))
    }

    /// The member at `index` in the set's order.
    pub fn at(&self, index: usize) -> Option<&Validator> {
        self.0.validators.get(index)
    }

    /// The decoded verifying key of the member with this id.
    pub(crate) fn verifying_key(&self, id: &ValidatorId) -> Option<&VerifyingKey> {
        self.index_of(id).and_then(|at| self.0.keys.get(at))
    }

    pub(crate) fn index_of(&self, id: &ValidatorId) -> Option<usize> {
        let at = self.0.by_id.binary_search_by(|(other, _)| other.cmp(id));
        at.ok().map(|at| self.0.by_id[at].1)
    }

    /// Whether `power` is strictly more than two thirds of the total. Every u64 is allowed.
    pub fn is_quorum(&self, power: u64) -> bool {
        u128::from(power) * 3 > u128::from(self.0.total_power) * 2
    }

    /// The proposer of a height and round: a pure function of its arguments (pitfall 9).
    pub fn proposer(&self, height: Height, round: Round) -> &Validator {
        &self.0.validators[self.proposer_index(height, round)]
    }

    pub(crate) fn proposer_index(&self, height: Height, round: Round) -> usize {
        let window = PROPOSER_WINDOW as u64;
        let slot = (height.0 % window + u64::from(round.0) % window) % window;
        let slot = usize::try_from(slot).expect("a slot is below the window's length");
        self.0.schedule[slot]
    }
}

/// A smooth weighted round robin over [`PROPOSER_WINDOW`] slots, after R. Tijdeman, "The chairman assignment problem"
/// (1980). At every prefix of the window, each validator's number of slots differs from its exact share by less than one.
/// (The choice by largest accumulated credit, as in nginx and CometBFT, can be off by more than one with many members.)
fn proposer_schedule(validators: &[Validator], total_power: u64) -> Vec<usize> {
    let total = i128::from(total_power);
    // Tijdeman's margin is 1/(2n-2); everything below is multiplied by 2n-2 to keep integers. All terms stay below 2 * 512 *
    // 2^61 * 1024 < 2^83.
    let margin = i128::try_from(2 * validators.len()).expect("a set is bounded") - 2;
    if margin == 0 {
        return vec![0; PROPOSER_WINDOW];
    }
    // credit = (slots deserved so far - slots received) * total
    let mut credit = vec![0i128; validators.len()];
    let mut schedule = Vec::with_capacity(PROPOSER_WINDOW);
    for _ in 0..PROPOSER_WINDOW {
        let mut chosen: Option<(i128, usize)> = None;
        for (at, validator) in validators.iter().enumerate() {
            let power = i128::from(validator.power);
            credit[at] += power;
            if credit[at] * margin < total {
                continue; // choosing it now could put it one slot ahead
            }
            // The last slot at which it can be chosen before it falls one slot behind.
            let deadline = ((margin - 1) * total - margin * credit[at]).div_euclid(margin * power);
            if chosen.is_none_or(|(earliest, _)| deadline < earliest) {
                chosen = Some((deadline, at));
            }
        }
        // Credits sum to one whole slot, so the largest is at least total/n >= total/(2n-2).
        let (_, at) = chosen.expect("at least one validator is always eligible");
        credit[at] -= total;
        schedule.push(at);
    }
    schedule
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::keys::Ed25519Signer;
    use proptest::prelude::*;

    fn key(n: usize) -> ConsensusKey {
        let mut secret = [1; 32];
        secret[..8].copy_from_slice(&(n as u64).to_le_bytes());
        Ed25519Signer::new(&secret).key()
    }

    fn set(powers: &[u64]) -> ValidatorSet {
        let validators = powers.iter().enumerate();
        ValidatorSet::new(validators.map(|(n, p)| Validator::new(key(n), *p)).collect()).unwrap()
    }

    #[test]
    fn a_set_is_sorted_by_power_then_id() {
        let set = set(&[1, 9, 5, 5]);
        let order: Vec<_> = set.iter().map(|v| v.power).collect();
        assert_eq!(order, [9, 5, 5, 1]);
        assert!(set.at(1).unwrap().id < set.at(2).unwrap().id);
        assert_eq!(set.len(), 4);
        assert_eq!(set.total_power(), 20);
        for validator in set.iter() {
            assert_eq!(set.get(&validator.id), Some(validator));
        }
        assert_eq!(set.get(&ValidatorId::ZERO), None);
    }

    #[test]
    fn malformed_sets_are_refused() {
        let one = Validator::new(key(1), 1);
        assert_eq!(ValidatorSet::new(vec![]), Err(ValidatorSetError::Empty));
        assert_eq!(
            ValidatorSet::new(vec![one.clone(), Validator::new(key(1), 2)]),
            Err(ValidatorSetError::Duplicate(one.id))
        );
        assert_eq!(ValidatorSet::new(vec![Validator::new(key(1), 0)]), Err(ValidatorSetError::NoPower(one.id)));
        let mut wrong = one.clone();
        wrong.id = ValidatorId::ZERO;
        assert_eq!(ValidatorSet::new(vec![wrong]), Err(ValidatorSetError::WrongId(ValidatorId::ZERO)));
        let weak = Validator::new(ConsensusKey([0; 32]), 1);
        assert_eq!(ValidatorSet::new(vec![weak.clone()]), Err(ValidatorSetError::InvalidKey(weak.id)));
        let many = vec![one; MAX_VALIDATORS + 1];
        assert_eq!(ValidatorSet::new(many), Err(ValidatorSetError::TooMany(MAX_VALIDATORS + 1)));
    }

    #[test]
    fn the_largest_total_is_accepted_and_one_more_is_not() {
        let set = set(&[MAX_TOTAL_POWER - 1, 1]);
        assert!(set.is_quorum(u64::MAX));
        assert!(!set.is_quorum(0));
        let over = vec![Validator::new(key(0), MAX_TOTAL_POWER), Validator::new(key(1), 1)];
        assert_eq!(ValidatorSet::new(over), Err(ValidatorSetError::TooMuchPower));
        let wrap = vec![Validator::new(key(0), u64::MAX), Validator::new(key(1), u64::MAX)];
        assert_eq!(ValidatorSet::new(wrap), Err(ValidatorSetError::TooMuchPower));
    }

    #[test]
    fn a_quorum_is_strictly_more_than_two_thirds() {
        for total in 1..=300u64 {
            let set = set(&[total]);
            for power in 0..=total + 1 {
                // Naive oracle in rational arithmetic: power > 2 * total / 3.
                let naive = power > 2 * total / 3;
                assert_eq!(set.is_quorum(power), naive, "{power} of {total}");
            }
        }
        for total in [MAX_TOTAL_POWER, MAX_TOTAL_POWER - 1, MAX_TOTAL_POWER - 2] {
            let set = set(&[total]);
            let floor = u64::try_from(u128::from(total) * 2 / 3).unwrap();
            assert!(!set.is_quorum(floor));
            assert!(set.is_quorum(floor + 1));
        }
    }

    #[test]
    fn rounds_walk_through_the_schedule() {
        let set = set(&[1, 1, 1, 1]);
        let mut seen: Vec<_> = (0..4).map(|r| set.proposer(Height(9), Round(r)).id).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4, "four equal validators take turns");
        assert_eq!(set.proposer(Height(9), Round(3)).id, set.proposer(Height(10), Round(2)).id);
        // The ends of the number ranges are legal.
        let _ = set.proposer(Height(u64::MAX), Round(u32::MAX));
    }

    #[test]
    fn a_single_validator_always_proposes() {
        let set = set(&[5]);
        for height in 0..10 {
            assert_eq!(set.proposer(Height(height), Round(3)).power, 5);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn each_prefix_of_the_window_gives_everybody_its_share_within_one(
            powers in prop::collection::vec(prop_oneof![1u64..10, 1u64..1_000_000_000_000], 1..24)
        ) {
            let set = set(&powers);
            let total = i128::from(set.total_power());
            let mut had = vec![0i128; set.len()];
            for slot in 0..PROPOSER_WINDOW as u64 {
                let chosen = set.proposer(Height(slot), Round::ZERO).id;
                for (at, validator) in set.iter().enumerate() {
                    had[at] += i128::from(validator.id == chosen);
                    let deserved = i128::from(slot + 1) * i128::from(validator.power);
                    let off = had[at] * total - deserved;
                    prop_assert!(off.abs() < total, "slot {slot}, validator {at}");
                }
            }
        }
    }
}
