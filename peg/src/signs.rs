//! The record that prevents a peg key from making two different attestations about one subject.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};

/// The record of the peg key's signatures: never two digests for one checkpoint number, never a number below the last.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PegSigns {
    /// Number and digest of the latest signed checkpoint.
    pub checkpoint: Option<(u64, B256)>,
    /// Signed views of deposits that are not minted yet: the view's last deposit nonce, and its digest.
    pub views: BTreeMap<u64, B256>,
}

impl PegSigns {
    /// Whether the record allows this digest of a checkpoint.
    pub fn may_sign_checkpoint(&self, number: u64, digest: B256) -> bool {
        self.checkpoint.is_none_or(|(last, signed)| number > last || (number == last && digest == signed))
    }

    /// Whether the record allows this digest of the view that reaches a deposit nonce.
    pub fn may_sign_view(&self, nonce: u64, digest: B256) -> bool {
        self.views.get(&nonce).is_none_or(|signed| *signed == digest)
    }
}
