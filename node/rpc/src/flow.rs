//! What slow clients may hold of this node's memory: request bodies are read whole, in time and within a budget of all
//! connections before anything works on them; answers leave in small frames, in time and within a budget of their own.
//!
//! The HTTP library writes into a buffer of its own as long as there is room, so an unread answer stays here, where it is counted.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use jsonrpsee::core::BoxError;
use jsonrpsee::server::http::response;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use jsonrpsee::types::{ErrorObject, Id, Response, ResponsePayload};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service};

use crate::config::RpcLimits;
use crate::errors::CODE_LIMIT;

/// Bytes of an answer that leave at once.
const FRAME_BYTES: usize = 64 * 1024;
const REQUEST_TIMEOUT: u16 = 408;
const UNAVAILABLE: u16 = 503;

/// Wraps the server in the bounds; clones share the budgets.
#[derive(Debug, Clone)]
pub(crate) struct FlowLayer {
    bounds: Arc<Bounds>,
}

impl FlowLayer {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self {
            bounds: Arc::new(Bounds {
                bodies: Budget::new("body_bytes_in_flight", limits.body_bytes_in_flight),
                answers: Budget::new("answer_bytes_in_flight", limits.answer_bytes_in_flight),
                request_bytes: limits.request_bytes,
                body_ms: limits.body_ms,
                answer_ms: limits.answer_ms,
            }),
        }
    }
}

impl<S> Layer<S> for FlowLayer {
    type Service = Flow<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Flow { inner, bounds: Arc::clone(&self.bounds) }
    }
}

/// The server behind the bounds.
#[derive(Debug, Clone)]
pub(crate) struct Flow<S> {
    inner: S,
    bounds: Arc<Bounds>,
}

impl<S, B> Service<HttpRequest<B>> for Flow<S>
where
    S: Service<HttpRequest, Response = HttpResponse, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    /// A WebSocket's upgrade has no body, and what it upgrades travels in the extensions: it passes as it is.
    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let (mut inner, bounds) = (self.inner.clone(), Arc::clone(&self.bounds));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // Held until the answer exists: so long the request is in memory.
            let (body, _held) = match bounds.read(body).await {
                Ok(read) => read,
                Err(refusal) => return Ok(closing(refusal)),
            };
            let answer = inner.call(HttpRequest::from_parts(parts, HttpBody::from(body))).await?;
            bounds.meter(answer).await
        })
    }
}

#[derive(Debug)]
struct Bounds {
    bodies: Budget,
    answers: Budget,
    request_bytes: u32,
    body_ms: u64,
    answer_ms: u64,
}

impl Bounds {
    /// The whole body, or the refusal to send instead.
    async fn read<B: Body<Data = Bytes>>(&self, body: B) -> Result<(Vec<u8>, Held), HttpResponse> {
        let request_bytes = usize::try_from(self.request_bytes).unwrap_or(usize::MAX);
        if body.size_hint().lower() > u64::from(self.request_bytes) {
            return Err(response::too_large(self.request_bytes));
        }
        let deadline = Instant::now() + Duration::from_millis(self.body_ms);
        let mut body = pin!(body);
        let (mut read, mut held) = (Vec::new(), Held::default());
        loop {
            let Ok(frame) = timeout_at(deadline, poll_fn(|cx| body.as_mut().poll_frame(cx))).await else {
                let text =
                    format!("the request body was not complete within body_ms, the limit of {} ms", self.body_ms);
                return Err(refusal(REQUEST_TIMEOUT, text));
            };
            let Some(frame) = frame else { return Ok((read, held)) };
            let frame = frame.map_err(|_| response::malformed())?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > request_bytes.saturating_sub(read.len()) {
                return Err(response::too_large(self.request_bytes));
            }
            held.add(self.bodies.take(data.len())?);
            read.extend_from_slice(&data);
        }
    }

