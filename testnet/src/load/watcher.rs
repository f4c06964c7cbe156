//! Finality as a subscriber sees it: `newHeads` over WebSocket, then the block's transaction hashes.

use std::{
    collections::HashMap,
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
/// Pause between two looks while waiting for the last transactions.
const POLL: Duration = Duration::from_millis(50);

/// What was seen of a block.
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

/// Everything that was seen.
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
    task: JoinHandle<eyre::Result<()>>,
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
    /// Subscribes at an HTTP endpoint's WebSocket side, which is on the same port.
    pub async fn start(endpoint: &str) -> eyre::Result<Self> {
        let url = endpoint.replacen("http", "ws", 1);
        let builder = WsClientBuilder::default()
            .request_timeout(REQUEST_TIMEOUT)
            .max_buffer_capacity_per_subscription(HEAD_BUFFER)
            .max_response_size(MAX_BYTES);
        let client = builder.build(&url).await.wrap_err_with(|| format!("no WebSocket at {url}"))?;
        let subscribed = client.subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe").await;
        let heads = subscribed.wrap_err_with(|| format!("no newHeads at {url}"))?;
        let (seen, count) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(watch(client, heads, Arc::clone(&seen), Arc::clone(&count)));
        Ok(Self { seen, count, task })
    }

    /// Transactions seen in blocks so far, for senders that keep a bound on those under way.
    pub fn seen_counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.count)
    }

    /// Waits until all of `sent` were seen, or for `patience`, and answers what was seen.
    pub async fn finish(self, sent: &HashMap<B256, Instant>, patience: Duration) -> eyre::Result<Seen> {
        let deadline = Instant::now() + patience;
        loop {
            let all = {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                sent.keys().all(|hash| seen.transactions.contains_key(hash))
            };
            if all || Instant::now() >= deadline {
                break;
            }
            if self.task.is_finished() {
                return Err(self.task.await?.err().unwrap_or_else(|| eyre!("the subscription ended")));
            }
            tokio::time::sleep(POLL).await;
        }
        self.task.abort();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.clone())
    }
}

async fn watch(
    client: WsClient,
    mut heads: Subscription<Head>,
    seen: Arc<Mutex<Seen>>,
    count: Arc<AtomicUsize>,
) -> eyre::Result<()> {
    let mut next = None;
    while let Some(head) = heads.next().await {
        let (at, number) = (Instant::now(), head.wrap_err("a malformed head")?.number.to::<u64>());
        // A head may be skipped when blocks come fast; its transactions became visible no later than this one.
        for number in next.unwrap_or(number)..=number {
            let block: Option<Block> =
                client.request("eth_getBlockByNumber", rpc_params![U64::from(number), false]).await?;
            let block = block.ok_or_else(|| eyre!("block {number} was announced but is not there"))?;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            count.fetch_add(block.transactions.len(), Ordering::Relaxed);
            let (transactions, gas_used) = (block.transactions.len(), block.gas_used.to());
            seen.blocks.push(SeenBlock { number, at, transactions, gas_used });
            seen.transactions.extend(block.transactions.into_iter().map(|hash| (hash, at)));
        }
        next = number.checked_add(1);
    }
    Err(eyre!("the endpoint closed the subscription"))
}
