//! Tables in memory: the oracle for RocksDB's tables, and a disk that can be made to fail.

use causeway_storage::{Family, RawRow, Tables, TablesError, Write};
use std::{
    collections::BTreeMap,
    sync::{
        RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

type Rows = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// Rows by family and key.
#[derive(Debug, Default)]
pub struct MemoryTables {
    rows: RwLock<Rows>,
    /// Writes are refused completely.
    pub refuses_writes: AtomicBool,
}

impl Tables for MemoryTables {
    fn get(&self, family: Family, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, TablesError> {
        let rows = self.rows.read().unwrap();
        let found = rows.get(&(family, key.to_vec()));
        if let Some(value) = found {
            read(value);
        }
        Ok(found.is_some())
    }

    fn last(&self, family: Family) -> Result<Option<RawRow>, TablesError> {
        let rows = self.rows.read().unwrap();
        let of_family = rows.iter().rev().find(|((other, _), _)| *other == family);
        Ok(of_family.map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        end: &[u8],
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TablesError> {
        let rows = self.rows.read().unwrap();
        for ((_, key), value) in rows.range((family, from.to_vec())..(family, end.to_vec())) {
            if !row(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn seek_prefix(&self, family: Family, from: &[u8], prefix: usize) -> Result<Option<RawRow>, TablesError> {
        let rows = self.rows.read().unwrap();
        let next = rows.range((family, from.to_vec())..).next();
        let next = next.filter(|((found, key), _)| *found == family && key.starts_with(&from[..prefix]));
        Ok(next.map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), TablesError> {
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(TablesError("the disk is full".to_owned()));
        }
        let mut rows = self.rows.write().unwrap();
        for Write { family, key, value } in writes {
            match value {
                Some(value) => rows.insert((family, key), value),
                None => rows.remove(&(family, key)),
            };
        }
        Ok(())
    }
}
