//! One machine: keys, disk, clocks, and the production node that runs on it.

use std::sync::Arc;

use alloy_signer_local::PrivateKeySigner;
use causeway::{
    assemble::{Assembled, Assembly, assemble, create_sign_states},
    chain::Chain,
    config::DataDir,
    handle::Node,
    metrics::Metrics,
    perform::Performer,
    transactions::Admission,
    trust::Trust,
};
use causeway_consensus::ValidatorId;
use causeway_genesis::{Genesis, NodeKeys};
use causeway_mempool::PoolConfig;
use causeway_signer::Signers;
use causeway_storage::{HistoryDepth, Storage, StorageOptions};

use crate::{
    Plan,
    clock::MachineClock,
    disk::{MachineDisk, MachineTables, SimDisk, root},
    outlook::Outlook,
    plan::PoolLimits,
    setup,
    strategies::Strategy,
};

/// Entries of each of a node's state caches. Small, so that tables are read too, as on a chain larger than memory.
const CACHE_ENTRIES: usize = 1_024;

/// The role of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A validator at genesis.
    Validator,
    /// A node with keys that may register.
    Other,
    /// A node without keys.
    Follower,
}

/// One machine.
pub struct Machine {
    /// Its number.
    pub index: usize,
    /// Its role.
    pub role: Role,
    /// Its keys; a follower's are never used.
    pub keys: NodeKeys,
    /// The account of its operator.
    pub operator: PrivateKeySigner,
    /// Whether it follows the protocol.
    pub honest: bool,
    /// Its disk.
    pub disk: MachineDisk,
    /// Its database's tables.
    pub tables: MachineTables,
    /// Its clocks.
    pub clock: MachineClock,
    /// The trust in the past that its operator configures.
    pub trust: Trust,
    /// Number of starts and stops so far: messages to an earlier life never arrive.
    pub life: u64,
    /// The reason why its node has stopped by itself, until it starts again.
    pub stopped: Option<String>,
    pub(crate) strategy: Option<Box<dyn Strategy>>,
    pub(crate) up: Option<Up>,
    validator: ValidatorId,
}

/// The running parts of a machine that is up.
pub(crate) struct Up {
    pub(crate) performer: Performer,
    pub(crate) admission: Admission,
    /// Its view of the parent.
    pub(crate) outlook: Option<Outlook>,
    /// Time of its earliest wake-up in the queue; `u64::MAX` for none.
    pub(crate) wakes_ms: u64,
    /// Time of the next gossip of its pool; `u64::MAX` for never.
    pub(crate) announces_ms: u64,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Machine").field("index", &self.index).field("life", &self.life).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine after `causeway init`.
    pub fn new(index: usize, keys: NodeKeys, role: Role, disk: MachineDisk, clock: MachineClock) -> Self {
        let validator = keys.validator_id();
        Self {
            index,
            role,
            keys,
            operator: setup::operator(index),
            honest: true,
            disk,
            tables: MachineTables::default(),
            clock,
            trust: Trust::default(),
            life: 0,
            stopped: None,
            strategy: None,
            up: None,
            validator,
        }
    }

    /// Writes the files of `causeway init`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn init(&self) -> eyre::Result<()> {
        create_sign_states(Arc::new(self.disk.boot()), &dir())
    }

    /// Whether its node runs.
    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// The id of its consensus key.
    pub fn validator(&self) -> ValidatorId {
        self.validator
    }

    /// The node, while it runs.
    pub fn performer(&self) -> Option<&Performer> {
        self.up.as_ref().map(|up| &up.performer)
    }

    /// The node's decisions, while it runs.
    pub fn node(&self) -> Option<&Node> {
        self.performer().map(|performer| &performer.node)
    }

    /// The node's chain (database, pool, sets), while it runs.
    pub fn chain(&self) -> Option<&Chain> {
        self.performer().map(|performer| &performer.chain)
    }

    /// The node's database, while it runs.
    pub fn storage(&self) -> Option<&Arc<Storage>> {
        self.chain().map(|chain| &chain.storage)
    }

    /// The height of its durable head, while its node runs.
    pub fn head(&self) -> Option<u64> {
        self.storage().map(|storage| storage.head_number())
    }

    /// The database of a machine whose node does not run.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open_storage(&self, genesis: &Genesis) -> eyre::Result<Arc<Storage>> {
        self.storage_on(&self.disk.boot(), genesis)
    }

    fn storage_on(&self, disk: &SimDisk, genesis: &Genesis) -> eyre::Result<Arc<Storage>> {
        let options = StorageOptions { history: HistoryDepth::Archive, cache_entries: CACHE_ENTRIES };
        Ok(Storage::open_on(Box::new(self.tables.boot(disk)), genesis, options)?)
    }

    /// Assembles the node from the disk, until it can take its first event.
    pub(crate) fn assemble(&self, genesis: &Arc<Genesis>, plan: &Plan) -> eyre::Result<Assembled> {
        self.clock.boot();
        let disk = self.disk.boot();
        let storage = self.storage_on(&disk, genesis)?;
        let signers = if self.role == Role::Follower { None } else { Some(Signers::local(&self.keys)?) };
        assemble(Assembly {
            genesis: genesis.clone(),
            storage,
            disk: Arc::new(disk),
            dir: dir(),
            signers,
            timeouts: plan.timeouts,
            trust: Trust { unbonding_s: genesis.schedule.first().staking.unbonding_seconds, ..self.trust },
            pool: pool(genesis, plan),
            clocks: self.clock.clocks(),
            metrics: Metrics::default(),
        })
    }
}

/// The limits of a node's pool.
fn pool(genesis: &Genesis, plan: &Plan) -> PoolConfig {
    let usual = PoolConfig::new(genesis.spec.chain_id);
    match plan.pool {
        None => usual,
        Some(PoolLimits { transactions, queued, of_sender }) => PoolConfig {
            max_transactions: transactions,
            max_queued: queued,
            per_sender_slots: of_sender,
            per_sender_queued: of_sender,
            ..usual
        },
    }
}

/// Path of a machine's files.
pub fn dir() -> DataDir {
    DataDir(root())
}
