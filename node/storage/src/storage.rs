//! Opens a data directory, and holds the data that all parts of the database share.

use crate::{
    cache::LatestCache,
    codec::{HeaderRow, NodeKey, SlotKey},
    engine::Engine,
    error::StorageError,
    options::{HistoryDepth, StorageOptions},
    rocks::RocksTables,
    schema::{HeadTable, HeadersTable, HorizonTable, Identity, IdentityTable, Only, SCHEMA_VERSION},
    tables::Tables,
    view::StateView,
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_execution::{Account, Block, ExecutedBlock, Receipt, genesis_state};
use causeway_genesis::Genesis;
use causeway_records::DirLock;
use lru::LruCache;
use parking_lot::{Mutex, RwLock};
use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Codes kept in memory; each is at most 24 KiB.
const CACHED_CODES: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
/// Decoded blocks, and decoded receipts of blocks, kept in memory.
const CACHED_BLOCKS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// Called after each commit, in order, on the committing thread.
pub type Listener = Box<dyn Fn(&Arc<ExecutedBlock>) + Send + Sync>;

/// The database of one chain.
pub struct Storage {
    pub(crate) store: Arc<Store>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Storage").field("head", &self.head_number()).finish_non_exhaustive()
    }
}

/// The location of the tables.
struct Place<'a> {
    /// The directory's name in messages.
    dir: &'a Path,
    /// Shared with the removal of history; zero until it is read from the database.
    horizon: Arc<AtomicU64>,
    lock: Option<DirLock>,
}

/// Data shared by a [`Storage`] and its views.
pub(crate) struct Store {
    pub(crate) engine: Engine,
    pub(crate) history: HistoryDepth,
    pub(crate) accounts: LatestCache<Address, Account>,
    pub(crate) slots: LatestCache<SlotKey, U256>,
    pub(crate) nodes: LatestCache<NodeKey, Bytes>,
    pub(crate) codes: Mutex<LruCache<B256, Bytes>>,
    pub(crate) blocks: Mutex<LruCache<u64, Arc<Block>>>,
    pub(crate) receipts: Mutex<LruCache<u64, Arc<Vec<Receipt>>>>,
    /// The highest block whose write may be visible; above `head` while the block is written.
    pub(crate) begun: AtomicU64,
    /// The oldest block whose state can be read.
    pub(crate) horizon: Arc<AtomicU64>,
    pub(crate) head: RwLock<HeaderRow>,
    /// One commit at a time.
    pub(crate) committing: Mutex<()>,
    pub(crate) listeners: RwLock<Vec<Listener>>,
    // Dropped last: the directory stays locked until the database is closed.
    _lock: Option<DirLock>,
}

impl Storage {
    /// Opens the database in `dir`, creating the directory and committing `genesis` when it is empty.
    ///
    /// # Errors
    /// - [`StorageError::Lock`] when another process has it open, or the lock file cannot be written;
    /// - [`StorageError::ForeignChain`] when it holds another chain;
    /// - [`StorageError::UnknownSchema`] when another version wrote it;
    /// - [`StorageError::Database`] and [`StorageError::Corrupt`] when it cannot be read or written.
    pub fn open(dir: &Path, genesis: &Genesis, options: StorageOptions) -> Result<Arc<Self>, StorageError> {
        let lock = DirLock::acquire(dir)?;
        let unknown = RocksTables::unknown_families(dir)?;
        if !unknown.is_empty() {
            let detail = format!("it has tables this version does not know: {}", unknown.join(", "));
            return Err(unknown_schema(dir, detail));
        }
        let horizon = Arc::new(AtomicU64::new(0));
        let tables = Box::new(RocksTables::open(dir, &horizon)?);
        Self::start(tables, Place { dir, horizon, lock: Some(lock) }, genesis, options)
    }

    /// Opens the database in `tables`, which must have no other user, and commits `genesis` when they are empty. The tables must
    /// keep every row: history below the horizon is never read again, but only [`Self::open`] has it removed.
    ///
    /// # Errors
    /// - [`StorageError::ForeignChain`] when they hold another chain, [`StorageError::UnknownSchema`] when another version
    ///   wrote them;
    /// - [`StorageError::Database`] and [`StorageError::Corrupt`] when they cannot be read or written.
    pub fn open_on(
        tables: Box<dyn Tables>,
        genesis: &Genesis,
        options: StorageOptions,
    ) -> Result<Arc<Self>, StorageError> {
        let place = Place { dir: Path::new("the given tables"), horizon: Arc::default(), lock: None };
        Self::start(tables, place, genesis, options)
    }

