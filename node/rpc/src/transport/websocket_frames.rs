//! [`replace_invalid`] for WebSockets.
//!
//! The JSON-RPC library reads WebSocket messages itself and has no hook before it decodes them. So this file replaces messages
//! that are no request in the bytes that the library reads from the socket. RFC 6455, section 5.2, defines the frames.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::requests::replace_invalid;

/// Longest message that is examined, in bytes. The library refuses a longer one that is no request with its own code and text.
const MAX_EXAMINED: usize = 16 * 1024;
/// Bytes read from the socket at a time.
const CHUNK: usize = 8 * 1024;

/// A socket that examines incoming messages once the connection is a WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocketFrames<I> {
    io: I,
    is_websocket: Arc<AtomicBool>,
    frames: Frames,
    /// Examined bytes that the reader has not taken.
    examined: BytesMut,
}

impl<I> WebSocketFrames<I> {
    /// `is_websocket` must become true before the response to the upgrade is written. A client sends frames only after it.
    pub(crate) fn new(io: I, is_websocket: Arc<AtomicBool>, max_batch: usize) -> Self {
        Self { io, is_websocket, frames: Frames::new(max_batch), examined: BytesMut::new() }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WebSocketFrames<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if !this.is_websocket.load(Ordering::Acquire) {
            return Pin::new(&mut this.io).poll_read(cx, buffer);
        }
        while this.examined.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(())); // The client has closed.
            }
            this.frames.examine(chunk.filled(), &mut this.examined);
        }
        let bytes = this.examined.len().min(buffer.remaining());
        buffer.put_slice(&this.examined[..bytes]);
        this.examined.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WebSocketFrames<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
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

/// Splits the bytes of one connection into frames. The bytes may arrive in any pieces.
#[derive(Debug)]
struct Frames {
    max_batch: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Reads a frame's header. The value is the part that has arrived.
    Header(Vec<u8>),
    /// Passes on a payload unexamined. The value is the number of missing bytes.
    Passing(u64),
    /// Collects the payload of a message that is one frame.
    Collecting { header: Vec<u8>, mask: [u8; 4], length: usize, payload: Vec<u8> },
}

impl Frames {
    const fn new(max_batch: usize) -> Self {
        Self { max_batch, state: State::Header(Vec::new()) }
    }

    /// Takes bytes from the socket and appends those for the reader to `out`.
    fn examine(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Header(Vec::new()));
            self.state = match state {
                State::Header(mut header) => {
                    header.push(bytes[0]);
                    bytes = &bytes[1..];
                    begin(header, out)
                }
                State::Passing(left) => {
                    let part = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    out.extend_from_slice(&bytes[..part]);
                    bytes = &bytes[part..];
                    passing(left.saturating_sub(part as u64))
                }
                State::Collecting { header, mask, length, mut payload } => {
                    let part = length.saturating_sub(payload.len()).min(bytes.len());
                    payload.extend_from_slice(&bytes[..part]);
                    bytes = &bytes[part..];
                    if payload.len() < length {
                        State::Collecting { header, mask, length, payload }
                    } else {
                        self.finish(&header, mask, &payload, out);
                        State::Header(Vec::new())
                    }
                }
            };
        }
    }

    fn finish(&self, header: &[u8], mask: [u8; 4], payload: &[u8], out: &mut BytesMut) {
        let message: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        match replace_invalid(&message, self.max_batch) {
            None => {
                out.extend_from_slice(header);
                out.extend_from_slice(payload);
            }
            Some(replacement) => {
                out.extend_from_slice(&unmasked_header(header[0], replacement.len()));
                out.extend_from_slice(&replacement);
            }
        }
    }
}

/// The state after one more byte of a header.
fn begin(header: Vec<u8>, out: &mut BytesMut) -> State {
    let Some(Header { is_whole_message, mask, length }) = parse(&header) else { return State::Header(header) };
    match (mask, usize::try_from(length)) {
        (Some(mask), Ok(length)) if is_whole_message && (1..=MAX_EXAMINED).contains(&length) => {
            State::Collecting { header, mask, length, payload: Vec::with_capacity(length) }
        }
        _ => {
            out.extend_from_slice(&header);
            passing(length)
        }
    }
}

