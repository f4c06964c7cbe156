//! The store of the database's bytes. It is a trait, so that a simulated machine can replace RocksDB. Only
//! [`crate::engine`] knows the meaning of the bytes.

use std::sync::Arc;
use thiserror::Error;

/// The access pattern of a family, which determines its RocksDB configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Single keys in no order: bloom filters.
    Point,
    /// Keys that grow with the chain, read alone or in ranges.
    Ordered,
    /// `key ++ block`: searched for the first block after a given one.
    History,
}

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $access:ident;)+) => {
        /// A set of rows with keys and values of one kind; a column family in RocksDB.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Family { $($(#[$doc])* $variant),+ }

        impl Family {
            /// Every family, in the order of their discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name on the disk.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            pub(crate) const fn access(self) -> Access {
                match self { $(Self::$variant => Access::$access),+ }
            }
        }
    };
}

families! {
    /// Whose data this is, and how far it reaches.
    Meta = "meta", Ordered;
    /// Headers by block number.
    Headers = "headers", Ordered;
    /// Bodies by block number.
    Bodies = "bodies", Ordered;
    /// Receipts by block number.
    Receipts = "receipts", Ordered;
    /// Senders by block number.
    Senders = "senders", Ordered;
    /// Certificates by block number.
    Certificates = "certificates", Ordered;
    /// Block numbers by hash.
    NumberByHash = "number_by_hash", Point;
    /// Places of transactions by hash.
    Transactions = "transactions", Point;
    /// The latest state's accounts by address.
    Accounts = "accounts", Point;
    /// The latest state's non-zero slots by address and slot.
    Slots = "slots", Point;
    /// The latest state's trie nodes by trie and path.
    Nodes = "trie", Point;
    /// Accounts before a block that changed them.
    AccountHistory = "account_history", History;
    /// Slots before a block that changed them.
    SlotHistory = "slot_history", History;
    /// Trie nodes before a block that changed them.
    NodeHistory = "trie_history", History;
    /// Code by hash.
    Code = "code", Point;
    /// Blocks with logs, by address or topic.
    Logs = "logs", Ordered;
    /// Withdrawals by index.
    Withdrawals = "withdrawals", Ordered;
    /// Deposits by nonce.
    Deposits = "deposits", Ordered;
    /// Places of checkpoints by number.
    Checkpoints = "checkpoints", Ordered;
    /// Evidence that waits for a block, by hash.
    Evidence = "evidence", Ordered;
    /// Keys of current and former validators by id.
    Members = "members", Ordered;
}

/// The bytes of a key and of its value.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// One change of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The row's family.
    pub family: Family,
    /// The row's key.
    pub key: Vec<u8>,
    /// Its new value; `None` deletes the row.
    pub value: Option<Vec<u8>>,
}

/// Why tables could not be read or written; the text names the failed operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct TablesError(pub String);

/// Rows of bytes in families, each ordered by key, and atomic batches of writes. A read sees every write that
/// returned before the read began. Each single row of a batch is seen completely or not at all, but two reads during a batch
/// may see one row before it and the other after it.
pub trait Tables: Send + Sync + 'static {
    /// Passes the value of a row to `read`, once; `false` when the row does not exist.
    ///
    /// # Errors
    /// [`TablesError`] when the tables cannot be read.
    fn get(&self, family: Family, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, TablesError>;

    /// The row with the greatest key.
    ///
    /// # Errors
    /// [`TablesError`] when the tables cannot be read.
    fn last(&self, family: Family) -> Result<Option<RawRow>, TablesError>;

    /// Passes the rows with `from <= key < end` to `row`, in order, until it returns `false`.
    ///
    /// # Errors
    /// [`TablesError`] when the tables cannot be read.
    fn range(
        &self,
        family: Family,
        from: &[u8],
        end: &[u8],
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TablesError>;

    /// The first row at or after `from` with the same first `prefix` bytes. Used for history families only, where
    /// `prefix` is the length of the key without the block number at its end.
    ///
    /// # Errors
    /// [`TablesError`] when the tables cannot be read.
    fn seek_prefix(&self, family: Family, from: &[u8], prefix: usize) -> Result<Option<RawRow>, TablesError>;

    /// Writes all or nothing, in order; the writes are on the disk when it returns.
    ///
    /// # Errors
    /// [`TablesError`]: the content of the disk is then unknown, and nothing more is written until the next start.
    fn write(&self, writes: Vec<Write>) -> Result<(), TablesError>;
}

impl<T: Tables + ?Sized> Tables for Arc<T> {
    fn get(&self, family: Family, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, TablesError> {
        (**self).get(family, key, read)
    }

    fn last(&self, family: Family) -> Result<Option<RawRow>, TablesError> {
        (**self).last(family)
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        end: &[u8],
        row: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TablesError> {
        (**self).range(family, from, end, row)
    }

    fn seek_prefix(&self, family: Family, from: &[u8], prefix: usize) -> Result<Option<RawRow>, TablesError> {
        (**self).seek_prefix(family, from, prefix)
    }

    fn write(&self, writes: Vec<Write>) -> Result<(), TablesError> {
        (**self).write(writes)
    }
}
