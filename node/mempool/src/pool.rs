//! The pool itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256};
use causeway_execution::{RecoveredTx, Rules, TransactionLimits};

use crate::account::AccountView;
use crate::admission::{authorities, check_account, check_delegated, check_form, encoded_bytes};
use crate::announce::Announcements;
use crate::config::PoolConfig;
use crate::error::PoolError;
use crate::sender::{EvictionKey, SenderTxs, Slot, cost, score};

/// What became of an admitted transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Added {
    /// The transaction with the same sender and nonce that it replaced.
    pub replaced: Option<B256>,
    /// Whether it can run now; otherwise it waits behind a nonce gap or for funds.
    pub pending: bool,
    /// Transactions that can run now because it came, itself included.
    pub promoted: Vec<B256>,
    /// Transactions that made room for it.
    pub evicted: Vec<B256>,
}

/// What a block changed in the pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockUpdate {
    /// Transactions that can run now and could not before.
    pub promoted: Vec<B256>,
    /// Transactions that left the pool: included, overtaken by nonce, or beyond the sender's balance.
    pub removed: Vec<B256>,
}

/// How full the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStatus {
    /// Transactions that can run.
    pub pending: usize,
    /// Transactions that wait for an earlier nonce or for funds.
    pub queued: usize,
    /// Encoded bytes of both.
    pub bytes: usize,
}

/// One sender's transactions, for display.
#[derive(Debug, Clone, Default)]
pub struct SenderContent {
    /// Those that can run, by nonce.
    pub pending: Vec<Arc<RecoveredTx>>,
    /// The others, by nonce.
    pub queued: Vec<Arc<RecoveredTx>>,
}

/// The transactions that wait for a block. See the crate's documentation for its rules.
#[derive(Debug)]
pub struct Mempool {
    pub(crate) config: PoolConfig,
    /// The rules of the next block, and what they demand of a transaction.
    rules: Rules,
    limits: TransactionLimits,
    pub(crate) base_fee: u64,
    /// The latest time told, for transactions that become queued when others leave.
    now_ms: u64,
    next_seq: u64,
    pub(crate) by_hash: BTreeMap<B256, (Address, u64)>,
    pub(crate) senders: BTreeMap<Address, SenderTxs>,
    /// One entry for each sender, the first to lose its last transaction first.
    pub(crate) order: BTreeSet<EvictionKey>,
    /// The base fee moved since scores were computed. They are computed anew when eviction needs them.
    pub(crate) order_is_stale: bool,
    /// How many transactions in the pool carry an authorization of an account.
    promised: BTreeMap<Address, usize>,
    /// Queued transactions by the time they became so.
    queued_since: BTreeSet<(u64, u64, B256)>,
    pub(crate) announcements: Announcements,
    pub(crate) pending: usize,
    pub(crate) bytes: usize,
}

impl Mempool {
    /// An empty pool. `rules` are those of the next block.
    #[must_use]
    pub fn new(config: PoolConfig, rules: &Rules) -> Self {
        Self {
            config,
            rules: *rules,
            limits: TransactionLimits::of(rules),
            base_fee: 0,
            now_ms: 0,
            next_seq: 0,
            by_hash: BTreeMap::new(),
            senders: BTreeMap::new(),
            order: BTreeSet::new(),
            order_is_stale: false,
            promised: BTreeMap::new(),
            queued_since: BTreeSet::new(),
            announcements: Announcements::default(),
            pending: 0,
            bytes: 0,
        }
    }

