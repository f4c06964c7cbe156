//! The links between the nodes: a TCP relay of our own with a port for every ordered pair of nodes.
//!
//! Each direction of a link has its own condition. A stream never loses a byte, so the conditions mean:
//!
//! - *Delay*: every chunk arrives later by the delay and the jitter, in order.
//! - *Loss*: as an application over TCP sees it. A lost chunk is sent again after 200 ms, then 400, and so on, while all later
//!   chunks wait; a chunk lost six times in a row ends the connection.
//! - *Cut, silent*: nothing arrives and neither side is told, as when a cable is pulled. Sent data arrives after the link is
//!   healed, unless the node has closed the connection. New connections get no answer.
//! - *Cut, reset*: existing and new connections are reset, as by a firewall that rejects.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::Instant,
};

use crate::chaos::random::Random;

/// Most bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks in flight in one direction of a connection; the sender waits for more room.
const CHUNKS_UNDER_WAY: usize = 256;
/// TCP's shortest retransmission time-out, in milliseconds.
const RETRANSMISSION_MS: u64 = 200;
/// A chunk lost this many times in a row ends its connection.
const LOSSES_OF_A_RESET: u32 = 6;

/// How a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// Nothing arrives, and neither side is told.
    Silent,
    /// Connections are reset.
    Reset,
}

/// Condition of one direction of a link. The default is a good link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Delay of every chunk in milliseconds.
    pub delay_ms: u64,
    /// Jitter in milliseconds.
    pub jitter_ms: u64,
    /// Thousandths of the chunks that are lost and sent again.
    pub loss: u64,
    /// Whether and how it is cut.
    pub cut: Option<Cut>,
}

/// One direction between two nodes, over all its connections.
#[derive(Clone, Debug)]
struct Link {
    condition: watch::Receiver<Condition>,
    carried: Arc<AtomicU64>,
}

/// The relay. Its tasks run on a thread of their own and end when it is dropped.
#[derive(Debug)]
pub struct Relay {
    runtime: Option<Runtime>,
    conditions: BTreeMap<(usize, usize), watch::Sender<Condition>>,
    carried: BTreeMap<(usize, usize), Arc<AtomicU64>>,
    ports: BTreeMap<(usize, usize), u16>,
}

impl Relay {
    /// Opens a port for every ordered pair of nodes, which listen at `targets`.
    ///
    /// # Errors
    /// When there is no port left, or no thread.
    pub fn start(targets: &[SocketAddr], seed: u64) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("relay").enable_all().build()?;
        let pairs = || (0..targets.len()).flat_map(|a| (0..targets.len()).map(move |b| (a, b))).filter(|(a, b)| a != b);
        let (mut conditions, mut carried, mut links) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for pair in pairs() {
            let (sender, condition) = watch::channel(Condition::default());
            let counter = Arc::new(AtomicU64::new(0));
            links.insert(pair, Link { condition, carried: Arc::clone(&counter) });
            conditions.insert(pair, sender);
            carried.insert(pair, counter);
        }
        let mut seeds = Random::new(seed);
        let mut ports = BTreeMap::new();
        for (from, to) in pairs() {
            let (Some(there), Some(back), Some(target)) =
                (links.get(&(from, to)), links.get(&(to, from)), targets.get(to))
            else {
                continue;
            };
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            ports.insert((from, to), listener.local_addr()?.port());
            listener.set_nonblocking(true)?;
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener)?
            };
            runtime.spawn(serve(listener, *target, there.clone(), back.clone(), seeds.bits()));
        }
        Ok(Self { runtime: Some(runtime), conditions, carried, ports })
    }

    /// The port at which node `from` reaches node `to`.
    pub fn port(&self, from: usize, to: usize) -> Option<u16> {
        self.ports.get(&(from, to)).copied()
    }

    /// Sets the condition of the link from one node to another.
    pub fn set(&self, from: usize, to: usize, condition: Condition) {
        if let Some(sender) = self.conditions.get(&(from, to)) {
            sender.send_replace(condition);
        }
    }

    /// Sets the condition of every link.
    pub fn set_all(&self, condition: Condition) {
        self.conditions.values().for_each(|sender| {
            sender.send_replace(condition);
        });
    }

    /// Heals every link.
    pub fn heal(&self) {
        self.set_all(Condition::default());
    }

    /// Bytes delivered from one node to another so far.
    pub fn carried(&self, from: usize, to: usize) -> u64 {
        self.carried.get(&(from, to)).map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, there: Link, back: Link, seed: u64) {
    let mut seeds = Random::new(seed);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, target, there.clone(), back.clone(), seeds.bits()));
            }
            Err(error) => {
                tracing::warn!(%error, "the relay cannot accept");
                tokio::time::sleep(Duration::from_millis(RETRANSMISSION_MS)).await;
            }
        }
    }
}

