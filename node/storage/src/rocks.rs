//! RocksDB as [`Tables`].

use crate::{
    error::StorageError,
    options::{self, without_block_number},
    tables::{Family, RawRow, Tables, TablesError, Write},
};
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, WriteBatch, WriteOptions};
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

/// An open database.
pub(crate) struct RocksTables {
    db: DB,
}

impl RocksTables {
    /// Families in `dir` that this version does not know; none when there is no database yet.
    pub(crate) fn unknown_families(dir: &Path) -> Result<Vec<String>, StorageError> {
        if !dir.join("CURRENT").exists() {
            return Ok(Vec::new());
        }
        let present = DB::list_cf(&options::database(), dir)
            .map_err(|error| StorageError::Database { action: "list its families", source: error.into() })?;
        let known = |name: &String| name == "default" || Family::ALL.iter().any(|family| family.name() == name);
        Ok(present.into_iter().filter(|name| !known(name)).collect())
    }

    /// Opens the database in `dir`, or creates it. `horizon` is the oldest block whose history compaction leaves.
    pub(crate) fn open(dir: &Path, horizon: &Arc<AtomicU64>) -> Result<Self, StorageError> {
        let db = DB::open_cf_descriptors(&options::database(), dir, options::families(horizon))
            .map_err(|error| StorageError::Database { action: "open it", source: error.into() })?;
        Ok(Self { db })
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family is opened with the database")
    }

    fn iterator(&self, family: Family, options: ReadOptions) -> DBRawIterator<'_> {
        self.db.raw_iterator_cf_opt(self.family(family), options)
    }

    #[cfg(test)]
    pub(crate) fn compact(&self, family: Family) {
        self.db.flush_cf(self.family(family)).expect("a test's disk is not full");
        self.db.compact_range_cf::<&[u8], &[u8]>(self.family(family), None, None);
    }
}

impl Tables for RocksTables {
    fn get(&self, family: Family, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, TablesError> {
        let found = self.db.get_pinned_cf(self.family(family), key)?;
        if let Some(value) = &found {
            read(value);
        }
        Ok(found.is_some())
    }

    fn last(&self, family: Family) -> Result<Option<RawRow>, TablesError> {
        let mut rows = self.iterator(family, in_order());
        rows.seek_to_last();
        if let Some((key, value)) = rows.item() {
            return Ok(Some((key.to_vec(), value.to_vec())));
        }
        Ok(rows.status().map(|()| None)?)
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        end: &[u8],
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TablesError> {
        let mut options = in_order();
        options.set_iterate_upper_bound(end);
        let mut rows = self.iterator(family, options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if !row(key, value) {
                return Ok(());
            }
            rows.next();
        }
        // An iterator also ends where it cannot read on.
        Ok(rows.status()?)
    }

    fn seek_prefix(&self, family: Family, from: &[u8], prefix: usize) -> Result<Option<RawRow>, TablesError> {
        let wanted = without_block_number(from);
        assert_eq!(wanted.len(), prefix, "RocksDB's prefixes are history keys without the block number");
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        let mut rows = self.iterator(family, options);
        rows.seek(from);
        if let Some((key, value)) = rows.item()
            && key.starts_with(wanted)
        {
            return Ok(Some((key.to_vec(), value.to_vec())));
        }
        Ok(rows.status().map(|()| None)?)
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), TablesError> {
        // Looked up once, not for each of the many rows.
        let families: Vec<&ColumnFamily> = Family::ALL.iter().map(|family| self.family(*family)).collect();
        let mut batch = WriteBatch::default();
        for Write { family, key, value } in writes {
            let family = families[family as usize];
            match value {
                Some(value) => batch.put_cf(family, key, value),
                None => batch.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        // Keys arrive sorted within each family: the place of the last one is a good start for the next.
        options.set_memtable_insert_hint_per_batch(true);
        Ok(self.db.write_opt(batch, &options)?)
    }
}

/// Across prefixes, where a family has any.
fn in_order() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options
}

impl From<rocksdb::Error> for TablesError {
    fn from(error: rocksdb::Error) -> Self {
        Self(error.into_string())
    }
}
