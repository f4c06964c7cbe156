//! Limits on the memory and time that slow clients take.
//!
//! A request body is read completely before anything works on it. An answer leaves in small frames. Both have a deadline and a
//! budget of bytes that all connections share. The HTTP library buffers only a few frames of an answer, so an unread answer stays
//! here and is counted.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use jsonrpsee::core::BoxError;
use jsonrpsee::server::http::response;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse, ws};
use jsonrpsee::types::{ErrorObject, Id, Response, ResponsePayload};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service};

use crate::budget::{Budgets, Exhausted, Share};
use crate::config::RpcLimits;
use crate::connection_budget::ConnectionBudget;
use crate::errors::CODE_LIMIT;
use crate::transport::requests::replace_invalid;

/// Bytes of an answer in one frame.
const FRAME_BYTES: usize = 64 * 1024;
const SWITCHING_PROTOCOLS: u16 = 101;
const REQUEST_TIMEOUT: u16 = 408;
const UNAVAILABLE: u16 = 503;

/// Wraps the server of one connection in the limits.
#[derive(Debug, Clone)]
pub(crate) struct HttpBudgetLayer {
    bounds: Arc<Bounds>,
}

impl HttpBudgetLayer {
    /// `connection` is the budget for the case that the connection becomes a WebSocket, `is_websocket` is set when it does.
    pub(crate) fn new(
        limits: &RpcLimits,
        budgets: Arc<Budgets>,
        connection: Arc<ConnectionBudget>,
        is_websocket: Arc<AtomicBool>,
    ) -> Self {
        Self {
            bounds: Arc::new(Bounds {
                budgets,
                connection,
                is_websocket,
                request_bytes: limits.request_bytes,
                batch: usize::try_from(limits.batch).unwrap_or(usize::MAX),
                body_ms: limits.body_ms,
                answer_ms: limits.answer_ms,
            }),
        }
    }
}

/// Travels with an answer: the bytes already taken from the budget for it, or the reason why it was not built.
#[derive(Debug, Clone)]
pub(crate) struct Built(Arc<Mutex<Result<Share, Exhausted>>>);

impl Built {
    pub(crate) fn new(built: Result<Share, Exhausted>) -> Self {
        Self(Arc::new(Mutex::new(built)))
    }

    fn take(&self) -> Result<Share, Exhausted> {
        std::mem::replace(&mut *self.0.lock(), Ok(Share::default()))
    }
}

/// Travels with the answer to notifications. The library's answer has the body `null`; over HTTP geth's is empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unanswered;

impl<S> Layer<S> for HttpBudgetLayer {
    type Service = HttpBudget<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpBudget { inner, bounds: Arc::clone(&self.bounds) }
    }
}

/// The server behind the limits.
#[derive(Debug, Clone)]
pub(crate) struct HttpBudget<S> {
    inner: S,
    bounds: Arc<Bounds>,
}

impl<S, B> Service<HttpRequest<B>> for HttpBudget<S>
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

    /// An upgrade to a WebSocket has no body. Its extensions hold the connection to upgrade, and get the budget that its calls
    /// will use.
    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        if ws::is_upgrade_request(&request) {
            request.extensions_mut().insert(Arc::clone(&self.bounds.connection));
        }
        let (mut inner, bounds) = (self.inner.clone(), Arc::clone(&self.bounds));
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // The request is in memory until the answer exists, so its share is held until then.
            let (body, _held) = match bounds.read(body).await {
                Ok(read) => read,
                Err(refusal) => return Ok(closing(refusal)),
            };
            let body = replace_invalid(&body, bounds.batch).unwrap_or(body);
            let answer = inner.call(HttpRequest::from_parts(parts, HttpBody::from(body))).await?;
            if answer.status() == SWITCHING_PROTOCOLS {
                bounds.is_websocket.store(true, Ordering::Release);
            }
            bounds.meter(answer).await
        })
    }
}

#[derive(Debug)]
struct Bounds {
    budgets: Arc<Budgets>,
    connection: Arc<ConnectionBudget>,
    is_websocket: Arc<AtomicBool>,
    request_bytes: u32,
    batch: usize,
    body_ms: u64,
    answer_ms: u64,
}

impl Bounds {
    /// The whole body. The error is the refusal to send.
    async fn read<B: Body<Data = Bytes>>(&self, body: B) -> Result<(Vec<u8>, Share), HttpResponse> {
        let request_bytes = usize::try_from(self.request_bytes).unwrap_or(usize::MAX);
        if body.size_hint().lower() > u64::from(self.request_bytes) {
            return Err(response::too_large(self.request_bytes));
        }
        let deadline = Instant::now() + Duration::from_millis(self.body_ms);
        let mut body = pin!(body);
        let (mut read, mut held) = (Vec::new(), Share::default());
        loop {
            let Ok(frame) = timeout_at(deadline, poll_fn(|cx| body.as_mut().poll_frame(cx))).await else {
                let text = format!("the request body did not arrive within body_ms, the limit of {} ms", self.body_ms);
                return Err(refusal(REQUEST_TIMEOUT, text));
            };
            let Some(frame) = frame else { return Ok((read, held)) };
            let frame = frame.map_err(|_| response::malformed())?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > request_bytes.saturating_sub(read.len()) {
                return Err(response::too_large(self.request_bytes));
            }
            held.add(self.budgets.bodies.take(data.len())?);
            read.extend_from_slice(&data);
        }
    }

    /// The answer with a body that holds its share of the budget. If the budget is exhausted, a refusal takes its place.
    async fn meter(&self, answer: HttpResponse) -> Result<HttpResponse, BoxError> {
        let (mut parts, body) = answer.into_parts();
        let built = parts.extensions.remove::<Built>().map_or_else(|| Ok(Share::default()), |built| built.take());
        let data = whole(body).await?;
        if data.is_empty() || parts.extensions.remove::<Unanswered>().is_some() {
            return Ok(HttpResponse::from_parts(parts, HttpBody::empty()));
        }
        Ok(match built.and_then(|held| self.held(held, data.len())) {
            Ok(held) => {
                let body = Answer::new(data, held, Duration::from_millis(self.answer_ms));
                HttpResponse::from_parts(parts, HttpBody::new(body))
            }
            Err(exhausted) => exhausted.into(),
        })
    }

    /// Takes from the budget what `held` lacks to `bytes`.
    fn held(&self, mut held: Share, bytes: usize) -> Result<Share, Exhausted> {
        held.add(self.budgets.answers.take(bytes.saturating_sub(held.bytes()))?);
        Ok(held)
    }
}

impl From<Exhausted> for HttpResponse {
    fn from(exhausted: Exhausted) -> Self {
        refusal(UNAVAILABLE, exhausted.to_string())
    }
}

/// A body that hands out copies of small parts of the answer, so that a part in a write buffer does not keep the whole in memory.
#[derive(Debug)]
struct Answer {
    rest: Arc<Mutex<Rest>>,
    watch: tokio::task::AbortHandle,
}

#[derive(Debug)]
enum Rest {
    Data { data: Bytes, _held: Share },
    Drained,
    Late,
}

impl Answer {
    /// A task drops the rest at the deadline, even if a stuck socket never asks for the next frame.
    fn new(data: Bytes, held: Share, time: Duration) -> Self {
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

/// The library's answers have one frame, so this copies nothing.
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

/// Closes the connection after the refusal, because the rest of the body stays unread.
fn closing(mut refusal: HttpResponse) -> HttpResponse {
    refusal.headers_mut().insert("connection", "close".parse().expect("a header value"));
    refusal
}
