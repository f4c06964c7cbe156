//! Around every call: geth's words where the JSON-RPC library has its own (unknown methods, subscriptions over HTTP), and the
//! bytes that calls and batches hold.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, METHOD_NOT_FOUND_CODE};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned, Id, Request};

use crate::budget::{Budgets, Exhausted, Held};
use crate::connection_budget::Unread;
use crate::errors::CODE_SERVER;
use crate::transport::http_budget::Built;

/// Code of a subscription where the transport carries none.
const CODE_NO_NOTIFICATIONS: i32 = -32001;
/// Longest method name that an answer repeats.
const MAX_NAME: usize = 64;

/// The service behind the rewording and the counting.
#[derive(Debug, Clone)]
pub(crate) struct Words<S> {
    inner: S,
    bounds: BatchBounds,
    budgets: Arc<Budgets>,
}

/// What one batch may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchBounds {
    /// Bytes of the answer.
    pub(crate) response_bytes: usize,
    /// Milliseconds.
    pub(crate) time_ms: u64,
}

impl<S> Words<S> {
    pub(crate) const fn new(inner: S, bounds: BatchBounds, budgets: Arc<Budgets>) -> Self {
        Self { inner, bounds, budgets }
    }
}

impl<S> Words<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, NotificationResponse = MethodResponse>
        + Clone
        + Send
        + Sync
        + 'static,
{
    /// One call with its answer in geth's words.
    async fn answer(&self, request: Request<'_>) -> MethodResponse {
        let (id, name) = (request.id.clone(), request.method.clone());
        let response = self.inner.call(request).await;
        let error = match response.as_error_code() {
            Some(METHOD_NOT_FOUND_CODE) => unknown_method(&name),
            // The library's answer to a subscription without a WebSocket; nothing else makes it fail so.
            Some(INTERNAL_ERROR_CODE) if name == "eth_subscribe" || name == "eth_unsubscribe" => {
                ErrorObject::borrowed(CODE_NO_NOTIFICATIONS, "notifications not supported", None)
            }
            _ => return response,
        };
        MethodResponse::error(id, error).with_extensions(response.extensions().clone())
    }

    /// The answers of a batch in order, one after the other: a batch may hold a transaction and a question about it. They take
    /// their bytes from the budget as they come.
    async fn answers(&self, batch: Batch<'_>) -> (MethodResponse, Result<Held, Exhausted>) {
        let BatchBounds { response_bytes, time_ms } = self.bounds;
        let began = Instant::now();
        let mut answers = BatchResponseBuilder::new_with_limit(response_bytes);
        let (mut notified, mut held) = (false, Held::default());
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
                Err(error) => {
                    let (error, id) = error.into_parts();
                    MethodResponse::error(id, error)
                }
            };
            match self.budgets.answers.take(answer.as_json().get().len()) {
                Ok(taken) => held.add(taken),
                Err(exhausted) => return (refused(Id::Null, exhausted), Err(exhausted)),
            }
            if let Err(too_large) = answers.append(answer) {
                return (too_large, Ok(Held::default()));
            }
        }
        if answers.is_empty() && notified {
            (MethodResponse::notification(), Ok(held))
        } else {
            (MethodResponse::from_batch(answers.finish()), Ok(held))
        }
    }
}

impl<S> RpcServiceT for Words<S>
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

    /// Over a WebSocket, request and answer are on the connection's account.
    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let Some(unread) = request.extensions().get::<Arc<Unread>>().cloned() else {
                return service.answer(request).await;
            };
            let id = request.id.clone();
            let _asked = match unread.ask(params_bytes(&request)) {
                Ok(asked) => asked,
                Err(exhausted) => return refused(id, exhausted),
            };
            let answer = service.answer(request).await;
            if answer.is_subscription() {
                return answer; // It is in the queue already.
            }
            match unread.queue(answer.as_json().get().len()) {
                Ok(()) => answer,
                Err(exhausted) => refused(id, exhausted),
            }
        }
    }

    fn batch<'a>(&self, mut batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let Some(unread) = batch.extensions().get::<Arc<Unread>>().cloned() else {
                let (mut answer, held) = service.answers(batch).await;
                answer.extensions_mut().insert(Built::new(held));
                return answer;
            };
            let calls = batch.iter().flatten();
            let bytes = calls.fold(0usize, |sum, call| match call {
                BatchEntry::Call(request) => sum.saturating_add(params_bytes(request)),
                BatchEntry::Notification(_) => sum,
            });
            let _asked = match unread.ask(bytes) {
                Ok(asked) => asked,
                Err(exhausted) => return refused(Id::Null, exhausted),
            };
            let (answer, held) = service.answers(batch).await;
            match held.and_then(|held| unread.adopt(held)) {
                Ok(()) => answer,
                Err(exhausted) => refused(Id::Null, exhausted),
            }
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
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

fn unknown_method(name: &str) -> ErrorObject<'static> {
    let name: String = name.chars().take(MAX_NAME).collect();
    ErrorObject::owned(METHOD_NOT_FOUND_CODE, format!("the method {name} does not exist/is not available"), None::<()>)
}
