//! Calls that leave no trace: `eth_call` with geth's semantics.

use alloy_consensus::Header;
use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use causeway_genesis::UnknownRules;
use revm::{
    context::TxEnv,
    context_interface::{
        either::Either,
        result::{ExecutionResult, HaltReason, InvalidTransaction, OutOfGasError},
    },
};
use thiserror::Error;

use crate::{
    context::block_env,
    database::StateDb,
    evm::{ChainEvm, ChainResult, Mode, Setting, TxError, new_evm, transact},
    executor::Executor,
    fault::LocalError,
    halt::halt_words,
    overrides::Overrides,
    state::StateSource,
};

/// Most gas of one call, whatever was asked for (geth's `--rpc.gascap`).
pub const CALL_GAS_CAP: u64 = 50_000_000;

/// A message to execute without a signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Sender; the zero address when absent. Need not exist.
    pub from: Option<Address>,
    /// Callee; `None` creates a contract.
    pub to: Option<Address>,
    /// Gas limit; [`CALL_GAS_CAP`] when absent or greater.
    pub gas: Option<u64>,
    /// Wei per gas of a legacy or EIP-2930 transaction. When no price is given, gas is free and BASEFEE is 0.
    pub gas_price: Option<u128>,
    /// EIP-1559 fee cap, wei per gas.
    pub max_fee_per_gas: Option<u128>,
    /// EIP-1559 tip cap, wei per gas.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Wei sent along; the sender must have it.
    pub value: U256,
    /// Calldata, or init code when creating.
    pub input: Bytes,
    /// EIP-2930 access list.
    pub access_list: Option<AccessList>,
    /// EIP-7702 authorizations.
    pub authorization_list: Vec<SignedAuthorization>,
}

impl CallRequest {
    /// Highest wei per gas the sender pays; zero for a free call.
    pub fn fee_cap(&self) -> u128 {
        self.gas_price.or(self.max_fee_per_gas).unwrap_or_default()
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallResult {
    /// It returned.
    Success {
        /// Gas used after refunds.
        gas_used: u64,
        /// Return data; the deployed code for a creation.
        output: Bytes,
        /// Logs emitted.
        logs: Vec<Log>,
    },
    /// It reverted.
    Revert {
        /// Gas used.
        gas_used: u64,
        /// Revert data.
        output: Bytes,
    },
    /// It ran out of gas or hit an exceptional halt.
    Halt {
        /// Gas used: all of it.
        gas_used: u64,
        /// geth's words for it.
        reason: String,
        /// Whether more gas might have helped.
        out_of_gas: bool,
    },
}

/// Why a call has no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// The sender cannot pay gas and value.
    #[error("insufficient funds for gas * price + value: address {from} have {balance} want {cost}")]
    InsufficientFunds {
        /// Sender.
        from: Address,
        /// Its balance in wei.
        balance: U256,
        /// What is needed in wei.
        cost: U256,
    },
    /// The fee cap is below the block's base fee.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {fee_cap}, baseFee: {base_fee}")]
    FeeCapTooLow {
        /// Fee cap, wei per gas.
        fee_cap: u128,
        /// Base fee, wei per gas.
        base_fee: u64,
    },
    /// Tip above fee cap.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    /// Less gas than the transaction costs before it runs.
    #[error("intrinsic gas too low: have {gas_limit}, want {needed}")]
    IntrinsicGas {
        /// Gas limit given.
        gas_limit: u64,
        /// Gas needed.
        needed: u64,
    },
    /// Both `gasPrice` and EIP-1559 fees.
    #[error("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")]
    ConflictingFees,
    /// `state` and `stateDiff` for one account.
    #[error("account {0} has both 'state' and 'stateDiff'")]
    ConflictingOverrides(Address),
    /// Another rule of transactions.
    #[error("{0}")]
    Invalid(InvalidTransaction),
    /// Local trouble.
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl From<UnknownRules> for CallError {
    fn from(error: UnknownRules) -> Self {
        Self::Local(error.into())
    }
}

impl Executor {
    /// Executes `request` on `state` in the block `header` (whose state it is), changing nothing.
    ///
    /// The rules are those of that block. As in geth the sender's nonce and code do not matter, and without a gas price its balance
    /// only has to cover the value.
    ///
    /// # Errors
    /// [`CallError`] when the call cannot start.
    pub fn call(
        &self,
        header: &Header,
        state: &dyn StateSource,
        request: &CallRequest,
        overrides: &Overrides,
    ) -> Result<CallResult, CallError> {
        check_request(request, overrides)?;
        let gas = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
        let mut evm = call_evm(self.setting(header.number)?, header, state, request, overrides);
        run_call(&mut evm, request, gas).map(|(result, _)| result)
    }
}

/// An EVM for calls in the block `header`.
pub(crate) fn call_evm<'a>(
    setting: Setting<'a>,
    header: &Header,
    state: &'a dyn StateSource,
    request: &CallRequest,
    overrides: &'a Overrides,
) -> ChainEvm<'a> {
    let mut block = block_env(header);
    let change = &overrides.block;
    block.number = change.number.unwrap_or(block.number);
    block.timestamp = change.timestamp.map_or(block.timestamp, U256::from);
    block.gas_limit = change.gas_limit.unwrap_or(block.gas_limit);
    block.beneficiary = change.beneficiary.unwrap_or(block.beneficiary);
    block.prevrandao = change.prevrandao.or(block.prevrandao);
    block.basefee = change.base_fee.unwrap_or(block.basefee);
    if request.fee_cap() == 0 && change.base_fee.is_none() {
        // A free call would be refused for paying less than the base fee; geth also shows it a base fee of 0.
        block.basefee = 0;
    }
    let db = StateDb::new(state, setting.codes).for_call(&overrides.state);
    let mut evm = new_evm(db, block, setting);
    // EIP-7825's cap concerns transactions; a call may use up to the gas cap.
    evm.ctx.cfg.tx_gas_limit_cap = Some(u64::MAX);
    evm.ctx.cfg.disable_nonce_check = true;
    evm.ctx.cfg.tx_chain_id_check = false;
    evm
}

