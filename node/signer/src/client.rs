//! The node's side: a signer of consensus messages and attestations whose keys are in another process.
//!
//! Each request waits at most for the timeout, once. While the signer does not answer, requests between two attempts fail at
//! once, so the node's loop continues: it makes no votes, logs this, and follows the chain. Repeating a request is harmless: the
//! signer returns the same signature for the same bytes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use causeway_consensus::{ConsensusKey, Round, SIGNATURE_BYTES, Signer, SignerError, ValidatorId};
use causeway_genesis::SecretKey;
use causeway_peg::{Attestation, PegDomain, PegSigner, Signature65, SignatureError};
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{
    address::{SignerAddress, Stream},
    channel::{Channel, ChannelError},
    protocol::{Answer, PublicKeys, Request},
};

/// First pause after a failure; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two attempts to reach the signer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The signer cannot be reached, or its connection broke; tried again later.
    #[error("the signer at {address} gives no answer: {reason}")]
    Away {
        /// The configured address.
        address: SignerAddress,
        /// The failure.
        reason: String,
    },
    /// It refused.
    #[error("the signer at {address} refuses: {reason}")]
    Refused {
        /// Its address.
        address: SignerAddress,
        /// Its reason.
        reason: String,
    },
    /// Its answer does not match the request: a signature does not verify, or the keys have changed.
    #[error("the signer at {address} is not the one this node was started with: {reason}")]
    Wrong {
        /// Its address.
        address: SignerAddress,
        /// The difference.
        reason: &'static str,
    },
}

/// A connection to a remote signer; clones share it.
#[derive(Clone)]
pub struct RemoteSigner(Arc<Remote>);

struct Remote {
    address: SignerAddress,
    secret: SecretKey,
    chain: B256,
    timeout: Duration,
    keys: PublicKeys,
    link: Mutex<Link>,
}

/// The connection's state.
#[derive(Default)]
struct Link {
    channel: Option<Channel<Stream>>,
    /// After a failure: the time of the next attempt, the pause after that, and the failure.
    away: Option<(Instant, Duration, String)>,
}

impl std::fmt::Debug for RemoteSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RemoteSigner").field("address", &self.0.address).finish_non_exhaustive()
    }
}

impl RemoteSigner {
    /// Connects for the first time and reads the signer's public keys.
    ///
    /// # Errors
    /// When it cannot be reached within `timeout`, has another secret, or is of another chain.
    pub fn connect(
        address: SignerAddress,
        secret: SecretKey,
        chain: B256,
        timeout: Duration,
    ) -> Result<Self, RemoteError> {
        let (channel, keys) = greet(&address, &secret, chain, Instant::now() + timeout)?;
        let link = Mutex::new(Link { channel: Some(channel), away: None });
        Ok(Self(Arc::new(Remote { address, secret, chain, timeout, keys, link })))
    }

    /// The signer's consensus key.
    pub fn consensus_key(&self) -> ConsensusKey {
        self.0.keys.consensus
    }

    /// The address of the signer's peg key.
    pub fn peg_address(&self) -> Address {
        self.0.keys.peg
    }

    fn consensus(&self, bytes: &[u8], pol_round: Option<Round>) -> Result<[u8; SIGNATURE_BYTES], RemoteError> {
        let signature = match self.0.ask(&Request::Consensus { bytes: bytes.to_vec(), pol_round })? {
            Answer::Consensus(signature) => signature,
            other => return Err(self.0.unexpected(other)),
        };
        if self.0.keys.consensus.verifies(bytes, &signature) {
            Ok(signature)
        } else {
            Err(self.0.wrong("its signature does not verify"))
        }
    }

    fn attestation(&self, domain: &PegDomain, attestation: &Attestation) -> Result<Signature65, RemoteError> {
        let signature = match self.0.ask(&Request::Peg(Box::new(*attestation)))? {
            Answer::Peg(signature) => signature,
            other => return Err(self.0.unexpected(other)),
        };
        if signature.recover(domain.attestation_digest(attestation)) == Ok(self.0.keys.peg) {
            Ok(signature)
        } else {
            Err(self.0.wrong("its signature is not of this chain's attestation"))
        }
    }
}

impl Signer for RemoteSigner {
    fn validator(&self) -> ValidatorId {
        self.0.keys.consensus.id()
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        self.sign_on_polka(bytes, None)
    }

