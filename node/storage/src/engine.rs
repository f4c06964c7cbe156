//! Typed rows over tables of bytes. Only this module and its tables see the bytes.

use crate::{
    codec::{Key, Value},
    error::StorageError,
    options::BLOCK_NUMBER_BYTES,
    schema::{Schema, Versioned},
    tables::{Family, Tables, TablesError, Write},
};
use alloy_primitives::hex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A key and its value.
type Row<S> = (<S as Schema>::Key, <S as Schema>::Value);

/// An open database.
pub(crate) struct Engine {
    tables: Box<dyn Tables>,
    /// A write has failed: the content of the disk is uncertain, and nothing more is written.
    halted: AtomicBool,
}

impl Engine {
    pub(crate) fn new(tables: Box<dyn Tables>) -> Self {
        Self { tables, halted: AtomicBool::new(false) }
    }

    pub(crate) fn get<S: Schema>(&self, key: &S::Key) -> Result<Option<S::Value>, StorageError> {
        let bytes = key.encode();
        let mut value = None;
        self.tables
            .get(S::FAMILY, &bytes, &mut |found| value = Some(decode_value(S::FAMILY, &bytes, found)))
            .map_err(failed("read"))?;
        value.transpose()
    }

    /// The row with the greatest key.
    pub(crate) fn last<S: Schema>(&self) -> Result<Option<Row<S>>, StorageError> {
        let last = self.tables.last(S::FAMILY).map_err(failed("read the last row"))?;
        last.map(|(key, value)| decode_row::<S>(&key, &value)).transpose()
    }

    /// Passes the rows from `from` to `to`, both included, in order.
    pub(crate) fn each<S: Schema>(
        &self,
        from: &S::Key,
        to: &S::Key,
        mut row: impl FnMut(S::Key, S::Value),
    ) -> Result<(), StorageError> {
        let mut end = to.encode();
        // The bound is exclusive; the smallest longer key makes `to` itself the last row.
        end.push(0);
        let mut decoded = Ok(());
        self.tables
            .range(S::FAMILY, &from.encode(), &end, &mut |key, value| {
                decoded = decode_row::<S>(key, value).map(|(key, value)| row(key, value));
                decoded.is_ok()
            })
            .map_err(failed("iterate"))?;
        decoded
    }

    /// The value of `key` before the first block after `block` that changed it: `None` when no later block did, `Some(None)`
    /// when the key did not exist.
    pub(crate) fn before_next_change<V: Versioned>(
        &self,
        key: &V::Key,
        block: u64,
    ) -> Result<Option<Option<V::Value>>, StorageError> {
        let Some(next) = block.checked_add(1) else { return Ok(None) };
        let start = history_key(key, next);
        let prefix = start.len() - BLOCK_NUMBER_BYTES;
        let found = self.tables.seek_prefix(V::HISTORY, &start, prefix).map_err(failed("read history"))?;
        let Some((found, value)) = found else { return Ok(None) };
        if value.is_empty() { Ok(Some(None)) } else { decode_value(V::HISTORY, &found, &value).map(Some).map(Some) }
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { engine: self, writes: Vec::new() }
    }

    /// Whether a write has failed.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::SeqCst)
    }
}

/// A batch of writes, which is atomic.
pub(crate) struct Batch<'e> {
    engine: &'e Engine,
    writes: Vec<Write>,
}

impl Batch<'_> {
    pub(crate) fn put<S: Schema>(&mut self, key: &S::Key, value: &S::Value) {
        self.push(S::FAMILY, key.encode(), Some(value.encode()));
    }

    pub(crate) fn delete<S: Schema>(&mut self, key: &S::Key) {
        self.push(S::FAMILY, key.encode(), None);
    }

    /// Sets the latest value of `key` to `after` and records that it was `before` until `block`.
    pub(crate) fn replace<V: Versioned>(
        &mut self,
        key: &V::Key,
        before: Option<&V::Value>,
        after: Option<&V::Value>,
        block: u64,
    ) {
        self.push(V::FAMILY, key.encode(), after.map(Value::encode));
        // An absent value is stored as empty bytes: no versioned value has an empty encoding.
        self.push(V::HISTORY, history_key(key, block), Some(before.map(Value::encode).unwrap_or_default()));
    }

    /// Writes everything and waits until it is on the disk.
    ///
    /// # Errors
    /// [`StorageError::Database`] when that fails, and [`StorageError::Halted`] for every later write.
    pub(crate) fn commit(self) -> Result<(), StorageError> {
        if self.engine.is_halted() {
            return Err(StorageError::Halted);
        }
        self.engine.tables.write(self.writes).map_err(|error| {
            self.engine.halted.store(true, Ordering::SeqCst);
            failed("write and sync")(error)
        })
    }

    fn push(&mut self, family: Family, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes.push(Write { family, key, value });
    }
}

fn history_key(key: &impl Key, block: u64) -> Vec<u8> {
    let mut bytes = key.encode();
    bytes.extend_from_slice(&block.to_be_bytes());
    bytes
}

fn failed(action: &'static str) -> impl Fn(TablesError) -> StorageError {
    move |source| StorageError::Database { action, source }
}

fn decode_row<S: Schema>(key: &[u8], value: &[u8]) -> Result<Row<S>, StorageError> {
    let decoded = S::Key::decode(key).ok_or_else(|| corrupt(S::FAMILY, key, "the key does not decode".to_owned()))?;
    Ok((decoded, decode_value(S::FAMILY, key, value)?))
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
    use crate::{rocks::RocksTables, schema::AccountsTable};
    use alloy_primitives::{Address, U256};
    use causeway_execution::Account;
    use std::sync::{Arc, atomic::AtomicU64};

    #[test]
    fn compaction_removes_pruned_history_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let horizon = Arc::new(AtomicU64::new(0));
        let rocks = Arc::new(RocksTables::open(dir.path(), &horizon).unwrap());
        let engine = Engine::new(Box::new(Arc::clone(&rocks)));
        let (address, account) =
            (Address::repeat_byte(1), |nonce| Account { nonce, balance: U256::from(nonce), ..Account::default() });
        for block in 1..=10 {
            let mut batch = engine.batch();
            batch.replace::<AccountsTable>(&address, Some(&account(block - 1)), Some(&account(block)), block);
            batch.commit().unwrap();
        }
        let compact = || {
            rocks.compact(Family::AccountHistory);
            let mut rows = 0;
            let count = &mut |_: &[u8], _: &[u8]| {
                rows += 1;
                true
            };
            rocks.range(Family::AccountHistory, &[], &[0xff; 32], count).unwrap();
            rows
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
