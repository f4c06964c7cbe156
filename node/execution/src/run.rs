//! Running a block's contents, the same way for building and for checking.

use alloy_consensus::{Header, Transaction as _, TxEnvelope};
use alloy_eips::Typed2718;
use alloy_primitives::{Address, B256, Bloom, Bytes};
use causeway_consensus::CommitCertificate;
use causeway_genesis::addresses::{BEACON_ROOTS, HISTORY_STORAGE};
use revm::context_interface::{
    ContextTr, JournalTr,
    result::{ExecutionResult, InvalidTransaction},
};

use crate::{
    context::block_env,
    database::StateDb,
    diff,
    evm::{ChainEvm, ChainResult, Mode, Setting, TxError, new_evm, system_call, transact, tx_env},
    fault::LocalError,
    hooks,
    receipt::{Receipt, logs_bloom, receipts_root},
    state::{StateDiff, StateSource},
    trace::{CallFrame, CallTracer, TraceOptions},
    transaction::{SYSTEM_TX_TYPE, SystemTx},
};

/// Why a user's transaction was not run.
#[derive(Debug)]
pub(crate) enum UserTxError {
    /// It may not be included here.
    Invalid(InvalidTransaction),
    /// Its gas limit does not fit what is left of the block.
    NoRoom { gas_limit: u64, available: u64 },
    /// Local trouble.
    Local(LocalError),
}

/// A block in execution.
pub(crate) struct BlockRun<'a> {
    evm: ChainEvm<'a>,
    source: &'a dyn StateSource,
    parent_root: B256,
    gas_limit: u64,
    base_fee: u64,
    gas_used: u64,
    /// Whether the EVM's tracer listens to the next transaction.
    traced: bool,
    pub(crate) receipts: Vec<Receipt>,
}

/// What remains of a finished run.
pub(crate) struct RunOutcome {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) state_root: B256,
    pub(crate) receipts_root: B256,
    pub(crate) logs_bloom: Bloom,
    pub(crate) diff: StateDiff,
}

impl<'a> BlockRun<'a> {
    /// Opens the block described by `header` (roots ignored) on `parent`, which `certificate` decided, and runs the hooks every
    /// block starts with.
    pub(crate) fn begin(
        setting: Setting<'a>,
        header: &Header,
        parent: &Header,
        certificate: Option<&CommitCertificate>,
        source: &'a dyn StateSource,
    ) -> Result<Self, LocalError> {
        let db = StateDb::new(source, setting.codes).with_parent(parent.number, header.parent_hash);
        let evm = new_evm(db, block_env(header), setting);
        let mut run = Self {
            evm,
            source,
            parent_root: parent.state_root,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            gas_used: 0,
            traced: false,
            receipts: Vec::new(),
        };
        let certificate_hash = header.parent_beacon_block_root.unwrap_or_default();
        let gas = setting.rules.system.hook_gas;
        run.hook(BEACON_ROOTS, certificate_hash, gas)?;
        run.hook(HISTORY_STORAGE, header.parent_hash, gas)?;
        hooks::begin_block(&mut run.evm.ctx, &setting.modules, header, parent, certificate)?;
        Ok(run)
    }

    /// A system call of an EIP; a failure changes nothing and is no fault of the block.
    fn hook(&mut self, contract: Address, word: B256, gas: u64) -> Result<(), LocalError> {
        system_call(&mut self.evm, contract, Bytes::copy_from_slice(word.as_slice()), gas, false).map(|_| ())
    }

    /// Gas left for further transactions.
    pub(crate) const fn gas_available(&self) -> u64 {
        self.gas_limit.saturating_sub(self.gas_used)
    }

    /// Traces the next transaction, after traces of `bytes`.
    pub(crate) fn start_trace(&mut self, options: TraceOptions, bytes: usize) {
        self.evm.inspector = CallTracer::new(options, bytes);
        self.traced = true;
    }

    /// The trace of the transaction run since [`Self::start_trace`] and the bytes traced in all; `None` when that is too much.
    pub(crate) fn take_trace(&mut self) -> Option<(CallFrame, usize)> {
        self.traced = false;
        std::mem::take(&mut self.evm.inspector).finish()
    }

    /// Runs a system transaction. `Ok(Err(output))` when it failed: it then left no trace and has no receipt.
    pub(crate) fn system(&mut self, tx: &SystemTx) -> Result<Result<(), Bytes>, LocalError> {
        let result = system_call(&mut self.evm, tx.to, tx.input.clone(), tx.gas_limit, self.traced)?;
        if !result.is_success() {
            return Ok(Err(result.into_output().unwrap_or_default()));
        }
        // Nobody paid, so nothing is refunded.
        let gas_used = result.gas().total_gas_spent();
        self.push_receipt(SYSTEM_TX_TYPE, gas_used, 0, None, result)?;
        Ok(Ok(()))
    }

    /// Runs a user's transaction.
    pub(crate) fn user(&mut self, tx: &TxEnvelope, sender: Address) -> Result<(), UserTxError> {
        let (gas_limit, available) = (tx.gas_limit(), self.gas_available());
        if gas_limit > available {
            return Err(UserTxError::NoRoom { gas_limit, available });
        }
        let mode = if self.traced { Mode::TracedBlock } else { Mode::Block };
        let result = transact(&mut self.evm, tx_env(tx, sender), mode).map_err(|error| match error {
            TxError::Invalid(error) => UserTxError::Invalid(error),
            TxError::Local(error) => UserTxError::Local(error),
        })?;
        // Named even when the creation failed, as geth does.
        let created = tx.kind().is_create().then(|| sender.create(tx.nonce()));
        let price = tx.effective_gas_price(Some(self.base_fee));
        let gas_used = result.tx_gas_used();
        self.push_receipt(tx.ty(), gas_used, price, created, result).map_err(UserTxError::Local)
    }

    fn push_receipt(
        &mut self,
        tx_type: u8,
        gas_used: u64,
        effective_gas_price: u128,
        contract_address: Option<Address>,
        result: ChainResult,
    ) -> Result<(), LocalError> {
        self.gas_used =
            self.gas_used.checked_add(gas_used).ok_or_else(|| LocalError::Bug("block gas overflows".into()))?;
        let status = result.is_success();
        let logs = match result {
            ExecutionResult::Success { logs, .. } => logs,
            // Reverted and halted calls keep no logs.
            ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => Vec::new(),
        };
        let bloom = if logs.is_empty() { Bloom::ZERO } else { Receipt::bloom_of(&logs) };
        self.receipts.push(Receipt {
            tx_type,
            status,
            cumulative_gas_used: self.gas_used,
            gas_used,
            effective_gas_price,
            contract_address,
            logs,
            bloom,
        });
        Ok(())
    }

    /// Closes the block: the diff and the roots, the receipts' beside the state's.
    pub(crate) fn finish(mut self) -> Result<RunOutcome, LocalError> {
        let state = self.evm.ctx.journal_mut().finalize();
        let mut diff = diff::collect_all(state, self.evm.ctx.db_mut())?;
        let (source, parent_root, receipts) = (self.source, self.parent_root, self.receipts);
        let (state_root, receipts_root) =
            rayon::join(|| diff::apply_root(&mut diff, source, parent_root), || receipts_root(&receipts));
        let (state_root, logs_bloom) = (state_root?, logs_bloom(&receipts));
        Ok(RunOutcome { receipts, gas_used: self.gas_used, state_root, receipts_root, logs_bloom, diff })
    }
}
