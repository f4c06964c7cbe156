//! Watcher, submitter and relay polled by hand: without a runtime, with the test's own clock and a waker that does nothing.
#![allow(clippy::unwrap_used)]

use crate::{
    Answer, ExchangeError, ParentConfig, ParentUpdate, ParentWatcher, Submitter, SubmitterConfig, Url, WatchFrom, Wire,
    fake::{CHAIN_ID, Chain, Mood, REGISTRY, VAULT},
    relay::Relay,
    relay_tests::Side,
};
use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use futures::future::BoxFuture;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// How long an exchange takes.
const EXCHANGE: Duration = Duration::from_millis(20);
/// The wall clock when a test begins, ms.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// The test's time, and the times at which a future becomes ready.
#[derive(Debug, Default)]
struct Time {
    now: Duration,
    due: BTreeSet<Duration>,
}

/// A wire whose futures only check the time and wake no task.
#[derive(Clone, Debug, Default)]
struct ByHand {
    time: Arc<Mutex<Time>>,
    chains: Arc<Mutex<BTreeMap<String, Chain>>>,
}

impl ByHand {
    fn new(hosts: &[&str]) -> Self {
        let chains = hosts.iter().map(|host| ((*host).to_owned(), Chain::new())).collect();
        Self { chains: Arc::new(Mutex::new(chains)), ..Self::default() }
    }

    /// Changes or queries one chain.
    fn chain<T>(&self, host: &str, with: impl FnOnce(&mut Chain) -> T) -> T {
        with(self.chains.lock().unwrap().get_mut(host).unwrap())
    }

    fn ready_in(&self, wait: Duration) -> impl Future<Output = ()> + Send + use<> {
        let time = self.time.clone();
        let due = {
            let mut time = time.lock().unwrap();
            let due = time.now + wait;
            time.due.insert(due);
            due
        };
        poll_fn(move |_| if time.lock().unwrap().now >= due { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Polls once; if the future is not ready, advances to the next time at which something becomes ready.
    fn step<T>(&self, future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        if let Poll::Ready(value) = future.poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
        let mut time = self.time.lock().unwrap();
        time.now = time.due.pop_first().expect("a future waits for something outside the wire");
        None
    }

    fn finish<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Some(value) = self.step(future.as_mut()) {
                return value;
            }
        }
    }
}

impl Wire for ByHand {
    fn exchange(
        &self,
        endpoint: &Url,
        body: Vec<u8>,
        deadline: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        let (wire, host) = (self.clone(), endpoint.host_str().unwrap().to_owned());
        Box::pin(async move {
            match wire.chain(&host, |chain| chain.mood.clone()) {
                Mood::Hang => {
                    wire.ready_in(deadline).await;
                    return Err(ExchangeError::Deadline(deadline.as_millis()));
                }
                Mood::Http500 => return Ok(Answer { status: 500, body: b"oops".to_vec() }),
                _ => wire.ready_in(EXCHANGE).await,
            }
            let body = wire.chain(&host, |chain| chain.respond(&String::from_utf8(body).unwrap())).into_bytes();
            if body.len() > max_bytes {
                Err(ExchangeError::TooLarge(max_bytes))
            } else {
                Ok(Answer { status: 200, body })
            }
        })
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.ready_in(time))
    }

    fn now(&self) -> Duration {
        self.time.lock().unwrap().now
    }

    fn unix_ms(&self) -> u64 {
        EPOCH_MS + u64::try_from(self.now().as_millis()).unwrap()
    }
}

fn config(hosts: &[&str]) -> ParentConfig {
    let endpoints = hosts.iter().map(|host| format!("http://{host}")).collect();
    ParentConfig::new(endpoints, CHAIN_ID, VAULT, REGISTRY)
}

