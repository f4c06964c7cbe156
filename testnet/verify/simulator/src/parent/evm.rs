//! Runs transactions and calls of the parent on revm, under mainnet's rules.

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{TxEnv, result::EVMError, result::ExecutionResult},
    primitives::hardfork::SpecId,
    state::EvmState,
};

use super::state::{State, StateAt};

/// The parent's rules.
const SPEC: SpecId = SpecId::PRAGUE;
/// The recipient of tips.
const BENEFICIARY: Address = Address::repeat_byte(0xc0);

/// The block a transaction or call runs in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Env {
    pub(super) chain_id: u64,
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) base_fee: u64,
    pub(super) gas_limit: u64,
    pub(super) parent_hash: B256,
}

/// The result of an execution.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) gas_used: u64,
    /// Highest gas used, before refunds.
    pub(super) gas_spent: u64,
    pub(super) end: End,
    pub(super) changes: EvmState,
}

/// The outcome of an execution.
#[derive(Clone, Debug)]
pub(super) enum End {
    Success { output: Bytes, logs: Vec<Log>, created: Option<Address> },
    Revert(Bytes),
    Halt(String),
}

/// A call without gas price, as in `eth_call` and `eth_estimateGas`.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) from: Address,
    pub(super) kind: TxKind,
    pub(super) value: U256,
    pub(super) input: Bytes,
}

/// Executes a transaction in `env`, on the present state of that block.
///
/// # Errors
/// The reason why no block may contain it.
pub(super) fn transact(state: &State, env: &Env, tx: TxEnv) -> Result<Outcome, String> {
    let database = StateAt { state, height: env.number, parent_hash: env.parent_hash };
    let mut evm = Context::mainnet()
        .with_db(database)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SPEC);
            cfg.chain_id = env.chain_id;
        })
        .modify_block_chained(|block| {
            block.number = U256::from(env.number);
            block.timestamp = U256::from(env.timestamp);
            block.basefee = env.base_fee;
            block.gas_limit = env.gas_limit;
            block.beneficiary = BENEFICIARY;
            block.prevrandao = Some(env.parent_hash);
        })
        .build_mainnet();
    let ran = evm.transact(tx).map_err(|error| match error {
        EVMError::Transaction(invalid) => invalid.to_string(),
        other => other.to_string(),
    })?;
    let (gas_used, gas_spent) = (ran.result.tx_gas_used(), ran.result.gas().total_gas_spent());
    let end = match ran.result {
        ExecutionResult::Success { logs, output, .. } => {
            End::Success { created: output.address().copied(), output: output.into_data(), logs }
        }
        ExecutionResult::Revert { output, .. } => End::Revert(output),
        ExecutionResult::Halt { reason, .. } => End::Halt(format!("{reason:?}")),
    };
    Ok(Outcome { gas_used, gas_spent, end, changes: ran.state })
}

/// Runs a call on the state at the end of block `env.number`. Gas is free, as geth has it when no price is named.
///
/// # Errors
/// As [`transact`].
pub(super) fn call(state: &State, env: &Env, call: &Call, gas_limit: u64) -> Result<Outcome, String> {
    let nonce = state.account(call.from, env.number).map_or(0, |info| info.nonce);
    let tx = TxEnv {
        caller: call.from,
        gas_limit,
        kind: call.kind,
        value: call.value,
        data: call.input.clone(),
        nonce,
        chain_id: Some(env.chain_id),
        ..TxEnv::default()
    };
    transact(state, &Env { base_fee: 0, ..*env }, tx)
}

/// Enough gas for the call to succeed; not always the minimum.
///
/// # Errors
/// Its outcome with all the gas of a block, when that fails.
pub(super) fn estimate(state: &State, env: &Env, of: &Call) -> Result<u64, End> {
    let run = |gas| call(state, env, of, gas).map_err(End::Halt);
    let full = run(env.gas_limit)?;
    if !matches!(full.end, End::Success { .. }) {
        return Err(full.end);
    }
    // A caller keeps a 64th of its gas at each call (EIP-150), so the gas used may be too low as a limit.
    let mut gas = full.gas_spent;
    while gas < env.gas_limit {
        if matches!(run(gas), Ok(Outcome { end: End::Success { .. }, .. })) {
            return Ok(gas);
        }
        gas = gas.saturating_add(gas / 32).min(env.gas_limit);
    }
    Ok(env.gas_limit)
}
