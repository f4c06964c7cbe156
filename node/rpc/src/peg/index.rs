//! The peg's transfers by number, as storage indexes them.

use causeway_peg::Withdrawal;
use causeway_storage::{CheckpointRecord, DepositRecord, WithdrawalRecord};

use crate::api::Api;
use crate::chain::storage_fault;
use crate::errors::Fault;

impl Api {
    /// The mint of a deposit, when a block carries it.
    pub(crate) fn deposit(&self, nonce: u64) -> Result<Option<DepositRecord>, Fault> {
        self.ctx.storage.deposit(nonce).map_err(storage_fault)
    }

    pub(crate) fn withdrawal(&self, index: u64) -> Result<Option<WithdrawalRecord>, Fault> {
        self.ctx.storage.withdrawal(index).map_err(storage_fault)
    }

    /// Withdrawals from index `from` up to but without `until`, in order; fewer where storage limits one answer.
    pub(crate) fn withdrawals(&self, from: u64, until: u64) -> Result<Vec<Withdrawal>, Fault> {
        let records = self.ctx.storage.withdrawals(from, until).map_err(storage_fault)?;
        Ok(records.into_iter().map(|record| record.withdrawal).collect())
    }

    /// A checkpoint with its certificate, when a block carries it.
    pub(crate) fn checkpoint_certificate(&self, number: u64) -> Result<Option<CheckpointRecord>, Fault> {
        self.ctx.storage.checkpoint(number).map_err(storage_fault)
    }
}
