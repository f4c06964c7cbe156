//! Keys of recent validators: they verify late votes of heights that are no longer in memory.

use std::collections::BTreeMap;

use ed25519_dalek::VerifyingKey;

use crate::height::Height;
use crate::keys::{ConsensusKey, ValidatorId};
use crate::validators::ValidatorSet;

/// Most validators whose keys are remembered, about 250 bytes each; those that left the set first are forgotten first.
pub const MAX_KNOWN_KEYS: usize = 4_096;

struct Known {
    key: VerifyingKey,
    last: Height,
}

/// Verifying keys by validator id, with the greatest height at which each was a member of a set.
#[derive(Default)]
pub(crate) struct KnownKeys {
    known: BTreeMap<ValidatorId, Known>,
    /// The set noted last: within an epoch it does not change, so there is nothing to do.
    noted: Option<ValidatorSet>,
}

impl KnownKeys {
    /// Notes the members of the set of `height`.
    pub(crate) fn note_set(&mut self, height: Height, set: &ValidatorSet) {
        if self.noted.as_ref() == Some(set) {
            return;
        }
        // The members of the old set were members until the previous height.
        if let (Some(old), Some(last)) = (self.noted.replace(set.clone()), height.prev()) {
            self.note_members(last, &old);
        }
        self.note_members(height, set);
    }

    fn note_members(&mut self, height: Height, set: &ValidatorSet) {
        for validator in set.iter() {
            if let Some(key) = set.verifying_key(&validator.id) {
                self.insert(validator.id, *key, height);
            }
        }
    }

    /// Notes one key from the caller's record of earlier sets. Invalid keys are ignored.
    pub(crate) fn note(&mut self, key: ConsensusKey, last: Height) {
        if let Some(decoded) = key.decode() {
            self.insert(key.id(), decoded, last);
        }
    }

    /// Number of known keys.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The key of a validator.
    pub(crate) fn get(&self, id: &ValidatorId) -> Option<&VerifyingKey> {
        self.known.get(id).map(|known| &known.key)
    }

    fn insert(&mut self, id: ValidatorId, key: VerifyingKey, last: Height) {
        if let Some(known) = self.known.get_mut(&id) {
            known.last = known.last.max(last);
            return;
        }
        if self.known.len() >= MAX_KNOWN_KEYS {
            let oldest = self.known.iter().min_by_key(|(id, known)| (known.last, **id)).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(id, Known { key, last });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::keys::Ed25519Signer;
    use crate::validators::Validator;

    fn key(n: u64) -> ConsensusKey {
        let mut secret = [9; 32];
        secret[..8].copy_from_slice(&n.to_le_bytes());
        Ed25519Signer::new(&secret).key()
    }

    #[test]
    fn members_of_earlier_sets_stay_known() {
        let set = |n| ValidatorSet::new(vec![Validator::new(key(n), 1)]).unwrap();
        let mut keys = KnownKeys::default();
        keys.note_set(Height(1), &set(1));
        keys.note_set(Height(9), &set(2));
        assert!(keys.get(&key(1).id()).is_some());
        assert!(keys.get(&key(2).id()).is_some());
        assert!(keys.get(&key(3).id()).is_none());
    }

    #[test]
    fn known_keys_are_bounded_and_the_first_to_leave_are_forgotten_first() {
        let mut keys = KnownKeys::default();
        for n in 0..MAX_KNOWN_KEYS as u64 + 3 {
            keys.note(key(n), Height(n));
        }
        assert_eq!(keys.known.len(), MAX_KNOWN_KEYS);
        assert!(keys.get(&key(2).id()).is_none());
        assert!(keys.get(&key(3).id()).is_some());
    }

    #[test]
    fn invalid_keys_are_ignored() {
        let mut keys = KnownKeys::default();
        keys.note(ConsensusKey([0; 32]), Height(1));
        assert!(keys.known.is_empty());
    }
}
