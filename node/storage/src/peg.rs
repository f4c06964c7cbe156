//! The peg's history by index, for the relayer, explorers and the auditor.

use crate::{
    engine::Batch,
    error::StorageError,
    schema::{CheckpointsTable, DepositsTable, WithdrawalsTable},
    storage::Storage,
};
use alloy_primitives::B256;
use alloy_sol_types::SolCall;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_execution::{PegEvent, PegEventKind, Transaction, peg_state};
use causeway_peg::{CertificateSig, Checkpoint, Deposit, IPeg, PegModule, Withdrawal};

/// Most withdrawals returned at once.
pub const MAX_PEG_RANGE: u64 = 10_000;

/// A credited deposit and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DepositRecord {
    /// The deposit.
    pub deposit: Deposit,
    /// Block that credited it.
    pub block: u64,
    /// Position of the transaction in that block.
    pub transaction_index: u32,
    /// That transaction's hash.
    pub transaction_hash: B256,
}

/// A burned withdrawal and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct WithdrawalRecord {
    /// The withdrawal; its leaf is at its index in the withdrawal tree.
    pub withdrawal: Withdrawal,
    /// Block that burned it.
    pub block: u64,
    /// Position of the transaction in that block.
    pub transaction_index: u32,
    /// That transaction's hash.
    pub transaction_hash: B256,
}

/// A checkpoint whose certificate is on this chain, and the certificate's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its certificate, in the order of the validator set.
    pub signatures: Vec<CertificateSig>,
    /// Block that recorded the certificate.
    pub block: u64,
    /// Position of the transaction in that block.
    pub transaction_index: u32,
    /// That transaction's hash.
    pub transaction_hash: B256,
}

/// The place of a checkpoint's certificate. The signatures are in that transaction, the fields in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct CheckpointRow {
    block: u64,
    transaction_index: u32,
}

/// Adds a block's peg events to the index; `hashes` are those of the block's transactions.
pub(crate) fn put_index(batch: &mut Batch<'_>, block: u64, events: &[PegEvent], hashes: &[B256]) {
    for event in events {
        let transaction_hash = hashes.get(event.transaction_index).copied().unwrap_or_default();
        let transaction_index =
            u32::try_from(event.transaction_index).expect("a block has fewer than 2^32 transactions");
        match &event.kind {
            PegEventKind::DepositMinted(minted) => {
                let deposit = Deposit {
                    nonce: minted.nonce,
                    token: minted.token,
                    sender: minted.sender,
                    recipient: minted.recipient,
                    amount: minted.amount,
                };
                let record = DepositRecord { deposit, block, transaction_index, transaction_hash };
                batch.put::<DepositsTable>(&minted.nonce, &record);
            }
            PegEventKind::WithdrawalRequested(requested) => {
                let withdrawal = Withdrawal {
                    index: requested.index,
                    token: requested.token,
                    sender: requested.sender,
                    recipient: requested.recipient,
                    amount: requested.amount,
                    relayerFee: requested.relayerFee,
                };
                let record = WithdrawalRecord { withdrawal, block, transaction_index, transaction_hash };
                batch.put::<WithdrawalsTable>(&requested.index, &record);
            }
            PegEventKind::CheckpointRecorded(recorded) => {
                batch.put::<CheckpointsTable>(&recorded.number, &CheckpointRow { block, transaction_index });
            }
            // Contains nothing that the deposits do not contain.
            PegEventKind::DepositsImported(_) => {}
        }
    }
}

impl Storage {
    /// The deposit with this nonce; `None` while it has not been credited.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn deposit(&self, nonce: u64) -> Result<Option<DepositRecord>, StorageError> {
        self.store.engine.get::<DepositsTable>(&nonce)
    }

    /// The withdrawal with this index.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn withdrawal(&self, index: u64) -> Result<Option<WithdrawalRecord>, StorageError> {
        self.store.engine.get::<WithdrawalsTable>(&index)
    }

    /// The withdrawals with indexes `from` to `to`, `to` excluded, in order; at most [`MAX_PEG_RANGE`] of them. For more, the
    /// caller asks again from the end of the answer.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn withdrawals(&self, from: u64, to: u64) -> Result<Vec<WithdrawalRecord>, StorageError> {
        let to = to.min(from.saturating_add(MAX_PEG_RANGE));
        let Some(last) = to.checked_sub(1).filter(|last| *last >= from) else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        self.store.engine.each::<WithdrawalsTable>(&from, &last, |_, record| records.push(record))?;
        Ok(records)
    }

    /// The checkpoint with this number; `None` while its certificate is not on the chain.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn checkpoint(&self, number: u64) -> Result<Option<CheckpointRecord>, StorageError> {
        let row = self.store.engine.get::<CheckpointsTable>(&number)?;
        row.map(|row| self.checkpoint_record(number, row)).transpose()
    }

    /// The checkpoint with the greatest number whose certificate is on the chain.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StorageError> {
        let last = self.store.engine.last::<CheckpointsTable>()?;
        last.map(|(number, row)| self.checkpoint_record(number, row)).transpose()
    }

    fn checkpoint_record(&self, number: u64, row: CheckpointRow) -> Result<CheckpointRecord, StorageError> {
        let corrupt =
            |reason: String| StorageError::Corrupt { family: "checkpoints", key: format!("{number:016x}"), reason };
        let block = self.block(row.block)?.ok_or_else(|| corrupt(format!("block {} is not stored", row.block)))?;
        let transaction = usize::try_from(row.transaction_index).ok().and_then(|index| block.transactions.get(index));
        let transaction = transaction
            .ok_or_else(|| corrupt(format!("block {} has no transaction {}", row.block, row.transaction_index)))?;
        let Transaction::System(call) = transaction else {
            return Err(corrupt("its transaction is not a system transaction".to_owned()));
        };
        let call = IPeg::recordCheckpointCall::abi_decode(&call.input).map_err(|error| corrupt(error.to_string()))?;
        let signatures = call
            .signatures
            .iter()
            .map(CertificateSig::try_from)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| corrupt(error.to_string()))?;
        // A checkpoint's fields stay in the peg's slots permanently, so the latest state has them.
        let state = self.latest();
        let checkpoint = PegModule::checkpoint(&mut peg_state(&*state), number)
            .map_err(|error| corrupt(error.to_string()))?
            .ok_or_else(|| corrupt("the state does not contain it".to_owned()))?;
        Ok(CheckpointRecord {
            checkpoint,
            signatures,
            block: row.block,
            transaction_index: row.transaction_index,
            transaction_hash: transaction.hash(),
        })
    }
}