pub(crate) fn check_request(request: &CallRequest, overrides: &Overrides) -> Result<(), CallError> {
    if request.gas_price.is_some() && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
    {
        return Err(CallError::ConflictingFees);
    }
    for (address, change) in &overrides.state.accounts {
        if change.state.is_some() && !change.state_diff.is_empty() {
            return Err(CallError::ConflictingOverrides(*address));
        }
    }
    Ok(())
}

/// Runs `request` with `gas`; also gives the refund, which the estimate needs.
pub(crate) fn run_call(
    evm: &mut ChainEvm<'_>,
    request: &CallRequest,
    gas: u64,
) -> Result<(CallResult, u64), CallError> {
    let result = start(evm, request, gas, Mode::Call)?;
    let refund = result.gas().inner_refunded();
    Ok((call_result(result), refund))
}

/// Runs `request` with `gas`, telling the EVM's tracer.
pub(crate) fn run_traced_call(
    evm: &mut ChainEvm<'_>,
    request: &CallRequest,
    gas: u64,
) -> Result<CallResult, CallError> {
    start(evm, request, gas, Mode::TracedCall).map(call_result)
}

fn start(evm: &mut ChainEvm<'_>, request: &CallRequest, gas: u64, mode: Mode) -> Result<ChainResult, CallError> {
    let base_fee = evm.ctx.block.basefee;
    transact(evm, call_env(request, gas), mode).map_err(|error| match error {
        TxError::Local(error) => CallError::Local(error),
        TxError::Invalid(error) => refusal(error, request, base_fee),
    })
}

fn call_env(request: &CallRequest, gas: u64) -> TxEnv {
    let tip = request.max_priority_fee_per_gas;
    let dynamic = request.max_fee_per_gas.is_some() || tip.is_some();
    let tx_type = if !request.authorization_list.is_empty() {
        4
    } else if dynamic {
        2
    } else {
        u8::from(request.access_list.is_some())
    };
    TxEnv {
        tx_type,
        caller: request.from.unwrap_or_default(),
        gas_limit: gas,
        gas_price: request.fee_cap(),
        kind: request.to.map_or(TxKind::Create, TxKind::Call),
        value: request.value,
        data: request.input.clone(),
        nonce: 0,
        chain_id: None,
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee: if tx_type >= 2 { Some(tip.unwrap_or_default()) } else { None },
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: request.authorization_list.iter().cloned().map(Either::Left).collect(),
    }
}

fn refusal(error: InvalidTransaction, request: &CallRequest, base_fee: u64) -> CallError {
    match error {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            CallError::InsufficientFunds { from: request.from.unwrap_or_default(), balance: *balance, cost: *fee }
        }
        InvalidTransaction::GasPriceLessThanBasefee => CallError::FeeCapTooLow { fee_cap: request.fee_cap(), base_fee },
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => CallError::TipAboveFeeCap,
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            CallError::IntrinsicGas { gas_limit, needed: initial_gas }
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            CallError::IntrinsicGas { gas_limit, needed: gas_floor }
        }
        other => CallError::Invalid(other),
    }
}

fn call_result(result: ChainResult) -> CallResult {
    let gas_used = result.tx_gas_used();
    match result {
        ExecutionResult::Success { output, logs, .. } => {
            CallResult::Success { gas_used, output: output.into_data(), logs }
        }
        ExecutionResult::Revert { output, .. } => CallResult::Revert { gas_used, output },
        ExecutionResult::Halt { reason, .. } => {
            let out_of_gas = matches!(
                reason,
                HaltReason::OutOfGas(
                    OutOfGasError::Basic
                        | OutOfGasError::Memory
                        | OutOfGasError::Precompile
                        | OutOfGasError::ReentrancySentry
                )
            );
            CallResult::Halt { gas_used, reason: halt_words(&reason), out_of_gas }
        }
    }
}
