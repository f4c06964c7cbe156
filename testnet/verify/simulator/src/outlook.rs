//! A node's view of the parent chain: its watcher and its relayer, polled by hand.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use alloy_signer_local::PrivateKeySigner;
use causeway::{handle::watch_from, perform::Performer, relayer::Relayer};
use causeway_genesis::PegSpec;
use causeway_parent::{
    Answer, ExchangeError, ParentConfig, ParentStatus, ParentUpdate, ParentWatcher, Submitter, SubmitterConfig, Url,
    Wire,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::clock::MachineClock;

/// A machine's connection to the parent, with the machine's own clock.
#[derive(Debug)]
pub(crate) struct MachineWire {
    /// The connection.
    pub(crate) wire: Arc<dyn Wire>,
    /// The machine's clocks.
    pub(crate) clock: MachineClock,
}

impl Wire for MachineWire {
    fn exchange(
        &self,
        endpoint: &Url,
        body: Vec<u8>,
        deadline: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        self.wire.exchange(endpoint, body, deadline, max_bytes)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.wire.sleep(time)
    }

    fn now(&self) -> Duration {
        self.wire.now()
    }

    fn unix_ms(&self) -> u64 {
        self.clock.wall_ms()
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Pause of a relayer before it tries to reach the parent again, as in the node.
const RECONNECT: Duration = Duration::from_secs(5);

/// Machines whose tasks were woken, in the order of the wake-ups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Woken(Arc<Mutex<Vec<usize>>>);

impl Woken {
    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

struct Bell {
    machine: usize,
    woken: Woken,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut woken = self.woken.0.lock();
        if !woken.contains(&self.machine) {
            woken.push(self.machine);
        }
    }
}

/// A machine's configuration of the parent.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    /// Its endpoints.
    pub(crate) endpoints: Vec<String>,
    /// The contracts.
    pub(crate) peg: PegSpec,
    /// The connection.
    pub(crate) wire: Arc<dyn Wire>,
    /// The account that pays for its relaying, and the delay in favour of other relayers; `None` when it does not relay.
    pub(crate) relays: Option<(PrivateKeySigner, Duration)>,
}

/// The tasks of one life of a machine.
pub(crate) struct Outlook {
    watcher: Task,
    relayer: Option<Task>,
    updates: mpsc::Receiver<ParentUpdate>,
    _status: watch::Receiver<ParentStatus>,
    waker: Waker,
}

impl fmt::Debug for Outlook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outlook").field("relays", &self.relayer.is_some()).finish_non_exhaustive()
    }
}

impl Outlook {
    /// Starts the watcher, and the relayer when the machine relays; `None` on a standalone chain.
    pub(crate) fn start(machine: usize, performer: &Performer, ways: &Ways, woken: &Woken) -> Option<Self> {
        let from = watch_from(performer.node.federation()?.progress());
        let peg = &ways.peg;
        let config = ParentConfig::new(ways.endpoints.clone(), peg.parent_chain_id, peg.vault, peg.registry);
        let (watcher, status, updates) =
            ParentWatcher::new(config, from, ways.wire.clone()).expect("the simulated endpoints are well named");
        let waker = Waker::from(Arc::new(Bell { machine, woken: woken.clone() }));
        waker.wake_by_ref();
        let storage = performer.chain.storage.clone();
        let relayer = ways.relays.clone().map(|(signer, delay)| -> Task {
            let (ways, registry) = (ways.clone(), peg.registry);
            Box::pin(async move {
                loop {
                    let config = SubmitterConfig::new(ways.endpoints[0].clone(), ways.peg.parent_chain_id);
                    if let Ok(submitter) = Submitter::connect(config, signer.clone(), ways.wire.clone()).await {
                        return Relayer { storage, submitter, registry, delay }.run().await;
                    }
                    ways.wire.sleep(RECONNECT).await;
                }
            })
        });
        Some(Self { watcher: Box::pin(watcher.run()), relayer, updates, _status: status, waker })
    }

    /// Polls the tasks until none can make progress.
    pub(crate) fn poll(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        // Neither task ends: the watcher runs while its updates are read, the relayer for ever.
        let _pending = self.watcher.as_mut().poll(&mut context);
        if let Some(relayer) = &mut self.relayer {
            let _pending = relayer.as_mut().poll(&mut context);
        }
    }

    /// The next update for the node.
    pub(crate) fn update(&mut self) -> Option<ParentUpdate> {
        self.updates.try_recv().ok()
    }
}
