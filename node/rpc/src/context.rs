//! The interface between the server and the node.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use causeway_execution::{Executor, RecoveredTx};
use causeway_genesis::Genesis;
use causeway_mempool::{Mempool, PoolError};
use causeway_storage::Storage;
use parking_lot::Mutex;

use causeway_mempool::PendingFeed;

/// Hands a transaction to the node, which adds it to the pool and gossips it. The call blocks for a short time.
pub type Submit = dyn Fn(Arc<RecoveredTx>) -> Result<B256, PoolError> + Send + Sync;

/// The parts of the node that the server uses. Cheap to clone.
#[derive(Clone)]
pub struct RpcContext {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// Durable blocks and state. The server shows nothing else.
    pub storage: Arc<Storage>,
    /// Runs calls and estimates.
    pub executor: Arc<Executor>,
    /// Waiting transactions. The lock is held for lookups only.
    pub pool: Arc<Mutex<Mempool>>,
    /// Hands over a user's transaction.
    pub submit: Arc<Submit>,
    /// The running node.
    pub status: Arc<dyn NodeStatus>,
    /// Transactions that the pool has admitted. The node publishes each.
    pub pending: PendingFeed,
}

/// The state of the running node. Answers come from memory and never wait for IO.
pub trait NodeStatus: Send + Sync {
    /// Peers connected now.
    fn peer_count(&self) -> u64;
    /// Whether the node accepts connections.
    fn is_listening(&self) -> bool;
    /// The progress of catch-up; `None` if the node knows of no higher block.
    fn syncing(&self) -> Option<SyncProgress>;
    /// The progress of consensus; `None` while it is not running (catch-up, standalone tools).
    fn consensus(&self) -> Option<ConsensusProgress>;
    /// The progress of the peg; `None` on a chain without a peg, and on a node that does not watch the parent.
    fn peg(&self) -> Option<PegProgress>;
    /// Whether the vault has paid a withdrawal; `None` while this is not known, and on a node that does not watch the parent.
    fn is_claimed(&self, index: u64) -> Option<bool>;
}

/// Progress of catch-up, in heights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncProgress {
    /// Height at which catch-up began.
    pub starting: u64,
    /// Durable height.
    pub current: u64,
    /// Highest height that peers have proved or claimed.
    pub highest: u64,
}

/// Progress of consensus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsensusProgress {
    /// Height being decided.
    pub height: u64,
    /// Round in that height, from 0.
    pub round: u32,
    /// Name of the step: `propose`, `prevote`, `precommit`, ...
    pub step: String,
    /// Proposer of the round.
    pub proposer: Option<Address>,
    /// This node's validator id; `None` if it does not validate.
    pub validator: Option<Address>,
}

/// Progress of the peg: the node's view of the parent chain, and signatures that no block may carry yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PegProgress {
    /// Finalised height of the parent, as last read; `None` before the first answer.
    pub parent_height: Option<u64>,
    /// Timestamp of that block, in Unix seconds.
    pub parent_timestamp: Option<u64>,
    /// Newest deposit nonce in finalised parent blocks.
    pub deposits_seen: u64,
    /// Newest deposit nonce covered by a certificate of more than 2/3 of the power, whether or not a block carries it.
    pub deposits_attested: u64,
    /// Newest checkpoint that the registry on the parent has accepted; `None` before the first answer.
    pub checkpoint_accepted: Option<u64>,
    /// Newest checkpoint signed by more than 2/3 of the power, whether or not a block carries its certificate.
    pub checkpoint_signed: Option<u64>,
    /// Texts of the conditions that need an operator. Normally empty.
    pub alarms: Vec<String>,
}
