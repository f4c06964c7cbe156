//! Native modules: Rust behind Solidity interfaces at fixed addresses.
//!
//! A module's state is ordinary storage of its address, read and written through the EVM's journal: a revert anywhere
//! above undoes it, `eth_getProof` proves it, and its events are ordinary logs. Modules answer CALL and STATICCALL only and
//! call nobody. Gas is charged per slot exactly as SLOAD and SSTORE charge it, plus the prices in [`meter`].
//!
//! Each module is one file with a `run(&rules, &mut ModuleCall, input)`; adding one means a file and a line in [`module_at`].

pub(crate) mod meter;
pub mod peg;
mod proofs;
mod stake_token;
pub mod staking;
mod staking_views;

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, map::AddressSet};
use alloy_sol_types::{Revert, SolError};
use causeway_genesis::{
    Genesis,
    addresses::{PEG, STAKE_TOKEN, STAKING},
};
use causeway_peg::PegModule;
use causeway_staking::StakingModule;
use revm::{
    handler::{EthPrecompiles, PrecompileProvider},
    interpreter::{CallInputs, CallScheme, Gas, InstructionResult, InterpreterResult},
    primitives::hardfork::SpecId,
};

use crate::evm::{Ctx, SPEC};
use meter::{ModuleCall, Stop};

/// The rules of one chain's modules.
#[derive(Debug, Clone)]
pub(crate) struct ModuleRules {
    /// What proofs of possession and evidence are bound to.
    pub(crate) genesis_hash: B256,
    /// `None` on a chain without a peg.
    pub(crate) peg: Option<PegModule>,
    pub(crate) staking: StakingModule,
}

impl ModuleRules {
    pub(crate) fn of(genesis: &Genesis) -> Self {
        Self {
            genesis_hash: genesis.hash,
            peg: genesis.peg_domain().map(PegModule::new),
            staking: StakingModule::new(genesis.staking_params()),
        }
    }
}

/// What a module's file offers: one call, decoded and run.
type Run = fn(&ModuleRules, &mut ModuleCall<'_, '_>, &[u8]) -> Result<Bytes, Stop>;

/// The module at `address` and the account whose storage is its state. The token's is the staking module's: one balance sheet.
fn module_at(address: Address) -> Option<(Address, Run)> {
    match address {
        PEG => Some((PEG, peg::run)),
        STAKING => Some((STAKING, staking::run)),
        STAKE_TOKEN => Some((STAKING, stake_token::run)),
        _ => None,
    }
}

/// Ethereum's precompiles and the native modules.
#[derive(Clone)]
pub(crate) struct NativeModules {
    ethereum: EthPrecompiles,
    /// Warm from the start of each transaction (EIP-2929), the native modules among them.
    warm: AddressSet,
    rules: ModuleRules,
    /// Whether a system call is running: the only time modules accept what only the system may call.
    system: bool,
}

impl fmt::Debug for NativeModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeModules")
            .field("rules", &self.rules)
            .field("system", &self.system)
            .finish_non_exhaustive()
    }
}

impl NativeModules {
    /// The modules of the chain with these rules.
    pub(crate) fn new(rules: ModuleRules) -> Self {
        let ethereum = EthPrecompiles::new(SPEC);
        let mut warm = ethereum.warm_addresses().clone();
        warm.extend([PEG, STAKING, STAKE_TOKEN]);
        Self { ethereum, warm, rules, system: false }
    }

    pub(crate) const fn set_system(&mut self, system: bool) {
        self.system = system;
    }

    /// Runs the module at the address called; `None` when there is none.
    fn dispatch(&self, ctx: &mut Ctx<'_>, inputs: &CallInputs) -> Option<Result<InterpreterResult, String>> {
        let (storage, run) = module_at(inputs.bytecode_address)?;
        let input = inputs.input.bytes(ctx);
        let mut call = ModuleCall::new(ctx, inputs, storage, self.system);
        let outcome = match inputs.scheme {
            CallScheme::Call | CallScheme::StaticCall => {
                call.load_storage().and_then(|()| run(&self.rules, &mut call, &input))
            }
            // The module's storage is at its own address; running as somebody else would read the caller's.
            CallScheme::DelegateCall | CallScheme::CallCode => {
                Err(Stop::Revert(revert_reason("native modules cannot be delegate-called")))
            }
        };
        let gas = call.into_gas();
        Some(settle(outcome, gas))
    }
}

/// Revert data `Error(reason)`, as `require` gives it.
pub(crate) fn revert_reason(reason: &str) -> Bytes {
    Revert::from(reason).abi_encode().into()
}

fn settle(outcome: Result<Bytes, Stop>, mut gas: Gas) -> Result<InterpreterResult, String> {
    match outcome {
        Ok(output) => Ok(InterpreterResult::new(InstructionResult::Return, output, gas)),
        Err(Stop::Revert(data)) => {
            gas.set_refund(0);
            Ok(InterpreterResult::new(InstructionResult::Revert, data, gas))
        }
        Err(Stop::OutOfGas) => {
            gas.set_refund(0);
            gas.spend_all();
            Ok(InterpreterResult::new(InstructionResult::OutOfGas, Bytes::new(), gas))
        }
        // The cause is kept by the state adapter; revm only needs to stop.
        Err(Stop::Fatal(what)) => Err(what),
    }
}

impl<'a> PrecompileProvider<Ctx<'a>> for NativeModules {
    type Output = InterpreterResult;

    fn set_spec(&mut self, _: SpecId) -> bool {
        // One rule set for the whole chain, set when the EVM is made.
        false
    }

    fn run(&mut self, ctx: &mut Ctx<'a>, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        match self.dispatch(ctx, inputs) {
            Some(result) => result.map(Some),
            None => <EthPrecompiles as PrecompileProvider<Ctx<'a>>>::run(&mut self.ethereum, ctx, inputs),
        }
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.warm
    }

    fn contains(&self, address: &Address) -> bool {
        self.warm.contains(address)
    }
}
