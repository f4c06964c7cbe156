//! Data about offences that survives a restart: evidence that no block carries yet, and the keys of former validators, so
//! that their late votes can still be verified. Neither is part of the chain: it is what only this node has seen.

use crate::{
    error::StorageError,
    schema::{EvidenceTable, MembersTable},
    storage::Storage,
};
use alloy_primitives::{Address, B256};
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::{ConsensusKey, Evidence, MAX_KNOWN_KEYS};

/// Most pieces of evidence that wait for a block. One piece is enough against a validator, and there are fewer validators.
pub const MAX_PENDING_EVIDENCE: usize = 512;
/// Most of them against one validator, so that its evidence leaves room for evidence against others.
pub const MAX_EVIDENCE_OF_ONE: usize = 4;

/// A validator's key, and the greatest height at which it is known to have been a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct MemberRow {
    pub(crate) key: ConsensusKey,
    pub(crate) last: u64,
}

impl Storage {
    /// Stores a piece of evidence until [`Storage::drop_evidence`]. Returns whether it was new and there was room.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn keep_evidence(&self, evidence: &Evidence) -> Result<bool, StorageError> {
        let hash = evidence.hash();
        let kept = self.pending_evidence()?;
        let against_one = kept.iter().filter(|other| other.validator() == evidence.validator()).count();
        if kept.len() >= MAX_PENDING_EVIDENCE
            || against_one >= MAX_EVIDENCE_OF_ONE
            || kept.iter().any(|other| other.hash() == hash)
        {
            return Ok(false);
        }
        let mut batch = self.store.engine.batch();
        batch.put::<EvidenceTable>(&hash, evidence);
        batch.commit()?;
        Ok(true)
    }

    /// The waiting evidence, in the order of the hashes.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn pending_evidence(&self) -> Result<Vec<Evidence>, StorageError> {
        let (first, last) = (B256::ZERO, B256::repeat_byte(0xff));
        let mut pending = Vec::new();
        self.store.engine.each::<EvidenceTable>(&first, &last, |_, evidence| pending.push(evidence))?;
        Ok(pending)
    }

    /// Removes pieces of evidence, because a block carries them or no block ever can.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub fn drop_evidence(&self, hashes: &[B256]) -> Result<(), StorageError> {
        let mut batch = self.store.engine.batch();
        for hash in hashes {
            batch.delete::<EvidenceTable>(hash);
        }
        batch.commit()
    }

    /// Notes that the validators with these keys are members at `height`. Removes keys whose last height is before
    /// `oldest`, and the oldest keys when there are more than [`MAX_KNOWN_KEYS`].
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn note_members(
        &self,
        height: u64,
        oldest: u64,
        keys: impl IntoIterator<Item = ConsensusKey>,
    ) -> Result<(), StorageError> {
        let mut batch = self.store.engine.batch();
        let mut others = self.former_members()?;
        for key in keys {
            others.retain(|(other, _)| *other != key);
            batch.put::<MembersTable>(&key.id(), &MemberRow { key, last: height });
        }
        others.sort_by_key(|(key, last)| (*last, *key));
        let surplus = others.len().saturating_sub(MAX_KNOWN_KEYS);
        for (at, (key, last)) in others.iter().enumerate() {
            if at < surplus || *last < oldest {
                batch.delete::<MembersTable>(&key.id());
            }
        }
        batch.commit()
    }

    /// The keys noted, each with the greatest height at which it is known to have been a member.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn former_members(&self) -> Result<Vec<(ConsensusKey, u64)>, StorageError> {
        let (first, last) = (Address::ZERO, Address::repeat_byte(0xff));
        let mut members = Vec::new();
        self.store.engine.each::<MembersTable>(&first, &last, |_, member| members.push((member.key, member.last)))?;
        Ok(members)
    }
}
