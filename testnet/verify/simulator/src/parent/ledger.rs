//! The actions of the peg's contracts, read from the events of the canonical blocks when they are executed: the checks' own
//! record of the parent, without any information from a watcher.

use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEvent;
use causeway_contracts::{CheckpointRegistry, PegVault, deposit_of};
use causeway_peg::Deposit;

/// A deposit in the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositMade {
    /// The deposit.
    pub deposit: Deposit,
    /// The vault's accumulator after it.
    pub acc: B256,
    /// Sum of all deposits up to this one, wei.
    pub total: U256,
    /// Parent block.
    pub height: u64,
    /// Hash of its transaction.
    pub transaction: B256,
}

/// A withdrawal the vault has paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimPaid {
    /// The withdrawal's index.
    pub index: u64,
    /// The recipient.
    pub recipient: Address,
    /// Wei, the relayer's fee included.
    pub amount: U256,
    /// The relayer's fee, wei.
    pub relayer_fee: U256,
    /// Checkpoint it was proven against.
    pub checkpoint: u64,
    /// Sum of all claims up to this one, wei.
    pub total: U256,
    /// Parent block.
    pub height: u64,
    /// Hash of its transaction.
    pub transaction: B256,
}

/// A checkpoint the registry has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointAccepted {
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: B256,
    /// Epoch whose set signed it.
    pub epoch: u64,
    /// Sidechain height.
    pub sidechain_height: u64,
    /// State root at that height.
    pub state_root: B256,
    /// Root of the tree of withdrawals up to it.
    pub withdrawal_root: B256,
    /// Withdrawals up to it.
    pub withdrawal_count: u64,
    /// Deposits minted up to it.
    pub deposit_nonce: u64,
    /// Parent block.
    pub height: u64,
    /// Hash of its transaction.
    pub transaction: B256,
}

/// The canonical chain's deposits, claims and checkpoints, each in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    contracts: Option<(Address, Address)>,
    deposits: Vec<DepositMade>,
    claims: Vec<ClaimPaid>,
    checkpoints: Vec<CheckpointAccepted>,
}

/// The entries up to a height, from a list in order of heights.
fn up_to<T>(list: &[T], height: u64, of: impl Fn(&T) -> u64) -> &[T] {
    &list[..list.partition_point(|entry| of(entry) <= height)]
}

impl Ledger {
    pub(super) fn follow(&mut self, registry: Address, vault: Address) {
        self.contracts = Some((registry, vault));
    }

    /// Deposits in blocks up to `height`, by nonce.
    pub fn deposits(&self, height: u64) -> &[DepositMade] {
        up_to(&self.deposits, height, |made| made.height)
    }

    /// Claims in blocks up to `height`, in the order they were paid.
    pub fn claims(&self, height: u64) -> &[ClaimPaid] {
        up_to(&self.claims, height, |paid| paid.height)
    }

    /// Checkpoints in blocks up to `height`, in the order they were accepted.
    pub fn checkpoints(&self, height: u64) -> &[CheckpointAccepted] {
        up_to(&self.checkpoints, height, |accepted| accepted.height)
    }

    /// Deposits less claims up to `height`, wei: the coin that the vault must have. `None` when more was claimed than deposited.
    pub fn owed(&self, height: u64) -> Option<U256> {
        let deposited = self.deposits(height).last().map_or(U256::ZERO, |made| made.total);
        let claimed = self.claims(height).last().map_or(U256::ZERO, |paid| paid.total);
        deposited.checked_sub(claimed)
    }

    /// Number of payments of a withdrawal.
    pub fn times_paid(&self, index: u64) -> usize {
        self.claims.iter().filter(|paid| paid.index == index).count()
    }

    pub(super) fn record(&mut self, height: u64, transaction: B256, log: &Log) {
        let Some((registry, vault)) = self.contracts else { return };
        if log.address == vault {
            if let Ok(event) = PegVault::Deposited::decode_log_data_validate(&log.data) {
                let deposit = deposit_of(&event);
                let before = self.deposits.last().map_or(U256::ZERO, |made| made.total);
                let total = before + deposit.amount;
                self.deposits.push(DepositMade { deposit, acc: event.depositAcc, total, height, transaction });
            } else if let Ok(event) = PegVault::Claimed::decode_log_data_validate(&log.data) {
                let before = self.claims.last().map_or(U256::ZERO, |paid| paid.total);
                self.claims.push(ClaimPaid {
                    total: before + event.amount,
                    index: event.index,
                    recipient: event.recipient,
                    amount: event.amount,
                    relayer_fee: event.relayerFee,
                    checkpoint: event.checkpoint,
                    height,
                    transaction,
                });
            }
        } else if log.address == registry
            && let Ok(event) = CheckpointRegistry::CheckpointAccepted::decode_log_data_validate(&log.data)
        {
            self.checkpoints.push(CheckpointAccepted {
                number: event.number,
                digest: event.digest,
                epoch: event.epoch,
                sidechain_height: event.height,
                state_root: event.stateRoot,
                withdrawal_root: event.withdrawalRoot,
                withdrawal_count: event.withdrawalCount,
                deposit_nonce: event.depositNonce,
                height,
                transaction,
            });
        }
    }

    /// Forgets the entries of blocks above `height`.
    pub(super) fn undo(&mut self, height: u64) {
        self.deposits.truncate(self.deposits(height).len());
        self.claims.truncate(self.claims(height).len());
        self.checkpoints.truncate(self.checkpoints(height).len());
    }
}
