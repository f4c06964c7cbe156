//! revm set up for this chain: the rule set, the native modules as precompiles, and where fees go.

use std::marker::PhantomData;

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use causeway_genesis::{
    Rules,
    addresses::{REWARD_POOL, SYSTEM},
};
use revm::{
    context::{BlockEnv, CfgEnv, Evm, TxEnv},
    context_interface::{
        Block as _, Cfg as _, ContextTr, JournalTr, Transaction as _,
        either::Either,
        journaled_state::account::JournaledAccountTr,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
    },
    handler::{
        EthFrame, FrameResult, Handler, PrecompileProvider, instructions::EthInstructions,
        pre_execution::calculate_caller_fee, validation,
    },
    inspector::InspectorHandler,
    interpreter::{InitialAndFloorGas, interpreter::EthInterpreter},
};

use crate::{
    context::{Ctx, spec_id},
    database::{CodeCache, StateDb},
    fault::LocalError,
    modules::{ChainModules, NativeModules},
    state::SourceError,
    trace::CallTracer,
};

pub(crate) type ChainEvm<'a> =
    Evm<Ctx<'a>, CallTracer, EthInstructions<EthInterpreter, Ctx<'a>>, NativeModules, EthFrame<EthInterpreter>>;
pub(crate) type ChainResult = ExecutionResult<HaltReason>;
type ChainError = EVMError<SourceError, InvalidTransaction>;

/// Why a transaction has no result.
#[derive(Debug)]
pub(crate) enum TxError {
    /// It may not be included.
    Invalid(InvalidTransaction),
    /// Local trouble.
    Local(LocalError),
}

/// What a block or a call runs under: the rules of its height, and what belongs to the whole chain.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) chain_id: u64,
    pub(crate) rules: &'a Rules,
    pub(crate) modules: ChainModules,
    pub(crate) codes: &'a CodeCache,
}

/// An EVM over `db` at `block`.
pub(crate) fn new_evm<'a>(db: StateDb<'a>, block: BlockEnv, setting: Setting<'_>) -> ChainEvm<'a> {
    let spec = spec_id(&setting.rules.evm);
    let modules = NativeModules::new(spec, setting.modules);
    let mut cfg = CfgEnv::new_with_spec(spec);
    cfg.chain_id = setting.chain_id;
    let mut ctx = Ctx::new(db, spec).with_block(block).with_cfg(cfg);
    // Done here and not by the first user transaction, so that gas does not depend on what ran before.
    ctx.journal_mut().warm_precompiles(<NativeModules as PrecompileProvider<Ctx<'a>>>::warm_addresses(&modules));
    // The tracer listens only to the inspected runs below; the others never call it.
    Evm::new_with_inspector(ctx, CallTracer::default(), EthInstructions::new_mainnet_with_spec(spec), modules)
}

/// What revm executes for a signed transaction.
pub(crate) fn tx_env(tx: &TxEnvelope, sender: Address) -> TxEnv {
    TxEnv {
        tx_type: tx.tx_type().into(),
        caller: sender,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: tx
            .authorization_list()
            .map(|list| list.iter().cloned().map(Either::Left).collect())
            .unwrap_or_default(),
    }
}

/// How a transaction is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As a block does.
    Block,
    /// As a block does, telling the tracer.
    TracedBlock,
    /// As `eth_call` does: any sender, any nonce, no block gas limit.
    Call,
    /// As `eth_call` does, telling the tracer.
    TracedCall,
}

/// Runs `tx`.
pub(crate) fn transact(evm: &mut ChainEvm<'_>, tx: TxEnv, mode: Mode) -> Result<ChainResult, TxError> {
    evm.ctx.tx = tx;
    let mut handler = ChainHandler { simulated: matches!(mode, Mode::Call | Mode::TracedCall), evm: PhantomData };
    let result = match mode {
        Mode::Block | Mode::Call => handler.run(evm),
        Mode::TracedBlock | Mode::TracedCall => handler.inspect_run(evm),
    };
    checked(evm, result)
}

