//! `eth_*`, `net_*`, `web3_*` and `txpool_*`: the methods of every Ethereum node.

mod blocks;
pub(crate) mod call;
mod context;
mod convert;
mod fees;
mod filter_methods;
mod head_feed;
mod installed_filters;
mod log_criteria;
mod logs;
mod net;
mod send;
mod send_sync;
mod state;
mod subscriptions;
mod tip_cache;
mod txpool;

use std::sync::Arc;

use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::Methods;

use crate::api::Api;
use context::EthContext;

#[cfg(test)]
pub(crate) use fees::QUIET_TIP_WEI;
pub(crate) use installed_filters::random_id;

/// The methods of these namespaces.
///
/// # Errors
/// When a name is registered twice: a bug.
pub(crate) fn methods(api: &Arc<Api>) -> Result<Methods, RegisterMethodError> {
    let mut plain = RpcModule::from_arc(Arc::clone(api));
    for register in [
        net::register,
        blocks::register,
        state::register,
        call::register,
        send::register,
        logs::register,
        txpool::register,
    ] {
        register(&mut plain)?;
    }
    let mut stateful = RpcModule::new(EthContext::new(Arc::clone(api)));
    for register in [fees::register, filter_methods::register, subscriptions::register, send_sync::register] {
        register(&mut stateful)?;
    }
    let mut methods = Methods::from(plain);
    methods.merge(stateful)?;
    Ok(methods)
}
