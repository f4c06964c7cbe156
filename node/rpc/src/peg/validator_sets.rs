//! `peg_getValidatorSet`: the federation of an epoch, past, present or announced. Whoever has a checkpoint that commits to it
//! needs to trust nobody for it.

use alloy_primitives::{Address, B256, U64};
use causeway_peg::PegModule;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::peg::checkpoints::{domain, slots};

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_getValidatorSet", Cost::Read, 1, validator_set)
}

/// A federation.
#[derive(Debug, Serialize)]
struct RpcPegSet {
    epoch: U64,
    /// In the committed order.
    validators: Vec<RpcPegValidator>,
    /// What checkpoints name as `nextValset`, and the registry on the parent holds.
    commitment: B256,
    /// Where the federation signed over to the next one; null while it has not.
    handover: Option<RpcHandover>,
}

#[derive(Debug, Serialize)]
struct RpcPegValidator {
    address: Address,
    power: U64,
}

/// The first checkpoint of an epoch that names the next federation.
#[derive(Debug, Serialize)]
struct RpcHandover {
    checkpoint: U64,
    /// The block that carries its certificate.
    block: U64,
}

/// The federation of the epoch asked for, of the present one by default; null where there is none (yet).
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
