//! The channel between a node and its signer: borsh messages in Noise frames.
//!
//! `Noise_NNpsk0_25519_ChaChaPoly_SHA256` with the shared secret as the pre-shared key. A side without the secret fails at
//! the first frame in either direction, and a third party cannot read, alter, repeat or reorder messages. It does not protect
//! from an attacker with the secret, for whom the signer signs anything that its sign states permit.

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

/// Longest frame. The longest message is the bytes of a proposal, with the hashes of all its parts.
pub(super) const MAX_FRAME_BYTES: usize = 4_096;
const _: () = assert!(MAX_FRAME_BYTES >= MAX_PARTS * 32 + 512);
/// Bytes that the cipher adds to a message.
const TAG_BYTES: usize = 16;
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// Binds the channel to this protocol and its version.
const PROLOGUE: &[u8] = b"causeway remote signer 1";

/// Why a channel cannot be opened or used any more. Every error closes it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The connection failed, ended, or was too slow.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The other side closed the connection after our first frame.
    #[error("it hung up at the handshake: is the shared secret (signer.key) the same on both sides?")]
    HungUp,
    /// A frame does not decrypt: the secret differs, or a third party changed it.
    #[error(
        "a frame does not decrypt: the shared secret (signer.key) is not the same on both sides, or the connection is tampered with"
    )]
    Secret,
    /// A frame is longer than any message.
    #[error("a frame of {got} bytes; at most {MAX_FRAME_BYTES} are read")]
    TooLarge {
        /// Length of the frame.
        got: usize,
    },
    /// A frame does not contain a message.
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

    /// Sets the deadline of the following sends and receives.
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

    /// Receives one message; `None` when the other side closed the connection between two messages.
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

/// The library does not distinguish a wrong secret from other errors: every failure ends the channel.
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

/// Writes two bytes of length (big endian) and the frame in one write.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::net::UnixStream;

    use super::*;

    impl Timed for UnixStream {
        fn set_deadline(&mut self, _deadline: Instant) {}
    }

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    /// The two ends of a channel with nothing between them.
    fn open() -> (Channel<UnixStream>, Channel<UnixStream>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let accepting = std::thread::spawn(move || Channel::accept(theirs, &key(1)).unwrap());
        let node = Channel::initiate(ours, &key(1)).unwrap();
        (node, accepting.join().unwrap())
    }

    #[test]
    fn messages_come_through_in_both_directions_until_one_side_closes() {
        let (mut node, mut signer) = open();
        for text in ["first", "second"] {
            node.send(&text.to_owned()).unwrap();
            assert_eq!(signer.receive::<String>().unwrap().unwrap(), text);
            signer.send(&(text.len() as u64)).unwrap();
            assert_eq!(node.receive::<u64>().unwrap(), Some(text.len() as u64));
        }
        drop(node);
        assert!(signer.receive::<String>().unwrap().is_none());
    }

    #[test]
    fn neither_side_opens_with_another_secret() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let accepting = std::thread::spawn(move || Channel::accept(theirs, &key(2)).err().unwrap());
        let error = Channel::initiate(ours, &key(1)).err().unwrap();
        assert!(matches!(error, ChannelError::HungUp), "{error}");
        let error = accepting.join().unwrap();
        assert!(matches!(error, ChannelError::Secret), "{error}");
    }

    #[test]
    fn nothing_longer_than_a_frame_is_sent_or_read() {
        let (mut node, mut signer) = open();
        let error = node.send(&vec![0_u8; MAX_FRAME_BYTES]).unwrap_err();
        assert!(matches!(error, ChannelError::TooLarge { .. }), "{error}");
        let length = u16::try_from(MAX_FRAME_BYTES).unwrap() + 1;
        node.stream.write_all(&length.to_be_bytes()).unwrap();
        let error = signer.receive::<Vec<u8>>().unwrap_err();
        assert!(matches!(error, ChannelError::TooLarge { got } if got == MAX_FRAME_BYTES + 1), "{error}");
    }

    #[test]
    fn an_altered_or_repeated_frame_is_noticed() {
        for alter in [true, false] {
            let (mut node, mut signer) = open();
            let mut frame = vec![0; 64];
            let message = borsh::to_vec(&7_u64).unwrap();
            let length = node.noise.write_message(&message, &mut frame).unwrap();
            let mut frame = frame[..length].to_vec();
            if alter {
                frame[0] ^= 1;
            } else {
                write_frame(&mut node.stream, &frame).unwrap();
                assert_eq!(signer.receive::<u64>().unwrap(), Some(7));
            }
            write_frame(&mut node.stream, &frame).unwrap();
            let error = signer.receive::<u64>().unwrap_err();
            assert!(matches!(error, ChannelError::Secret), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let (mut node, mut signer) = open();
        node.send(&[9_u8; 3]).unwrap();
        let error = signer.receive::<super::super::protocol::Request>().unwrap_err();
        assert!(matches!(error, ChannelError::Malformed(_)), "{error}");
    }
}
