//! A process-wide cache of signatures that were recently found valid, so that they are not verified again.
//!
//! A precommit is verified when it arrives and again in the certificate of the next block, and a process that runs several
//! nodes would verify everything once for each. The result of a verification is a pure function of key, message and
//! signature, and only `true` is cached. So the cache never changes a result: nothing invalid becomes valid, nothing valid
//! is refused, and a failed verification is computed again each time. An entry is the keccak256 of the triple, so confusing
//! two triples needs a collision of keccak256, as forging a block's hash would.
//!
//! The cache is bounded: a peer cannot fill the memory. A peer that displaces entries by valid signatures of its own costs
//! the others one verification each and nothing else.
//!
//! One lock protects the cache and is held only for a search or an insertion. `benches/votes.rs` on two busy cores: a
//! verification takes 50 µs per signature; a cached answer takes 1 µs, most of it for the hash, and 2.3 µs while another
//! thread only reads the cache. Sixteen locks, chosen by the entry's first byte, made searches by two threads without other
//! work a quarter faster. They made no difference when the threads also compute the hash between searches.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{B256, Keccak256};
use ed25519_dalek::VerifyingKey;

use crate::keys::SIGNATURE_BYTES;

/// Signatures in a generation. Two generations are kept, about 4 MB: the votes of more than a hundred heights of 100
/// validators.
const GENERATION: usize = 32_768;

static RECENT: Mutex<Recent> = Mutex::new(Recent::new(GENERATION));

/// The result of `verify` for the triple. `verify` must depend on nothing else; it is not called when it recently returned
/// true.
pub(crate) fn remembered(
    key: &VerifyingKey,
    bytes: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
    verify: impl FnOnce() -> bool,
) -> bool {
    let mark = mark(key, bytes, signature);
    if recent().contains(&mark) {
        return true;
    }
    // The slow part runs without the lock.
    let valid = verify();
    if valid {
        let forgotten = recent().insert(mark);
        // Freeing the old entries also runs without the lock: the guard ends with the statement above.
        drop(forgotten);
    }
    valid
}

/// Key and signature have fixed lengths and come first, so that no two triples give the same bytes.
fn mark(key: &VerifyingKey, bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(key.as_bytes());
    hasher.update(signature);
    hasher.update(bytes);
    hasher.finalize()
}

fn recent() -> MutexGuard<'static, Recent> {
    // Entries are complete or absent: a thread that panicked while holding the lock left the cache consistent.
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bounded set with two generations. When the young generation is full, it becomes the old one, and the former old one is
/// dropped. An entry survives at least `capacity` later insertions.
struct Recent {
    capacity: usize,
    young: BTreeSet<B256>,
    old: BTreeSet<B256>,
}

impl Recent {
    const fn new(capacity: usize) -> Self {
        Self { capacity, young: BTreeSet::new(), old: BTreeSet::new() }
    }

    fn contains(&self, mark: &B256) -> bool {
        self.young.contains(mark) || self.old.contains(mark)
    }

    /// Adds an entry and returns the entries that were dropped for it.
    fn insert(&mut self, mark: B256) -> BTreeSet<B256> {
        let mut forgotten = BTreeSet::new();
        if self.young.len() >= self.capacity {
            forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        }
        self.young.insert(mark);
        forgotten
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::keys::{ConsensusKey, Ed25519Signer, Signer};
    use ed25519_dalek::Signature;
    use proptest::prelude::*;

    /// The result without a cache.
    fn plain(key: &ConsensusKey, bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        key.decode().is_some_and(|key| key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
    }

    fn flipped<const N: usize>(mut bytes: [u8; N], bit: usize) -> [u8; N] {
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }

    #[test]
    fn only_a_success_is_remembered() {
        let signer = Ed25519Signer::new(&[0x51; 32]);
        let (key, signature) = (signer.key().decode().unwrap(), [9; SIGNATURE_BYTES]);
        for _ in 0..2 {
            assert!(!remembered(&key, b"only a success", &signature, || false));
        }
        assert!(remembered(&key, b"only a success", &signature, || true), "a failure is computed again");
        assert!(remembered(&key, b"only a success", &signature, || panic!("the result is cached")));
    }

    #[test]
    fn no_bit_of_key_message_or_signature_can_be_flipped_after_a_success() {
        let signer = Ed25519Signer::new(&[0x52; 32]);
        let key = signer.key();
        let message: [u8; 40] = std::array::from_fn(|i| i as u8);
        let signature = signer.sign(&message).unwrap();
        assert!(key.verifies(&message, &signature));
        for bit in 0..8 * SIGNATURE_BYTES {
            assert!(!key.verifies(&message, &flipped(signature, bit)), "bit {bit} of the signature");
        }
        for bit in 0..8 * message.len() {
            assert!(!key.verifies(&flipped(message, bit), &signature), "bit {bit} of the message");
        }
        for bit in 0..8 * key.0.len() {
            assert!(!ConsensusKey(flipped(key.0, bit)).verifies(&message, &signature), "bit {bit} of the key");
        }
        assert!(key.verifies(&message, &signature));
    }

    #[test]
    fn bytes_that_move_between_message_and_signature_are_another_triple() {
        let key = Ed25519Signer::new(&[0x53; 32]).key().decode().unwrap();
        let all: [u8; SIGNATURE_BYTES + 8] = std::array::from_fn(|i| i as u8);
        let (signature, message) = all.split_at(SIGNATURE_BYTES);
        let first = mark(&key, message, signature.try_into().unwrap());
        let (message, signature) = all.split_at(8);
        assert_ne!(first, mark(&key, message, signature.try_into().unwrap()));
        assert_ne!(mark(&key, b"", signature.try_into().unwrap()), mark(&key, b"\0", signature.try_into().unwrap()));
    }

    #[test]
    fn the_bound_holds_and_recent_entries_stay() {
        let mut recent = Recent::new(4);
        let entry = |n: u8| B256::repeat_byte(n);
        for n in 0..100 {
            recent.insert(entry(n));
            assert!(recent.young.len() + recent.old.len() <= 8);
            assert!((n.saturating_sub(4)..=n).all(|m| recent.contains(&entry(m))), "{n}");
            assert!(n < 8 || !recent.contains(&entry(n - 8)));
        }
    }

    proptest! {
        /// The results equal those of the uncached rule, whatever was verified before and in any order.
        #[test]
        fn cached_results_equal_the_uncached_rule(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..4),
            questions in proptest::collection::vec((0usize..3, 0usize..3, 0usize..3, 0usize..512, any::<bool>()), 1..24),
        ) {
            let signers = [0x54, 0x55, 0x56].map(|seed| Ed25519Signer::new(&[seed; 32]));
            for (by, over, under, bit, flip) in questions {
                let (over, under) = (over % messages.len(), under % messages.len());
                let mut signature = signers[by].sign(&messages[over]).unwrap();
                if flip {
                    signature = flipped(signature, bit);
                }
                let key = signers[by].key();
                prop_assert_eq!(
                    key.verifies(&messages[under], &signature),
                    plain(&key, &messages[under], &signature)
                );
            }
        }
    }
}
