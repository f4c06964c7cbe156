//! The native staking module: a state machine over storage slots.
//!
//! Execution calls [`StakingModule::begin_block`] before a block's transactions and the actions for users. Every
//! rule is decided from the slots and the arguments alone.
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
    /// Operator, who names the validator.
    pub operator: Address,
    /// Ed25519 consensus key.
    pub consensus_key: B256,
    /// Address of the secp256k1 peg key.
    pub peg_address: Address,
    /// Voting power, above zero.
    pub power: u64,
    /// Stake that the power was scaled from; below the bonded stake while the validator's growth is bounded.
    pub stake: U256,
}

/// What the hook is told of the block that begins.
#[derive(Clone, Copy, Debug)]
pub struct BlockContext<'a> {
    /// Height of this block.
    pub height: u64,
    /// Its timestamp, seconds.
    pub timestamp: u64,
    /// Beneficiary of the parent block; `None` when that is genesis.
    pub parent_proposer: Option<Address>,
    /// Consensus keys that signed the parent's certificate, as this block carries it.
    pub parent_signers: &'a [B256],
    /// Balance of the reward pool before this block, wei.
    pub reward_pool: U256,
    /// Whether the next set may take over: a block carries the certificate that announces it. True on a chain
    /// without a peg.
    pub handover_ready: bool,
    /// Whether the announced next set may still be replaced by another. True on a chain without a peg.
    pub next_open: bool,
    /// Latest epoch that the parent acknowledged.
    pub acked_epoch: u64,
}

/// What the hook did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockOutcome {
    /// The epoch that begins with the next block, when it is another one.
    pub rotated_to: Option<u64>,
    /// A set that was computed, with its epoch (the one after the current one): to be announced to the peg, after
    /// the rotation if there is one.
    pub next: Option<(u64, Vec<Member>)>,
    /// Stake issued.
    pub issued: U256,
}

/// Who acts, and in which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// The caller.
    pub sender: Address,
    /// Timestamp of the block, seconds.
    pub timestamp: u64,
    /// Height of the block.
    pub height: u64,
    /// Latest epoch that the parent acknowledged; not looked at on a chain without a peg.
    pub acked_epoch: u64,
}

/// Coin to be paid out of the reward pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Who gets it.
    pub to: Address,
    /// Wei, above zero.
    pub amount: U256,
}

/// An action that happened, and what execution has to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The result.
    pub value: T,
    /// Logs to emit, in order, with their addresses.
    pub logs: Vec<Log>,
    /// Coin to pay from the reward pool. The accounts count it as paid.
    pub payments: Vec<Payment>,
}

/// Logs and payments of an action that is under way.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    logs: Vec<Log>,
    payments: Vec<Payment>,
}

impl Effects {
    /// An event of the staking module.
    pub(crate) fn log(&mut self, data: LogData) {
        self.logs.push(Log { address: crate::STAKING, data });
    }

    /// An event of the stake token.
    pub(crate) fn token_log(&mut self, data: LogData) {
        self.logs.push(Log { address: crate::STAKE_TOKEN, data });
    }

    /// Coin from the reward pool; nothing for nothing.
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

    /// Runs `action` on staged slots and writes them where it succeeds.
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