#[test]
fn watcher_runs_without_a_runtime_until_its_receiver_is_dropped() {
    let hosts = ["a", "b"];
    let wire = ByHand::new(&hosts);
    for host in hosts {
        // More blocks with deposits than one request may ask for.
        wire.chain(host, |chain| {
            (1..=30).for_each(|height| chain.deposit(height, 2));
            chain.finalized = 40;
        });
    }
    let start = WatchFrom::default();
    let (watcher, status, mut updates) = ParentWatcher::new(config(&hosts), start, Arc::new(wire.clone())).unwrap();
    let mut run = pin!(watcher.run());
    let mut nonces = Vec::new();
    while status.borrow().finalized.is_none_or(|block| block.height != 41) {
        assert!(wire.step(run.as_mut()).is_none());
        if nonces.len() == 30 && wire.now() > Duration::from_secs(10) {
            hosts.iter().for_each(|host| wire.chain(host, |chain| chain.finalized = 41));
        }
        while let Ok(update) = updates.try_recv() {
            if let ParentUpdate::Deposits { view, .. } = update {
                nonces.push(view.depositNonce);
            }
        }
    }
    assert_eq!(nonces, (1..=30).map(|block| 2 * block).collect::<Vec<u64>>());
    assert!(wire.now() < Duration::from_secs(12), "one poll each second: {:?}", wire.now());
    drop(updates);
    while wire.step(run.as_mut()).is_none() {}
}

#[test]
fn outage_start_uses_the_wires_clock_and_polls_back_off() {
    let wire = ByHand::new(&["a"]);
    wire.chain("a", |chain| chain.mood = Mood::Hang);
    let mut config = config(&["a"]);
    config.request_timeout_ms = 500;
    let (watcher, _status, mut updates) =
        ParentWatcher::new(config, WatchFrom::default(), Arc::new(wire.clone())).unwrap();
    let mut run = pin!(watcher.run());
    while wire.now() < Duration::from_secs(100) {
        assert!(wire.step(run.as_mut()).is_none());
    }
    let ParentUpdate::Unreachable { since_ms, reason } = updates.try_recv().unwrap() else { panic!() };
    assert_eq!(since_ms, EPOCH_MS + 500);
    assert!(reason.contains("no answer within 500 ms"), "{reason}");
    assert!(updates.try_recv().is_err(), "it is reported once");
    wire.chain("a", |chain| chain.mood = Mood::Honest);
    while updates.is_empty() {
        assert!(wire.step(run.as_mut()).is_none());
    }
    // Failures at 0.5, 3, 7.5, 16, 32.5, 63 and 93.5 s: the pause doubles from 2 s up to 30 s.
    assert!((123_500..124_000).contains(&wire.now().as_millis()), "{:?}", wire.now());
}

#[test]
fn relay_runs_without_a_runtime_through_its_delay_its_sends_and_a_raised_fee() {
    let wire = ByHand::new(&["a"]);
    wire.chain("a", |chain| {
        (chain.includes_all, chain.follows) = (true, true);
        // No receipt arrives within an attempt's timeout, so the first transaction is sent twice.
        chain.script.insert("eth_getTransactionReceipt", vec![Value::Null]);
    });
    let shared: Arc<dyn Wire> = Arc::new(wire.clone());
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let settings = SubmitterConfig::new("http://a".to_owned(), CHAIN_ID);
    let submitter = wire.finish(Submitter::connect(settings, signer, shared)).unwrap();
    let (side, delay) = (Side::in_epoch(2, 1), Duration::from_secs(3));
    let relay = Relay { source: &side, submitter: &submitter, registry: REGISTRY, vault: VAULT, delay };
    let mut look = pin!(relay.look());
    let sent = || wire.chain("a", |chain| chain.sent.len());
    while sent() < 1 {
        assert!(wire.step(look.as_mut()).is_none());
    }
    let first = wire.now();
    assert!(first > delay && first < Duration::from_secs(4), "{first:?}");
    wire.chain("a", |chain| chain.follows = false);
    while sent() < 2 {
        assert!(wire.step(look.as_mut()).is_none());
    }
    let patience = wire.now() - first;
    assert!(patience > Duration::from_secs(60) && patience < Duration::from_secs(62), "{patience:?}");
    wire.chain("a", |chain| {
        chain.follows = true;
        chain.script.clear();
    });
    wire.finish(look).unwrap();
    assert_eq!(wire.chain("a", |chain| chain.checkpoint.0), 5, "one checkpoint of each epoch");
    assert_eq!(sent(), 4);
}
