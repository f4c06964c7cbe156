//! geth's words where the JSON-RPC library has its own: unknown methods, and subscriptions over HTTP.

use std::future::Future;
use std::time::{Duration, Instant};

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::core::server::BatchResponseBuilder;
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, METHOD_NOT_FOUND_CODE};
use jsonrpsee::types::{ErrorObject, Request};

use crate::errors::CODE_SERVER;

/// Code of a subscription where the transport carries none.
const CODE_NO_NOTIFICATIONS: i32 = -32001;
/// Longest method name that an answer repeats.
const MAX_NAME: usize = 64;

/// The service behind the rewording.
#[derive(Debug, Clone)]
pub(crate) struct Words<S> {
    inner: S,
    bounds: BatchBounds,
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
    pub(crate) const fn new(inner: S, bounds: BatchBounds) -> Self {
        Self { inner, bounds }
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

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let inner = self.inner.clone();
        async move {
            let (id, name) = (request.id.clone(), request.method.clone());
            let response = inner.call(request).await;
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
    }

    /// In order, one after the other: a batch may hold a transaction and a question about it.
    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            let BatchBounds { response_bytes, time_ms } = service.bounds;
            let began = Instant::now();
            let mut answers = BatchResponseBuilder::new_with_limit(response_bytes);
            let mut notified = false;
            for entry in batch {
                let late = began.elapsed() >= Duration::from_millis(time_ms);
                let answer = match entry {
                    Ok(BatchEntry::Call(request)) if late => {
                        MethodResponse::error(request.id, batch_timed_out(time_ms))
                    }
                    Ok(BatchEntry::Call(request)) => service.call(request).await,
                    Ok(BatchEntry::Notification(notification)) => {
                        notified = true;
                        service.notification(notification).await;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
            if answers.is_empty() && notified {
                MethodResponse::notification()
            } else {
                MethodResponse::from_batch(answers.finish())
            }
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

fn batch_timed_out(time_ms: u64) -> ErrorObject<'static> {
    ErrorObject::owned(CODE_SERVER, format!("batch timed out after {time_ms} ms"), None::<()>)
}

fn unknown_method(name: &str) -> ErrorObject<'static> {
    let name: String = name.chars().take(MAX_NAME).collect();
    ErrorObject::owned(METHOD_NOT_FOUND_CODE, format!("the method {name} does not exist/is not available"), None::<()>)
}
