//! `staking_validators` and `staking_validator`: the validators with their power, stake, commission and uptime.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U64, U256};
use causeway_consensus::ConsensusKey;
use causeway_staking::views;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use crate::api::{Api, Call, method};
use crate::chain::StateAt;
use crate::errors::Fault;
use crate::lanes::Cost;
use crate::staking::totals::{state, view};

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "staking_validators", Cost::Heavy, 1, validators)?;
    method(module, "staking_validator", Cost::Read, 2, validator)
}

/// The status of a validator: the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    /// It signed twice and is excluded for ever.
    Tombstoned,
    /// It has left.
    Exited,
    /// It is leaving.
    Exiting,
    /// It was down and is excluded until its operator returns it.
    Jailed,
    /// It is in the set that decides the next height.
    Active,
    /// It is in the set of the next epoch.
    Waiting,
    /// It is registered and in neither set.
    Standby,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RpcStakingValidator {
    operator: Address,
    /// Its id in votes and certificates.
    validator: Address,
    consensus_key: B256,
    peg_address: Address,
    status: Status,
    /// Power in the set that decides the next height.
    power: U64,
    /// Power in the set of the next epoch.
    next_power: U64,
    /// Bonded stake of the operator and its delegators.
    stake: U256,
    self_bond: U256,
    shares: U256,
    commission_bps: U64,
    jailed: bool,
    jailed_until: Option<U64>,
    tombstoned: bool,
    exit_epoch: Option<U64>,
    /// Coin: commission that the operator has not claimed.
    commission: U256,
    /// Coin: rewards that its delegators have not claimed.
    rewards: U256,
    /// Null if it was in no set in the current window.
    uptime: Option<Uptime>,
}

/// A member's votes and proposals in the current downtime window.
#[derive(Debug, Serialize)]
struct Uptime {
    /// Commit certificates in the window so far.
    certificates: U64,
    /// Number of these that it signed.
    signed: U64,
    /// Whether it proposed a block.
    proposed: bool,
    /// Whether it was in the set since the window began. Only then can it be jailed for downtime.
    throughout: bool,
}

/// Powers by operator.
struct Powers {
    epoch: u64,
    active: BTreeMap<Address, u64>,
    next: BTreeMap<Address, u64>,
}

impl Powers {
    fn read(api: &Api, at: &StateAt) -> Result<Self, Fault> {
        view(api, at, |s| {
            let active = views::active_set(s)?.into_iter().map(|member| (member.operator, member.power)).collect();
            let next = views::next_set(s)?.into_iter().map(|member| (member.operator, member.power)).collect();
            Ok(Self { epoch: views::epoch(s)?.number, active, next })
        })
    }
}

/// Highest power first, then highest stake.
fn validators(api: &Api, call: &Call<'_>) -> Result<Vec<RpcStakingValidator>, Fault> {
    let at = state(api, call, 0)?;
    let powers = Powers::read(api, &at)?;
    let operators = view(api, &at, |s| views::validators(s))?;
    let mut found = Vec::with_capacity(operators.len());
    for operator in operators {
        call.check_deadline(&api.limits)?;
        found.extend(describe(api, &at, &powers, operator)?);
    }
    found.sort_by(|a, b| (b.power, b.stake, a.operator).cmp(&(a.power, a.stake, b.operator)));
    Ok(found)
}

fn validator(api: &Api, call: &Call<'_>) -> Result<Option<RpcStakingValidator>, Fault> {
    let operator: Address = call.args.required(0)?;
    let at = state(api, call, 1)?;
    let powers = Powers::read(api, &at)?;
    describe(api, &at, &powers, operator)
}

fn describe(api: &Api, at: &StateAt, powers: &Powers, operator: Address) -> Result<Option<RpcStakingValidator>, Fault> {
    let (found, uptime) = view(api, at, |s| Ok((views::validator(s, operator)?, views::uptime(s, operator)?)))?;
    let Some(found) = found else { return Ok(None) };
    let power_in = |set: &BTreeMap<Address, u64>| set.get(&operator).copied();
    let (power, next_power) = (power_in(&powers.active), power_in(&powers.next));
    let exit_epoch = found.exit_epoch;
    let status = if found.tombstoned {
        Status::Tombstoned
    } else if let Some(exit) = exit_epoch {
        if exit <= powers.epoch { Status::Exited } else { Status::Exiting }
    } else if found.jailed {
        Status::Jailed
    } else if power.is_some() {
        Status::Active
    } else if next_power.is_some() {
        Status::Waiting
    } else {
        Status::Standby
    };
    Ok(Some(RpcStakingValidator {
        operator,
        validator: ConsensusKey(found.consensus_key.0).id(),
        consensus_key: found.consensus_key,
        peg_address: found.peg_address,
        status,
        power: U64::from(power.unwrap_or_default()),
        next_power: U64::from(next_power.unwrap_or_default()),
        stake: found.tokens,
        self_bond: found.self_bond,
        shares: found.shares,
        commission_bps: U64::from(found.commission_bps),
        jailed: found.jailed,
        jailed_until: found.jailed.then(|| U64::from(found.jailed_until)),
        tombstoned: found.tombstoned,
        exit_epoch: exit_epoch.map(U64::from),
        commission: found.commission,
        rewards: found.rewards,
        uptime: uptime.map(|uptime| Uptime {
            certificates: U64::from(uptime.certificates),
            signed: U64::from(uptime.signed),
            proposed: uptime.proposed,
            throughout: uptime.throughout,
        }),
    }))
}
