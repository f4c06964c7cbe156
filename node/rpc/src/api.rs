//! The state that all methods share, and how a method is registered: decode, run where its cost belongs, encode.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{ConnectionId, RpcModule};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::Args;
use crate::config::RpcLimits;
use crate::context::RpcContext;
use crate::errors::Fault;
use crate::eth::fees::TipCache;
use crate::eth::head_feed::HeadFeed;
use crate::eth::installed_filters::Filters;
use crate::eth::log_criteria::TermBudget;
use crate::lanes::{Cost, Workers};
use crate::peg::summary::BurnedCache;
use crate::peg::withdrawal_proofs::Subtrees;

/// Unix time in milliseconds; injected so that expiry can be tested without waiting.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of the machine.
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    })
}

/// What every method sees.
pub(crate) struct Api {
    pub(crate) ctx: RpcContext,
    pub(crate) limits: RpcLimits,
    pub(crate) filters: Filters,
    pub(crate) terms: TermBudget,
    pub(crate) tip: TipCache,
    pub(crate) subtrees: Subtrees,
    pub(crate) burned: BurnedCache,
    pub(crate) heads: HeadFeed,
    pub(crate) clock: Clock,
    pub(crate) workers: Workers,
}

impl Api {
    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }
}

/// One call: its parameters, who asks, and until when anybody waits for the answer.
pub(crate) struct Call<'a> {
    pub(crate) args: Args<'a>,
    pub(crate) connection: usize,
    pub(crate) deadline: Instant,
}

impl Call<'_> {
    /// # Errors
    /// [`Fault::TimedOut`] when nobody waits for the answer any more. Long loops ask now and then.
    pub(crate) fn check_deadline(&self, limits: &RpcLimits) -> Result<(), Fault> {
        if Instant::now() >= self.deadline { Err(Fault::TimedOut { limit_ms: limits.request_ms }) } else { Ok(()) }
    }
}

/// Registers `handler` under `name` with at most `max_args` parameters.
///
/// # Errors
/// When the name is taken: a bug.
pub(crate) fn method<T, F>(
    module: &mut RpcModule<Api>,
    name: &'static str,
    cost: Cost,
    max_args: usize,
    handler: F,
) -> Result<(), RegisterMethodError>
where
    T: Serialize,
    F: Fn(&Api, &Call<'_>) -> Result<T, Fault> + Copy + Send + Sync + 'static,
{
    module.register_async_method(name, move |params: Params<'static>, api, extensions| async move {
        let connection = extensions.get::<ConnectionId>().map_or(0, |id| id.0);
        let workers = api.workers.clone();
        workers
            .run(cost, move |deadline| {
                let args = Args::parse(params.as_str(), max_args, api.limits.params_bytes)?;
                let answer = handler(&api, &Call { args, connection, deadline })?;
                encode(&answer)
            })
            .await
            .map_err(ErrorObjectOwned::from)
    })?;
    Ok(())
}

pub(crate) fn encode<T: Serialize>(answer: &T) -> Result<Box<RawValue>, Fault> {
    serde_json::value::to_raw_value(answer).map_err(|error| Fault::internal("encoding", error))
}
