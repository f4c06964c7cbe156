//! Sending: several connections, batches, a steady rate or a bounded flood.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{B256, Bytes};
use eyre::{WrapErr as _, eyre};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    load::{plan::Signed, watcher::HeadWatcher},
    rpc::{BatchAnswers, Rpc},
};

/// Connections to each endpoint.
const CONNECTIONS_PER_ENDPOINT: usize = 2;
/// Most transactions in one HTTP request.
const MAX_BATCH: usize = 100;
/// How often a connection sends.
const TICK: Duration = Duration::from_millis(25);

/// A transaction that is in no block for this long is sent again. Well above a block interval.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// Pause between two checks for late transactions.
const SETTLE_POLL: Duration = Duration::from_millis(50);
/// Error texts of pools for a transaction that they already hold.
const ALREADY_KNOWN: &str = "already known";

/// How fast to send.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// This many each second, over all connections.
    Steady(u32),
    /// As many as the chain accepts, with at most this many pending.
    Flood {
        /// Sent and not seen in a block yet.
        in_flight: usize,
    },
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// When each accepted transaction was handed to an endpoint.
    pub accepted: HashMap<B256, Instant>,
    /// Refused transactions, by the endpoint's error text.
    pub rejected: BTreeMap<String, u64>,
    /// When the first one was sent.
    pub started: Option<Instant>,
    /// When the last one was sent.
    pub ended: Option<Instant>,
    /// Requests that an endpoint did not answer.
    pub failed_requests: u64,
    /// Transactions that were sent again because no block had them.
    pub resent: usize,
    /// Transactions that were signed beforehand.
    pub signed: usize,
    raw: HashMap<B256, Bytes>,
}

/// All connections with their accounts' transactions.
#[derive(Debug)]
pub struct Senders {
    lanes: Vec<Lane>,
}

/// One connection. Its accounts take turns, and each account's transactions keep their order.
#[derive(Debug)]
struct Lane {
    /// Its endpoint, and the ones to use when that does not answer.
    endpoints: VecDeque<Rpc>,
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
        let lanes = shares.into_iter().enumerate().map(|(index, share)| {
            let rpcs = endpoints.iter().map(|endpoint| Rpc::new(endpoint));
            let mut rpcs: VecDeque<Rpc> = rpcs.collect::<eyre::Result<_>>()?;
            rpcs.rotate_left(index % endpoints.len().max(1));
            Ok(Lane { endpoints: rpcs, queue: interleave(share).into_iter() })
        });
        Ok(Self { lanes: lanes.collect::<eyre::Result<_>>()? })
    }

    /// Sends for `duration`. Returns when all answers have arrived.
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
        let mut sent = Sent { started: Some(start), signed: total, ..Sent::default() };
        for task in tasks {
            let lane = task.await.wrap_err("a connection's task panicked")??;
            sent.accepted.extend(lane.accepted);
            sent.raw.extend(lane.raw);
            sent.failed_requests += lane.failed_requests;
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
    /// Number of transactions that this lane may send now, after `done`.
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
        // One more round after the end, so that a steady rate sends its last share.
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

    /// Sends a batch, to another endpoint where one does not answer, and returns how many of it were refused.
    async fn offer(&mut self, batch: Vec<Signed>, sent: &mut Sent) -> eyre::Result<usize> {
        let at = Instant::now();
        sent.ended = Some(at);
        for _ in 0..self.endpoints.len() {
            let calls = batch.iter().map(|signed| json!([signed.raw])).collect();
            match self.endpoint()?.batch("eth_sendRawTransaction", calls).await {
                Ok(answers) => return Ok(sent.note(at, batch, answers)),
                Err(error) => {
                    sent.failed_requests += 1;
                    tracing::debug!("sending goes on at another endpoint: {error:#}");
                    self.endpoints.rotate_left(1);
                }
            }
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        *sent.rejected.entry("no endpoint answers".into()).or_default() += count;
        Ok(batch.len())
    }

    fn endpoint(&self) -> eyre::Result<&Rpc> {
        self.endpoints.front().ok_or_else(|| eyre!("no endpoint"))
    }
}

impl Sent {
    /// Takes note of a batch's answers, and returns how many were refusals.
    fn note(&mut self, at: Instant, batch: Vec<Signed>, answers: BatchAnswers) -> usize {
        let mut refused = 0usize;
        for (signed, answer) in batch.into_iter().zip(answers) {
            match answer {
                // An endpoint that died may have gossiped it before.
                Err(text) if !text.contains(ALREADY_KNOWN) => {
                    refused = refused.saturating_add(1);
                    *self.rejected.entry(text).or_default() += 1;
                }
                _ => {
                    self.accepted.insert(signed.hash, at);
                    self.raw.insert(signed.hash, signed.raw);
                }
            }
        }
        refused
    }

    /// Waits until every accepted transaction was seen in a block, or for `patience`. Late transactions are sent again, to each
    /// endpoint in turn: a node that died before it gossiped a transaction has lost it.
    pub async fn settle(
        &mut self,
        watcher: &HeadWatcher,
        endpoints: &[String],
        patience: Duration,
    ) -> eyre::Result<()> {
        let deadline = Instant::now() + patience;
        let mut again = Instant::now() + RESEND_AFTER;
        let mut endpoints = endpoints.iter().cycle();
        loop {
            let unseen = watcher.unseen(&self.accepted);
            let now = Instant::now();
            if unseen.is_empty() || now >= deadline {
                return Ok(());
            }
            if now >= again
                && let Some(endpoint) = endpoints.next()
            {
                again = now + RESEND_AFTER;
                self.resent = self.resent.saturating_add(unseen.len());
                self.resend(&Rpc::new(endpoint)?, &unseen).await;
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
    }

    /// Sends transactions again. The answers are ignored: inclusion is read from blocks.
    async fn resend(&self, rpc: &Rpc, hashes: &[B256]) {
        for chunk in hashes.chunks(MAX_BATCH) {
            let raw = chunk.iter().filter_map(|hash| self.raw.get(hash));
            let sent = rpc.batch("eth_sendRawTransaction", raw.map(|raw| json!([raw])).collect()).await;
            if let Err(error) = sent {
                tracing::debug!("sending again failed: {error:#}");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