    /// The answer with a body that holds its share of the budget, or the refusal to send instead.
    async fn meter(&self, answer: HttpResponse) -> Result<HttpResponse, BoxError> {
        let (parts, body) = answer.into_parts();
        let data = whole(body).await?;
        if data.is_empty() {
            return Ok(HttpResponse::from_parts(parts, HttpBody::empty()));
        }
        Ok(match self.answers.take(data.len()) {
            Ok(held) => {
                let body = Answer::new(data, held, Duration::from_millis(self.answer_ms));
                HttpResponse::from_parts(parts, HttpBody::new(body))
            }
            Err(exhausted) => exhausted.into(),
        })
    }
}

/// Bytes that all connections share.
#[derive(Debug)]
struct Budget {
    name: &'static str,
    limit: usize,
    free: Arc<Semaphore>,
}

impl Budget {
    fn new(name: &'static str, limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { name, limit, free: Arc::new(Semaphore::new(limit)) }
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Exhausted> {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.free).try_acquire_many_owned(bytes).ok())
            .ok_or(Exhausted { name: self.name, limit: self.limit })
    }
}

/// A budget that has less left than was asked for.
#[derive(Debug)]
struct Exhausted {
    name: &'static str,
    limit: usize,
}

impl From<Exhausted> for HttpResponse {
    fn from(Exhausted { name, limit }: Exhausted) -> Self {
        refusal(UNAVAILABLE, format!("too much is in flight: {name}, the limit of {limit} bytes, is reached"))
    }
}

/// A share of a budget that grows.
#[derive(Debug, Default)]
struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(held) => held.merge(more),
            None => self.0 = Some(more),
        }
    }
}

/// A body that gives out copies of small parts of the answer: a part that waits to be written must not keep the whole.
#[derive(Debug)]
struct Answer {
    rest: Arc<Mutex<Rest>>,
    watch: tokio::task::AbortHandle,
}

#[derive(Debug)]
enum Rest {
    Data { data: Bytes, _held: OwnedSemaphorePermit },
    Drained,
    Late,
}

impl Answer {
    /// The watch takes the rest away at the deadline even when nobody asks for a frame any more, as with a stuck socket.
    fn new(data: Bytes, held: OwnedSemaphorePermit, time: Duration) -> Self {
        let rest = Arc::new(Mutex::new(Rest::Data { data, _held: held }));
        let watched = Arc::downgrade(&rest);
        let watch = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if let Some(rest) = watched.upgrade() {
                let mut rest = rest.lock();
                if matches!(*rest, Rest::Data { .. }) {
                    *rest = Rest::Late;
                }
            }
        });
        Self { rest, watch: watch.abort_handle() }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut rest = self.rest.lock();
        let (frame, is_last) = match &mut *rest {
            Rest::Late => return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
            Rest::Drained => return Poll::Ready(None),
            Rest::Data { data, .. } => {
                let part = data.split_to(data.len().min(FRAME_BYTES));
                (Bytes::copy_from_slice(&part), data.is_empty())
            }
        };
        if is_last {
            *rest = Rest::Drained;
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(*self.rest.lock(), Rest::Drained)
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.rest.lock() {
            Rest::Data { data, .. } => SizeHint::with_exact(data.len() as u64),
            Rest::Drained => SizeHint::with_exact(0),
            Rest::Late => SizeHint::default(),
        }
    }
}

/// The library's answers have one frame, so nothing is copied.
async fn whole(body: HttpBody) -> Result<Bytes, BoxError> {
    let mut body = pin!(body);
    let mut whole = Bytes::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            whole = if whole.is_empty() { data } else { [whole, data].concat().into() };
        }
    }
    Ok(whole)
}

fn refusal(status: u16, text: String) -> HttpResponse {
    let error = ResponsePayload::<()>::error(ErrorObject::owned(CODE_LIMIT, text, None::<()>));
    let body = serde_json::to_string(&Response::new(error, Id::Null)).expect("an error object is JSON");
    let mut refusal = response::ok_response(body);
    *refusal.status_mut() = status.try_into().expect("a status of three digits");
    refusal
}

/// The rest of the body is not read, so nothing can follow on this connection.
fn closing(mut refusal: HttpResponse) -> HttpResponse {
    refusal.headers_mut().insert("connection", "close".parse().expect("a header value"));
    refusal
}
