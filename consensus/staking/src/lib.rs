//! Proof of stake rules: validators, delegations, rewards, epochs, faults, and the stake token.
//!
//! This crate owns the validator sets and their powers in each epoch ([`module`]), the effect of every action on the stake
//! ([`StakingModule`]'s functions), the storage layout ([`layout`]), and the interface for wallets ([`abi`],
//! [`views`]). It must never know a clock, a socket, a file, signatures and their curves, the peg, or how the EVM
//! stores its state. It reads and writes slots only through the [`Slots`] trait, and execution passes in verified
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

/// Address of the stake token: a second interface to the same state.
pub const STAKE_TOKEN: Address = address!("ca00000000000000000000000000000000000003");
