//! How a call into the staking module or the stake token ends: with output, refused, or out of gas.

use alloy_primitives::Bytes;
use alloy_sol_types::SolError;
use causeway_peg::PegModule;
use causeway_staking::{Done, Env, ModuleError, StakingFault};

use super::{
    chain::ChainModules,
    meter::{ModuleCall, Stop},
};

pub(super) type Outcome = Result<Bytes, Stop>;

/// Runs an action and carries out what follows from it outside the module's slots: events, and coin out of the reward pool.
pub(super) fn mutate<'c, 'a, T>(
    call: &mut ModuleCall<'c, 'a>,
    action: impl FnOnce(&mut ModuleCall<'c, 'a>) -> Result<Done<T>, ModuleError<Stop>>,
) -> Result<T, Stop> {
    call.require_mutable()?;
    let done = action(call).map_err(stop)?;
    for payment in done.payments {
        call.pay(payment.to, payment.amount)?;
    }
    for log in done.logs {
        call.log_from(log.address, log.data)?;
    }
    Ok(done.value)
}

pub(super) fn env(call: &ModuleCall<'_, '_>, acked_epoch: u64) -> Env {
    Env { sender: call.caller(), timestamp: call.timestamp(), height: call.block_number(), acked_epoch }
}

/// Latest epoch whose set the parent is known to have; 0 on a chain without a parent, where it is not asked for.
pub(super) fn acked_epoch(chain: &ChainModules, call: &mut ModuleCall<'_, '_>) -> Result<u64, Stop> {
    if chain.peg.is_none() {
        return Ok(0);
    }
    call.with_storage_of(chain.rules.addresses.peg, PegModule::acked_epoch)
}

pub(super) fn stop(error: ModuleError<Stop>) -> Stop {
    match error {
        ModuleError::Slots(stop) => stop,
        ModuleError::Refused(fault) => refused(fault),
    }
}

pub(super) fn refused(fault: StakingFault) -> Stop {
    Stop::Revert(fault.revert_data())
}

pub(super) fn revert(error: impl SolError) -> Outcome {
    Err(Stop::Revert(error.abi_encode().into()))
}
