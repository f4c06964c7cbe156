//! Proposals, and the parts of a block body (pitfall 17).
//!
//! The signed proposal lists the hash of every part. Each part is checked on arrival against its place in that list, and can
//! be requested by that place from any peer.

use alloy_primitives::{B256, Bytes, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::height::{Height, Round};
use crate::keys::{SIGNATURE_BYTES, ValidatorId, verify};
use crate::sign_bytes::{SignTag, sign_bytes};
use crate::validators::ValidatorSet;

/// Size of every part but the last, in bytes.
pub const PART_BYTES: usize = 64 * 1024;

/// Largest block body, in bytes.
pub const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Most parts of a block.
pub const MAX_PARTS: usize = MAX_BLOCK_BYTES.div_ceil(PART_BYTES);

/// The size of a block body and the keccak256 hash of each of its parts, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct PartList {
    /// Length of the whole body in bytes, 1 to [`MAX_BLOCK_BYTES`].
    pub total_bytes: u32,
    /// One hash for each part of [`PART_BYTES`] bytes; the last part may be shorter.
    pub hashes: Vec<B256>,
}

impl PartList {
    /// Lists the parts of `body`; `None` when it is empty or larger than [`MAX_BLOCK_BYTES`].
    pub fn of(body: &[u8]) -> Option<Self> {
        let total_bytes = u32::try_from(body.len()).ok()?;
        let list = Self { total_bytes, hashes: body.chunks(PART_BYTES).map(keccak256).collect() };
        list.is_well_formed().then_some(list)
    }

    /// Whether the size and the number of hashes match and are within the limits.
    pub fn is_well_formed(&self) -> bool {
        let total = self.total_bytes as usize;
        total > 0 && total <= MAX_BLOCK_BYTES && self.hashes.len() == total.div_ceil(PART_BYTES)
    }

    /// Identifies this list and the exact body: keccak256 of its borsh encoding.
    pub fn root(&self) -> B256 {
        keccak256(borsh::to_vec(self).expect("writing to memory cannot fail"))
    }

    /// Length in bytes of the part at `index`; `None` beyond the list.
    pub fn part_len(&self, index: usize) -> Option<usize> {
        if index >= self.hashes.len() {
            return None;
        }
        let start = index.checked_mul(PART_BYTES)?;
        Some((self.total_bytes as usize).checked_sub(start)?.min(PART_BYTES))
    }

    /// Whether `bytes` are the part at `index`: right index, length and hash.
    pub fn accepts(&self, index: usize, bytes: &[u8]) -> bool {
        self.part_len(index) == Some(bytes.len())
            && self.hashes.get(index).is_some_and(|hash| keccak256(bytes) == *hash)
    }
}

/// A proposer's value for a round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The height proposed for.
    pub height: Height,
    /// The round proposed in.
    pub round: Round,
    /// The earlier round in which the block got a quorum of prevotes, if it is proposed again.
    pub pol_round: Option<Round>,
    /// The consensus value.
    pub block_hash: B256,
    /// The parts of the block's body.
    pub parts: PartList,
    /// The proposer. Not part of the signed bytes, because the key identifies it.
    pub proposer: ValidatorId,
}

impl Proposal {
    /// The bytes the proposer signs on `chain`; they cover the part list.
    pub fn sign_bytes(&self, chain: B256) -> Vec<u8> {
        let content = (self.height, self.round, self.pol_round, self.block_hash, &self.parts);
        sign_bytes(SignTag::Proposal, chain, &content)
    }
}

/// A proposal with its proposer's signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct SignedProposal {
    /// The proposal.
    pub proposal: Proposal,
    /// ed25519 over [`Proposal::sign_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
}

impl SignedProposal {
    /// Whether the proposer is in `set` and signed the proposal. Does not check that it is the proposer of the round.
    pub fn verify(&self, chain: B256, set: &ValidatorSet) -> bool {
        set.verifying_key(&self.proposal.proposer)
            .is_some_and(|key| verify(key, &self.proposal.sign_bytes(chain), &self.signature))
    }
}

/// One part of a proposed body. It has no signature, because the signed proposal lists its hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProposalPart {
    /// The height the body is proposed for.
    pub height: Height,
    /// [`PartList::root`] of the body's list.
    pub root: B256,
    /// Index in the list.
    pub index: u32,
    /// The part itself, at most [`PART_BYTES`].
    pub bytes: Bytes,
}

/// Splits `body` into parts; `list` must be the list of this body.
pub(crate) fn split(height: Height, list: &PartList, body: &Bytes) -> Vec<ProposalPart> {
    let root = list.root();
    (0u32..)
        .zip(body.chunks(PART_BYTES))
        .map(|(index, bytes)| ProposalPart { height, root, index, bytes: Bytes::copy_from_slice(bytes) })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_list_accepts_its_own_parts_at_their_own_places_only() {
        let body = Bytes::from(vec![9u8; PART_BYTES + 10]);
        let list = PartList::of(&body).unwrap();
        let parts = split(Height(1), &list, &body);
        assert_eq!(parts.len(), 2);
        assert!(list.accepts(0, &parts[0].bytes));
        assert!(list.accepts(1, &parts[1].bytes));
        assert!(!list.accepts(1, &parts[0].bytes));
        assert!(!list.accepts(2, &parts[1].bytes));
        assert!(!list.accepts(usize::MAX, &parts[1].bytes));
        assert!(!list.accepts(1, &[8u8; 10]));
    }

    #[test]
    fn sizes_at_and_over_the_limits() {
        assert!(PartList::of(&[]).is_none());
        assert_eq!(PartList::of(&[1]).unwrap().hashes.len(), 1);
        let full = PartList::of(&vec![0; MAX_BLOCK_BYTES]).unwrap();
        assert_eq!(full.hashes.len(), MAX_PARTS);
        assert!(PartList::of(&vec![0; MAX_BLOCK_BYTES + 1]).is_none());
        let mut odd = full.clone();
        odd.hashes.pop();
        assert!(!odd.is_well_formed());
        odd = full;
        odd.total_bytes = u32::MAX;
        assert!(!odd.is_well_formed());
        assert_eq!(odd.part_len(MAX_PARTS), None);
    }
}
