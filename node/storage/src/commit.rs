//! Makes a decided block durable: one synced batch, then the head moves.

use crate::{
    codec::{HeaderRow, TransactionPlace},
    engine::Batch,
    error::StorageError,
    logs,
    options::HistoryDepth,
    peg,
    schema::{
        AccountsTable, BodiesTable, CertificatesTable, CodeTable, HeadTable, HeadersTable, HorizonTable, Identity,
        IdentityTable, NodesTable, NumbersTable, Only, ReceiptsTable, SendersTable, SlotsTable, TransactionsTable,
    },
    storage::{Storage, Store},
    view::StateView,
};
use alloy_primitives::{B256, U256};
use causeway_consensus::CommitCertificate;
use causeway_execution::{ExecutedBlock, Transaction};
use std::sync::{Arc, atomic::Ordering};

impl Storage {
    /// Makes a decided block durable. When this returns `Ok`, the block, its state, receipts, indexes and certificate
    /// survive a power cut, and the head, [`Self::latest`] and the listeners have moved to it.
    ///
    /// # Errors
    /// [`StorageError::Gap`], [`StorageError::WrongPreviousBlock`], [`StorageError::WrongCertificate`] and
    /// [`StorageError::Inconsistent`] when it does not follow the head; then nothing has changed. When
    /// [`StorageError::is_fatal`], the write failed and may or may not be visible after a restart: the node must stop, and
    /// every further commit returns [`StorageError::Halted`].
    pub fn commit(&self, executed: &Arc<ExecutedBlock>, certificate: &CommitCertificate) -> Result<(), StorageError> {
        self.store.commit(executed, certificate)
    }
}

impl Store {
    pub(crate) fn commit_genesis(&self, identity: &Identity, executed: &ExecutedBlock) -> Result<(), StorageError> {
        let mut batch = self.engine.batch();
        batch.put::<IdentityTable>(&Only, identity);
        // No state precedes genesis, so history entries would never be read: only the latest values are written.
        put_state_without_history(&mut batch, executed);
        put_block(&mut batch, executed);
        batch.commit()
    }

    fn commit(
        self: &Arc<Self>,
        executed: &Arc<ExecutedBlock>,
        certificate: &CommitCertificate,
    ) -> Result<(), StorageError> {
        let _one_at_a_time = self.committing.lock();
        if self.engine.is_halted() {
            return Err(StorageError::Halted);
        }
        let number = self.check(executed, certificate)?;
        let horizon = self.horizon_after(number);
        let mut batch = self.engine.batch();
        put_block(&mut batch, executed);
        batch.put::<CertificatesTable>(&number, certificate);
        if horizon > self.horizon.load(Ordering::SeqCst) {
            batch.put::<HorizonTable>(&Only, &horizon);
        }
        self.put_state(&mut batch, executed, number)?;

        // From here on readers must expect this block's values: see the module documentation of `view`.
        self.begun.store(number, Ordering::SeqCst);
        batch.commit().inspect_err(|error| tracing::error!(number, %error, "a block could not be made durable"))?;
        self.refresh_caches(executed, number);
        *self.head.write() = HeaderRow { hash: executed.hash, header: Arc::new(executed.block.header.clone()) };
        // After the head, so that no view is created below the horizon, and after the batch that records it.
        self.horizon.store(horizon, Ordering::SeqCst);
        for listener in self.listeners.read().iter() {
            listener(executed);
        }
        Ok(())
    }

    /// Refuses a block that does not follow the head; returns the block's number.
    fn check(&self, executed: &ExecutedBlock, certificate: &CommitCertificate) -> Result<u64, StorageError> {
        let header = &executed.block.header;
        let number = header.number;
        let head = self.head.read().clone();
        if head.header.number.checked_add(1) != Some(number) {
            return Err(StorageError::Gap { head: head.header.number, got: number });
        }
        if header.parent_hash != head.hash {
            return Err(StorageError::WrongPreviousBlock { number, expected: head.hash, got: header.parent_hash });
        }
        if certificate.height.0 != number || certificate.block_hash != executed.hash {
            return Err(StorageError::WrongCertificate {
                number,
                expected: executed.hash,
                height: certificate.height.0,
                got: certificate.block_hash,
            });
        }
        let inconsistent = |what| Err(StorageError::Inconsistent { number, what });
        if header.hash_slow() != executed.hash {
            return inconsistent("its hash does not match its header");
        }
        let transactions = executed.block.transactions.len();
        if executed.senders.len() != transactions || executed.receipts.len() != transactions {
            return inconsistent("transactions, senders and receipts differ in number");
        }
        Ok(number)
    }

