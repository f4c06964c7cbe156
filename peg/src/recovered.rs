//! A process-wide cache of signers that were recently recovered from signatures, so that they are not recovered again.
//!
//! A peg signature is recovered when it arrives by gossip, and again when its certificate is proposed and executed. The signer
//! is a pure function of digest and signature, and only successful results are cached, so the cache never changes a result.
//! A failed recovery is computed again each time. The key of an entry is the digest with the whole signature, not a hash of
//! them, so there are no collisions.
//!
//! The cache is bounded: a peer cannot fill the memory. Almost any 65 bytes recover to some address, so a peer whose
//! signatures are checked can displace entries. That costs one recovery for each displaced entry and nothing else.
//!
//! One lock protects the cache and is held only for a search or an insertion. `benches/certificates.rs` on two busy cores: a
//! recovery takes 48 µs a signature, a cached answer 0.08 µs, and 0.14 µs while another thread only reads the cache. Several
//! locks could save part of that difference, which is a thousandth of the time that the cache saves.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, B256};

use crate::signature::{Signature65, SignatureError};

/// Signatures in a generation. Two generations are kept, about 5 MB: a hundred certificates or more of 100 validators.
const GENERATION: usize = 16_384;

static RECENT: Mutex<Recent> = Mutex::new(Recent::new(GENERATION));

type Question = (B256, Signature65);

/// The result of `recover` for the pair. `recover` must depend on nothing else; it is not called when the result is cached.
pub(crate) fn remembered(
    digest: B256,
    signature: &Signature65,
    recover: impl FnOnce() -> Result<Address, SignatureError>,
) -> Result<Address, SignatureError> {
    let question = (digest, *signature);
    let known = recent().get(&question);
    if let Some(signer) = known {
        return Ok(signer);
    }
    // The slow part runs without the lock.
    let signer = recover()?;
    let forgotten = recent().insert(question, signer);
    // Freeing the old entries also runs without the lock: the guard ends with the statement above.
    drop(forgotten);
    Ok(signer)
}

fn recent() -> MutexGuard<'static, Recent> {
    // Entries are complete or absent: a thread that panicked while holding the lock left the cache consistent.
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bounded map with two generations. When the young generation is full, it becomes the old one, and the former old one is
/// dropped. An entry survives at least `capacity` later insertions.
struct Recent {
    capacity: usize,
    young: BTreeMap<Question, Address>,
    old: BTreeMap<Question, Address>,
}

impl Recent {
    const fn new(capacity: usize) -> Self {
        Self { capacity, young: BTreeMap::new(), old: BTreeMap::new() }
    }

    fn get(&self, question: &Question) -> Option<Address> {
        self.young.get(question).or_else(|| self.old.get(question)).copied()
    }

    /// Adds an entry and returns the entries that were dropped for it.
    fn insert(&mut self, question: Question, signer: Address) -> BTreeMap<Question, Address> {
        let mut forgotten = BTreeMap::new();
        if self.young.len() >= self.capacity {
            forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        }
        self.young.insert(question, signer);
        forgotten
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::signature::{SIGNATURE_BYTES, address_of, sign_digest};
    use alloy_primitives::keccak256;

    fn secret(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    #[test]
    fn only_an_address_is_remembered() {
        let (digest, signer) = (keccak256("only an address"), address_of(&secret(0x51)).unwrap());
        let signature = sign_digest(&secret(0x51), digest).unwrap();
        for _ in 0..2 {
            let failed = remembered(digest, &signature, || Err(SignatureError::Unrecoverable));
            assert_eq!(failed, Err(SignatureError::Unrecoverable));
        }
        assert_eq!(remembered(digest, &signature, || Ok(signer)), Ok(signer), "a failure is computed again");
        assert_eq!(remembered(digest, &signature, || panic!("the result is cached")), Ok(signer));
    }

    #[test]
    fn no_bit_of_digest_or_signature_can_be_flipped_after_a_success() {
        let (digest, signer) = (keccak256("flipped"), address_of(&secret(0x52)).unwrap());
        let signature = sign_digest(&secret(0x52), digest).unwrap();
        assert_eq!(signature.recover(digest), Ok(signer));
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut bytes = *signature.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(other) = Signature65::from_bytes(&bytes) else { continue };
            assert_eq!(other.recover(digest), other.recover_anew(digest), "bit {bit} of the signature");
            assert_ne!(other.recover(digest), Ok(signer), "bit {bit} of the signature");
        }
        for bit in 0..256 {
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(signature.recover(other), signature.recover_anew(other), "bit {bit} of the digest");
            assert_ne!(signature.recover(other), Ok(signer), "bit {bit} of the digest");
        }
        assert_eq!(signature.recover(digest), Ok(signer));
    }

    #[test]
    fn no_other_signer_is_returned_for_the_same_digest() {
        let digest = keccak256("the same digest");
        for _ in 0..2 {
            for n in 1..20 {
                let signature = sign_digest(&secret(n), digest).unwrap();
                assert_eq!(signature.recover(digest), address_of(&secret(n)));
            }
        }
    }

    #[test]
    fn the_bound_holds_and_recent_entries_stay() {
        let mut recent = Recent::new(4);
        let signature = sign_digest(&secret(1), B256::ZERO).unwrap();
        let entry = |n: u8| (B256::repeat_byte(n), signature);
        for n in 0..100 {
            recent.insert(entry(n), Address::repeat_byte(n));
            assert!(recent.young.len() + recent.old.len() <= 8);
            let kept = |m| recent.get(&entry(m)) == Some(Address::repeat_byte(m));
            assert!((n.saturating_sub(4)..=n).all(kept), "{n}");
            assert!(n < 8 || recent.get(&entry(n - 8)).is_none());
        }
    }
}
