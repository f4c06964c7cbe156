//! What the server reads and whom it asks: the seam between it and the node.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use causeway_execution::{Executor, RecoveredTx};
use causeway_genesis::Genesis;
use causeway_mempool::{Mempool, PoolError};
use causeway_storage::Storage;
use parking_lot::Mutex;

use causeway_mempool::PendingFeed;

/// Hands a transaction to the node: it joins the pool and is gossiped. Blocking and short.
pub type Submit = dyn Fn(Arc<RecoveredTx>) -> Result<B256, PoolError> + Send + Sync;

/// Everything the server reads. Cheap to clone.
#[derive(Clone)]
pub struct RpcContext {
    /// The chain.
    pub genesis: Arc<Genesis>,
    /// Durable blocks and state; only what is committed is ever shown.
    pub storage: Arc<Storage>,
    /// Runs calls and estimates.
    pub executor: Arc<Executor>,
    /// Waiting transactions. The lock is held for lookups only.
    pub pool: Arc<Mutex<Mempool>>,
    /// Takes a raw transaction that a user sent.
    pub submit: Arc<Submit>,
    /// The running node.
    pub status: Arc<dyn NodeStatus>,
    /// Transactions as the pool admits them; the node publishes each.
    pub pending: PendingFeed,
}

/// What the server asks the running node. Answers come from memory; they never block on IO.
pub trait NodeStatus: Send + Sync {
    /// Peers connected now.
    fn peer_count(&self) -> u64;
    /// Whether the node accepts connections.
    fn is_listening(&self) -> bool;
    /// How far catch-up is; `None` when the node is at the head as far as it knows.
    fn syncing(&self) -> Option<SyncProgress>;
    /// Where consensus stands; `None` while it is not running (catch-up, standalone tools).
    fn consensus(&self) -> Option<ConsensusProgress>;
    /// What the parent watcher and the attestations know; `None` on a chain without a peg or a node that does not watch.
    fn peg(&self) -> Option<PegProgress>;
    /// Whether the vault has paid a withdrawal; `None` when that is not known (yet), and on a node that does not watch.
    fn is_claimed(&self, index: u64) -> Option<bool>;
}

/// Progress of catch-up, in heights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncProgress {
    /// Height at which catch-up began.
    pub starting: u64,
    /// Durable height.
    pub current: u64,
    /// Greatest height that peers proved or claimed.
    pub highest: u64,
}

/// Where consensus stands.
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
    /// This node's validator id; `None` where it only follows.
    pub validator: Option<Address>,
}

/// What the node knows of the parent chain and of attestations in flight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PegProgress {
    /// Finalised height of the parent as last seen; `None` before the first answer.
    pub parent_height: Option<u64>,
    /// Timestamp of that block, in Unix seconds.
    pub parent_timestamp: Option<u64>,
    /// Newest deposit nonce seen in finalised parent blocks.
    pub deposits_seen: u64,
    /// Sum of the native deposits seen in finalised parent blocks since genesis, in wei, where the watcher counts it.
    pub deposited_seen_wei: Option<alloy_primitives::U256>,
    /// Newest deposit nonce that a certificate of more than 2/3 of the power covers, included in a block or not.
    pub deposits_attested: u64,
    /// Newest deposit nonce on the parent that is not final yet, where the watcher looks ahead.
    pub deposits_unfinal: Option<u64>,
    /// Newest checkpoint number the registry on the parent has accepted; `None` before the first answer.
    pub checkpoint_accepted: Option<u64>,
    /// Newest checkpoint number with signatures of more than 2/3 of the power, included in a block or not.
    pub checkpoint_signed: Option<u64>,
    /// Reasons for which the peg needs an operator, in words; empty when all is well.
    pub alarms: Vec<String>,
}
