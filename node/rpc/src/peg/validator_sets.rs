//! `peg_getValidatorSet`: the federation of a past, the current or the announced epoch. A caller that has a checkpoint with the
//! commitment can verify it without trust.

use alloy_primitives::{Address, B256, U64};
use causeway_peg::PegModule;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::peg::index::{domain, slots};

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_getValidatorSet", Cost::Read, 1, validator_set)
}

/// A federation.
#[derive(Debug, Serialize)]
struct RpcPegSet {
    epoch: U64,
    /// In the order of the commitment.
    validators: Vec<RpcPegValidator>,
    /// The value of `nextValset` in checkpoints, which the registry on the parent also has.
    commitment: B256,
    /// The handover to the next federation; null before it.
    handover: Option<RpcHandover>,
}

#[derive(Debug, Serialize)]
struct RpcPegValidator {
    address: Address,
    power: U64,
}

/// The first certified checkpoint of an epoch that names the next federation.
#[derive(Debug, Serialize)]
struct RpcHandover {
    checkpoint: U64,
    /// The block that carries its certificate.
    block: U64,
}

/// The federation of the requested epoch, by default the current one; null if there is none.
fn validator_set(api: &Api, call: &Call<'_>) -> Result<Option<RpcPegSet>, Fault> {
    domain(api)?;
    let epoch: u64 = match call.args.optional::<U64>(0)? {
        Some(epoch) => epoch.to(),
        None => slots(api, |s| PegModule::epoch(s))?,
    };
    let Some(set) = slots(api, |s| PegModule::validator_set_of(s, epoch))? else { return Ok(None) };
    let handover = slots(api, |s| PegModule::handover_of(s, epoch))?;
    Ok(Some(RpcPegSet {
        epoch: U64::from(epoch),
        commitment: set.commitment(),
        validators: set
            .validators()
            .iter()
            .map(|validator| RpcPegValidator { address: validator.address, power: U64::from(validator.power) })
            .collect(),
        handover: handover
            .map(|record| RpcHandover { checkpoint: U64::from(record.checkpoint), block: U64::from(record.block) }),
    }))
}
