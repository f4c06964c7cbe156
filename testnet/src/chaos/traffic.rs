//! Transfers during the run: sent to nodes that may be down, sent again until they are in a block, until a receipt is returned.
//!
//! A returned receipt is an acknowledgement: at the end every node must have it, with the same block.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    chaos::observe::{Court, REQUEST_PATIENCE},
    load::plan::Signed,
    rpc::{BatchAnswers, Rpc},
};

/// How often a lane sends.
const TICK: Duration = Duration::from_millis(50);
/// A transaction that is in no block for this long is sent again: a node that died may have lost it.
const RESEND_AFTER: Duration = Duration::from_secs(3);
/// Pending transactions of one account.
const ACCOUNT_WINDOW: usize = 16;
/// Most calls in one request.
const MAX_BATCH: usize = 100;

/// A receipt as a node returned it: the height and hash of its block.
pub type Acknowledged = HashMap<B256, (u64, B256)>;

/// Counts of all lanes.
#[derive(Debug, Default)]
pub struct Tally {
    /// Transactions offered at least once.
    pub offered: usize,
    /// Transactions offered again.
    pub resent: usize,
    /// Requests that got no answer in time.
    pub unanswered: usize,
    /// Transactions offered that are in no block yet.
    pub under_way: usize,
    /// Receipts that were returned.
    pub acknowledged: Acknowledged,
}

/// Sends transfers until this is dropped.
#[derive(Debug)]
pub struct Traffic {
    tally: Arc<Mutex<Tally>>,
    stop: tokio::sync::watch::Sender<bool>,
    lanes: JoinSet<()>,
}

#[derive(Debug)]
struct UnderWay {
    raw: Bytes,
    offered: Instant,
}

#[derive(Debug, Default)]
struct Account {
    queue: VecDeque<Signed>,
    under_way: Vec<(B256, UnderWay)>,
}

struct Lane {
    endpoints: VecDeque<Rpc>,
    accounts: Vec<Account>,
    per_second: f64,
    court: Court,
    tally: Arc<Mutex<Tally>>,
    stop: tokio::sync::watch::Receiver<bool>,
    turn: usize,
    /// Included transactions whose receipt no node has returned yet.
    unconfirmed: Vec<B256>,
    /// This lane's part of the sum in the tally.
    noted: usize,
}

