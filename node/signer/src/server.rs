//! The signer's side: listens, authenticates nodes by the secret, and passes requests to the vault. A few connections, one thread each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use causeway_genesis::SecretKey;
use eyre::WrapErr;
use parking_lot::Mutex;

use super::{
    address::{Listener, SignerAddress, Stream},
    channel::{Channel, ChannelError},
    protocol::{Answer, Request},
    vault::Vault,
};

/// Most connections at a time; further ones are closed at once. A validator has one node, perhaps two.
pub const MAX_CONNECTIONS: usize = 16;
/// Time limit of the handshake, and of sending each answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest silence of a connection. A node outside the validator set has nothing to sign, and reconnects when it needs to.
const IDLE: Duration = Duration::from_secs(3_600);
/// Pause after a failed accept (too many open files), because only time helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

struct Shared {
    vault: Mutex<Vault>,
    secret: SecretKey,
    stopping: AtomicBool,
    open: Mutex<BTreeMap<u64, Stream>>,
}

/// A signer that serves until it is stopped or dropped.
pub struct SignerServer {
    address: SignerAddress,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for SignerServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SignerServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl SignerServer {
    /// Starts to serve a vault.
    ///
    /// # Errors
    /// When it cannot listen at the address.
    pub fn start(address: &SignerAddress, vault: Vault, secret: SecretKey) -> eyre::Result<Self> {
        let failed = || format!("cannot listen at {address}");
        let listener = address.listen().wrap_err_with(failed)?;
        let address = listener.address().wrap_err_with(failed)?;
        let shared = Arc::new(Shared {
            vault: Mutex::new(vault),
            secret,
            stopping: AtomicBool::new(false),
            open: Mutex::new(BTreeMap::new()),
        });
        let accepting = std::thread::Builder::new().name("signer".into()).spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        })?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// The address in use.
    pub fn address(&self) -> &SignerAddress {
        &self.address
    }

    /// Stops serving and releases the vault's lock.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; if this fails, the next connection wakes it.
        let woken = self.address.connect(Instant::now() + PATIENCE).is_ok();
        if woken && accepting.join().is_err() {
            tracing::error!("the signer's thread panicked");
        }
        if let SignerAddress::Unix(path) = &self.address {
            std::fs::remove_file(path).ok();
        }
    }
}

impl Drop for SignerServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn accept(listener: &Listener, shared: &Arc<Shared>) {
    let mut serving: BTreeMap<u64, JoinHandle<()>> = BTreeMap::new();
    for number in 0_u64.. {
        let stream = listener.accept(PATIENCE);
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        serving.retain(|_, thread| !thread.is_finished());
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        if serving.len() >= MAX_CONNECTIONS {
            tracing::warn!("more than {MAX_CONNECTIONS} connections: one was closed");
            continue;
        }
        match serve(number, stream, shared) {
            Ok(thread) => drop(serving.insert(number, thread)),
            Err(error) => tracing::warn!(%error, "cannot serve a connection"),
        }
    }
    for stream in shared.open.lock().values() {
        stream.close();
    }
    for thread in serving.into_values() {
        if thread.join().is_err() {
            tracing::error!("a connection's thread panicked");
        }
    }
}

fn serve(number: u64, stream: Stream, shared: &Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    shared.open.lock().insert(number, stream.handle()?);
    let for_thread = shared.clone();
    let spawned = std::thread::Builder::new().name(format!("signer {number}")).spawn(move || {
        match converse(stream, &for_thread) {
            Ok(()) => tracing::debug!(number, "a node hung up"),
            Err(error) => tracing::warn!(number, %error, "a connection was closed"),
        }
        for_thread.open.lock().remove(&number);
    });
    if spawned.is_err() {
        shared.open.lock().remove(&number);
    }
    spawned
}

fn converse(stream: Stream, shared: &Shared) -> Result<(), ChannelError> {
    let mut channel = Channel::accept(stream, &shared.secret)?;
    let mut greeted = false;
    loop {
        channel.set_deadline(Instant::now() + IDLE);
        let Some(request) = channel.receive::<Request>()? else { return Ok(()) };
        let hello = matches!(request, Request::Hello(_));
        let answer = if hello || greeted {
            shared.vault.lock().answer(request)
        } else {
            Answer::Refused("say which chain you are of first".into())
        };
        greeted |= hello && matches!(answer, Answer::Keys(_));
        channel.set_deadline(Instant::now() + PATIENCE);
        channel.send(&answer)?;
    }
}