    /// The pool's limits.
    #[must_use]
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Admits a transaction or says why not.
    ///
    /// - `account`: the sender as the latest state shows it;
    /// - `base_fee`: that of the next block, in wei. A fee cap below it does not refuse a transaction (as
    ///   in geth), but such a transaction is the first to be evicted;
    /// - `local`: submitted to this node, hence announced once it can run, and held to the fee cap.
    ///
    /// # Errors
    /// [`PoolError`]; the pool is then as it was, but for what a newer view of the account changed.
    pub fn add(
        &mut self,
        tx: Arc<RecoveredTx>,
        account: &AccountView,
        base_fee: u64,
        now_ms: u64,
        local: bool,
    ) -> Result<Added, PoolError> {
        if self.by_hash.contains_key(&tx.hash) {
            return Err(PoolError::AlreadyKnown);
        }
        check_form(&self.config, &self.limits, &tx, local)?;
        self.observe(base_fee, now_ms);
        let sender = tx.sender;
        let mut update = BlockUpdate::default();
        let account = match self.senders.get(&sender).map(|pooled| pooled.account) {
            // The caller read the account before a block that the pool has already seen.
            Some(known) if known.nonce > account.nonce => known,
            Some(known) if known != *account => {
                // Nor is a balance read here a reason to drop what a block may have funded meanwhile.
                self.settle(sender, *account, false, &mut update);
                *account
            }
            _ => *account,
        };
        let pooled = self.senders.get(&sender);
        check_account(&self.config, &tx, &account, pooled)?;
        check_delegated(&tx, &account, pooled, self.promised.contains_key(&sender))?;
        let authorities = authorities(&tx, self.config.chain_id);
        let busy = |authority: &Address| self.senders.get(authority).is_some_and(|txs| txs.txs.len() > 1);
        if authorities.iter().any(busy) {
            return Err(PoolError::AuthorityReserved);
        }
        let slot = Slot {
            seq: self.next_seq,
            local,
            cost: cost(&tx),
            authorities,
            score: score(&tx, self.base_fee),
            floor: i128::MAX,
            pending: false,
            queued_since_ms: self.now_ms,
            announce_at_ms: None,
            tx,
        };
        let evicted = self.make_room(&slot, &account)?;
        self.next_seq = self.next_seq.saturating_add(1);
        let hash = slot.tx.hash;
        let mut promoted = update.promoted;
        let replaced = self.insert(slot, account, &mut promoted);
        let pending = promoted.contains(&hash);
        Ok(Added { replaced: replaced.map(|old| old.tx.hash), pending, promoted, evicted })
    }

    /// Takes note of a committed block: `included` leave the pool, and `changed` accounts are judged
    /// anew. An account of an included transaction that is missing from `changed` is taken to have used
    /// that nonce. `rules` and `base_fee`, in wei, are those of the next block; when the rules are others than before, what they
    /// do not allow leaves the pool.
    pub fn on_block(
        &mut self,
        included: &[B256],
        changed: &[(Address, AccountView)],
        rules: &Rules,
        base_fee: u64,
        now_ms: u64,
    ) -> BlockUpdate {
        self.observe(base_fee, now_ms);
        let mut accounts: BTreeMap<Address, AccountView> = BTreeMap::new();
        for hash in included {
            if let Some((sender, nonce)) = self.by_hash.get(hash).copied()
                && let Some(txs) = self.senders.get(&sender)
            {
                let account = accounts.entry(sender).or_insert(txs.account);
                account.nonce = account.nonce.max(nonce.saturating_add(1));
            }
        }
        for (address, account) in changed {
            if self.senders.contains_key(address) {
                accounts.insert(*address, *account);
            }
        }
        let mut update = BlockUpdate::default();
        for (sender, account) in accounts {
            self.settle(sender, account, true, &mut update);
        }
        if self.rules != *rules {
            (self.rules, self.limits) = (*rules, TransactionLimits::of(rules));
            self.judge_forms(&mut update);
        }
        update
    }

    /// Drops every transaction that the rules of the next block do not allow, whatever the state. What was admitted as another
    /// node's is not held to the limits for users of this one.
    fn judge_forms(&mut self, update: &mut BlockUpdate) {
        let allowed = |slot: &Slot| check_form(&self.config, &self.limits, &slot.tx, false).is_ok();
        let pooled = self.senders.values().flat_map(|txs| txs.txs.values());
        let gone: Vec<B256> = pooled.filter(|slot| !allowed(slot)).map(|slot| slot.tx.hash).collect();
        for hash in gone {
            if self.remove(&hash).is_some() {
                update.removed.push(hash);
            }
        }
        update.promoted.retain(|hash| self.by_hash.contains_key(hash));
    }

