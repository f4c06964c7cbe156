//! `staking_delegations`, `staking_unbondings`, `staking_redelegations` and `staking_rewards`: the stake and
//! rewards of an account.

use alloy_primitives::{Address, U64, U256};
use causeway_staking::views;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::staking::totals::{acked_epoch, state, view};

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "staking_delegations", Cost::Heavy, 2, delegations)?;
    method(module, "staking_unbondings", Cost::Heavy, 2, unbondings)?;
    method(module, "staking_redelegations", Cost::Read, 2, redelegations)?;
    method(module, "staking_rewards", Cost::Heavy, 2, rewards)
}

#[derive(Debug, Serialize)]
struct Delegation {
    validator: Address,
    shares: U256,
    /// The value of the shares in stake tokens.
    tokens: U256,
    /// Shares that cannot move, because they still answer for faults of a previous validator.
    locked: U256,
    /// Coin that can be claimed now.
    rewards: U256,
}

fn delegations(api: &Api, call: &Call<'_>) -> Result<Vec<Delegation>, Fault> {
    let delegator: Address = call.args.required(0)?;
    let at = state(api, call, 1)?;
    view(api, &at, |s| {
        let mut found = Vec::new();
        for (validator, delegation) in views::delegations(s, delegator)? {
            found.push(Delegation {
                validator,
                shares: delegation.shares,
                tokens: delegation.tokens,
                locked: delegation.locked,
                rewards: views::pending_rewards(s, delegator, validator)?,
            });
        }
        Ok(found)
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unbonding {
    validator: Address,
    /// First epoch in which the stake no longer counts.
    leave_epoch: U64,
    /// Its current value in stake tokens. A slash lowers it.
    tokens: U256,
    /// Unix time in seconds at which it can be claimed; null while this is not known.
    claimable_at: Option<U64>,
    /// Whether it can be claimed in the next block.
    claimable: bool,
}

fn unbondings(api: &Api, call: &Call<'_>) -> Result<Vec<Unbonding>, Fault> {
    let delegator: Address = call.args.required(0)?;
    let at = state(api, call, 1)?;
    let params = api.ctx.genesis.rules(at.header.number)?.staking;
    // A chain without a peg does not use this value.
    let acked = acked_epoch(api, &at)?.unwrap_or_default();
    let found = view(api, &at, |s| views::unbondings(s, &params, acked, delegator))?;
    Ok(found
        .into_iter()
        .map(|unbonding| {
            let claimable_at = unbonding.claimable_at;
            Unbonding {
                validator: unbonding.validator,
                leave_epoch: U64::from(unbonding.leave_epoch),
                tokens: unbonding.tokens,
                claimable_at: claimable_at.map(U64::from),
                claimable: claimable_at.is_some_and(|time| time <= at.header.timestamp),
            }
        })
        .collect())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Redelegation {
    id: U64,
    from: Address,
    to: Address,
    /// First epoch for which the stake does not answer for faults of `from`.
    leave_epoch: U64,
    /// Shares of `to` that are locked.
    shares: U256,
    /// Unix time in seconds at which they become free; null while this is not known.
    free_at: Option<U64>,
}

fn redelegations(api: &Api, call: &Call<'_>) -> Result<Vec<Redelegation>, Fault> {
    let delegator: Address = call.args.required(0)?;
    let at = state(api, call, 1)?;
    let params = api.ctx.genesis.rules(at.header.number)?.staking;
    let found = view(api, &at, |s| views::redelegations(s, &params, delegator))?;
    Ok(found
        .into_iter()
        .map(|moved| Redelegation {
            id: U64::from(moved.id),
            from: moved.from,
            to: moved.to,
            leave_epoch: U64::from(moved.leave_epoch),
            shares: moved.shares,
            free_at: moved.free_at.map(U64::from),
        })
        .collect())
}

/// Coin that an account can claim now.
#[derive(Debug, Serialize)]
struct Rewards {
    total: U256,
    /// The part that it earned as the operator of a validator.
    commission: U256,
    delegations: Vec<DelegationRewards>,
}

#[derive(Debug, Serialize)]
struct DelegationRewards {
    validator: Address,
    coin: U256,
}

fn rewards(api: &Api, call: &Call<'_>) -> Result<Rewards, Fault> {
    let account: Address = call.args.required(0)?;
    let at = state(api, call, 1)?;
    view(api, &at, |s| {
        let commission = views::validator(s, account)?.map_or(U256::ZERO, |validator| validator.commission);
        let mut delegations = Vec::new();
        for (validator, _) in views::delegations(s, account)? {
            delegations.push(DelegationRewards { validator, coin: views::pending_rewards(s, account, validator)? });
        }
        let total = delegations.iter().fold(commission, |sum, one| sum.saturating_add(one.coin));
        Ok(Rewards { total, commission, delegations })
    })
}
