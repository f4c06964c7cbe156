//! RocksDB behind typed schemas. Bytes exist on this side only.

use crate::{
    codec::{Key, Value},
    error::StorageError,
    options::{self, without_block_number},
    schema::{Family, Schema, Versioned},
};
use alloy_primitives::hex;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

/// A key and its value.
type Row<S> = (<S as Schema>::Key, <S as Schema>::Value);

/// An open database.
pub(crate) struct Engine {
    db: DB,
}

impl Engine {
    /// Families in `dir` that this version does not know; none when there is no database yet.
    pub(crate) fn unknown_families(dir: &Path) -> Result<Vec<String>, StorageError> {
        if !dir.join("CURRENT").exists() {
            return Ok(Vec::new());
        }
        let present = DB::list_cf(&options::database(), dir)
            .map_err(|source| StorageError::Database { action: "list its families", source })?;
        let known = |name: &String| name == "default" || Family::ALL.iter().any(|family| family.name() == name);
        Ok(present.into_iter().filter(|name| !known(name)).collect())
    }

    pub(crate) fn open(dir: &Path, horizon: &Arc<AtomicU64>) -> Result<Self, StorageError> {
        let db = DB::open_cf_descriptors(&options::database(), dir, options::families(horizon))
            .map_err(|source| StorageError::Database { action: "open it", source })?;
        Ok(Self { db })
    }

    pub(crate) fn get<S: Schema>(&self, key: &S::Key) -> Result<Option<S::Value>, StorageError> {
        let bytes = key.encode();
        let found = self
            .db
            .get_pinned_cf(self.family(S::FAMILY), &bytes)
            .map_err(|source| StorageError::Database { action: "read", source })?;
        found.map(|value| decode_value(S::FAMILY, &bytes, &value)).transpose()
    }

    /// The row with the greatest key.
    pub(crate) fn last<S: Schema>(&self) -> Result<Option<Row<S>>, StorageError> {
        let mut rows = self.db.iterator_cf(self.family(S::FAMILY), IteratorMode::End);
        rows.next().map(|row| decode_row::<S>(row)).transpose()
    }

    /// The rows from `from` to `to`, both included.
    pub(crate) fn range<S: Schema>(
        &self,
        from: &S::Key,
        to: &S::Key,
    ) -> impl Iterator<Item = Result<Row<S>, StorageError>> {
        let mut options = ReadOptions::default();
        let mut end = to.encode();
        // The bound is exclusive; the smallest longer key makes `to` itself the last row.
        end.push(0);
        options.set_iterate_upper_bound(end);
        let start = from.encode();
        self.db
            .iterator_cf_opt(self.family(S::FAMILY), options, IteratorMode::From(&start, Direction::Forward))
            .map(decode_row::<S>)
    }

    /// What `key` was before the first block after `block` that changed it: `None` when no later block did, `Some(None)`
    /// when it did not exist.
    pub(crate) fn before_next_change<V: Versioned>(
        &self,
        key: &V::Key,
        block: u64,
    ) -> Result<Option<Option<V::Value>>, StorageError> {
        let Some(next) = block.checked_add(1) else { return Ok(None) };
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(V::HISTORY), options);
        let start = history_key(key, next);
        rows.seek(&start);
        if let Some((found, value)) = rows.item()
            && without_block_number(found) == without_block_number(&start)
        {
            let value = if value.is_empty() { None } else { Some(decode_value(V::HISTORY, found, value)?) };
            return Ok(Some(value));
        }
        rows.status().map_err(|source| StorageError::Database { action: "read history", source })?;
        Ok(None)
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { engine: self, writes: WriteBatch::default() }
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family is opened with the database")
    }
}

