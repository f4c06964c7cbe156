//! Running decided blocks, and calls, again to see what they called.

use std::ops::Range;

use alloy_consensus::Header;
use alloy_primitives::{Address, U64};
use thiserror::Error;

use crate::{
    block::Block,
    call::{CALL_GAS_CAP, CallError, CallRequest, CallResult, call_evm, check_request, run_traced_call},
    executor::Executor,
    fault::LocalError,
    overrides::Overrides,
    run::{BlockRun, UserTxError},
    state::StateSource,
    trace::{CallFrame, CallTracer, MAX_TRACE_BYTES, TraceOptions},
    transaction::Transaction,
};

/// Why there is no trace.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The traced call holds more data than a trace may.
    #[error("trace is larger than {MAX_TRACE_BYTES} bytes")]
    TooLarge,
    /// The block does not run on this state: parent, state, block and senders do not belong together.
    #[error("transaction {0} does not run on the state given")]
    WrongState(usize),
    /// The call cannot start.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Local trouble.
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl Executor {
    /// Runs the decided `block` again on `state`, the state of its `parent`, and traces the transactions in `range`.
    ///
    /// The traces together keep at most [`MAX_TRACE_BYTES`].
    ///
    /// # Errors
    /// [`TraceError`]; [`TraceError::WrongState`] when the arguments do not belong together.
    pub fn trace_block(
        &self,
        parent: &Header,
        state: &dyn StateSource,
        block: &Block,
        senders: &[Address],
        range: Range<usize>,
        options: TraceOptions,
    ) -> Result<Vec<CallFrame>, TraceError> {
        let setting = self.setting(block.header.number).map_err(LocalError::from)?;
        let mut run = BlockRun::begin(setting, &block.header, parent, block.parent_certificate.as_ref(), state)?;
        let mut frames = Vec::new();
        let mut bytes = 0usize;
        for (index, (tx, sender)) in block.transactions.iter().zip(senders).enumerate().take(range.end) {
            let traced = range.contains(&index);
            if traced {
                run.start_trace(options, bytes);
            }
            match tx {
                Transaction::System(tx) => run.system(tx)?.map_err(|_| TraceError::WrongState(index))?,
                Transaction::Ethereum(tx) => run.user(tx, *sender).map_err(|error| match error {
                    UserTxError::Local(error) => TraceError::Local(error),
                    UserTxError::Invalid(_) | UserTxError::NoRoom { .. } => TraceError::WrongState(index),
                })?,
            }
            if traced {
                let (mut frame, kept) = run.take_trace().ok_or(TraceError::TooLarge)?;
                bytes = kept;
                // Of the whole transaction, what it cost before and after the call included.
                frame.gas = U64::from(tx.gas_limit());
                frame.gas_used = U64::from(run.receipts.last().map_or(0, |receipt| receipt.gas_used));
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// Traces `request` as [`Executor::call`] runs it.
    ///
    /// # Errors
    /// [`TraceError::Call`] when the call cannot start, [`TraceError::TooLarge`].
    pub fn trace_call(
        &self,
        header: &Header,
        state: &dyn StateSource,
        request: &CallRequest,
        overrides: &Overrides,
        options: TraceOptions,
    ) -> Result<CallFrame, TraceError> {
        check_request(request, overrides)?;
        let gas = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
        let mut evm =
            call_evm(self.setting(header.number).map_err(LocalError::from)?, header, state, request, overrides);
        evm.inspector = CallTracer::new(options, 0);
        let result = run_traced_call(&mut evm, request, gas)?;
        let (mut frame, _) = evm.inspector.finish().ok_or(TraceError::TooLarge)?;
        frame.gas = U64::from(gas);
        frame.gas_used = U64::from(match result {
            CallResult::Success { gas_used, .. }
            | CallResult::Revert { gas_used, .. }
            | CallResult::Halt { gas_used, .. } => gas_used,
        });
        Ok(frame)
    }
}
