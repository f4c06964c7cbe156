//! What the peg did in a block, from its logs.

use alloy_sol_types::SolEventInterface;
use causeway_genesis::addresses::PEG;
use causeway_peg::IPeg;

use crate::receipt::Receipt;

/// One event of the peg module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PegEvent {
    /// Position of the transaction in the block.
    pub transaction_index: usize,
    /// Position of the log in the block, counted over all transactions.
    pub log_index: usize,
    /// The event.
    pub kind: PegEventKind,
}

/// The module's events, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PegEventKind {
    /// A deposit was credited.
    DepositMinted(IPeg::DepositMinted),
    /// Coin was burned for payment on the parent.
    WithdrawalRequested(IPeg::WithdrawalRequested),
    /// A certificate of deposits was imported.
    DepositsImported(IPeg::DepositsImported),
    /// A checkpoint's certificate is in this block.
    CheckpointRecorded(IPeg::CheckpointRecorded),
}

/// The peg events of a block, in order. Only the module itself can log from its address.
pub fn peg_events(receipts: &[Receipt]) -> Vec<PegEvent> {
    let mut events = Vec::new();
    let mut log_index = 0usize;
    for (transaction_index, receipt) in receipts.iter().enumerate() {
        for log in &receipt.logs {
            if log.address == PEG
                && let Ok(event) = IPeg::IPegEvents::decode_raw_log(log.data.topics(), &log.data.data)
            {
                let kind = match event {
                    // Of no interest to an index: the state holds the latest acknowledgement.
                    IPeg::IPegEvents::ValidatorSetAcknowledged(_) => None,
                    IPeg::IPegEvents::DepositMinted(event) => Some(PegEventKind::DepositMinted(event)),
                    IPeg::IPegEvents::WithdrawalRequested(event) => Some(PegEventKind::WithdrawalRequested(event)),
                    IPeg::IPegEvents::DepositsImported(event) => Some(PegEventKind::DepositsImported(event)),
                    IPeg::IPegEvents::CheckpointRecorded(event) => Some(PegEventKind::CheckpointRecorded(event)),
                };
                events.extend(kind.map(|kind| PegEvent { transaction_index, log_index, kind }));
            }
            log_index = log_index.saturating_add(1);
        }
    }
    events
}
