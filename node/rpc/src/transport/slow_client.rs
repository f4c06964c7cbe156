//! A socket that is not read from while its client does not read, and closed when that lasts too long.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::connection_budget::Unread;

/// The socket behind the gate.
#[derive(Debug)]
pub(crate) struct Gate<I> {
    io: I,
    unread: Arc<Unread>,
    patience: Duration,
    /// Runs while a write waits for the client to read.
    stalled: Option<Pin<Box<Sleep>>>,
    given_up: bool,
    /// Who wants to read and must wait.
    reader: Option<Waker>,
}

impl<I> Gate<I> {
    /// A write that makes no progress for `patience` fails, and with it the connection.
    pub(crate) fn new(io: I, unread: Arc<Unread>, patience: Duration) -> Self {
        Self { io, unread, patience, stalled: None, given_up: false, reader: None }
    }

    fn written(&mut self, outcome: Poll<Result<usize>>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        if let Poll::Ready(result) = outcome {
            if let Ok(bytes) = &result {
                self.unread.wrote(*bytes);
            }
            self.stalled = None;
            self.wake_reader();
            return Poll::Ready(result);
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if stalled.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.given_up = true;
        self.wake_reader();
        Poll::Ready(Err(given_up()))
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn given_up() -> Error {
    Error::new(ErrorKind::TimedOut, "the client does not read its answers")
}

impl<I: AsyncRead + Unpin> AsyncRead for Gate<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.given_up {
            return Poll::Ready(Err(given_up()));
        }
        if self.stalled.is_some() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gate<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.given_up {
            return Poll::Ready(Err(given_up()));
        }
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if self.given_up {
            return Poll::Ready(Err(given_up()));
        }
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::RpcLimits;
    use crate::budget::Budgets;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn gated(patience: Duration) -> (Gate<DuplexStream>, DuplexStream, Arc<Unread>) {
        let (client, server) = duplex(8);
        let unread = Arc::new(Unread::new(100, Arc::new(Budgets::new(&RpcLimits::default()))));
        (Gate::new(server, unread.clone(), patience), client, unread)
    }

    /// Whether nothing can be read now.
    async fn reads_nothing(gate: &mut Gate<DuplexStream>) -> bool {
        let mut bytes = [0; 4];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            Poll::Ready(Pin::new(&mut *gate).poll_read(cx, &mut buffer).is_pending())
        })
        .await
    }

    async fn write_waits(gate: &mut Gate<DuplexStream>) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *gate).poll_write(cx, b"x").is_pending())).await
    }

    #[tokio::test]
    async fn nothing_is_read_from_a_client_that_does_not_read() {
        let (mut gate, mut client, _) = gated(Duration::from_secs(3_600));
        client.write_all(b"ask").await.unwrap();
        gate.write_all(b"answered").await.unwrap();
        assert!(write_waits(&mut gate).await);
        assert!(reads_nothing(&mut gate).await);
        client.read_exact(&mut [0; 8]).await.unwrap();
        assert!(!write_waits(&mut gate).await);
        let mut asked = [0; 3];
        gate.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"ask");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_for_too_long_is_given_up() {
        let (mut gate, _client, _) = gated(Duration::from_millis(1));
        gate.write_all(b"answered").await.unwrap();
        assert_eq!(gate.write_all(b"more").await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(gate.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(gate.write(b"x").await.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn written_bytes_are_given_back() {
        let (mut gate, _client, unread) = gated(Duration::from_secs(60));
        unread.queue(100).unwrap();
        gate.write_all(b"12345").await.unwrap();
        unread.queue(5).unwrap();
        unread.queue(1).unwrap_err();
    }
}
