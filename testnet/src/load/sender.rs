//! Sending: several connections, batches, a steady rate or a bounded flood.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::B256;
use eyre::{WrapErr as _, eyre};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    load::{plan::Signed, watcher::HeadWatcher},
    rpc::Rpc,
};

/// Connections to each endpoint.
const CONNECTIONS_PER_ENDPOINT: usize = 2;
/// Most transactions in one HTTP request.
const MAX_BATCH: usize = 100;
/// How often a connection sends.
const TICK: Duration = Duration::from_millis(25);

/// How fast to send.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many each second, over all connections.
    Steady(u32),
    /// As many as the chain takes, with at most so many on their way.
    Flood {
        /// Sent and not seen in a block yet.
        in_flight: usize,
    },
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// When the endpoint was given each transaction that it took.
    pub accepted: HashMap<B256, Instant>,
    /// Refused transactions by the endpoint's words.
    pub rejected: BTreeMap<String, u64>,
    /// When the first one was sent.
    pub started: Option<Instant>,
    /// When the last one was sent.
    pub ended: Option<Instant>,
}

/// All connections with their accounts' transactions.
#[derive(Debug)]
pub struct Senders {
    lanes: Vec<Lane>,
}

/// One connection. Its accounts take turns, and each account's transactions keep their order.
#[derive(Debug)]
struct Lane {
    rpc: Rpc,
    queue: std::vec::IntoIter<Signed>,
}

impl Senders {
    /// Spreads the accounts over the connections.
    pub fn new(endpoints: &[String], accounts: Vec<Vec<Signed>>) -> eyre::Result<Self> {
        let count = endpoints.len().saturating_mul(CONNECTIONS_PER_ENDPOINT).max(1);
        let mut shares: Vec<Vec<Vec<Signed>>> = vec![Vec::new(); count];
        for (index, account) in accounts.into_iter().enumerate() {
            shares.get_mut(index % count).ok_or_else(|| eyre!("no connection"))?.push(account);
        }
        let lanes = shares
            .into_iter()
            .zip(endpoints.iter().cycle())
            .map(|(share, endpoint)| Ok(Lane { rpc: Rpc::new(endpoint)?, queue: interleave(share).into_iter() }));
        Ok(Self { lanes: lanes.collect::<eyre::Result<_>>()? })
    }

    /// Sends for `duration`, and answers what was sent when all answers are there.
    pub async fn send(self, pace: Pace, duration: Duration, watcher: &HeadWatcher) -> eyre::Result<Sent> {
        let total: usize = self.lanes.iter().map(|lane| lane.queue.len()).sum();
        let seen = watcher.seen_counter();
        let offered = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let start = Instant::now();
        let tasks: Vec<_> = self
            .lanes
            .into_iter()
            .map(|lane| {
                let (seen, offered) = (Arc::clone(&seen), Arc::clone(&offered));
                let share = (lane.queue.len(), total.max(1));
                tokio::spawn(lane.run(LanePace { pace, share, start, duration, seen, offered }))
            })
            .collect();
        let mut sent = Sent { started: Some(start), ..Sent::default() };
        for task in tasks {
            let lane = task.await.wrap_err("a connection's task panicked")??;
            sent.accepted.extend(lane.accepted);
            lane.rejected.into_iter().for_each(|(text, count)| *sent.rejected.entry(text).or_default() += count);
            sent.ended = sent.ended.max(lane.ended);
        }
        Ok(sent)
    }
}

/// First transactions of all accounts, then the second ones, and so on.
fn interleave(accounts: Vec<Vec<Signed>>) -> Vec<Signed> {
    let mut queues: Vec<_> = accounts.into_iter().map(Vec::into_iter).collect();
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(queues.iter_mut().filter_map(Iterator::next));
        if order.len() == before {
            return order;
        }
    }
}

struct LanePace {
    pace: Pace,
    /// Transactions of this lane, and of all: its part of a steady rate.
    share: (usize, usize),
    start: Instant,
    duration: Duration,
    /// Transactions of ours seen in blocks, over all lanes.
    seen: Arc<std::sync::atomic::AtomicUsize>,
    /// Transactions offered, over all lanes.
    offered: Arc<std::sync::atomic::AtomicUsize>,
}

impl LanePace {
    /// How many this lane may send now, having sent `done`.
    fn allowance(&self, done: usize) -> usize {
        use std::sync::atomic::Ordering::Relaxed;
        match self.pace {
            Pace::Steady(rate) => {
                let elapsed = self.start.elapsed().min(self.duration);
                let due = elapsed.as_millis().saturating_mul(u128::from(rate)) / 1_000;
                let (own, all) = (self.share.0 as u128, self.share.1 as u128);
                let due = usize::try_from(due.saturating_mul(own) / all).unwrap_or(usize::MAX);
                due.saturating_sub(done)
            }
            Pace::Flood { in_flight } => {
                let on_their_way = self.offered.load(Relaxed).saturating_sub(self.seen.load(Relaxed));
                in_flight.saturating_sub(on_their_way)
            }
        }
    }
}

impl Lane {
    async fn run(mut self, pace: LanePace) -> eyre::Result<Sent> {
        let mut sent = Sent::default();
        let mut done = 0usize;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // One look more after the time is over, so that a steady rate sends its last share.
        let mut over = false;
        while !over {
            tick.tick().await;
            over = pace.start.elapsed() >= pace.duration;
            loop {
                let batch: Vec<Signed> = self.queue.by_ref().take(pace.allowance(done).min(MAX_BATCH)).collect();
                if batch.is_empty() {
                    break;
                }
                done = done.saturating_add(batch.len());
                pace.offered.fetch_add(batch.len(), std::sync::atomic::Ordering::Relaxed);
                let refused = self.offer(batch, &mut sent).await?;
                pace.offered.fetch_sub(refused, std::sync::atomic::Ordering::Relaxed);
                if over || pace.start.elapsed() >= pace.duration {
                    break;
                }
            }
        }
        Ok(sent)
    }

    /// Sends a batch, and answers how many of it were refused.
    async fn offer(&self, batch: Vec<Signed>, sent: &mut Sent) -> eyre::Result<usize> {
        let at = Instant::now();
        let calls = batch.iter().map(|signed| json!([signed.raw])).collect();
        sent.ended = Some(at);
        let answers = match self.rpc.batch("eth_sendRawTransaction", calls).await {
            Ok(answers) => answers,
            Err(error) => {
                // The endpoint is gone or overwhelmed: that is a result, not a reason to stop measuring.
                let text = format!("request failed: {}", error.root_cause());
                let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                *sent.rejected.entry(text).or_default() += count;
                return Ok(batch.len());
            }
        };
        let mut refused = 0usize;
        for (signed, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(_) => drop(sent.accepted.insert(signed.hash, at)),
                Err(text) => {
                    refused = refused.saturating_add(1);
                    *sent.rejected.entry(text).or_default() += 1;
                }
            }
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;

    use super::*;

    fn account(first: u8, count: u8) -> Vec<Signed> {
        (0..count).map(|i| Signed { hash: B256::repeat_byte(first + i), raw: Bytes::new() }).collect()
    }

    #[test]
    fn accounts_take_turns_and_keep_their_order() {
        let order: Vec<u8> = interleave(vec![account(10, 2), account(20, 3)]).iter().map(|s| s.hash[0]).collect();
        assert_eq!(order, [10, 20, 11, 21, 22]);
    }
}
