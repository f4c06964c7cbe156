//! Proof of stake rules: validators, delegations, rewards, epochs, faults, and the stake token.
//!
//! This crate owns who validates with which power and since when ([`module`]), what every action does to the stake
//! ([`StakingModule`]'s functions), where the state is kept ([`layout`]) and how wallets see it ([`abi`],
//! [`views`]). It must never know a clock, a socket, a file, signatures and their curves, the peg, or how the EVM
//! keeps its state: slots are read and written through the [`Slots`] trait alone, and execution passes in verified
//! facts.
//!
//! Start reading at [`module`], then [`layout`]; [`power::scale_power`] turns stake into voting power.

pub mod abi;
pub mod fault;
pub mod layout;
mod math;
pub mod module;
pub mod params;
pub mod power;
mod records;
pub mod registration;
pub mod slots;
mod staged;
pub mod views;

use alloy_primitives::{Address, address};

pub use abi::{IStakeToken, IStaking};
pub use fault::{ModuleError, StakingFault};
pub use module::{BlockContext, BlockOutcome, Done, Env, Member, Payment, StakingModule};
pub use params::{GenesisFault, GenesisMember, StakingParams, check_genesis};
pub use power::{MAX_STAKES, PowerError, TOTAL_POWER, scale_power};
pub use slots::Slots;

/// Address of the staking module; its storage holds all state of staking and of the stake token.
pub const STAKING: Address = address!("ca00000000000000000000000000000000000001");

/// Address of the stake token: a second face of the same state.
pub const STAKE_TOKEN: Address = address!("ca00000000000000000000000000000000000003");