    /// Whether some block under `rules` may carry the transaction, as far as its form goes.
    #[must_use]
    pub fn allows_under(&self, rules: &Rules, tx: &RecoveredTx) -> bool {
        !matches!(check_form(&self.config, &TransactionLimits::of(rules), tx, false), Err(error) if error.is_never_valid())
    }

    /// Removes a transaction that cannot be included for a reason the pool does not know, such as one
    /// that execution refused. Those behind it become queued. Returns it.
    pub fn remove(&mut self, hash: &B256) -> Option<Arc<RecoveredTx>> {
        let (sender, nonce) = *self.by_hash.get(hash)?;
        self.take(sender, nonce).map(|slot| slot.tx)
    }

    /// Removes the transactions that have not been runnable for the configured lifetime, and returns
    /// their hashes.
    pub fn remove_expired(&mut self, now_ms: u64) -> Vec<B256> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut expired = Vec::new();
        while let Some(&entry) = self.queued_since.first() {
            let (since, _, hash) = entry;
            if since.saturating_add(self.config.queued_lifetime_ms) > self.now_ms {
                break;
            }
            if self.remove(&hash).is_some() {
                expired.push(hash);
            }
            // Removal takes the entry along; the loop must end even if it did not.
            self.queued_since.remove(&entry);
        }
        expired
    }

    /// The transaction with this hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<Arc<RecoveredTx>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.senders.get(sender)?.txs.get(nonce).map(|slot| Arc::clone(&slot.tx))
    }

    /// Whether the pool holds it.
    #[must_use]
    pub fn contains(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// Who signed the transaction with this hash, sparing a signature recovery.
    #[must_use]
    pub fn sender_of(&self, hash: &B256) -> Option<Address> {
        self.by_hash.get(hash).map(|(sender, _)| *sender)
    }

    /// The nonce after the account's runnable transactions; `None` when the pool holds none, and the
    /// account's own nonce counts.
    #[must_use]
    pub fn pending_nonce(&self, address: &Address) -> Option<u64> {
        self.senders.get(address).filter(|txs| txs.pending > 0).map(SenderTxs::next_nonce)
    }

    /// How full the pool is.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        PoolStatus { pending: self.pending, queued: self.by_hash.len() - self.pending, bytes: self.bytes }
    }

    /// Everything, by sender.
    #[must_use]
    pub fn content(&self) -> BTreeMap<Address, SenderContent> {
        self.senders.keys().map(|sender| (*sender, self.content_of(sender))).collect()
    }

    /// One sender's transactions.
    #[must_use]
    pub fn content_of(&self, sender: &Address) -> SenderContent {
        let mut content = SenderContent::default();
        if let Some(txs) = self.senders.get(sender) {
            for slot in txs.txs.values() {
                let list = if slot.pending { &mut content.pending } else { &mut content.queued };
                list.push(Arc::clone(&slot.tx));
            }
        }
        content
    }

    /// All hashes, in no meaningful order.
    pub fn hashes(&self) -> impl Iterator<Item = B256> + '_ {
        self.by_hash.keys().copied()
    }

    pub(crate) fn slot_mut(&mut self, hash: &B256) -> Option<&mut Slot> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.senders.get_mut(sender)?.txs.get_mut(nonce)
    }

    fn observe(&mut self, base_fee: u64, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        if self.base_fee != base_fee {
            self.base_fee = base_fee;
            self.order_is_stale = true;
        }
    }

    /// Judges a sender anew against its account. Used nonces leave; so do transactions that the balance does not cover
    /// by itself, if `drop_unpayable`, and otherwise they wait.
    fn settle(&mut self, sender: Address, account: AccountView, drop_unpayable: bool, update: &mut BlockUpdate) {
        let Some(txs) = self.senders.get_mut(&sender) else { return };
        txs.account = account;
        let gone: Vec<u64> = txs
            .txs
            .iter()
            .filter(|(nonce, slot)| **nonce < account.nonce || (drop_unpayable && slot.cost > account.balance))
            .map(|(nonce, _)| *nonce)
            .collect();
        for nonce in gone {
            if let Some(slot) = self.detach(sender, nonce) {
                update.removed.push(slot.tx.hash);
            }
        }
        self.refresh(sender, false, &mut update.promoted);
    }

    /// Puts a transaction in, in place of one with the same nonce. `account` is used when the pool knows
    /// nothing of the sender yet.
    pub(crate) fn insert(&mut self, slot: Slot, account: AccountView, promoted: &mut Vec<B256>) -> Option<Slot> {
        let (sender, nonce, hash) = (slot.tx.sender, slot.tx.tx.nonce(), slot.tx.hash);
        self.bytes += encoded_bytes(&slot.tx);
        self.by_hash.insert(hash, (sender, nonce));
        for authority in &slot.authorities {
            *self.promised.entry(*authority).or_default() += 1;
        }
        self.queued_since.insert((slot.queued_since_ms, slot.seq, hash));
        let txs = self.senders.entry(sender).or_insert_with(|| SenderTxs { account, ..SenderTxs::default() });
        let is_last = txs.txs.keys().next_back().is_none_or(|last| *last < nonce);
        let mut old = txs.txs.insert(nonce, slot);
        if let Some(old) = &mut old {
            self.unlink(old);
        }
        self.refresh(sender, is_last, promoted);
        old
    }

    /// Takes a transaction out; those behind it become queued.
    pub(crate) fn take(&mut self, sender: Address, nonce: u64) -> Option<Slot> {
        let slot = self.detach(sender, nonce)?;
        // Removing one promotes none of the others.
        self.refresh(sender, false, &mut Vec::new());
        Some(slot)
    }

    /// Takes a transaction out without judging the others anew.
    fn detach(&mut self, sender: Address, nonce: u64) -> Option<Slot> {
        let mut slot = self.senders.get_mut(&sender)?.txs.remove(&nonce)?;
        self.unlink(&mut slot);
        Some(slot)
    }

    /// Removes a transaction that left its sender's chain from every index, and resets its standing.
    fn unlink(&mut self, slot: &mut Slot) {
        self.bytes -= encoded_bytes(&slot.tx);
        self.by_hash.remove(&slot.tx.hash);
        for authority in &slot.authorities {
            if let Some(count) = self.promised.get_mut(authority) {
                *count -= 1;
                if *count == 0 {
                    self.promised.remove(authority);
                }
            }
        }
        self.announcements.cancel(slot);
        if slot.pending {
            self.pending -= 1;
            slot.pending = false;
        } else {
            self.queued_since.remove(&(slot.queued_since_ms, slot.seq, slot.tx.hash));
        }
    }

    /// Judges a sender's transactions anew and updates the indexes. `appended`: all that happened is that
    /// one came behind the others.
    fn refresh(&mut self, sender: Address, appended: bool, promoted: &mut Vec<B256>) {
        let Some(txs) = self.senders.get_mut(&sender) else { return };
        if let Some(key) = txs.key.take() {
            self.order.remove(&key);
        }
        if txs.txs.is_empty() {
            self.senders.remove(&sender);
            return;
        }
        let extended = if appended { txs.extend() } else { None };
        let changed = match extended {
            Some(nonce) => vec![nonce],
            None => txs.recompute(),
        };
        for nonce in changed {
            let Some(slot) = txs.txs.get_mut(&nonce) else { continue };
            let hash = slot.tx.hash;
            if slot.pending {
                self.queued_since.remove(&(slot.queued_since_ms, slot.seq, hash));
                self.pending += 1;
                self.announcements.schedule(slot, self.now_ms);
                promoted.push(hash);
            } else {
                slot.queued_since_ms = self.now_ms;
                self.queued_since.insert((slot.queued_since_ms, slot.seq, hash));
                self.pending -= 1;
                self.announcements.cancel(slot);
            }
        }
        txs.key = txs.eviction_key(sender, 0);
        self.order.extend(txs.key);
    }
}
