//! `debug_*`: raw encodings and traces.

mod raw;
mod trace;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::Methods;

use crate::api::Api;

/// The methods of this namespace, and `eth_getRawTransactionByHash`.
///
/// # Errors
/// When a name is registered twice: a bug.
pub(crate) fn methods(api: &Arc<Api>) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::from_arc(Arc::clone(api));
    raw::register(&mut module)?;
    trace::register(&mut module)?;
    Ok(module.into())
}
