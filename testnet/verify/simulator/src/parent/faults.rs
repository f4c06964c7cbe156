//! What can go wrong at the parent and at an endpoint.

use alloy_primitives::{Address, U256};

/// Faults of the whole chain. The default is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainFaults {
    /// How often, of 100 blocks, one comes with a reorganisation.
    pub reorg_percent: u64,
    /// Most blocks one reorganisation replaces; final ones never.
    pub reorg_depth: u64,
    /// Share of the transactions of replaced blocks that everybody forgets.
    pub drop_percent: u64,
    /// The base fee is this many times what the rule says.
    pub fee_factor: u64,
    /// Share of new transactions that pools take and no block holds until they are replaced, or until healing.
    pub stuck_percent: u64,
    /// Share of new transactions that an endpoint takes and forgets.
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
    /// Added to each round trip, ms. Beyond the asker's deadline the answer comes too late.
    pub slow_ms: u64,
    /// Most blocks one log query may span; 0 is no limit.
    pub max_log_range: u64,
    /// Share of requests that are served and whose connection is cut before the answer.
    pub cut_percent: u64,
    /// It cannot be used at all.
    pub outage: Option<Outage>,
    /// It tells something else than the chain does.
    pub lie: Option<Lie>,
}

/// How an endpoint is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections are refused.
    Refused,
    /// Connections stand and nothing is answered.
    Silent,
    /// A proxy answers with this HTTP status.
    Status(u16),
}

/// A branch made by [`super::Parent::branch_off`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BranchId(pub(super) u32);

/// What an endpoint tells instead of the truth. Everything else it answers honestly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Another chain id.
    ChainId(u64),
    /// Another branch, in all answers: consistent with itself. Once its blocks are final, the parent is split.
    Branch(BranchId),
    /// Deposits whose nonce this number divides have no logs.
    HiddenDeposits(u64),
    /// Deposits go to another recipient, in the logs.
    AlteredDeposits(Address),
    /// Every log is there twice.
    DoubledLogs,
    /// A log that was not asked for.
    StrayLog,
    /// Calls blocks final this many above those that are.
    FinalizedAhead(u64),
    /// Calls blocks final this many below those that are.
    FinalizedBack(u64),
    /// Other hashes for blocks that are final.
    BlockHashes,
    /// The vault counts this many deposits more than it does.
    DepositCount(u64),
    /// The registry is ahead by this many checkpoints.
    Registry(u64),
    /// Contracts are not there: calls give nothing.
    NoContracts,
    /// Text that is not JSON-RPC.
    NotJsonRpc,
    /// Results of another type than asked for.
    OtherTypes,
    /// `null` in place of every result.
    Nothing,
    /// More than anybody reads.
    TooLong,
    /// A JSON-RPC error to everything.
    Refusal(i64),
}

/// A deposit that exists on a lying branch only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedDeposit {
    /// Who gets coin on the sidechain.
    pub recipient: Address,
    /// How much, wei.
    pub amount: U256,
}
