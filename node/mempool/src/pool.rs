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

/// The effects of an admitted transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Added {
    /// The transaction with the same sender and nonce that it replaced.
    pub replaced: Option<B256>,
    /// Whether it is runnable. Otherwise it waits for an earlier nonce or for funds.
    pub pending: bool,
    /// Transactions that it made runnable, itself included.
    pub promoted: Vec<B256>,
    /// Transactions that were evicted to make room for it.
    pub evicted: Vec<B256>,
}

/// The effects of a block on the pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockUpdate {
    /// Transactions that became runnable.
    pub promoted: Vec<B256>,
    /// Transactions that left the pool: they were included, their nonce was used, or the sender's balance does not cover them.
    pub removed: Vec<B256>,
}

/// How full the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStatus {
    /// Runnable transactions.
    pub pending: usize,
    /// Transactions that wait for an earlier nonce or for funds.
    pub queued: usize,
    /// Encoded bytes of all transactions.
    pub bytes: usize,
}

/// One sender's transactions, for display.
#[derive(Debug, Clone, Default)]
pub struct SenderContent {
    /// The runnable ones, by nonce.
    pub pending: Vec<Arc<RecoveredTx>>,
    /// The queued ones, by nonce.
    pub queued: Vec<Arc<RecoveredTx>>,
}

/// The transactions that wait for a block. The crate's documentation states the rules.
#[derive(Debug)]
pub struct Mempool {
    pub(crate) config: PoolConfig,
    /// The rules of the next block, and what they demand of a transaction.
    rules: Rules,
    limits: TransactionLimits,
    pub(crate) base_fee: u64,
    /// The latest time that a caller passed. Transactions that become queued because others leave get this time.
    now_ms: u64,
    next_seq: u64,
    pub(crate) by_hash: BTreeMap<B256, (Address, u64)>,
    pub(crate) senders: BTreeMap<Address, SenderTxs>,
    /// One entry for each sender, in the order of eviction.
    pub(crate) order: BTreeSet<EvictionKey>,
    /// Whether the base fee has changed since the scores were computed. Eviction recomputes them when it needs them.
    pub(crate) order_is_stale: bool,
    /// For each account, the number of transactions in the pool that carry an authorization of it.
    promised: BTreeMap<Address, usize>,
    /// Queued transactions: (time in ms at which it became queued, arrival, hash).
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

    /// Admits a transaction.
    ///
    /// - `account`: the sender's account in the latest state.
    /// - `base_fee`: the next block's base fee, in wei per gas. As in geth, a transaction with a lower fee
    ///   cap is admitted. It is the first to be evicted.
    /// - `local`: whether it was submitted to this node. A local transaction is gossiped once it is runnable,
    ///   and the operator's fee cap applies to it.
    ///
    /// # Errors
    /// [`PoolError`]. The pool is then unchanged, except for the effects of a newer view of the account.
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
            // The caller read the account before a block that the pool has processed meanwhile.
            Some(known) if known.nonce > account.nonce => known,
            Some(known) if known != *account => {
                // The balance may be older than such a block too, so it is no reason to drop a transaction.
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

    /// Processes a committed block. Transactions in `included` leave the pool, and the transactions of
    /// accounts in `changed` are checked again. The sender of an included transaction that is missing from
    /// `changed` is assumed to have used that nonce. `rules` and `base_fee`, in wei per gas, are the next block's. When the
    /// rules change, transactions that they do not allow leave the pool.
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

    /// Removes every transaction that the rules of the next block do not allow, whatever the state is. The limits that hold only
    /// for users of this node are not applied to transactions that came from peers.
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

    /// Whether a block under `rules` may carry the transaction, judged by the transaction's form alone.
    #[must_use]
    pub fn allows_under(&self, rules: &Rules, tx: &RecoveredTx) -> bool {
        !matches!(check_form(&self.config, &TransactionLimits::of(rules), tx, false), Err(error) if error.is_never_valid())
    }

    /// Removes and returns a transaction that cannot be included for a reason that the pool does not check,
    /// such as a refusal by execution. The sender's later transactions become queued.
    pub fn remove(&mut self, hash: &B256) -> Option<Arc<RecoveredTx>> {
        let (sender, nonce) = *self.by_hash.get(hash)?;
        self.take(sender, nonce).map(|slot| slot.tx)
    }

    /// Removes the transactions that have been queued for the configured lifetime, and returns their hashes.
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
            // `remove` also removes the entry. This line ends the loop even if it did not.
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

    /// Whether the pool has a transaction with this hash.
    #[must_use]
    pub fn contains(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The sender of the transaction with this hash. It saves the caller a signature recovery.
    #[must_use]
    pub fn sender_of(&self, hash: &B256) -> Option<Address> {
        self.by_hash.get(hash).map(|(sender, _)| *sender)
    }

    /// The nonce after the account's runnable transactions; `None` if the pool has none. The next nonce is
    /// then the account's own.
    #[must_use]
    pub fn pending_nonce(&self, address: &Address) -> Option<u64> {
        self.senders.get(address).filter(|txs| txs.pending > 0).map(SenderTxs::next_nonce)
    }

    /// How full the pool is.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        PoolStatus { pending: self.pending, queued: self.by_hash.len() - self.pending, bytes: self.bytes }
    }

    /// All transactions, by sender.
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

    /// Checks a sender's transactions against its account again. Those with used nonces leave the pool. Those that the
    /// balance does not cover alone leave it too if `drop_unpayable` is set; otherwise they become queued.
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

    /// Inserts a transaction, and returns the one with the same nonce that it replaces. `account` is used if the
    /// pool has no other transaction of the sender.
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

    /// Removes a transaction. The sender's later ones become queued.
    pub(crate) fn take(&mut self, sender: Address, nonce: u64) -> Option<Slot> {
        let slot = self.detach(sender, nonce)?;
        // A removal makes no transaction runnable.
        self.refresh(sender, false, &mut Vec::new());
        Some(slot)
    }

    /// Removes a transaction without checking the sender's other ones again.
    fn detach(&mut self, sender: Address, nonce: u64) -> Option<Slot> {
        let mut slot = self.senders.get_mut(&sender)?.txs.remove(&nonce)?;
        self.unlink(&mut slot);
        Some(slot)
    }

    /// Removes a transaction that is no longer in its sender's chain from every index.
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

    /// Recomputes which of a sender's transactions are pending, and updates the indexes. `appended` means that
    /// the only change is a new last transaction.
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
