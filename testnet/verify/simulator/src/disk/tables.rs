//! A machine's database tables: rows in memory, and atomic batches.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use causeway_storage::{Family, RawRow, Tables, TablesError, Write};
use parking_lot::RwLock;

use super::sim::SimDisk;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows of a machine, over all its lives.
#[derive(Debug, Clone)]
pub struct MachineTables(Arc<RwLock<Vec<Rows>>>);

impl Default for MachineTables {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(vec![Rows::new(); Family::ALL.len()])))
    }
}

impl MachineTables {
    /// Begins a life on `disk`.
    pub fn boot(&self, disk: &SimDisk) -> SimTables {
        SimTables { rows: self.0.clone(), disk: disk.clone() }
    }

    /// A copy, as in a snapshot of the machine.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self(Arc::new(RwLock::new(self.0.read().clone())))
    }

    /// The rows of a family, in order.
    pub fn each(&self, family: Family, row: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.read()[family as usize].iter().for_each(|(key, value)| row(key, value));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.read().iter().map(Rows::len).sum()
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The tables during one life.
#[derive(Debug)]
pub struct SimTables {
    rows: Arc<RwLock<Vec<Rows>>>,
    disk: SimDisk,
}

impl SimTables {
    fn apply(&self, writes: Vec<Write>) {
        let mut rows = self.rows.write();
        for Write { family, key, value } in writes {
            let rows = &mut rows[family as usize];
            match value {
                Some(value) => _ = rows.insert(key, value),
                None => _ = rows.remove(&key),
            }
        }
    }
}

impl Tables for SimTables {
    fn get(&self, family: Family, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, TablesError> {
        Ok(self.rows.read()[family as usize].get(key).map(|value| read(value)).is_some())
    }

    fn last(&self, family: Family) -> Result<Option<RawRow>, TablesError> {
        Ok(self.rows.read()[family as usize].last_key_value().map(|(key, value)| (key.clone(), value.clone())))
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        end: &[u8],
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TablesError> {
        if from >= end {
            return Ok(());
        }
        let rows = self.rows.read();
        let mut range = rows[family as usize].range::<[u8], _>((Bound::Included(from), Bound::Excluded(end)));
        while range.next().is_some_and(|(key, value)| row(key, value)) {}
        Ok(())
    }

    fn seek_prefix(&self, family: Family, from: &[u8], prefix: usize) -> Result<Option<RawRow>, TablesError> {
        let rows = self.rows.read();
        let found = rows[family as usize].range::<[u8], _>((Bound::Included(from), Bound::Unbounded)).next();
        Ok(found
            .filter(|(key, _)| key.get(..prefix).is_some_and(|start| Some(start) == from.get(..prefix)))
            .map(|(key, value)| (key.clone(), value.clone())))
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), TablesError> {
        let (is_written, outcome) = self.disk.write_batch();
        if is_written {
            self.apply(writes);
        }
        outcome.map_err(|error| TablesError(error.to_string()))
    }
}
