//! Blocks, the EVM, native modules, receipts and the state root.
//!
//! This crate owns the block format, the rules by which a block is valid, and the one deterministic function from
//! (parent state, block) to (receipts, changed state, roots). It executes with revm and computes the
//! state root with `causeway-trie`. Every figure it goes by comes from the [`Rules`] of the block's height.
//!
//! It must never know: consensus rounds, peers, the database, the clock (`now` is an argument) or the parent chain. A
//! block is valid or invalid from its own bytes, its parent's state and the rules of its height alone; the one exception is the bound
//! on the timestamp against the validator's clock ([`fault::BlockFault::TimestampAhead`]).
//!
//! Start reading at [`executor`], then [`modules`].

pub mod access_list;
pub mod block;
pub mod call;
mod context;
mod database;
mod diff;
pub mod estimate;
mod evm;
pub mod executor;
pub mod fault;
pub mod genesis_state;
mod halt;
pub mod header;
mod hooks;
pub mod limits;
pub mod modules;
pub mod overlay;
pub mod overrides;
pub mod peg_events;
pub mod receipt;
pub mod replay;
mod run;
pub mod state;
pub mod trace;
pub mod transaction;
mod validate;

pub use access_list::AccessListResult;
pub use block::{Block, DecodeError, MAX_BLOCK_BYTES, transactions_root};
pub use call::{CallError, CallRequest, CallResult};
pub use causeway_genesis::rules::{Rules, Schedule, UnknownRules};
pub use estimate::EstimateError;
pub use executor::{BuildAttributes, ExecutedBlock, Executor, SystemCall};
pub use fault::{BlockFault, ExecutionError, LocalError};
pub use genesis_state::genesis_state;
pub use header::next_base_fee;
pub use limits::TransactionLimits;
pub use modules::{
    peg::{PegSlots, PegSlotsError, peg_state},
    staking_state::{StakingSlots, StakingSlotsError, next_validator_set_at, staking_state, validator_set_at},
};
pub use overlay::OverlayState;
pub use overrides::{AccountOverride, BlockOverrides, Overrides, StateOverrides};
pub use peg_events::{PegEvent, PegEventKind, peg_events};
pub use receipt::Receipt;
pub use replay::TraceError;
pub use state::{Account, SourceError, StateDiff, StateSource};
pub use trace::{CallFrame, CallLog, TraceOptions};
pub use transaction::{
    MAX_TRANSACTION_BYTES, RecoveredTx, SYSTEM_TX_TYPE, SystemTx, Transaction, TransactionError, recover_all,
};
pub use validate::ValidationContext;