    fn horizon_after(&self, number: u64) -> u64 {
        let held = self.horizon.load(Ordering::SeqCst);
        match self.history {
            HistoryDepth::Archive => held,
            HistoryDepth::Blocks(depth) => held.max(number.saturating_sub(depth)),
        }
    }

    fn put_state(
        self: &Arc<Self>,
        batch: &mut Batch<'_>,
        executed: &ExecutedBlock,
        number: u64,
    ) -> Result<(), StorageError> {
        let diff = &executed.diff;
        for (address, (before, after)) in &diff.accounts {
            if before != after {
                batch.replace::<AccountsTable>(address, before.as_ref(), after.as_ref(), number);
            }
        }
        for (key, (before, after)) in &diff.storage {
            if before != after {
                batch.replace::<SlotsTable>(key, nonzero(before), nonzero(after), number);
            }
        }
        for (hash, code) in &diff.code {
            batch.put::<CodeTable>(hash, code);
        }
        // Execution reports the new values. The old values are read here, mostly from the cache that execution filled.
        let before_block = StateView::new(Arc::clone(self), number.saturating_sub(1));
        for (key, after) in &diff.trie.nodes {
            let before = before_block.read_node(key.0, &key.1)?;
            if before != *after {
                batch.replace::<NodesTable>(key, before.as_ref(), after.as_ref(), number);
            }
        }
        Ok(())
    }

    fn refresh_caches(&self, executed: &ExecutedBlock, number: u64) {
        let diff = &executed.diff;
        for (address, (_, after)) in &diff.accounts {
            self.accounts.change(address, *after, number);
        }
        for (key, (_, after)) in &diff.storage {
            self.slots.change(key, nonzero(after).copied(), number);
        }
        for (key, after) in &diff.trie.nodes {
            self.nodes.change(key, after.clone(), number);
        }
        self.blocks.lock().put(number, Arc::clone(&executed.block));
    }
}

fn put_block(batch: &mut Batch<'_>, executed: &ExecutedBlock) {
    let block = &executed.block;
    let number = block.header.number;
    batch.put::<HeadersTable>(&number, &HeaderRow { hash: executed.hash, header: Arc::new(block.header.clone()) });
    batch.put::<BodiesTable>(&number, &block.encode());
    batch.put::<ReceiptsTable>(&number, &executed.receipts);
    batch.put::<SendersTable>(&number, &executed.senders);
    batch.put::<NumbersTable>(&executed.hash, &number);
    let hashes: Vec<B256> = block.transactions.iter().map(Transaction::hash).collect();
    for (index, hash) in (0u32..).zip(&hashes) {
        batch.put::<TransactionsTable>(hash, &TransactionPlace { block: number, index });
    }
    logs::put_index(batch, number, &executed.receipts);
    peg::put_index(batch, number, &executed.peg_events, &hashes);
    batch.put::<HeadTable>(&Only, &number);
}

fn put_state_without_history(batch: &mut Batch<'_>, executed: &ExecutedBlock) {
    let diff = &executed.diff;
    for (address, (_, after)) in &diff.accounts {
        if let Some(account) = after {
            batch.put::<AccountsTable>(address, account);
        }
    }
    for (key, (_, after)) in &diff.storage {
        if let Some(value) = nonzero(after) {
            batch.put::<SlotsTable>(key, value);
        }
    }
    for (hash, code) in &diff.code {
        batch.put::<CodeTable>(hash, code);
    }
    for (key, after) in &diff.trie.nodes {
        if let Some(node) = after {
            batch.put::<NodesTable>(key, node);
        }
    }
}

fn nonzero(value: &U256) -> Option<&U256> {
    (!value.is_zero()).then_some(value)
}
