//! The native staking module: a state machine over storage slots.
//!
//! Execution calls [`StakingModule::begin_block`] before a block's transactions, and the actions for users. Every
//! rule depends only on the slots and the arguments.
//!
//! Writes are staged: a refused operation has written nothing.

mod claims;
mod delegation;
mod downtime;
mod epochs;
mod genesis;
mod hook;
mod issuance;
mod leaving;
mod operator;
mod redelegation;
mod rewards;
mod selection;
mod slashing;
mod token;

use alloy_primitives::{Address, B256, Log, LogData, U256};

pub(crate) use claims::claimable_at;
pub(crate) use downtime::load_window;
pub(crate) use epochs::{Epoch, epoch_start, load_epoch, load_set};
pub(crate) use leaving::{load_pool, unbonding_of_word};
pub(crate) use redelegation::{Redelegation, free_at};
pub(crate) use rewards::touch;

use crate::{ModuleError, StakingParams, slots::Slots, staged::Staged};

/// The rules under one chain's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StakingModule {
    params: StakingParams,
}

/// A member of a validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Operator, which identifies the validator.
    pub operator: Address,
    /// Ed25519 consensus key.
    pub consensus_key: B256,
    /// Address of the secp256k1 peg key.
    pub peg_address: Address,
    /// Voting power, above zero.
    pub power: u64,
    /// The stake from which the power was scaled; below the bonded stake while the validator's growth is bounded.
    pub stake: U256,
}

/// The hook's inputs about the new block.
#[derive(Clone, Copy, Debug)]
pub struct BlockContext<'a> {
    /// Height of this block.
    pub height: u64,
    /// Its timestamp, seconds.
    pub timestamp: u64,
    /// Beneficiary of the previous block; `None` when that is genesis.
    pub previous_proposer: Option<Address>,
    /// Consensus keys of the signers in the previous block's certificate, which this block carries.
    pub previous_signers: &'a [B256],
    /// Balance of the reward pool before this block, wei.
    pub reward_pool: U256,
    /// Whether the next set may take over: a block carries the certificate that hands over to it. True on a chain
    /// without a peg.
    pub handover_ready: bool,
    /// Whether the announced next set may still be replaced by another. True on a chain without a peg.
    pub next_open: bool,
    /// Latest epoch that the parent acknowledged.
    pub acked_epoch: u64,
}

/// The hook's results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOutcome {
    /// The new epoch, if one begins with the next block.
    pub rotated_to: Option<u64>,
    /// A newly computed set with its epoch (the one after the current one). It must be announced to the peg, after
    /// the rotation if there is one.
    pub next: Option<(u64, Vec<Member>)>,
    /// Stake issued by this hook.
    pub issued: U256,
}

/// The caller and the block of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// The caller.
    pub sender: Address,
    /// Timestamp of the block, seconds.
    pub timestamp: u64,
    /// Height of the block.
    pub height: u64,
    /// Latest epoch that the parent acknowledged; not used on a chain without a peg.
    pub acked_epoch: u64,
}

/// A payment from the reward pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The receiver.
    pub to: Address,
    /// Wei, above zero.
    pub amount: U256,
}

/// A completed action, with the work that remains for execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The result.
    pub value: T,
    /// Logs to emit, in order, with their addresses.
    pub logs: Vec<Log>,
    /// Payments from the reward pool. The accounts already count them as paid.
    pub payments: Vec<Payment>,
}

/// Logs and payments of an action in progress.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    logs: Vec<Log>,
    payments: Vec<Payment>,
}

impl Effects {
    /// Adds an event of the staking module.
    pub(crate) fn log(&mut self, data: LogData) {
        self.logs.push(Log { address: crate::STAKING, data });
    }

    /// Adds an event of the stake token.
    pub(crate) fn token_log(&mut self, data: LogData) {
        self.logs.push(Log { address: crate::STAKE_TOKEN, data });
    }

    /// Adds a payment from the reward pool, unless the amount is zero.
    pub(crate) fn pay(&mut self, to: Address, amount: U256) {
        if !amount.is_zero() {
            self.payments.push(Payment { to, amount });
        }
    }
}

/// Result of a rule over `S`.
pub(crate) type Ruling<T, S> = Result<T, ModuleError<<S as Slots>::Error>>;

impl StakingModule {
    /// The rules under `params`, which must have passed [`StakingParams::check`].
    pub fn new(params: StakingParams) -> Self {
        Self { params }
    }

    /// The parameters.
    pub fn params(&self) -> &StakingParams {
        &self.params
    }

    /// Runs `action` on staged slots and writes them if it succeeds.
    fn act<S: Slots, T>(
        slots: &mut S,
        action: impl FnOnce(&mut Staged<'_, S>, &mut Effects) -> Ruling<T, S>,
    ) -> Ruling<Done<T>, S> {
        let mut staged = Staged::new(slots);
        let mut effects = Effects::default();
        let value = action(&mut staged, &mut effects)?;
        staged.commit()?;
        Ok(Done { value, logs: effects.logs, payments: effects.payments })
    }
}
