//! Faults of the parent and of an endpoint.

use alloy_primitives::{Address, U256};

/// Faults of the whole chain. The default is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainFaults {
    /// Percentage of blocks with a reorganisation.
    pub reorg_percent: u64,
    /// Most blocks one reorganisation replaces; final ones never.
    pub reorg_depth: u64,
    /// Percentage of the transactions of replaced blocks that are forgotten.
    pub drop_percent: u64,
    /// The base fee is this many times what the rule says.
    pub fee_factor: u64,
    /// Percentage of new transactions that stay in the pool until they are replaced, or until the healing.
    pub stuck_percent: u64,
    /// Percentage of new transactions that an endpoint accepts and forgets.
    pub lost_percent: u64,
    /// Blocks are made and none becomes final.
    pub finality_stalled: bool,
    /// No blocks are made.
    pub halted: bool,
}

impl Default for ChainFaults {
    fn default() -> Self {
        Self {
            reorg_percent: 0,
            reorg_depth: 0,
            drop_percent: 0,
            fee_factor: 1,
            stuck_percent: 0,
            lost_percent: 0,
            finality_stalled: false,
            halted: false,
        }
    }
}

/// Faults of one endpoint. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFaults {
    /// It is this many blocks behind.
    pub lag: u64,
    /// It has stopped at this block.
    pub stalled_at: Option<u64>,
    /// It leaves out the logs of this many newest blocks: its index is behind.
    pub unindexed: u64,
    /// Added to each round trip, ms. After the client's deadline the answer is too late.
    pub slow_ms: u64,
    /// Most blocks one log query may span; 0 is no limit.
    pub max_log_range: u64,
    /// Percentage of requests that are served, but whose connection ends before the answer.
    pub cut_percent: u64,
    /// It is down.
    pub outage: Option<Outage>,
    /// It lies about the chain.
    pub lie: Option<Lie>,
}

/// The way in which an endpoint is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections are refused.
    Refused,
    /// Connections stay open without an answer.
    Silent,
    /// A proxy answers with this HTTP status.
    Status(u16),
}

/// A branch made by [`super::Parent::branch_off`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BranchId(pub(super) u32);

/// A lie of an endpoint. All its other answers are honest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Another chain id.
    ChainId(u64),
    /// Another branch, consistently in all answers. Once its blocks are final, the parent is split.
    Branch(BranchId),
    /// Deposits whose nonce this number divides have no logs.
    HiddenDeposits(u64),
    /// Deposits go to another recipient, in the logs.
    AlteredDeposits(Address),
    /// Every log is there twice.
    DoubledLogs,
    /// A log that does not match the query.
    StrayLog,
    /// Calls blocks final this many above those that are.
    FinalizedAhead(u64),
    /// Calls blocks final this many below those that are.
    FinalizedBack(u64),
    /// Other hashes for blocks that are final.
    BlockHashes,
    /// The vault reports this many deposits too many.
    DepositCount(u64),
    /// The registry reports this many checkpoints too many.
    Registry(u64),
    /// Contracts are not there: calls give nothing.
    NoContracts,
    /// Text that is not JSON-RPC.
    NotJsonRpc,
    /// Results of another type than asked for.
    OtherTypes,
    /// `null` in place of every result.
    Nothing,
    /// An answer longer than any client reads.
    TooLong,
    /// A JSON-RPC error to everything.
    Refusal(i64),
}

/// A deposit that exists on a lying branch only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedDeposit {
    /// The recipient on the sidechain.
    pub recipient: Address,
    /// Amount, wei.
    pub amount: U256,
}
