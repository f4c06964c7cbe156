//! `peg_summary`: what is locked, minted, burned and on its way, as chain data and the node's watcher know it.

use alloy_primitives::{Address, B256, U64, U256};
use causeway_execution::PegSlotsError;
use causeway_peg::PegModule;
use causeway_staking::views;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use parking_lot::Mutex;
use serde::Serialize;

use crate::api::{Api, method};
use crate::errors::Fault;
use crate::peg::domain;
use crate::staking::extension_alarm;
use crate::work::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "peg_summary", Cost::Heavy, 0, |api, _| summary(api))
}

/// Withdrawals added up at a time.
const SUM_CHUNK: u64 = 1_024;

/// Sum of all withdrawals' amounts so far, extended as withdrawals come.
#[derive(Debug, Default)]
pub(crate) struct BurnedCache(Mutex<(u64, U256)>);

impl BurnedCache {
    fn total(&self, api: &Api, count: u64) -> Result<U256, Fault> {
        let mut cached = self.0.lock();
        while cached.0 < count {
            let until = count.min(cached.0.saturating_add(SUM_CHUNK));
            let sum = amounts(api, cached.0, until)?;
            *cached = (until, cached.1.saturating_add(sum));
        }
        Ok(cached.1)
    }
}

fn amounts(api: &Api, from: u64, until: u64) -> Result<U256, Fault> {
    Ok(api.withdrawals(from, until)?.iter().fold(U256::ZERO, |sum, withdrawal| sum.saturating_add(withdrawal.amount)))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    parent_chain_id: U64,
    vault: Address,
    registry: Address,
    /// Height of the state below.
    block_number: U64,
    supply: U256,
    minted: U256,
    burned: U256,
    /// Deposits that this node's watcher saw final on the parent, in wei; null where it cannot tell.
    locked_seen: Option<U256>,
    deposits: Deposits,
    withdrawals: Withdrawals,
    checkpoints: Checkpoints,
    parent: Option<Parent>,
    /// Epoch of the federation in force.
    epoch: U64,
    /// Latest epoch whose federation the parent is known to have.
    acked_epoch: U64,
    alarms: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deposits {
    minted: U64,
    accumulator: B256,
    /// Null without a watcher.
    seen: Option<U64>,
    attested: Option<U64>,
    in_flight: Option<U64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Withdrawals {
    count: U64,
    root: B256,
    /// Those that no accepted checkpoint covers; null without a watcher.
    in_flight: Option<U64>,
    in_flight_amount: Option<U256>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoints {
    interval: U64,
    /// Built from chain data.
    latest: U64,
    /// Its certificate is in a block.
    recorded: U64,
    /// Accepted by the registry on the parent; null without a watcher.
    accepted: Option<U64>,
    latest_height: U64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parent {
    /// Finalised height.
    height: Option<U64>,
    timestamp: Option<U64>,
    /// Seconds since that block.
    lag: Option<U64>,
    /// Parent height that the last imported deposit certificate names.
    imported_height: U64,
}

fn summary(api: &Api) -> Result<Summary, Fault> {
    let domain = domain(api)?;
    let state = api.latest();
    let s = &mut causeway_execution::peg_state(&*state);
    let peg = api.ctx.status.peg();
    let read = |error: PegSlotsError| Fault::internal("peg state", error);
    let supply = PegModule::supply(s).map_err(read)?;
    let count = PegModule::withdrawal_count(s).map_err(read)?;
    let nonce = PegModule::deposit_nonce(s).map_err(read)?;
    let latest = PegModule::latest_checkpoint_number(s).map_err(read)?;
    let burned = api.burned.total(api, count)?;
    let minted = supply.saturating_add(burned);
    let accepted = peg.as_ref().and_then(|peg| peg.checkpoint_accepted);
    // Checkpoint 0 is the empty beginning.
    let covered = match accepted {
        Some(0) => Some(0),
        Some(number) => {
            PegModule::checkpoint(s, number).map_err(read)?.map(|checkpoint| checkpoint.withdrawalCount.min(count))
        }
        None => None,
    };
    let (epoch, acked) = (PegModule::epoch(s).map_err(read)?, PegModule::acked_epoch(s).map_err(read)?);
    let extended = views::epoch(&mut causeway_execution::staking_state(&*state))
        .map_err(|error| api.staking_fault(error.into()))?
        .extended;
    let mut alarms = peg.as_ref().map(|peg| peg.alarms.clone()).unwrap_or_default();
    alarms.extend(extension_alarm(epoch, extended));
    alarms.extend(acknowledgement_alarm(epoch, acked));
    let in_flight_amount = covered.map(|covered| {
        let paid = api.burned_below(covered)?;
        Ok::<_, Fault>(burned.saturating_sub(paid))
    });
    Ok(Summary {
        parent_chain_id: U64::from(domain.parent_chain_id),
        vault: PegModule::vault(s).map_err(read)?,
        registry: domain.registry,
        block_number: U64::from(api.head_number()),
        supply,
        minted,
        burned,
        locked_seen: peg
            .as_ref()
            .and_then(|peg| peg.deposited_seen_wei.or((peg.deposits_seen == nonce).then_some(minted))),
        deposits: Deposits {
            minted: U64::from(nonce),
            accumulator: PegModule::deposit_acc(s).map_err(read)?,
            seen: peg.as_ref().map(|peg| U64::from(peg.deposits_seen)),
            attested: peg.as_ref().map(|peg| U64::from(peg.deposits_attested)),
            in_flight: peg.as_ref().map(|peg| U64::from(peg.deposits_seen.saturating_sub(nonce))),
        },
        withdrawals: Withdrawals {
            count: U64::from(count),
            root: PegModule::withdrawal_root(s).map_err(read)?,
            in_flight: covered.map(|covered| U64::from(count.saturating_sub(covered))),
            in_flight_amount: in_flight_amount.transpose()?,
        },
        checkpoints: Checkpoints {
            interval: U64::from(PegModule::checkpoint_interval(s).map_err(read)?),
            latest: U64::from(latest),
            recorded: U64::from(PegModule::recorded_checkpoint_number(s).map_err(read)?),
            accepted: accepted.map(U64::from),
            latest_height: U64::from(
                PegModule::checkpoint(s, latest).map_err(read)?.map_or(0, |checkpoint| checkpoint.height),
            ),
        },
        parent: match &peg {
            None => None,
            Some(peg) => Some(Parent {
                height: peg.parent_height.map(U64::from),
                timestamp: peg.parent_timestamp.map(U64::from),
                lag: peg.parent_timestamp.map(|timestamp| U64::from((api.now_ms() / 1_000).saturating_sub(timestamp))),
                imported_height: U64::from(PegModule::last_parent_height(s).map_err(read)?),
            }),
        },
        epoch: U64::from(epoch),
        acked_epoch: U64::from(acked),
        alarms,
    })
}

/// A parent that is one epoch behind is catching up; more is for an operator to look at, for unbonding waits for it.
fn acknowledgement_alarm(epoch: u64, acked: u64) -> Option<String> {
    (epoch > acked.saturating_add(1)).then(|| {
        format!(
            "the federation is in epoch {epoch}, the parent is known to have that of epoch {acked}: does a relayer submit \
             checkpoints? Unbonded stake waits for the parent"
        )
    })
}

impl Api {
    /// Sum of the amounts of the withdrawals below `index`. Read from the newest end, where few are.
    fn burned_below(&self, index: u64) -> Result<U256, Fault> {
        let (count, total) = *self.burned.0.lock();
        let mut rest = U256::ZERO;
        let mut from = index.min(count);
        while from < count {
            let until = count.min(from.saturating_add(SUM_CHUNK));
            rest = rest.saturating_add(amounts(self, from, until)?);
            from = until;
        }
        Ok(total.saturating_sub(rest))
    }
}