/// Both directions of a connection, until both have ended, one has failed, or the link is reset.
async fn connection(mut near: TcpStream, target: SocketAddr, mut there: Link, mut back: Link, seed: u64) {
    if there.open().await.is_err() || back.open().await.is_err() {
        return reset(&near);
    }
    let Ok(mut far) = TcpStream::connect(target).await else { return reset(&near) };
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    let mut seeds = Random::new(seed);
    let (outward, inward) = (Random::new(seeds.bits()), Random::new(seeds.bits()));
    let (mut reset_there, mut reset_back) = (there.condition.clone(), back.condition.clone());
    let is_reset = |condition: &Condition| condition.cut == Some(Cut::Reset);
    let ended = {
        let (near_in, near_out) = near.split();
        let (far_in, far_out) = far.split();
        tokio::select! {
            both = async { tokio::try_join!(pump(near_in, far_out, there, outward), pump(far_in, near_out, back, inward)) } => both.is_ok(),
            _ = reset_there.wait_for(is_reset) => false,
            _ = reset_back.wait_for(is_reset) => false,
        }
    };
    if !ended {
        reset(&near);
        reset(&far);
    }
}

/// Makes a connection end with a reset.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection ends in order instead");
    }
}

impl Link {
    /// Waits while the link is silent.
    async fn open(&mut self) -> io::Result<()> {
        let waited = self.condition.wait_for(|condition| condition.cut != Some(Cut::Silent)).await;
        match waited {
            Ok(condition) if condition.cut.is_none() => Ok(()),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// Moves the bytes of one direction under the link's condition.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut link: Link, mut random: Random) -> io::Result<()> {
    let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_UNDER_WAY);
    let condition = link.condition.clone();
    let read = async move {
        let mut last = Instant::now();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            let now = *condition.borrow();
            let takes = takes(&now, &mut random).ok_or(io::ErrorKind::ConnectionReset)?;
            // A stream keeps its order.
            last = last.max(Instant::now() + takes);
            if queue.send((last, bytes.to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            link.open().await?;
            // Counted before they are delivered, so that read bytes are always counted.
            link.carried.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            to.write_all(&bytes).await?;
        }
        link.open().await?;
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(|_: ((), ())| ())
}

/// Time that a chunk takes; `None` when it is lost too often.
fn takes(condition: &Condition, random: &mut Random) -> Option<Duration> {
    let earliest = condition.delay_ms.saturating_sub(condition.jitter_ms);
    let delay = random.between(earliest, condition.delay_ms.saturating_add(condition.jitter_ms));
    let mut losses = 0u32;
    while random.happens(condition.loss) {
        losses = losses.saturating_add(1);
        if losses >= LOSSES_OF_A_RESET {
            return None;
        }
    }
    let again = RETRANSMISSION_MS.saturating_mul((1u64 << losses).saturating_sub(1));
    Some(Duration::from_millis(delay.saturating_add(again)))
}

#[cfg(test)]
mod tests;