const fn passing(left: u64) -> State {
    if left == 0 { State::Header(Vec::new()) } else { State::Passing(left) }
}

struct Header {
    /// Whether the frame is a whole text or binary message without extensions.
    is_whole_message: bool,
    mask: Option<[u8; 4]>,
    length: u64,
}

/// `None` while bytes of the header are missing.
fn parse(header: &[u8]) -> Option<Header> {
    let (first, second) = (*header.first()?, *header.get(1)?);
    let (length, extended) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(header.get(2..4)?.try_into().ok()?)), 2),
        127 => (u64::from_be_bytes(header.get(2..10)?.try_into().ok()?), 8),
        short => (u64::from(short), 0),
    };
    let mask = if second & 0x80 == 0 { None } else { Some(header.get(2 + extended..)?.try_into().ok()?) };
    Some(Header { is_whole_message: matches!(first, 0x81 | 0x82), mask, length })
}

/// The header of a client's frame with a mask of zeros. Such a mask does not change the payload.
fn unmasked_header(first: u8, length: usize) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => header.push(0x80 | short),
        (_, Ok(medium)) => {
            header.push(0x80 | 126);
            header.extend(medium.to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = unmasked_header(first, payload.len());
        let key = frame.len() - 4;
        frame[key..].copy_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// The bytes that a reader gets if `bytes` arrive in pieces of `piece` bytes.
    fn examined(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut frames, mut out) = (Frames::new(1_000), BytesMut::new());
        for part in bytes.chunks(piece) {
            frames.examine(part, &mut out);
        }
        out.to_vec()
    }

    #[test]
    fn frames_that_hold_requests_or_no_whole_message_pass_unchanged() {
        let long = [b"\"".as_slice(), &vec![b'x'; MAX_EXAMINED], b"\""].concat();
        let frames = [
            frame(0x81, CALL),
            frame(0x82, CALL),
            frame(0x89, b"{}"), // A ping.
            frame(0x01, b"{"),  // The first frame of a message of two,
            frame(0x80, b"}"),  // and the last.
            frame(0x81, &long), // Too long.
            frame(0x81, &[b' '; 70_000]),
            vec![0x81, 2, b'{', b'}'], // Not masked: the library refuses it.
            frame(0x81, b""),
            frame(0x88, b""),
        ];
        for piece in [1, 2, 7, 1_000_000] {
            assert_eq!(examined(&frames.concat(), piece), frames.concat(), "{piece}");
        }
    }

    #[test]
    fn a_message_that_is_no_request_is_replaced_whatever_pieces_it_arrives_in() {
        let call = frame(0x81, CALL);
        let replaced = |id: &str| {
            let call = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":""}}"#);
            [unmasked_header(0x81, call.len()), call.into_bytes()].concat()
        };
        let bytes = [call.clone(), frame(0x81, b"{}"), frame(0x81, br#"{"id":7}"#), call.clone()].concat();
        let expected = [call.clone(), replaced("null"), replaced("7"), call].concat();
        for piece in [1, 2, 7, 1_000_000] {
            assert_eq!(examined(&bytes, piece), expected, "{piece}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_examined_the_same_in_any_pieces(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            piece in 1usize..20,
        ) {
            proptest::prop_assert_eq!(examined(&bytes, piece), examined(&bytes, usize::MAX));
        }
    }

    #[test]
    fn headers_of_every_length_are_read_as_they_are_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let header = unmasked_header(0x81, length);
            let parsed = parse(&header).unwrap();
            assert_eq!((parsed.length, parsed.mask), (length as u64, Some([0; 4])));
            assert!(parse(&header[..header.len() - 1]).is_none());
        }
    }
}