/// Calls `to` from the system address, without intrinsic gas, fee or nonce.
pub(crate) fn system_call(
    evm: &mut ChainEvm<'_>,
    to: Address,
    input: Bytes,
    gas_limit: u64,
    traced: bool,
) -> Result<ChainResult, LocalError> {
    evm.ctx.tx = TxEnv { caller: SYSTEM, kind: TxKind::Call(to), data: input, gas_limit, ..TxEnv::default() };
    evm.precompiles.set_system(true);
    let mut handler = ChainHandler { simulated: false, evm: PhantomData };
    let result = if traced { handler.inspect_run_system_call(evm) } else { handler.run_system_call(evm) };
    evm.precompiles.set_system(false);
    checked(evm, result).map_err(|error| match error {
        TxError::Invalid(error) => LocalError::Bug(format!("system call refused: {error}")),
        TxError::Local(error) => error,
    })
}

fn checked(evm: &mut ChainEvm<'_>, result: Result<ChainResult, ChainError>) -> Result<ChainResult, TxError> {
    // A failed read may surface as an opaque string, or not at all where revm takes it for an absent value.
    if let Some(error) = evm.ctx.db_mut().take_failure() {
        return Err(TxError::Local(error.into()));
    }
    result.map_err(|error| match error {
        EVMError::Transaction(error) => TxError::Invalid(error),
        EVMError::Database(error) => TxError::Local(error.into()),
        other => TxError::Local(LocalError::Bug(other.to_string())),
    })
}

/// revm's mainnet handler with two changes: base fee and tip both go to the reward pool, and simulated transactions skip the
/// checks that only concern real ones.
struct ChainHandler<'a> {
    simulated: bool,
    evm: PhantomData<&'a ()>,
}

impl<'a> Handler for ChainHandler<'a> {
    type Evm = ChainEvm<'a>;
    type Error = ChainError;
    type HaltReason = HaltReason;

    fn validate_env(&self, evm: &mut ChainEvm<'a>) -> Result<(), ChainError> {
        if !self.simulated {
            return validation::validate_env(&mut evm.ctx);
        }
        let (tx, block, cfg, _) = evm.ctx.tx_block_cfg_journal_mut();
        if tx.max_priority_fee_per_gas().is_some_and(|tip| tip > tx.max_fee_per_gas()) {
            return Err(InvalidTransaction::PriorityFeeGreaterThanMaxFee.into());
        }
        if tx.max_fee_per_gas() < u128::from(block.basefee()) {
            return Err(InvalidTransaction::GasPriceLessThanBasefee.into());
        }
        if tx.kind().is_create() && tx.input().len() > cfg.max_initcode_size() {
            return Err(InvalidTransaction::CreateInitCodeSizeLimit.into());
        }
        Ok(())
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut ChainEvm<'a>,
        _: &mut InitialAndFloorGas,
    ) -> Result<(), ChainError> {
        if !self.simulated {
            return revm::handler::pre_execution::validate_against_state_and_deduct_caller(&mut evm.ctx);
        }
        let (block, tx, cfg, journal, _, _) = evm.ctx.all_mut();
        let mut caller = journal.load_account_mut(tx.caller())?.data;
        let balance = calculate_caller_fee(*caller.balance(), tx, block, cfg)?;
        caller.set_balance(balance);
        if tx.kind().is_call() {
            caller.bump_nonce();
        }
        Ok(())
    }

    /// The gas coin is pegged, so the base fee is not burned: all that senders pay reaches the pool of the stakers.
    fn reward_beneficiary(&self, evm: &mut ChainEvm<'a>, result: &mut FrameResult) -> Result<(), ChainError> {
        let (block, tx, _, journal, _, _) = evm.ctx.all_mut();
        let gas = result.gas();
        let used = gas.used().saturating_sub(gas.reservoir());
        let price = tx.effective_gas_price(u128::from(block.basefee()));
        let fee = U256::from(price).saturating_mul(U256::from(used));
        if !journal.load_account_mut(REWARD_POOL)?.data.incr_balance(fee) && !self.simulated {
            // Only an overridden balance can be that large.
            return Err(EVMError::Custom("the reward pool overflows".into()));
        }
        Ok(())
    }
}

impl InspectorHandler for ChainHandler<'_> {
    type IT = EthInterpreter;
}
