//! Native modules: Rust behind Solidity interfaces at fixed addresses.
//!
//! A module's state is ordinary storage of its address, read and written through the EVM's journal: a revert anywhere
//! above undoes it, `eth_getProof` proves it, and its events are ordinary logs. Modules answer CALL and STATICCALL only and
//! call nobody. Gas is charged per slot exactly as SLOAD and SSTORE charge it, plus the rules' prices.
//!
//! Each module is one file with a `run(&ChainModules, &mut ModuleCall, input)`; adding one means a file and a line in [`module_at`].

mod chain;
mod meter;
mod outcome;
pub mod peg;
mod proofs;
mod stake_token;
mod staking;
pub mod staking_state;
mod staking_views;

use std::fmt;

use alloy_primitives::{Address, Bytes, map::AddressSet};
use causeway_genesis::rules::ModuleAddresses;
use revm::{
    handler::{EthPrecompiles, PrecompileProvider},
    interpreter::{CallInputs, CallScheme, Gas, InstructionResult, InterpreterResult},
    primitives::hardfork::SpecId,
};

pub(crate) use chain::ChainModules;
pub(crate) use meter::HookSlots;

use crate::context::Ctx;
use meter::{ModuleCall, Stop, revert_reason};

/// What a module's file offers: one call, decoded and run.
type Run = fn(&ChainModules, &mut ModuleCall<'_, '_>, &[u8]) -> Result<Bytes, Stop>;

/// The module at `address` and the account whose storage is its state. The token's is the staking module's: one balance sheet.
fn module_at(modules: &ModuleAddresses, address: Address) -> Option<(Address, Run)> {
    if address == modules.peg {
        Some((modules.peg, peg::run))
    } else if address == modules.staking {
        Some((modules.staking, staking::run))
    } else if address == modules.stake_token {
        Some((modules.staking, stake_token::run))
    } else {
        None
    }
}

/// Ethereum's precompiles and the native modules.
#[derive(Clone)]
pub(crate) struct NativeModules {
    ethereum: EthPrecompiles,
    /// Warm from the start of each transaction (EIP-2929), the native modules among them.
    warm: AddressSet,
    chain: ChainModules,
    /// Whether a system call is running: the only time modules accept what only the system may call.
    system: bool,
}

impl fmt::Debug for NativeModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeModules")
            .field("chain", &self.chain)
            .field("system", &self.system)
            .finish_non_exhaustive()
    }
}

impl NativeModules {
    /// The precompiles of the rule set `spec` and the modules of `chain`.
    pub(crate) fn new(spec: SpecId, chain: ChainModules) -> Self {
        let ethereum = EthPrecompiles::new(spec);
        let mut warm = ethereum.warm_addresses().clone();
        let ModuleAddresses { staking, peg, stake_token } = chain.rules.addresses;
        warm.extend([staking, peg, stake_token]);
        Self { ethereum, warm, chain, system: false }
    }

    pub(crate) const fn set_system(&mut self, system: bool) {
        self.system = system;
    }

    /// Runs the module at the address called; `None` when there is none.
    fn dispatch(&self, ctx: &mut Ctx<'_>, inputs: &CallInputs) -> Option<Result<InterpreterResult, String>> {
        let (storage, run) = module_at(&self.chain.rules.addresses, inputs.bytecode_address)?;
        let input = inputs.input.bytes(ctx);
        let mut call = ModuleCall::new(ctx, inputs, storage, &self.chain.rules.prices, self.system);
        let outcome = match inputs.scheme {
            CallScheme::Call | CallScheme::StaticCall => {
                call.load_storage().and_then(|()| run(&self.chain, &mut call, &input))
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
        // One rule set for the whole block, set when the EVM is made.
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
