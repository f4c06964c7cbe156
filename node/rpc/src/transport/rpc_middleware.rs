//! Wraps every call and batch: replaces the JSON-RPC library's error texts by geth's (invalid requests, unknown methods,
//! subscriptions over HTTP), and takes the bytes of calls and batches from the budgets.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, INVALID_REQUEST_CODE, METHOD_NOT_FOUND_CODE};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned, Id, Request};

use crate::budget::{Budgets, Exhausted, Share};
use crate::connection_budget::ConnectionBudget;
use crate::errors::CODE_SERVER;
use crate::transport::http_budget::{Built, Unanswered};

/// Code of a subscription over HTTP.
const CODE_NO_NOTIFICATIONS: i32 = -32001;
/// Longest part of a method name that an answer repeats, in characters.
const MAX_NAME: usize = 64;

/// The wrapped service.
#[derive(Debug, Clone)]
pub(crate) struct RpcMiddleware<S> {
    inner: S,
    bounds: BatchBounds,
    budgets: Arc<Budgets>,
}

/// The limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchBounds {
    /// Most bytes of the answer.
    pub(crate) response_bytes: usize,
    /// Longest time, in milliseconds.
    pub(crate) time_ms: u64,
}

impl<S> RpcMiddleware<S> {
    pub(crate) const fn new(inner: S, bounds: BatchBounds, budgets: Arc<Budgets>) -> Self {
        Self { inner, bounds, budgets }
    }
}

impl<S> RpcMiddleware<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, NotificationResponse = MethodResponse>
        + Clone
        + Send
        + Sync
        + 'static,
{
    /// Runs one call. Errors get geth's texts.
    async fn answer(&self, request: Request<'_>) -> MethodResponse {
        let (id, name) = (request.id.clone(), request.method.clone());
        if name.is_empty() {
            return MethodResponse::error(id, invalid_request("invalid request"));
        }
        let response = self.inner.call(request).await;
        let error = match response.as_error_code() {
            Some(METHOD_NOT_FOUND_CODE) => unknown_method(&name),
            // The library answers this way to a subscription without a WebSocket, and only then.
            Some(INTERNAL_ERROR_CODE) if name == "eth_subscribe" || name == "eth_unsubscribe" => {
                ErrorObject::borrowed(CODE_NO_NOTIFICATIONS, "notifications not supported", None)
            }
            _ => return response,
        };
        MethodResponse::error(id, error).with_extensions(response.extensions().clone())
    }

    /// Runs a batch one call after the other, since a call may depend on an earlier one. Each answer takes its bytes from the
    /// budget when it is ready.
    async fn answers(&self, batch: Batch<'_>) -> (MethodResponse, Result<Share, Exhausted>) {
        let BatchBounds { response_bytes, time_ms } = self.bounds;
        let began = Instant::now();
        let mut answers = BatchResponseBuilder::new_with_limit(response_bytes);
        let (mut notified, mut held) = (false, Share::default());
        for entry in batch {
            let late = began.elapsed() >= Duration::from_millis(time_ms);
            let answer = match entry {
                Ok(BatchEntry::Call(request)) if late => MethodResponse::error(request.id, batch_timed_out(time_ms)),
                Ok(BatchEntry::Call(request)) => self.answer(request).await,
                Ok(BatchEntry::Notification(notification)) => {
                    notified = true;
                    self.inner.notification(notification).await;
                    continue;
                }
                Err(error) => MethodResponse::error(error.into_parts().1, invalid_request("invalid request")),
            };
            match self.budgets.answers.take(answer.as_json().get().len()) {
                Ok(taken) => held.add(taken),
                Err(exhausted) => return (refused(Id::Null, exhausted), Err(exhausted)),
            }
            if let Err(too_large) = answers.append(answer) {
                return (too_large, Ok(Share::default()));
            }
        }
        let answer = match (answers.is_empty(), notified) {
            (false, _) => MethodResponse::from_batch(answers.finish()),
            (true, true) => unanswered(MethodResponse::notification()),
            (true, false) => MethodResponse::error(Id::Null, invalid_request("empty batch")),
        };
        (answer, Ok(held))
    }
}

impl<S> RpcServiceT for RpcMiddleware<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    /// Over a WebSocket, request and answer take their bytes from the connection's budget.
    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let Some(connection) = request.extensions().get::<Arc<ConnectionBudget>>().cloned() else {
                return service.answer(request).await;
            };
            let id = request.id.clone();
            let _request = match connection.take_request(params_bytes(&request)) {
                Ok(asked) => asked,
                Err(exhausted) => return refused(id, exhausted),
            };
            let answer = service.answer(request).await;
            if answer.is_subscription() {
                return answer; // The library has queued it already.
            }
            match connection.queue(answer.as_json().get().len()) {
                Ok(()) => answer,
                Err(exhausted) => refused(id, exhausted),
            }
        }
    }

    fn batch<'a>(&self, mut batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let Some(connection) = batch.extensions().get::<Arc<ConnectionBudget>>().cloned() else {
                let (mut answer, held) = service.answers(batch).await;
                answer.extensions_mut().insert(Built::new(held));
                return answer;
            };
            let calls = batch.iter().flatten();
            let bytes = calls.fold(0usize, |sum, call| match call {
                BatchEntry::Call(request) => sum.saturating_add(params_bytes(request)),
                BatchEntry::Notification(_) => sum,
            });
            let _request = match connection.take_request(bytes) {
                Ok(asked) => asked,
                Err(exhausted) => return refused(Id::Null, exhausted),
            };
            let (answer, held) = service.answers(batch).await;
            match held.and_then(|held| connection.queue_taken(held)) {
                Ok(()) => answer,
                Err(exhausted) => refused(Id::Null, exhausted),
            }
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let answer = self.inner.notification(notification);
        async move { unanswered(answer.await) }
    }
}

fn unanswered(mut answer: MethodResponse) -> MethodResponse {
    answer.extensions_mut().insert(Unanswered);
    answer
}

fn params_bytes(request: &Request<'_>) -> usize {
    request.params.as_ref().map_or(0, |params| params.get().len())
}

fn refused(id: Id<'_>, exhausted: Exhausted) -> MethodResponse {
    MethodResponse::error(id, ErrorObjectOwned::from(exhausted))
}

fn batch_timed_out(time_ms: u64) -> ErrorObject<'static> {
    ErrorObject::owned(CODE_SERVER, format!("batch timed out after {time_ms} ms"), None::<()>)
}

fn invalid_request(text: &'static str) -> ErrorObject<'static> {
    ErrorObject::borrowed(INVALID_REQUEST_CODE, text, None)
}

fn unknown_method(name: &str) -> ErrorObject<'static> {
    let name: String = name.chars().take(MAX_NAME).collect();
    ErrorObject::owned(METHOD_NOT_FOUND_CODE, format!("the method {name} does not exist/is not available"), None::<()>)
}
