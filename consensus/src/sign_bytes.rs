//! The bytes that validators sign. One borsh encoding starts with a domain and a type tag and contains the chain. So a
//! signature cannot be used for another type of message or on another chain (pitfall 7). Golden vectors in the tests guard
//! it: changing it forks the network.

use alloy_primitives::B256;
use borsh::BorshSerialize;

/// Start of everything this crate signs.
pub(crate) const DOMAIN: [u8; 8] = *b"causeway";

/// The kind of the signed message. The numbers are part of the signed bytes; never reuse one.
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
