//! `staking_*` and `consensus_*`: validators, their stake, and the heights they decide.

mod accounts;
mod consensus;
mod totals;
mod validators;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::Methods;

use crate::api::Api;

pub(crate) use totals::extension_alarm;

/// The methods of these namespaces.
///
/// # Errors
/// When a name is registered twice: a bug.
pub(crate) fn methods(api: &Arc<Api>) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::from_arc(Arc::clone(api));
    for register in [totals::register, validators::register, accounts::register, consensus::register] {
        register(&mut module)?;
    }
    Ok(module.into())
}
