//! A socket that stops reading requests while responses are unread, and closes after a timeout.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::connection_budget::ConnectionBudget;

/// The guarded socket.
#[derive(Debug)]
pub(crate) struct SlowClientGuard<I> {
    io: I,
    connection: Arc<ConnectionBudget>,
    patience: Duration,
    /// The timeout. It runs while a write waits for the client to read.
    stalled: Option<Pin<Box<Sleep>>>,
    given_up: bool,
    /// The task that waits to read.
    reader: Option<Waker>,
}

impl<I> SlowClientGuard<I> {
    /// If a write makes no progress for `patience`, it fails and the connection ends.
    pub(crate) fn new(io: I, connection: Arc<ConnectionBudget>, patience: Duration) -> Self {
        Self { io, connection, patience, stalled: None, given_up: false, reader: None }
    }

    fn written(&mut self, outcome: Poll<Result<usize>>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        if let Poll::Ready(result) = outcome {
            if let Ok(bytes) = &result {
                self.connection.wrote(*bytes);
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
    Error::new(ErrorKind::TimedOut, "the client does not read its responses")
}

impl<I: AsyncRead + Unpin> AsyncRead for SlowClientGuard<I> {
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

impl<I: AsyncWrite + Unpin> AsyncWrite for SlowClientGuard<I> {
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

    fn guarded(patience: Duration) -> (SlowClientGuard<DuplexStream>, DuplexStream, Arc<ConnectionBudget>) {
        let (client, server) = duplex(8);
        let connection = Arc::new(ConnectionBudget::new(100, Arc::new(Budgets::new(&RpcLimits::default()))));
        (SlowClientGuard::new(server, connection.clone(), patience), client, connection)
    }

    /// Whether a read waits.
    async fn reads_nothing(socket: &mut SlowClientGuard<DuplexStream>) -> bool {
        let mut bytes = [0; 4];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            Poll::Ready(Pin::new(&mut *socket).poll_read(cx, &mut buffer).is_pending())
        })
        .await
    }

    async fn write_waits(socket: &mut SlowClientGuard<DuplexStream>) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *socket).poll_write(cx, b"x").is_pending())).await
    }

    #[tokio::test]
    async fn nothing_is_read_from_a_client_that_does_not_read() {
        let (mut socket, mut client, _) = guarded(Duration::from_secs(3_600));
        client.write_all(b"ask").await.unwrap();
        socket.write_all(b"answered").await.unwrap();
        assert!(write_waits(&mut socket).await);
        assert!(reads_nothing(&mut socket).await);
        client.read_exact(&mut [0; 8]).await.unwrap();
        assert!(!write_waits(&mut socket).await);
        let mut asked = [0; 3];
        socket.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"ask");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_for_too_long_is_given_up() {
        let (mut socket, _client, _) = guarded(Duration::from_millis(1));
        socket.write_all(b"answered").await.unwrap();
        assert_eq!(socket.write_all(b"more").await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(socket.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(socket.write(b"x").await.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn written_bytes_are_given_back() {
        let (mut socket, _client, connection) = guarded(Duration::from_secs(60));
        connection.queue(100).unwrap();
        socket.write_all(b"12345").await.unwrap();
        connection.queue(5).unwrap();
        connection.queue(1).unwrap_err();
    }
}
