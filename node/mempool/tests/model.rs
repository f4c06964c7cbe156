//! The pool against a naive one that keeps a list and recomputes everything from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::support::{best, config, rules, sender, signed, transfer};
use alloy_consensus::{Transaction, TxEip1559};
use alloy_primitives::{Address, B256, U256};
use causeway_execution::RecoveredTx;
use causeway_mempool::{
    AccountCode, AccountView, Added, MAX_EVICTIONS_PER_ADD, Mempool, PoolConfig, PoolError, PoolStatus,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

#[derive(Clone)]
struct Entry {
    tx: Arc<RecoveredTx>,
    seq: u64,
    queued_since_ms: u64,
    was_pending: bool,
}

/// Answers every question by a walk over `entries`.
#[derive(Clone)]
struct Model {
    config: PoolConfig,
    accounts: BTreeMap<Address, AccountView>,
    entries: Vec<Entry>,
    base_fee: u64,
    now_ms: u64,
    next_seq: u64,
}

impl Model {
    fn cost(tx: &RecoveredTx) -> U256 {
        U256::from(tx.tx.gas_limit()) * U256::from(tx.tx.max_fee_per_gas()) + tx.tx.value()
    }

    fn score(&self, tx: &RecoveredTx) -> i128 {
        let room = i128::try_from(tx.tx.max_fee_per_gas()).unwrap() - i128::from(self.base_fee);
        room.min(i128::try_from(tx.tx.priority_fee_or_price()).unwrap())
    }

    fn of(&self, sender: Address) -> Vec<&Entry> {
        let mut own: Vec<&Entry> = self.entries.iter().filter(|entry| entry.tx.sender == sender).collect();
        own.sort_by_key(|entry| entry.tx.tx.nonce());
        own
    }

    fn pending(&self, sender: Address) -> Vec<&Entry> {
        let account = self.accounts[&sender];
        let (mut nonce, mut spent) = (account.nonce, U256::ZERO);
        let mut pending = Vec::new();
        for entry in self.of(sender) {
            spent += Self::cost(&entry.tx);
            if entry.tx.tx.nonce() != nonce || spent > account.balance {
                break;
            }
            pending.push(entry);
            nonce += 1;
        }
        pending
    }

    fn is_pending(&self, hash: B256) -> bool {
        self.accounts.keys().any(|sender| self.pending(*sender).iter().any(|entry| entry.tx.hash == hash))
    }

    fn status(&self) -> PoolStatus {
        let pending = self.accounts.keys().map(|sender| self.pending(*sender).len()).sum();
        let bytes = self.entries.iter().map(|entry| entry.tx.size).sum();
        PoolStatus { pending, queued: self.entries.len() - pending, bytes }
    }

    /// Records the time at which transactions became queued.
    fn settle(&mut self) {
        let standing: Vec<bool> = self.entries.iter().map(|entry| self.is_pending(entry.tx.hash)).collect();
        for (entry, pending) in self.entries.iter_mut().zip(standing) {
            if entry.was_pending && !pending {
                entry.queued_since_ms = self.now_ms;
            }
            entry.was_pending = pending;
        }
    }

    fn add(&mut self, tx: Arc<RecoveredTx>) -> Result<(Option<B256>, Vec<B256>), PoolError> {
        if self.entries.iter().any(|entry| entry.tx.hash == tx.hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let (from, nonce, cost) = (tx.sender, tx.tx.nonce(), Self::cost(&tx));
        let account = self.accounts[&from];
        if nonce < account.nonce {
            return Err(PoolError::NonceTooLow { next: account.nonce, nonce });
        }
        if cost > account.balance {
            return Err(PoolError::InsufficientFunds { balance: account.balance, cost });
        }
        let pending = self.pending(from);
        let queued: U256 =
            pending.iter().filter(|entry| entry.tx.tx.nonce() != nonce).map(|entry| Self::cost(&entry.tx)).sum();
        if queued + cost > account.balance {
            return Err(PoolError::Overdraft { balance: account.balance, queued, cost });
        }
        let next = account.nonce + pending.len() as u64;
        let own = self.of(from);
        let old = own.iter().find(|entry| entry.tx.tx.nonce() == nonce).map(|entry| (*entry).clone());
        if let Some(old) = &old {
            let dearer = |new: u128, old: u128| new > old && new * 100 >= old * 110 / 100 * 100;
            if !dearer(tx.tx.max_fee_per_gas(), old.tx.tx.max_fee_per_gas())
                || !dearer(tx.tx.priority_fee_or_price(), old.tx.tx.priority_fee_or_price())
            {
                return Err(PoolError::ReplacementUnderpriced);
            }
        } else if own.len() >= self.config.per_sender_slots
            || (nonce > next && own.len() - pending.len() >= self.config.per_sender_queued)
        {
            return Err(PoolError::AccountLimit { pooled: own.len() });
        }
        let will_be_pending = old.as_ref().map_or(nonce == next, |old| self.is_pending(old.tx.hash));
        let floor = own
            .iter()
            .filter(|entry| entry.tx.tx.nonce() < nonce)
            .map(|entry| self.score(&entry.tx))
            .chain([self.score(&tx)])
            .min()
            .unwrap();
        let mut after = self.clone();
        after.entries.retain(|entry| old.as_ref().is_none_or(|old| old.tx.hash != entry.tx.hash));
        let mut evicted = Vec::new();
        loop {
            let status = after.status();
            // Without the old one, the later ones look queued. They do not count against a runnable one.
            let queued = status.queued + 1;
            let fits = after.entries.len() < self.config.max_transactions
                && status.bytes + tx.size <= self.config.max_bytes
                && (will_be_pending || queued <= self.config.max_queued);
            if fits {
                break;
            }
            if evicted.len() == MAX_EVICTIONS_PER_ADD {
                return Err(PoolError::Full);
            }
            let key = |other: &Address| {
                let own = after.of(*other);
                let tail = own.last()?;
                let floor = own.iter().map(|entry| self.score(&entry.tx)).min()?;
                Some((after.is_pending(tail.tx.hash), floor, u64::MAX - tail.seq, tail.tx.hash))
            };
            let victim = self.accounts.keys().filter(|other| **other != from).filter_map(key).min();
            let Some((pending, rank, _, hash)) = victim else { return Err(PoolError::Full) };
            if (pending, rank) >= (will_be_pending, floor) {
                return Err(if pending == will_be_pending {
                    PoolError::Underpriced { tip: floor, needed: rank }
                } else {
                    PoolError::Full
                });
            }
            after.entries.retain(|entry| entry.tx.hash != hash);
            evicted.push(hash);
        }
        after.entries.push(Entry { tx, seq: self.next_seq, queued_since_ms: self.now_ms, was_pending: false });
        after.next_seq += 1;
        *self = after;
        self.settle();
        Ok((old.map(|old| old.tx.hash), evicted))
    }

    fn best(&self, base_fee: u64) -> Vec<B256> {
        let at = Self { base_fee, ..self.clone() };
        let mut chains: Vec<Vec<&Entry>> = at.accounts.keys().map(|sender| at.pending(*sender)).collect();
        let mut order = Vec::new();
        loop {
            let heads = chains.iter().enumerate().filter_map(|(i, chain)| Some((i, *chain.first()?)));
            let heads = heads.filter(|(_, head)| at.score(&head.tx) >= 0);
            let Some((i, head)) = heads.max_by_key(|(_, head)| (at.score(&head.tx), u64::MAX - head.seq)) else {
                return order;
            };
            order.push(head.tx.hash);
            chains[i].remove(0);
        }
    }

    fn on_block(&mut self) {
        let accounts = self.accounts.clone();
        self.entries.retain(|entry| {
            let account = accounts[&entry.tx.sender];
            entry.tx.tx.nonce() >= account.nonce && Self::cost(&entry.tx) <= account.balance
        });
        self.settle();
    }

    fn remove(&mut self, hash: B256) {
        self.entries.retain(|entry| entry.tx.hash != hash);
        self.settle();
    }

    fn remove_expired(&mut self) -> Vec<B256> {
        let mut gone = Vec::new();
        loop {
            let lifetime = self.config.queued_lifetime_ms;
            let expired = self
                .entries
                .iter()
                .filter(|entry| !entry.was_pending && entry.queued_since_ms + lifetime <= self.now_ms)
                .min_by_key(|entry| (entry.queued_since_ms, entry.seq));
            let Some(hash) = expired.map(|entry| entry.tx.hash) else { return gone };
            gone.push(hash);
            self.remove(hash);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Add { from: u8, nonce: u64, cap: u128, tip: u128, value: u64, data: usize },
    Block { include: usize, base_fee: u64, balances: Vec<(u8, u64)> },
    Remove { place: usize },
    Again { place: usize },
    Wait { ms: u64 },
}

const SENDERS: u8 = 5;

fn step() -> impl Strategy<Value = Step> {
    let tip = prop_oneof![0u128..40, Just(10u128)];
    let add = (1..=SENDERS, 0u64..7, 40u128..140, tip, 0u64..400_000, prop_oneof![4 => Just(0usize), 1 => 0usize..400]);
    prop_oneof![
        12 => add.prop_map(|(from, nonce, cap, tip, value, data)| Step::Add { from, nonce, cap, tip, value, data }),
        2 => (0usize..4, 0u64..120, prop::collection::vec((1..=SENDERS, 0u64..30_000_000), 0..3))
            .prop_map(|(include, base_fee, balances)| Step::Block { include, base_fee, balances }),
        1 => any::<usize>().prop_map(|place| Step::Remove { place }),
        1 => any::<usize>().prop_map(|place| Step::Again { place }),
        1 => (0u64..800).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn limits() -> impl Strategy<Value = PoolConfig> {
    (2usize..16, 500usize..3_000, 1usize..8, 1usize..8, 1usize..6).prop_map(|(count, bytes, queued, slots, own)| {
        PoolConfig {
            max_transactions: count,
            max_bytes: bytes,
            max_queued: queued,
            per_sender_slots: slots,
            per_sender_queued: own,
            queued_lifetime_ms: 1_000,
            ..config()
        }
    })
}

fn compare(pool: &Mempool, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(pool.status(), model.status());
    let mut hashes: Vec<B256> = model.entries.iter().map(|entry| entry.tx.hash).collect();
    hashes.sort();
    prop_assert_eq!(pool.hashes().collect::<Vec<_>>(), hashes);
    for base_fee in [0, model.base_fee, 90] {
        prop_assert_eq!(best(pool, base_fee), model.best(base_fee));
    }
    for (sender, account) in &model.accounts {
        let pending = model.pending(*sender);
        let next = (!pending.is_empty()).then(|| account.nonce + pending.len() as u64);
        prop_assert_eq!(pool.pending_nonce(sender), next);
        let listed: Vec<B256> = pool.content_of(sender).pending.iter().map(|tx| tx.hash).collect();
        prop_assert_eq!(listed, pending.iter().map(|entry| entry.tx.hash).collect::<Vec<_>>());
    }
    prop_assert!(pool.status().pending + pool.status().queued <= model.config.max_transactions);
    prop_assert!(pool.status().bytes <= model.config.max_bytes);
    Ok(())
}

/// The events of a history. A test checks that the histories reach every rule.
type Seen = BTreeSet<&'static str>;

fn label(outcome: &Result<Added, PoolError>) -> &'static str {
    match outcome {
        Ok(added) if added.evicted.len() > 1 => "several evicted",
        Ok(added) if !added.evicted.is_empty() && !added.pending => "evicted by a queued one",
        Ok(added) if !added.evicted.is_empty() => "evicted",
        Ok(added) if added.replaced.is_some() => "replaced",
        Ok(added) if added.promoted.len() > 1 => "gap filled",
        Ok(added) if added.pending => "pending",
        Ok(_) => "queued",
        Err(PoolError::AlreadyKnown) => "known",
        Err(PoolError::NonceTooLow { .. }) => "nonce too low",
        Err(PoolError::InsufficientFunds { .. }) => "insufficient funds",
        Err(PoolError::Overdraft { .. }) => "overdraft",
        Err(PoolError::ReplacementUnderpriced) => "replacement underpriced",
        Err(PoolError::AccountLimit { .. }) => "account limit",
        Err(PoolError::Underpriced { .. }) => "underpriced",
        Err(PoolError::Full) => "full",
        Err(_) => "other",
    }
}

fn run(config: PoolConfig, steps: Vec<Step>, seen: &mut Seen) -> Result<(), TestCaseError> {
    let mut pool = Mempool::new(config.clone(), &rules());
    let poor = |balance: u64| AccountView { nonce: 0, balance: U256::from(balance), code: AccountCode::None };
    let accounts = (1..=SENDERS).map(|tag| (sender(tag), poor(20_000_000))).collect();
    let mut model = Model { config, accounts, entries: Vec::new(), base_fee: 0, now_ms: 0, next_seq: 0 };
    for step in steps {
        match step {
            Step::Add { from, nonce, cap, tip, value, data } => {
                let account = model.accounts[&sender(from)];
                let tx = TxEip1559 {
                    max_fee_per_gas: cap,
                    max_priority_fee_per_gas: tip,
                    value: U256::from(value),
                    input: vec![0; data].into(),
                    gas_limit: 21_000 + 40 * data as u64,
                    ..transfer((account.nonce + nonce).saturating_sub(1))
                };
                let tx = signed(tx, sender(from));
                let added = pool.add(tx.clone(), &account, model.base_fee, model.now_ms, false);
                let expected = model.add(tx.clone());
                seen.insert(label(&added));
                prop_assert_eq!(added.clone().map(|added| (added.replaced, added.evicted)), expected);
                if let Ok(added) = added {
                    prop_assert_eq!(added.pending, model.is_pending(tx.hash));
                }
            }
            Step::Block { include, base_fee, balances } => {
                let included: Vec<Arc<RecoveredTx>> = pool.best(model.base_fee).take(include).collect();
                for tx in &included {
                    model.accounts.get_mut(&tx.sender).unwrap().nonce = tx.tx.nonce() + 1;
                }
                for (tag, balance) in balances {
                    model.accounts.get_mut(&sender(tag)).unwrap().balance = U256::from(balance);
                }
                let hashes: Vec<B256> = included.iter().map(|tx| tx.hash).collect();
                let changed: Vec<_> = model.accounts.iter().map(|(address, account)| (*address, *account)).collect();
                model.base_fee = base_fee;
                let update = pool.on_block(&hashes, &changed, &rules(), base_fee, model.now_ms);
                let before = model.entries.len();
                model.on_block();
                seen.extend((!update.promoted.is_empty()).then_some("promoted by a block"));
                seen.extend((update.removed.len() > included.len()).then_some("removed unincluded"));
                prop_assert_eq!(update.removed.len(), before - model.entries.len());
            }
            Step::Remove { place } => {
                if let Some(hash) = model.entries.get(place % model.entries.len().max(1)).map(|entry| entry.tx.hash) {
                    prop_assert_eq!(pool.remove(&hash).unwrap().hash, hash);
                    model.remove(hash);
                }
            }
            Step::Again { place } => {
                if let Some(tx) = model.entries.get(place % model.entries.len().max(1)).map(|entry| entry.tx.clone()) {
                    let added = pool.add(tx.clone(), &model.accounts[&tx.sender], model.base_fee, model.now_ms, true);
                    seen.insert(label(&added));
                    prop_assert_eq!(added.unwrap_err(), model.add(tx).unwrap_err());
                }
            }
            Step::Wait { ms } => {
                model.now_ms += ms;
                let expired = pool.remove_expired(model.now_ms);
                seen.extend((!expired.is_empty()).then_some("expired"));
                prop_assert_eq!(expired, model.remove_expired());
            }
        }
        compare(&pool, &model)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn pool_does_what_the_naive_one_does(config in limits(), steps in prop::collection::vec(step(), 1..80)) {
        run(config, steps, &mut Seen::new())?;
    }
}

#[test]
fn histories_reach_every_rule() {
    let mut runner = TestRunner::deterministic();
    let histories = (limits(), prop::collection::vec(step(), 1..80));
    let mut seen = Seen::new();
    for _ in 0..400 {
        let (config, steps) = histories.new_tree(&mut runner).unwrap().current();
        run(config, steps, &mut seen).unwrap();
    }
    let every: Seen = [
        "several evicted",
        "evicted by a queued one",
        "evicted",
        "replaced",
        "gap filled",
        "pending",
        "queued",
        "known",
        "nonce too low",
        "insufficient funds",
        "overdraft",
        "replacement underpriced",
        "account limit",
        "underpriced",
        "full",
        "promoted by a block",
        "removed unincluded",
        "expired",
    ]
    .into();
    assert_eq!(seen, every);
}