    fn sign_on_polka(&self, bytes: &[u8], pol_round: Option<Round>) -> Result<[u8; SIGNATURE_BYTES], SignerError> {
        self.consensus(bytes, pol_round).map_err(|error| SignerError::Unavailable(error.to_string()))
    }
}

impl PegSigner for RemoteSigner {
    fn address(&self) -> Address {
        self.0.keys.peg
    }

    /// Always refuses: a remote signer signs only content that it can decode. Attestations use [`PegSigner::sign_attestation`].
    fn sign(&self, _digest: B256) -> Result<Signature65, SignatureError> {
        Err(SignatureError::Unavailable)
    }

    fn sign_attestation(&self, domain: &PegDomain, attestation: &Attestation) -> Result<Signature65, SignatureError> {
        self.attestation(domain, attestation).map_err(|error| {
            tracing::warn!(%error, ?attestation, "not attesting");
            SignatureError::Unavailable
        })
    }
}

impl Remote {
    fn ask(&self, request: &Request) -> Result<Answer, RemoteError> {
        let mut link = self.link.lock();
        if let Some((at, _, reason)) = &link.away
            && Instant::now() < *at
        {
            return Err(self.away(reason.clone()));
        }
        match blocking(|| self.attempt(&mut link, request)) {
            Ok(answer) => {
                if link.away.take().is_some() {
                    tracing::info!(address = %self.address, "the remote signer answers again");
                }
                match answer {
                    Answer::Refused(reason) => Err(RemoteError::Refused { address: self.address.clone(), reason }),
                    answer => Ok(answer),
                }
            }
            Err(error) => {
                link.channel = None;
                let pause =
                    link.away.as_ref().map_or(FIRST_PAUSE, |(_, pause, _)| pause.saturating_mul(2).min(LONGEST_PAUSE));
                if link.away.is_none() {
                    tracing::error!(%error, "this node signs nothing until its remote signer answers; it goes on following");
                }
                link.away = Some((Instant::now() + pause, pause, error.to_string()));
                Err(error)
            }
        }
    }

    /// One exchange before the deadline. If the connection has ended since the last exchange, it reconnects once.
    fn attempt(&self, link: &mut Link, request: &Request) -> Result<Answer, RemoteError> {
        let deadline = Instant::now() + self.timeout;
        if let Some(channel) = &mut link.channel
            && let Ok(answer) = exchange(channel, request, deadline)
        {
            return Ok(answer);
        }
        link.channel = None;
        let (mut channel, keys) = greet(&self.address, &self.secret, self.chain, deadline)?;
        if keys != self.keys {
            return Err(self.wrong("it holds other keys now; restart the node if that is meant"));
        }
        let answer = exchange(&mut channel, request, deadline).map_err(|error| self.away(error.to_string()))?;
        link.channel = Some(channel);
        Ok(answer)
    }

    fn away(&self, reason: String) -> RemoteError {
        RemoteError::Away { address: self.address.clone(), reason }
    }

    fn wrong(&self, reason: &'static str) -> RemoteError {
        RemoteError::Wrong { address: self.address.clone(), reason }
    }

    fn unexpected(&self, answer: Answer) -> RemoteError {
        tracing::error!(?answer, "the remote signer answered another question");
        self.wrong("it answers another question")
    }
}

fn greet(
    address: &SignerAddress,
    secret: &SecretKey,
    chain: B256,
    deadline: Instant,
) -> Result<(Channel<Stream>, PublicKeys), RemoteError> {
    let opened = || -> Result<_, ChannelError> {
        let mut channel = Channel::initiate(address.connect(deadline)?, secret)?;
        let answer = exchange(&mut channel, &Request::Hello(chain), deadline)?;
        Ok((channel, answer))
    };
    let away = |error: ChannelError| RemoteError::Away { address: address.clone(), reason: error.to_string() };
    match opened().map_err(away)? {
        (channel, Answer::Keys(keys)) => Ok((channel, keys)),
        (_, Answer::Refused(reason)) => Err(RemoteError::Refused { address: address.clone(), reason }),
        _ => Err(RemoteError::Wrong { address: address.clone(), reason: "it does not say which keys it holds" }),
    }
}

fn exchange(channel: &mut Channel<Stream>, request: &Request, deadline: Instant) -> Result<Answer, ChannelError> {
    channel.set_deadline(deadline);
    channel.send(request)?;
    channel.receive()?.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
}

/// Tells the runtime that this thread is about to wait, so that other work moves to another thread.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
