//! Finality as a subscriber sees it: `newHeads` over WebSocket, then the block's transaction hashes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{B256, U64};
use eyre::{WrapErr as _, eyre};
use jsonrpsee::{
    core::client::{ClientT as _, Subscription, SubscriptionClientT as _},
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde::Deserialize;
use tokio::{task::JoinHandle, time::Instant};

/// Largest message in bytes: a block of hashes.
const MAX_BYTES: u32 = 64 * 1024 * 1024;
/// Heads that may wait while a block is read.
const HEAD_BUFFER: usize = 4_096;
/// Deadline of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause before another endpoint is tried.
const POLL: Duration = Duration::from_millis(50);

/// An observed block.
#[derive(Clone, Debug)]
pub struct SeenBlock {
    /// Its number.
    pub number: u64,
    /// When its head arrived.
    pub at: Instant,
    /// Transactions in it.
    pub transactions: usize,
    /// Gas used in it.
    pub gas_used: u64,
}

/// All observations.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When the head with each transaction arrived.
    pub transactions: HashMap<B256, Instant>,
    /// The blocks in order.
    pub blocks: Vec<SeenBlock>,
}

/// Watches an endpoint until it is told to finish.
#[derive(Debug)]
pub struct HeadWatcher {
    seen: Arc<Mutex<Seen>>,
    count: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Debug, Deserialize)]
struct Head {
    number: U64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    transactions: Vec<B256>,
    gas_used: U64,
}

impl HeadWatcher {
    /// Subscribes at the last of the endpoints, on the WebSocket side of its port. When that one dies, the others take its place
    /// in turn.
    pub async fn start(endpoints: &[String]) -> eyre::Result<Self> {
        let mut order: VecDeque<String> = endpoints.iter().rev().cloned().collect();
        let mut subscription = Err(eyre!("no endpoint"));
        for _ in 0..order.len() {
            if let Some(endpoint) = order.front() {
                subscription = subscribe(endpoint).await;
            }
            order.rotate_left(1);
            if subscription.is_ok() {
                break;
            }
        }
        let watch = Watch {
            subscription: Some(subscription?),
            next: None,
            seen: Arc::new(Mutex::new(Seen::default())),
            count: Arc::new(AtomicUsize::new(0)),
        };
        let (seen, count) = (Arc::clone(&watch.seen), Arc::clone(&watch.count));
        Ok(Self { seen, count, task: tokio::spawn(watch.run(order)) })
    }

    /// Number of transactions seen in blocks so far, for senders that limit the pending ones.
    pub fn seen_counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.count)
    }

    /// The transactions that were not yet seen in a block.
    pub fn unseen(&self, sent: &HashMap<B256, Instant>) -> Vec<B256> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        sent.keys().filter(|hash| !seen.transactions.contains_key(*hash)).copied().collect()
    }

    /// Stops watching and returns the observations.
    pub fn finish(self) -> Seen {
        self.task.abort();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *seen)
    }
}

type Heads = (WsClient, Subscription<Head>);

async fn subscribe(endpoint: &str) -> eyre::Result<Heads> {
    let url = endpoint.replacen("http", "ws", 1);
    let builder = WsClientBuilder::default()
        .request_timeout(REQUEST_TIMEOUT)
        .max_buffer_capacity_per_subscription(HEAD_BUFFER)
        .max_response_size(MAX_BYTES);
    let client = builder.build(&url).await.wrap_err_with(|| format!("no WebSocket at {url}"))?;
    let subscribed = client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await;
    let heads = subscribed.wrap_err_with(|| format!("no newHeads at {url}"))?;
    Ok((client, heads))
}

struct Watch {
    subscription: Option<Heads>,
    /// The block to read next; `None` before the first head.
    next: Option<u64>,
    seen: Arc<Mutex<Seen>>,
    count: Arc<AtomicUsize>,
}

impl Watch {
    async fn run(mut self, mut endpoints: VecDeque<String>) {
        loop {
            if let Some((client, heads)) = self.subscription.take()
                && let Err(error) = self.follow(client, heads).await
            {
                tracing::warn!("watching goes on at another endpoint: {error:#}");
            }
            tokio::time::sleep(POLL).await;
            if let Some(endpoint) = endpoints.front() {
                self.subscription = subscribe(endpoint).await.ok();
            }
            endpoints.rotate_left(1);
        }
    }

    async fn follow(&mut self, client: WsClient, mut heads: Subscription<Head>) -> eyre::Result<()> {
        while let Some(head) = heads.next().await {
            let (at, number) = (Instant::now(), head.wrap_err("a malformed head")?.number.to::<u64>());
            // Heads are skipped when blocks come fast, and while an endpoint is changed.
            while self.next.unwrap_or(number) <= number {
                let wanted = self.next.unwrap_or(number);
                self.read(&client, wanted, at).await?;
                self.next = wanted.checked_add(1);
            }
        }
        Err(eyre!("the endpoint closed the subscription"))
    }

    async fn read(&self, client: &WsClient, number: u64, at: Instant) -> eyre::Result<()> {
        let block: Option<Block> =
            client.request("eth_getBlockByNumber", rpc_params![U64::from(number), false]).await?;
        let block = block.ok_or_else(|| eyre!("block {number} was announced but is not there"))?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.count.fetch_add(block.transactions.len(), Ordering::Relaxed);
        let (transactions, gas_used) = (block.transactions.len(), block.gas_used.to());
        seen.blocks.push(SeenBlock { number, at, transactions, gas_used });
        seen.transactions.extend(block.transactions.into_iter().map(|hash| (hash, at)));
        Ok(())
    }
}
