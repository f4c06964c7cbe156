//! Reads blocks and their related data.

use crate::{
    codec::HeaderRow,
    error::StorageError,
    schema::{
        BodiesTable, CertificatesTable, HeadersTable, NumbersTable, ReceiptsTable, SendersTable, TransactionsTable,
    },
    storage::Storage,
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes};
use causeway_consensus::CommitCertificate;
use causeway_execution::{Block, Receipt};
use std::sync::Arc;

/// Larger bodies, in bytes, are decoded for each read, so that the caches stay small.
const MAX_CACHED_BODY_BYTES: usize = 1 << 20;

/// Each read returns `Ok(None)` for data that the chain does not have, and an error when the database cannot be read.
impl Storage {
    /// The header of block `number`.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn header_by_number(&self, number: u64) -> Result<Option<Arc<Header>>, StorageError> {
        Ok(self.header_row(number)?.map(|row| row.header))
    }

    /// The hash of block `number`.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn hash_by_number(&self, number: u64) -> Result<Option<B256>, StorageError> {
        Ok(self.header_row(number)?.map(|row| row.hash))
    }

    /// The number of the block with this hash.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn number_by_hash(&self, hash: &B256) -> Result<Option<u64>, StorageError> {
        self.store.engine.get::<NumbersTable>(hash)
    }

    /// Block `number`, decoded.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StorageError> {
        if let Some(block) = self.store.blocks.lock().get(&number) {
            return Ok(Some(Arc::clone(block)));
        }
        let Some(body) = self.body(number)? else { return Ok(None) };
        let block = Block::decode(&body).map_err(|error| StorageError::Corrupt {
            family: "bodies",
            key: format!("{number:016x}"),
            reason: error.to_string(),
        })?;
        let block = Arc::new(block);
        if body.len() <= MAX_CACHED_BODY_BYTES {
            self.store.blocks.lock().put(number, Arc::clone(&block));
        }
        Ok(Some(block))
    }

    /// The consensus body of block `number`, as it was decided. Peers that catch up receive it.
    ///
    /// # Errors
    /// [`StorageError::Database`].
    pub fn body(&self, number: u64) -> Result<Option<Bytes>, StorageError> {
        self.store.engine.get::<BodiesTable>(&number)
    }

    /// The receipts of block `number`, in the order of its transactions.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn receipts(&self, number: u64) -> Result<Option<Arc<Vec<Receipt>>>, StorageError> {
        if let Some(receipts) = self.store.receipts.lock().get(&number) {
            return Ok(Some(Arc::clone(receipts)));
        }
        let Some(receipts) = self.store.engine.get::<ReceiptsTable>(&number)?.map(Arc::new) else { return Ok(None) };
        let log_bytes: usize = receipts.iter().flat_map(|receipt| &receipt.logs).map(|log| log.data.data.len()).sum();
        if log_bytes <= MAX_CACHED_BODY_BYTES {
            self.store.receipts.lock().put(number, Arc::clone(&receipts));
        }
        Ok(Some(receipts))
    }

    /// The sender of each transaction of block `number`, in their order.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn senders(&self, number: u64) -> Result<Option<Vec<Address>>, StorageError> {
        self.store.engine.get::<SendersTable>(&number)
    }

    /// The place of the transaction with this hash: block number, and position in the block.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn transaction(&self, hash: &B256) -> Result<Option<(u64, usize)>, StorageError> {
        let place = self.store.engine.get::<TransactionsTable>(hash)?;
        Ok(place.and_then(|place| Some((place.block, usize::try_from(place.index).ok()?))))
    }

    /// The certificate that decided block `number`; `None` for genesis.
    ///
    /// # Errors
    /// [`StorageError::Database`], [`StorageError::Corrupt`].
    pub fn certificate(&self, number: u64) -> Result<Option<CommitCertificate>, StorageError> {
        self.store.engine.get::<CertificatesTable>(&number)
    }

    pub(crate) fn header_row(&self, number: u64) -> Result<Option<HeaderRow>, StorageError> {
        let head = self.store.head.read();
        if head.header.number == number {
            return Ok(Some(head.clone()));
        }
        drop(head);
        self.store.engine.get::<HeadersTable>(&number)
    }
}