    fn start(
        tables: Box<dyn Tables>,
        place: Place<'_>,
        genesis: &Genesis,
        options: StorageOptions,
    ) -> Result<Arc<Self>, StorageError> {
        let Place { dir, horizon, lock } = place;
        let engine = Engine::new(tables);
        let identity = engine.get::<IdentityTable>(&Only)?;
        if let Some(found) = identity {
            check_identity(dir, &found, genesis)?;
        }
        horizon.store(engine.get::<HorizonTable>(&Only)?.unwrap_or(0), Ordering::SeqCst);
        let head = match engine.get::<HeadTable>(&Only)? {
            Some(number) => engine.get::<HeadersTable>(&number)?.ok_or_else(|| missing_header(number))?,
            // A placeholder until genesis is committed below; it is never read.
            None => HeaderRow { hash: genesis.hash, header: Arc::new(genesis.header.clone()) },
        };
        let store = Store {
            engine,
            history: options.history,
            accounts: LatestCache::new(options.cache_entries),
            slots: LatestCache::new(options.cache_entries),
            nodes: LatestCache::new(options.cache_entries),
            codes: Mutex::new(LruCache::new(CACHED_CODES)),
            blocks: Mutex::new(LruCache::new(CACHED_BLOCKS)),
            receipts: Mutex::new(LruCache::new(CACHED_BLOCKS)),
            begun: AtomicU64::new(head.header.number),
            horizon,
            head: RwLock::new(head),
            committing: Mutex::new(()),
            listeners: RwLock::new(Vec::new()),
            _lock: lock,
        };
        let storage = Self { store: Arc::new(store) };
        if identity.is_none() {
            let identity =
                Identity { schema_version: SCHEMA_VERSION, chain_id: genesis.spec.chain_id, genesis: genesis.hash };
            storage.store.commit_genesis(&identity, &genesis_state(genesis))?;
            tracing::info!(dir = %dir.display(), genesis = %genesis.hash, "created the database");
        } else {
            tracing::info!(dir = %dir.display(), head = storage.head_number(), hash = %storage.head_hash(), "opened the database");
        }
        Ok(Arc::new(storage))
    }

    /// Header of the last durable block.
    #[must_use]
    pub fn head(&self) -> Arc<Header> {
        Arc::clone(&self.store.head.read().header)
    }

    /// Number of the last durable block.
    #[must_use]
    pub fn head_number(&self) -> u64 {
        self.store.head.read().header.number
    }

    /// Hash of the last durable block.
    #[must_use]
    pub fn head_hash(&self) -> B256 {
        self.store.head.read().hash
    }

    /// The state after the last durable block. The view stays at that block while later ones are committed.
    #[must_use]
    pub fn latest(&self) -> Arc<StateView> {
        Arc::new(StateView::new(Arc::clone(&self.store), self.head_number()))
    }

    /// The state after block `number`.
    ///
    /// # Errors
    /// [`StorageError::UnknownBlock`] beyond the head, [`StorageError::Pruned`] below [`Self::oldest_state`].
    pub fn state_at(&self, number: u64) -> Result<Arc<StateView>, StorageError> {
        let head = self.head_number();
        if number > head {
            return Err(StorageError::UnknownBlock { number, head });
        }
        let oldest = self.oldest_state();
        if number < oldest {
            return Err(StorageError::Pruned { number, oldest });
        }
        Ok(Arc::new(StateView::new(Arc::clone(&self.store), number)))
    }

    /// The oldest block whose state can be read; 0 unless history is pruned.
    #[must_use]
    pub fn oldest_state(&self) -> u64 {
        self.store.horizon.load(Ordering::SeqCst)
    }

    /// Calls `listener` after each later commit, in order, on the committing thread, when the block can be read. The listener
    /// must be fast and must not commit.
    pub fn on_commit(&self, listener: Listener) {
        self.store.listeners.write().push(listener);
    }
}

fn check_identity(dir: &Path, found: &Identity, genesis: &Genesis) -> Result<(), StorageError> {
    if found.schema_version != SCHEMA_VERSION {
        return Err(unknown_schema(dir, format!("schema version {}", found.schema_version)));
    }
    if found.genesis != genesis.hash {
        return Err(StorageError::ForeignChain {
            dir: dir.to_path_buf(),
            expected: genesis.hash,
            found: found.genesis,
        });
    }
    Ok(())
}

fn unknown_schema(dir: &Path, detail: String) -> StorageError {
    StorageError::UnknownSchema { dir: dir.to_path_buf(), detail, supported: SCHEMA_VERSION }
}

fn missing_header(number: u64) -> StorageError {
    StorageError::Corrupt {
        family: "headers",
        key: format!("{number:016x}"),
        reason: "the head names a block that is not stored".to_owned(),
    }
}
