//! `staking_epoch`, `staking_totals`, `staking_params` and `staking_balance`: the stake of the whole chain. The file `validators`
//! has the methods about validators, the file `accounts` those about accounts.
//!
//! Every method reads the state after a block, by default the latest. `eth_call` on the staking module gives the same data.

use alloy_primitives::{Address, U64, U256};
use causeway_execution::{StakingSlots, StakingSlotsError};
use causeway_peg::PegModule;
use causeway_staking::{ModuleError, views};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::chain::StateAt;
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "staking_epoch", Cost::Read, 1, epoch)?;
    method(module, "staking_totals", Cost::Read, 1, totals)?;
    method(module, "staking_params", Cost::Read, 1, params)?;
    method(module, "staking_balance", Cost::Read, 2, balance)
}

/// The state of the block that the parameter at `index` names; the latest if it is absent.
pub(crate) fn state(api: &Api, call: &Call<'_>, index: usize) -> Result<StateAt, Fault> {
    api.state(call.args.block(index)?)
}

/// Reads the staking module's state at `at`.
pub(crate) fn view<T>(
    api: &Api,
    at: &StateAt,
    read: impl FnOnce(&mut StakingSlots<'_>) -> Result<T, ModuleError<StakingSlotsError>>,
) -> Result<T, Fault> {
    read(&mut causeway_execution::staking_state(&*at.state)).map_err(|error| api.staking_fault(error.into()))
}

/// The latest epoch whose validator set the parent has acknowledged; `None` on a chain without a peg.
pub(crate) fn acked_epoch(api: &Api, at: &StateAt) -> Result<Option<u64>, Fault> {
    if api.ctx.genesis.spec.peg.is_none() {
        return Ok(None);
    }
    let acked = PegModule::acked_epoch(&mut causeway_execution::peg_state(&*at.state));
    acked.map(Some).map_err(|error| api.peg_fault(error))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Epoch {
    number: U64,
    /// The first height that the validators of the epoch decide.
    start_height: U64,
    /// Timestamp of the previous block, in seconds.
    start_time: U64,
    /// Blocks by which the epoch exceeds its normal length.
    extended: U64,
    /// The normal length of an epoch, in blocks.
    length: U64,
    /// The last height of the epoch, if it is not extended further.
    last_height: U64,
    /// The latest epoch whose validator set the parent has acknowledged; null on a chain without a peg.
    acked_epoch: Option<U64>,
    /// The reason why the epoch is extended, in words; null if it is not.
    alarm: Option<String>,
}

fn epoch(api: &Api, call: &Call<'_>) -> Result<Epoch, Fault> {
    let at = state(api, call, 0)?;
    let info = view(api, &at, |s| views::epoch(s))?;
    let length = api.ctx.genesis.rules(at.header.number)?.staking.epoch_length;
    let last = info.start_height.saturating_add(length.saturating_sub(1)).saturating_add(info.extended);
    Ok(Epoch {
        number: U64::from(info.number),
        start_height: U64::from(info.start_height),
        start_time: U64::from(info.start_time),
        extended: U64::from(info.extended),
        length: U64::from(length),
        last_height: U64::from(last),
        acked_epoch: acked_epoch(api, &at)?.map(U64::from),
        alarm: extension_alarm(info.number, info.extended),
    })
}

/// The alarm of an epoch that is extended.
pub(crate) fn extension_alarm(epoch: u64, extended: u64) -> Option<String> {
    (extended > 0).then(|| {
        format!(
            "epoch {epoch} is extended by {extended} blocks: the next validator set waits until validators with more than 2/3 of \
             the power have signed the checkpoint that announces it"
        )
    })
}

#[derive(Debug, Serialize)]
struct Totals {
    issued: U256,
    bonded: U256,
    unbonding: U256,
    liquid: U256,
    slashed: U256,
    /// Remainders of rounding, which belong to no account.
    dust: U256,
    rewards: Rewards,
}

/// Coin in the reward pool.
#[derive(Debug, Serialize)]
struct Rewards {
    owed: U256,
    undistributed: U256,
    dust: U256,
}

fn totals(api: &Api, call: &Call<'_>) -> Result<Totals, Fault> {
    let at = state(api, call, 0)?;
    let (totals, rewards) = view(api, &at, |s| Ok((views::totals(s)?, views::rewards(s)?)))?;
    let liquid =
        totals.liquid().ok_or_else(|| Fault::internal("staking state", "more stake is held than was issued"))?;
    Ok(Totals {
        issued: totals.issued,
        bonded: totals.bonded,
        unbonding: totals.unbonding,
        liquid,
        slashed: totals.slashed,
        dust: totals.dust,
        rewards: Rewards { owed: rewards.owed, undistributed: rewards.undistributed, dust: rewards.dust },
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    epoch_length: U64,
    pegged: bool,
    max_validators: U64,
    min_self_bond: U256,
    min_delegation: U256,
    unbonding_seconds: U64,
    downtime_window: U64,
    downtime_slash_ppm: U64,
    jail_seconds: U64,
    double_sign_slash_ppm: U64,
    reporter_ppm: U64,
    issuance_ppm: U64,
    max_commission_change_bps: U64,
}

/// The parameters by the rules of the named block.
fn params(api: &Api, call: &Call<'_>) -> Result<Params, Fault> {
    let number = api.number_of(call.args.block(0)?)?.ok_or(Fault::HeaderNotFound)?;
    let params = api.ctx.genesis.rules(number)?.staking;
    Ok(Params {
        epoch_length: U64::from(params.epoch_length),
        pegged: params.pegged,
        max_validators: U64::from(params.max_validators),
        min_self_bond: params.min_self_bond,
        min_delegation: params.min_delegation,
        unbonding_seconds: U64::from(params.unbonding_seconds),
        downtime_window: U64::from(params.downtime_window),
        downtime_slash_ppm: U64::from(params.downtime_slash_ppm),
        jail_seconds: U64::from(params.jail_seconds),
        double_sign_slash_ppm: U64::from(params.double_sign_slash_ppm),
        reporter_ppm: U64::from(params.reporter_ppm),
        issuance_ppm: U64::from(params.issuance_ppm),
        max_commission_change_bps: U64::from(params.max_commission_change_bps),
    })
}

/// Liquid stake tokens of an account.
fn balance(api: &Api, call: &Call<'_>) -> Result<U256, Fault> {
    let account: Address = call.args.required(0)?;
    let at = state(api, call, 1)?;
    view(api, &at, |s| views::balance_of(s, account))
}
