//! What a transaction called, as geth's `callTracer` tells it.

use alloy_primitives::{Address, B256, Bytes, Log, U64, U256};
use alloy_sol_types::{Revert, SolError};
use revm::{
    context_interface::{ContextTr, result::HaltReason},
    inspector::Inspector,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, CreateScheme, InstructionResult,
        InterpreterResult, SuccessOrHalt,
    },
};
use serde::Serialize;

use crate::{context::Ctx, halt::halt_words};

/// Most bytes of input, output and logs, and of frames, that the traces of one request keep together. Memory is paid for
/// once in gas but may be passed to thousands of calls.
pub const MAX_TRACE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes a frame counts for beside its data.
const FRAME_BYTES: usize = 256;

/// What to leave out and what to add.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Only the outermost call.
    pub only_top_call: bool,
    /// Logs as well.
    pub with_log: bool,
}

/// One call and the calls it made. Serialises to geth's JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallFrame {
    /// Who called.
    pub from: Address,
    /// Gas given.
    pub gas: U64,
    /// Gas used.
    pub gas_used: U64,
    /// Who was called, or created; absent when a creation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Address>,
    /// Calldata or init code.
    pub input: Bytes,
    /// Return or revert data, when there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Bytes>,
    /// geth's words for a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The reason given to `require` or `revert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert_reason: Option<String>,
    /// Calls made, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Self>,
    /// Logs emitted by this call itself, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<CallLog>,
    /// Wei sent along; absent for static calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<U256>,
    /// `CALL`, `STATICCALL`, `DELEGATECALL`, `CALLCODE`, `CREATE`, `CREATE2` or `SELFDESTRUCT`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A log in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallLog {
    /// Who emitted it.
    pub address: Address,
    /// Topics.
    pub topics: Vec<B256>,
    /// Data.
    pub data: Bytes,
    /// How many calls the emitting call had made before.
    pub position: U64,
}

/// Collects the frames of one transaction.
#[derive(Debug, Default)]
pub(crate) struct CallTracer {
    options: TraceOptions,
    /// Calls that have not returned; the outermost first.
    open: Vec<CallFrame>,
    top: Option<CallFrame>,
    bytes: usize,
}

impl CallTracer {
    /// A tracer for one transaction, after traces of `bytes` for the same request.
    pub(crate) fn new(options: TraceOptions, bytes: usize) -> Self {
        Self { options, bytes, ..Self::default() }
    }

    /// The outermost call and the bytes kept so far; `None` when there was no call or the traces grew beyond
    /// [`MAX_TRACE_BYTES`].
    pub(crate) fn finish(self) -> Option<(CallFrame, usize)> {
        let bytes = self.bytes;
        if self.is_full() { None } else { self.top.map(|top| (top, bytes)) }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.bytes > MAX_TRACE_BYTES
    }

    /// Takes `data` into account; empty once the trace is too large, which ends in an error anyway.
    fn keep(&mut self, data: Bytes) -> Bytes {
        self.bytes = self.bytes.saturating_add(data.len());
        if self.is_full() { Bytes::new() } else { data }
    }

    fn enter(&mut self, frame: CallFrame) {
        self.bytes = self.bytes.saturating_add(FRAME_BYTES);
        self.open.push(frame);
    }

    fn leave(&mut self, result: &InterpreterResult, created: Option<Address>) {
        let Some(mut frame) = self.open.pop() else { return };
        frame.gas_used = U64::from(result.gas.total_gas_spent());
        settle(&mut frame, result);
        if matches!(frame.kind, "CREATE" | "CREATE2") {
            frame.to = created.filter(|_| result.result.is_ok());
        }
        frame.output = frame.output.take().map(|output| self.keep(output));
        self.close(frame);
    }

    fn close(&mut self, frame: CallFrame) {
        match self.open.last_mut() {
            None => self.top = Some(frame),
            Some(_) if self.options.only_top_call || self.bytes > MAX_TRACE_BYTES => {}
            Some(parent) => parent.calls.push(frame),
        }
    }
}

fn settle(frame: &mut CallFrame, result: &InterpreterResult) {
    if result.result.is_ok() {
        frame.output = (!result.output.is_empty()).then(|| result.output.clone());
        return;
    }
    if result.result == InstructionResult::Revert {
        frame.output = (!result.output.is_empty()).then(|| result.output.clone());
        frame.revert_reason = Revert::abi_decode(&result.output).ok().map(|revert| revert.reason);
        frame.error = Some("execution reverted".into());
        return;
    }
    frame.error = Some(match SuccessOrHalt::<HaltReason>::from(result.result) {
        SuccessOrHalt::Halt(reason) => halt_words(&reason),
        _ => format!("{:?}", result.result),
    });
}

impl<'a> Inspector<Ctx<'a>> for CallTracer {
    fn log(&mut self, _: &mut Ctx<'a>, log: Log) {
        if !self.options.with_log {
            return;
        }
        let data = self.keep(log.data.data.clone());
        self.bytes = self.bytes.saturating_add(FRAME_BYTES);
        if self.is_full() {
            return;
        }
        if let Some(frame) = self.open.last_mut() {
            let position = U64::from(frame.calls.len());
            frame.logs.push(CallLog { address: log.address, topics: log.data.topics().to_vec(), data, position });
        }
    }

    fn call(&mut self, ctx: &mut Ctx<'a>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let (kind, from, to, value) = match inputs.scheme {
            CallScheme::Call => ("CALL", inputs.caller, inputs.target_address, Some(inputs.call_value())),
            CallScheme::StaticCall => ("STATICCALL", inputs.caller, inputs.target_address, None),
            // Both run foreign code as the contract itself.
            CallScheme::DelegateCall => {
                ("DELEGATECALL", inputs.target_address, inputs.bytecode_address, Some(inputs.call_value()))
            }
            CallScheme::CallCode => {
                ("CALLCODE", inputs.target_address, inputs.bytecode_address, Some(inputs.call_value()))
            }
        };
        let input = self.keep(inputs.input.bytes_local(ctx.local()));
        self.enter(CallFrame {
            from,
            gas: U64::from(inputs.gas_limit),
            to: Some(to),
            input,
            value,
            kind,
            ..CallFrame::default()
        });
        None
    }

    fn call_end(&mut self, _: &mut Ctx<'a>, _: &CallInputs, outcome: &mut CallOutcome) {
        self.leave(&outcome.result, None);
    }

    fn create(&mut self, _: &mut Ctx<'a>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let kind = match inputs.scheme() {
            CreateScheme::Create2 { .. } => "CREATE2",
            CreateScheme::Create | CreateScheme::Custom { .. } => "CREATE",
        };
        let input = self.keep(inputs.init_code().clone());
        self.enter(CallFrame {
            from: inputs.caller(),
            gas: U64::from(inputs.gas_limit()),
            input,
            value: Some(inputs.value()),
            kind,
            ..CallFrame::default()
        });
        None
    }

    fn create_end(&mut self, _: &mut Ctx<'a>, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.leave(&outcome.result, outcome.address);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.enter(CallFrame {
            from: contract,
            to: Some(target),
            value: Some(value),
            kind: "SELFDESTRUCT",
            ..CallFrame::default()
        });
        if let Some(frame) = self.open.pop() {
            self.close(frame);
        }
    }
}
