//! The bytes validators sign. One borsh encoding, led by a domain and a type tag and bound to the chain, so that no
//! signature can be taken for one over another type of message or another chain (pitfall 7). Guarded by golden vectors
//! in the tests: changing them forks the network.

use alloy_primitives::B256;
use borsh::BorshSerialize;

/// Starts everything this crate signs.
pub(crate) const DOMAIN: [u8; 8] = *b"causeway";

/// What kind of message is signed. Numbers are part of the signed bytes; never reuse one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignTag {
    Prevote = 1,
    Precommit = 2,
    Proposal = 3,
}

/// Domain, tag, chain (genesis block hash), then the content's borsh encoding.
pub(crate) fn sign_bytes(tag: SignTag, chain: B256, content: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(&(DOMAIN, tag as u8, chain, content)).expect("writing to memory cannot fail")
}