/// Writes that happen all or none.
pub(crate) struct Batch<'e> {
    engine: &'e Engine,
    writes: WriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put<S: Schema>(&mut self, key: &S::Key, value: &S::Value) {
        self.writes.put_cf(self.engine.family(S::FAMILY), key.encode(), value.encode());
    }

    pub(crate) fn delete<S: Schema>(&mut self, key: &S::Key) {
        self.writes.delete_cf(self.engine.family(S::FAMILY), key.encode());
    }

    /// Sets the latest value of `key` to `after` and records that it was `before` until `block`.
    pub(crate) fn replace<V: Versioned>(
        &mut self,
        key: &V::Key,
        before: Option<&V::Value>,
        after: Option<&V::Value>,
        block: u64,
    ) {
        let encoded = key.encode();
        let latest = self.engine.family(V::FAMILY);
        match after {
            Some(value) => self.writes.put_cf(latest, encoded, value.encode()),
            None => self.writes.delete_cf(latest, encoded),
        }
        // An absent value is the empty one: no versioned value encodes to nothing.
        let before = before.map(Value::encode).unwrap_or_default();
        self.writes.put_cf(self.engine.family(V::HISTORY), history_key(key, block), before);
    }

    /// Writes everything and waits until it is on the disk.
    pub(crate) fn commit(self) -> Result<(), StorageError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        // Keys arrive sorted within each family: the place of the last one is a good start for the next.
        options.set_memtable_insert_hint_per_batch(true);
        self.engine
            .db
            .write_opt(self.writes, &options)
            .map_err(|source| StorageError::Database { action: "write and sync", source })
    }
}

fn history_key(key: &impl Key, block: u64) -> Vec<u8> {
    let mut bytes = key.encode();
    bytes.extend_from_slice(&block.to_be_bytes());
    bytes
}

type RawRow = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

fn decode_row<S: Schema>(row: RawRow) -> Result<Row<S>, StorageError> {
    let (key, value) = row.map_err(|source| StorageError::Database { action: "iterate", source })?;
    let decoded = S::Key::decode(&key).ok_or_else(|| corrupt(S::FAMILY, &key, "the key does not decode".to_owned()))?;
    Ok((decoded, decode_value(S::FAMILY, &key, &value)?))
}

fn decode_value<V: Value>(family: Family, key: &[u8], bytes: &[u8]) -> Result<V, StorageError> {
    V::decode(bytes).map_err(|reason| corrupt(family, key, reason))
}

fn corrupt(family: Family, key: &[u8], reason: String) -> StorageError {
    StorageError::Corrupt { family: family.name(), key: hex::encode(key), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schema::AccountsTable;
    use alloy_primitives::{Address, U256};
    use causeway_execution::Account;
    use std::sync::atomic::Ordering;

    #[test]
    fn compaction_removes_pruned_history_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let horizon = Arc::new(AtomicU64::new(0));
        let engine = Engine::open(dir.path(), &horizon).unwrap();
        let (address, account) =
            (Address::repeat_byte(1), |nonce| Account { nonce, balance: U256::from(nonce), ..Account::default() });
        for block in 1..=10 {
            let mut batch = engine.batch();
            batch.replace::<AccountsTable>(&address, Some(&account(block - 1)), Some(&account(block)), block);
            batch.commit().unwrap();
        }
        let history = engine.family(Family::AccountHistory);
        let compact = || {
            engine.db.flush_cf(history).unwrap();
            engine.db.compact_range_cf::<&[u8], &[u8]>(history, None, None);
            engine.db.full_iterator_cf(history, IteratorMode::Start).count()
        };
        assert_eq!(compact(), 10);
        horizon.store(5, Ordering::SeqCst);
        assert_eq!(compact(), 5);
        for block in 5..10 {
            let before = engine.before_next_change::<AccountsTable>(&address, block).unwrap();
            assert_eq!(before, Some(Some(account(block))), "the state of block {block}");
        }
        assert_eq!(engine.before_next_change::<AccountsTable>(&address, 10).unwrap(), None);
        assert_eq!(engine.get::<AccountsTable>(&address).unwrap(), Some(account(10)));
    }
}
