//! Streams with one request and one answer, each a whole frame of bounded length.

use std::io;
use std::marker::PhantomData;

use causeway_consensus::ConsensusMessage;
use futures::prelude::*;
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;

use crate::limits::{MAX_BULK_BYTES, MAX_CONSENSUS_BYTES, MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES};
use crate::sync::{SyncRequest, SyncResponse};

/// A type that travels as one frame.
pub(crate) trait Wire: Sized + Send + 'static {
    /// Longest frame in bytes. Reading a longer one fails before its end.
    const MAX_BYTES: usize;
    fn to_wire(&self) -> Vec<u8>;
    fn from_wire(bytes: &[u8]) -> Result<Self, String>;
}

/// A consensus message to one peer.
#[derive(Debug, Clone)]
pub(crate) struct Direct(pub(crate) ConsensusMessage);

/// A consensus message that is too long for the lane of the others.
#[derive(Debug, Clone)]
pub(crate) struct Bulk(pub(crate) ConsensusMessage);

/// The empty answer to a one-way message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ack;

impl Wire for Direct {
    const MAX_BYTES: usize = MAX_CONSENSUS_BYTES;
    fn to_wire(&self) -> Vec<u8> {
        self.0.encode()
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, String> {
        ConsensusMessage::decode(bytes).map(Self).map_err(|error| error.to_string())
    }
}

impl Wire for Bulk {
    const MAX_BYTES: usize = MAX_BULK_BYTES;
    fn to_wire(&self) -> Vec<u8> {
        self.0.encode()
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, String> {
        ConsensusMessage::decode(bytes).map(Self).map_err(|error| error.to_string())
    }
}

impl Wire for Ack {
    const MAX_BYTES: usize = 0;
    fn to_wire(&self) -> Vec<u8> {
        Vec::new()
    }
    fn from_wire(_: &[u8]) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Wire for SyncRequest {
    const MAX_BYTES: usize = MAX_SYNC_REQUEST_BYTES;
    fn to_wire(&self) -> Vec<u8> {
        self.encode()
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }
}

impl Wire for SyncResponse {
    const MAX_BYTES: usize = MAX_SYNC_RESPONSE_BYTES;
    fn to_wire(&self) -> Vec<u8> {
        self.encode()
    }
    fn from_wire(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }
}

/// A request that arrived, or the reason why it could not be decoded. The reason is a value and not an error,
/// because libp2p does not report errors of reading a request, and its sender has to be penalised.
pub(crate) type Received<Q> = Result<Q, String>;

/// Reads and writes `Q` and `R`. It runs in the connection's task, not in the network's event loop.
pub(crate) struct FrameCodec<Q, R>(PhantomData<fn() -> (Q, R)>);

impl<Q, R> Clone for FrameCodec<Q, R> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<Q, R> Default for FrameCodec<Q, R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: Wire, R: Wire> Codec for FrameCodec<Q, R> {
    type Protocol = StreamProtocol;
    type Request = Received<Q>;
    type Response = R;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Received<Q>> {
        match read_frame(io).await {
            Ok(request) => Ok(Ok(request)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<R> {
        read_frame(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Received<Q>,
    ) -> io::Result<()> {
        let request = request.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        write_frame::<Q, T>(io, request.to_wire()).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: R,
    ) -> io::Result<()> {
        write_frame::<R, T>(io, response.to_wire()).await
    }
}

/// A frame ends where the sender closes its half of the stream. Memory grows with the bytes that arrive, never
/// with an announced length.
async fn read_frame<W: Wire, T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<W> {
    let limit = u64::try_from(W::MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    io.take(limit.saturating_add(1)).read_to_end(&mut bytes).await?;
    if bytes.len() > W::MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame exceeds {limit} bytes")));
    }
    if bytes.is_empty() && W::MAX_BYTES > 0 {
        // The peer closed the stream without a byte: it refused to answer. That is no fault.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    W::from_wire(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write_frame<W: Wire, T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: Vec<u8>) -> io::Result<()> {
    if bytes.len() > W::MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame to send exceeds its limit"));
    }
    io.write_all(&bytes).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn frame_of_the_limit_passes_and_one_byte_more_fails() {
        let mut longest = Cursor::new(vec![0; MAX_SYNC_REQUEST_BYTES]);
        // Too many bytes for the type and not for the frame: the decoder refuses them.
        let error = block_on(read_frame::<SyncRequest, _>(&mut longest)).unwrap_err();
        assert!(!error.to_string().contains("exceeds"));
        let mut longer = Cursor::new(vec![0; MAX_SYNC_REQUEST_BYTES + 1]);
        let error = block_on(read_frame::<SyncRequest, _>(&mut longer)).unwrap_err();
        assert!(error.to_string().contains("exceeds"));
    }

    #[test]
    fn frames_round_trip() {
        let request = SyncRequest::Blocks { from: 9, max: 3 };
        let mut io = Cursor::new(Vec::new());
        block_on(write_frame::<SyncRequest, _>(&mut io, request.to_wire())).unwrap();
        io.set_position(0);
        assert_eq!(block_on(read_frame::<SyncRequest, _>(&mut io)).unwrap(), request);
    }

    #[test]
    fn silence_is_not_malformed() {
        let error = block_on(read_frame::<SyncResponse, _>(&mut Cursor::new(Vec::new()))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let error = block_on(read_frame::<SyncResponse, _>(&mut Cursor::new(vec![9]))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn acknowledgement_with_content_fails() {
        assert!(block_on(read_frame::<Ack, _>(&mut Cursor::new(vec![1]))).is_err());
        assert!(block_on(read_frame::<Ack, _>(&mut Cursor::new(Vec::new()))).is_ok());
    }
}
