//! The state that all methods share, and how a method is registered: decode the parameters, run the method in the lane of its
//! cost, encode the result.

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
use crate::lanes::{Cost, Lanes};

/// Unix time in milliseconds. It is injected, so that expiry can be tested without waiting.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of the machine.
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The state of every namespace. Namespaces with more state have a context of their own that holds this one.
pub(crate) struct Api {
    pub(crate) ctx: RpcContext,
    pub(crate) limits: RpcLimits,
    pub(crate) clock: Clock,
    pub(crate) lanes: Lanes,
}

impl Api {
    pub(crate) fn new(ctx: RpcContext, limits: &RpcLimits, clock: Clock) -> Self {
        Self { ctx, limits: limits.clone(), clock, lanes: Lanes::new(limits) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }
}

impl AsRef<Self> for Api {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// One call: its parameters, the connection it came through, and its deadline.
pub(crate) struct Call<'a> {
    pub(crate) args: Args<'a>,
    pub(crate) connection: usize,
    pub(crate) deadline: Instant,
}

impl Call<'_> {
    /// Long loops call this now and then.
    ///
    /// # Errors
    /// [`Fault::TimedOut`] after the deadline: the caller has had its answer by then.
    pub(crate) fn check_deadline(&self, limits: &RpcLimits) -> Result<(), Fault> {
        if Instant::now() >= self.deadline { Err(Fault::TimedOut { limit_ms: limits.request_ms }) } else { Ok(()) }
    }
}

/// Registers `handler` under `name` with at most `max_args` parameters.
///
/// # Errors
/// When the name is taken: a bug.
pub(crate) fn method<S, T>(
    module: &mut RpcModule<S>,
    name: &'static str,
    cost: Cost,
    max_args: usize,
    handler: fn(&S, &Call<'_>) -> Result<T, Fault>,
) -> Result<(), RegisterMethodError>
where
    S: AsRef<Api> + Send + Sync + 'static,
    T: Serialize + 'static,
{
    module.register_async_method(name, move |params: Params<'static>, state, extensions| async move {
        let connection = extensions.get::<ConnectionId>().map_or(0, |id| id.0);
        let api: &Api = (*state).as_ref();
        let (lanes, max_bytes) = (api.lanes.clone(), api.limits.params_bytes);
        lanes
            .run(cost, move |deadline| {
                let args = Args::parse(params.as_str(), max_args, max_bytes)?;
                let answer = handler(&state, &Call { args, connection, deadline })?;
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