impl Traffic {
    /// Sends each account's transactions in order, `rate` a second in all. Each node has a lane, which moves on to the next node when it is down.
    pub fn start(nodes: &[Rpc], accounts: Vec<Vec<Signed>>, rate: u32, court: &Court) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut shares: Vec<Vec<Account>> = nodes.iter().map(|_| Vec::new()).collect();
        let count = shares.len().max(1);
        for (index, queue) in accounts.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(index % count) {
                share.push(Account { queue: queue.into(), under_way: Vec::new() });
            }
        }
        let mut lanes = JoinSet::new();
        for (index, accounts) in shares.into_iter().enumerate() {
            let mut endpoints: VecDeque<Rpc> = nodes.iter().cloned().collect();
            endpoints.rotate_left(index);
            let lane = Lane {
                endpoints,
                accounts,
                per_second: f64::from(rate) / count as f64,
                court: court.clone(),
                tally: Arc::clone(&tally),
                stop: stopped.clone(),
                turn: 0,
                unconfirmed: Vec::new(),
                noted: 0,
            };
            lanes.spawn(lane.run());
        }
        Self { tally, stop, lanes }
    }

    /// Stops new transactions; pending ones are still sent again and confirmed.
    pub fn stop_sending(&self) {
        self.stop.send_replace(true);
    }

    /// Number of transactions without a block or without a returned receipt.
    pub fn under_way(&self) -> usize {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).under_way
    }

    /// Ends the lanes and returns their counts.
    pub async fn finish(mut self) -> Tally {
        self.lanes.shutdown().await;
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lane {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut due = 0.0f64;
        let mut last = Instant::now();
        loop {
            tick.tick().await;
            let now = Instant::now();
            due += self.per_second * now.duration_since(last).as_secs_f64();
            // After a node hung, the missed transactions are not all sent at once.
            due = due.min(MAX_BATCH as f64);
            last = now;
            self.settle();
            let mut batch = self.late(now);
            let resent = batch.len();
            if !*self.stop.borrow() {
                let new = self.take_new(due as usize, now);
                due -= new.len() as f64;
                batch.extend(new);
            }
            if !batch.is_empty() {
                self.offer(&batch, resent).await;
            }
            self.confirm().await;
            let under_way = self.accounts.iter().map(|account| account.under_way.len()).sum::<usize>();
            self.note(under_way.saturating_add(self.unconfirmed.len()));
        }
    }

    /// Removes transactions that were seen in a block.
    fn settle(&mut self) {
        let judge = self.court.judge();
        for account in &mut self.accounts {
            account.under_way.retain(|(hash, _)| {
                let included = judge.block_of(hash).is_some();
                if included {
                    self.unconfirmed.push(*hash);
                }
                !included
            });
        }
    }

    fn late(&mut self, now: Instant) -> Vec<Bytes> {
        let all = self.accounts.iter_mut().flat_map(|account| account.under_way.iter_mut());
        let late = all.filter(|(_, waits)| now.duration_since(waits.offered) >= RESEND_AFTER).take(MAX_BATCH);
        let raw = late.map(|(_, waits)| {
            waits.offered = now;
            waits.raw.clone()
        });
        raw.collect()
    }

    fn take_new(&mut self, count: usize, now: Instant) -> Vec<Bytes> {
        let mut taken = Vec::new();
        for _ in 0..self.accounts.len() {
            if taken.len() >= count {
                break;
            }
            self.turn = self.turn.wrapping_add(1) % self.accounts.len().max(1);
            let Some(account) = self.accounts.get_mut(self.turn) else { break };
            if account.under_way.len() >= ACCOUNT_WINDOW {
                continue;
            }
            if let Some(signed) = account.queue.pop_front() {
                taken.push(signed.raw.clone());
                account.under_way.push((signed.hash, UnderWay { raw: signed.raw, offered: now }));
            }
        }
        taken
    }

    /// A refusal is ignored: inclusion is read from blocks, and everything else is sent again.
    async fn offer(&mut self, batch: &[Bytes], resent: usize) {
        {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.offered = tally.offered.saturating_add(batch.len().saturating_sub(resent));
            tally.resent = tally.resent.saturating_add(resent);
        }
        for chunk in batch.chunks(MAX_BATCH) {
            self.ask("eth_sendRawTransaction", chunk.iter().map(|raw| json!([raw])).collect()).await;
        }
        if resent > 0 {
            // The next time another node is used: this one may not gossip them.
            self.endpoints.rotate_left(1);
        }
    }

    async fn confirm(&mut self) {
        let asked: Vec<B256> = self.unconfirmed.iter().take(MAX_BATCH).copied().collect();
        if asked.is_empty() {
            return;
        }
        let calls = asked.iter().map(|hash| json!([hash])).collect();
        let Some(answers) = self.ask("eth_getTransactionReceipt", calls).await else { return };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, answer) in asked.iter().zip(answers) {
            // A node that is behind has no receipt yet.
            if let Some(place) = answer.ok().as_ref().and_then(place) {
                tally.acknowledged.insert(*hash, place);
            }
        }
        self.unconfirmed.retain(|hash| !tally.acknowledged.contains_key(hash));
    }

    /// Asks the lane's node; moves on to the next where it does not answer.
    async fn ask(&mut self, method: &'static str, calls: Vec<Value>) -> Option<BatchAnswers> {
        let rpc = self.endpoints.front()?.clone();
        if let Ok(Ok(answers)) = tokio::time::timeout(REQUEST_PATIENCE, rpc.batch(method, calls)).await {
            return Some(answers);
        }
        self.endpoints.rotate_left(1);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.unanswered = tally.unanswered.saturating_add(1);
        None
    }

    /// The sum over the lanes is updated by the difference.
    fn note(&mut self, under_way: usize) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.under_way = tally.under_way.saturating_sub(self.noted).saturating_add(under_way);
        self.noted = under_way;
    }
}

/// Height and hash of the block that a receipt names.
pub fn place(receipt: &Value) -> Option<(u64, B256)> {
    let number = u64::from_str_radix(receipt["blockNumber"].as_str()?.strip_prefix("0x")?, 16).ok()?;
    Some((number, serde_json::from_value(receipt["blockHash"].clone()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_its_block() {
        let hash = B256::repeat_byte(3);
        assert_eq!(place(&json!({ "blockNumber": "0x1f", "blockHash": hash })), Some((31, hash)));
        assert_eq!(place(&Value::Null), None);
        assert_eq!(place(&json!({ "blockNumber": "31", "blockHash": hash })), None);
    }
}
