//! `peg_*`: deposits, withdrawals, checkpoints and the federation.

mod burned_total;
mod checkpoints;
mod claim_proof;
mod context;
mod index;
mod status;
mod summary;
mod validator_sets;
mod withdrawal_proofs;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::Methods;

use crate::api::Api;
use context::PegContext;

/// The methods of this namespace.
///
/// # Errors
/// When a name is registered twice: a bug.
pub(crate) fn methods(api: &Arc<Api>) -> Result<Methods, RegisterMethodError> {
    let mut plain = RpcModule::from_arc(Arc::clone(api));
    for register in [checkpoints::register, status::register, validator_sets::register] {
        register(&mut plain)?;
    }
    let mut stateful = RpcModule::new(PegContext::new(Arc::clone(api)));
    for register in [claim_proof::register, summary::register] {
        register(&mut stateful)?;
    }
    let mut methods = Methods::from(plain);
    methods.merge(stateful)?;
    Ok(methods)
}
