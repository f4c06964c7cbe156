//! The channel between a node and its signer: borsh messages in Noise frames.
//!
//! `Noise_NNpsk0_25519_ChaChaPoly_SHA256`, the shared secret being the pre-shared key: whoever does not know it fails at the
//! first frame in either direction, and nobody on the way can read, alter, repeat or reorder a message. It does not protect
//! from somebody who has the secret: for him the signer signs whatever its sign states let pass.

use std::{
    io,
    io::{Read, Write},
    time::Instant,
};

use borsh::{BorshDeserialize, BorshSerialize};
use causeway_consensus::MAX_PARTS;
use causeway_genesis::SecretKey;
use snow::{Builder, HandshakeState, TransportState};

use super::address::Timed;

/// Longest frame. The longest message is a proposal's bytes: the hashes of all its parts.
pub(super) const MAX_FRAME_BYTES: usize = 4_096;
const _: () = assert!(MAX_FRAME_BYTES >= MAX_PARTS * 32 + 512);
/// What the cipher adds to a message.
const TAG_BYTES: usize = 16;
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// Binds the channel to this protocol and its version.
const PROLOGUE: &[u8] = b"causeway remote signer 1";

/// Why a channel cannot be opened or used any more. It is closed after any of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The connection failed, ended, or was too slow.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other side hung up on our first frame.
    #[error("it hung up at the handshake: is the shared secret (signer.key) the same on both sides?")]
    HungUp,
    /// A frame that does not decrypt: another secret, or somebody on the way.
    #[error(
        "a frame does not decrypt: the shared secret (signer.key) is not the same on both sides, or the connection is tampered with"
    )]
    Secret,
    /// A frame of more bytes than any message has.
    #[error("a frame of {got} bytes; at most {MAX_FRAME_BYTES} are read")]
    TooLarge {
        /// Bytes announced, or about to be sent.
        got: usize,
    },
    /// A frame that holds no message.
    #[error("not a message of this protocol: {0}")]
    Malformed(io::Error),
}

/// An open channel.
pub(super) struct Channel<S> {
    stream: S,
    noise: TransportState,
}

impl<S: Timed> Channel<S> {
    /// Opens a channel as the node.
    pub(super) fn initiate(mut stream: S, secret: &SecretKey) -> Result<Self, ChannelError> {
        let mut noise = builder(secret)?.build_initiator().map_err(noise_fault)?;
        send_handshake(&mut stream, &mut noise)?;
        match receive_handshake(&mut stream, &mut noise) {
            Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ChannelError::HungUp),
            other => other,
        }?;
        Ok(Self { stream, noise: noise.into_transport_mode().map_err(noise_fault)? })
    }

    /// Opens a channel as the signer.
    pub(super) fn accept(mut stream: S, secret: &SecretKey) -> Result<Self, ChannelError> {
        let mut noise = builder(secret)?.build_responder().map_err(noise_fault)?;
        receive_handshake(&mut stream, &mut noise)?;
        send_handshake(&mut stream, &mut noise)?;
        Ok(Self { stream, noise: noise.into_transport_mode().map_err(noise_fault)? })
    }

    /// By when what follows has to be done.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.stream.set_deadline(deadline);
    }

    /// Sends one message.
    pub(super) fn send(&mut self, message: &impl BorshSerialize) -> Result<(), ChannelError> {
        let message = borsh::to_vec(message).map_err(ChannelError::Malformed)?;
        let got = message.len().saturating_add(TAG_BYTES);
        if got > MAX_FRAME_BYTES {
            return Err(ChannelError::TooLarge { got });
        }
        let mut frame = vec![0; got];
        let length = self.noise.write_message(&message, &mut frame).map_err(noise_fault)?;
        write_frame(&mut self.stream, frame.get(..length).unwrap_or_default())
    }

    /// Receives one message; `None` when the other side closed the connection between two.
    pub(super) fn receive<T: BorshDeserialize>(&mut self) -> Result<Option<T>, ChannelError> {
        let Some(frame) = read_frame(&mut self.stream)? else { return Ok(None) };
        let mut message = vec![0; frame.len()];
        let length = self.noise.read_message(&frame, &mut message).map_err(noise_fault)?;
        let message = message.get(..length).unwrap_or_default();
        borsh::from_slice(message).map(Some).map_err(ChannelError::Malformed)
    }
}

fn builder(secret: &SecretKey) -> Result<Builder<'_>, ChannelError> {
    let pattern = PATTERN.parse().map_err(noise_fault)?;
    Builder::new(pattern).prologue(PROLOGUE).and_then(|builder| builder.psk(0, secret.expose())).map_err(noise_fault)
}

/// The library tells a wrong secret from nothing else: every failure ends the channel.
fn noise_fault(_: snow::Error) -> ChannelError {
    ChannelError::Secret
}

fn send_handshake(stream: &mut impl Write, noise: &mut HandshakeState) -> Result<(), ChannelError> {
    let mut frame = [0; 128];
    let length = noise.write_message(&[], &mut frame).map_err(noise_fault)?;
    write_frame(stream, frame.get(..length).unwrap_or_default())
}

fn receive_handshake(stream: &mut impl Read, noise: &mut HandshakeState) -> Result<(), ChannelError> {
    let frame = read_frame(stream)?.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let mut payload = vec![0; frame.len()];
    noise.read_message(&frame, &mut payload).map(drop).map_err(noise_fault)
}

/// Two bytes of length (big endian), then so many bytes, in one write.
fn write_frame(stream: &mut impl Write, frame: &[u8]) -> Result<(), ChannelError> {
    let too_large = ChannelError::TooLarge { got: frame.len() };
    let length = u16::try_from(frame.len()).ok().filter(|_| frame.len() <= MAX_FRAME_BYTES).ok_or(too_large)?;
    Ok(stream.write_all(&[length.to_be_bytes().as_slice(), frame].concat())?)
}

fn read_frame(stream: &mut impl Read) -> Result<Option<Vec<u8>>, ChannelError> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..])?;
    let got = usize::from(u16::from_be_bytes(length));
    if got > MAX_FRAME_BYTES {
        return Err(ChannelError::TooLarge { got });
    }
    let mut frame = vec![0; got];
    stream.read_exact(&mut frame)?;
    Ok(Some(frame))
}
