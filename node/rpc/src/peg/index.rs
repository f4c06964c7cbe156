//! Reading the peg: its domain, the module's state at the head, and transfers by number as storage indexes them.

use causeway_execution::{PegSlots, PegSlotsError};
use causeway_peg::{PegDomain, Withdrawal};
use causeway_storage::{CheckpointRecord, DepositRecord, WithdrawalRecord};

use crate::api::Api;
use crate::chain::storage_fault;
use crate::errors::Fault;

/// The parent chain and the contracts that this chain is pegged to.
///
/// # Errors
/// [`Fault::Refused`] on a chain without a peg.
pub(crate) fn domain(api: &Api) -> Result<PegDomain, Fault> {
    api.ctx.genesis.peg_domain().ok_or_else(|| Fault::Refused("this chain has no peg".to_owned()))
}

/// Reads one value of the peg's state at the head.
pub(crate) fn slots<T>(
    api: &Api,
    read: impl FnOnce(&mut PegSlots<'_>) -> Result<T, PegSlotsError>,
) -> Result<T, Fault> {
    let state = api.latest();
    read(&mut causeway_execution::peg_state(&*state)).map_err(|error| Fault::internal("peg state", error))
}

impl Api {
    /// The mint of a deposit; `None` until a block carries it.
    pub(crate) fn deposit(&self, nonce: u64) -> Result<Option<DepositRecord>, Fault> {
        self.ctx.storage.deposit(nonce).map_err(storage_fault)
    }

    pub(crate) fn withdrawal(&self, index: u64) -> Result<Option<WithdrawalRecord>, Fault> {
        self.ctx.storage.withdrawal(index).map_err(storage_fault)
    }

    /// The withdrawals with an index in `from..until`, in order. Fewer if storage limits the answer.
    pub(crate) fn withdrawals(&self, from: u64, until: u64) -> Result<Vec<Withdrawal>, Fault> {
        let records = self.ctx.storage.withdrawals(from, until).map_err(storage_fault)?;
        Ok(records.into_iter().map(|record| record.withdrawal).collect())
    }

    /// A checkpoint with its certificate; `None` until a block carries the certificate.
    pub(crate) fn checkpoint_certificate(&self, number: u64) -> Result<Option<CheckpointRecord>, Fault> {
        self.ctx.storage.checkpoint(number).map_err(storage_fault)
    }
}
