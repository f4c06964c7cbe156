//! Fees: `eth_gasPrice`, `eth_maxPriorityFeePerGas`, `eth_feeHistory`, `eth_blobBaseFee`.
//!
//! System transactions pay nothing. They are left out; otherwise every history would show tips of zero.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::FeeHistory;
use causeway_execution::SYSTEM_TX_TYPE;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Deserialize;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::eth::context::EthContext;
use crate::lanes::Cost;

/// Tip suggested while blocks have room, in wei per gas.
pub(crate) const QUIET_TIP_WEI: u128 = 1_000_000;
/// Blocks on which the suggestion is based.
const TIP_BLOCKS: u64 = 20;
/// The lowest tips of a full block that count: they just sufficed.
const TIPS_PER_BLOCK: usize = 3;
/// The percentile of these tips that is suggested.
const TIP_PERCENTILE: usize = 60;
/// Percentiles are converted to millionths: a ten-thousandth of a percent.
const PARTS: u64 = 1_000_000;
/// Price of blob gas at zero excess (EIP-4844). Blob transactions are refused, but clients ask for the price.
const BLOB_BASE_FEE_WEI: u128 = 1;

pub(crate) fn register(module: &mut RpcModule<EthContext>) -> Result<(), RegisterMethodError> {
    method(module, "eth_gasPrice", Cost::Read, 0, |eth, _| {
        let tip = suggested_tip(eth)?;
        Ok(U256::from(tip) + U256::from(eth.api.ctx.executor.next_base_fee(&eth.api.ctx.storage.head())?))
    })?;
    method(module, "eth_maxPriorityFeePerGas", Cost::Read, 0, |eth, _| Ok(U256::from(suggested_tip(eth)?)))?;
    method(module, "eth_blobBaseFee", Cost::Memory, 0, |_, _| Ok(U256::from(BLOB_BASE_FEE_WEI)))?;
    method(module, "eth_feeHistory", Cost::Heavy, 3, |eth, call| fee_history(&eth.api, call))
}

/// A tip in wei per gas that suffices: that of the cheapest transactions in full blocks, and at least [`QUIET_TIP_WEI`].
fn suggested_tip(eth: &EthContext) -> Result<u128, Fault> {
    let api = &*eth.api;
    let (head, hash) = api.head();
    if let Some(tip) = eth.tip.get(hash) {
        return Ok(tip);
    }
    let mut tips = Vec::new();
    for number in head.number.saturating_sub(TIP_BLOCKS - 1).max(api.earliest_number())..=head.number {
        let header = api.existing_header(number)?;
        if header.gas_used < header.gas_limit / 2 {
            // The block had room, so any tip would have sufficed.
            tips.push(QUIET_TIP_WEI);
            continue;
        }
        let mut paid: Vec<u128> = tips_paid(api, &header)?.into_iter().map(|(tip, _)| tip).collect();
        paid.sort_unstable();
        tips.extend(paid.into_iter().take(TIPS_PER_BLOCK));
    }
    tips.sort_unstable();
    let rank = tips.len().saturating_sub(1) * TIP_PERCENTILE / 100;
    let tip = tips.get(rank).copied().unwrap_or(QUIET_TIP_WEI).max(QUIET_TIP_WEI);
    eth.tip.set(hash, tip);
    Ok(tip)
}

/// (tip in wei per gas, gas used) of each user transaction of a block.
fn tips_paid(api: &Api, header: &Header) -> Result<Vec<(u128, u64)>, Fault> {
    let base_fee = u128::from(header.base_fee_per_gas.unwrap_or_default());
    let receipts = api.existing_receipts(header.number)?;
    let users = receipts.iter().filter(|receipt| receipt.tx_type != SYSTEM_TX_TYPE);
    Ok(users.map(|receipt| (receipt.effective_gas_price.saturating_sub(base_fee), receipt.gas_used)).collect())
}

/// A count: a hex quantity, a decimal string or a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Text(U64),
}

fn fee_history(api: &Api, call: &Call<'_>) -> Result<FeeHistory, Fault> {
    let count = match call.args.required(0)? {
        Count::Number(number) => number,
        Count::Text(number) => number.to(),
    };
    let newest: BlockNumberOrTag = call.args.required(1)?;
    let percentiles: Option<Vec<f64>> = call.args.optional(2)?;
    let limit = api.limits.fee_history_percentiles;
    let shares = percentiles.as_deref().map(|percentiles| shares(percentiles, limit)).transpose()?;
    let head = api.head_number();
    let newest = match newest {
        BlockNumberOrTag::Number(number) if number > head => {
            return Err(Fault::Refused(format!("request beyond head block: requested {number}, head {head}")));
        }
        tag => api.number_of_tag(tag)?.ok_or(Fault::HeaderNotFound)?,
    };
    let count = count.min(api.limits.fee_history_blocks).min(newest.saturating_add(1));
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let oldest = newest.saturating_add(1).saturating_sub(count);
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    let mut last: Option<Arc<Header>> = None;
    for number in oldest..=newest {
        call.check_deadline(&api.limits)?;
        let header = api.existing_header(number)?;
        history.base_fee_per_gas.push(u128::from(header.base_fee_per_gas.unwrap_or_default()));
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        history.base_fee_per_blob_gas.push(BLOB_BASE_FEE_WEI);
        history.blob_gas_used_ratio.push(0.0);
        if let Some(shares) = &shares {
            rewards.push(rewards_at(shares, tips_paid(api, &header)?));
        }
        last = Some(header);
    }
    if let Some(header) = last {
        history.base_fee_per_gas.push(u128::from(api.ctx.executor.next_base_fee(&header)?));
        history.base_fee_per_blob_gas.push(BLOB_BASE_FEE_WEI);
    }
    history.reward = shares.map(|_| rewards);
    Ok(history)
}

/// Converts percentiles to parts of [`PARTS`], with geth's checks.
fn shares(percentiles: &[f64], limit: usize) -> Result<Vec<u64>, Fault> {
    if percentiles.len() > limit {
        return Err(Fault::Refused(format!("invalid reward percentile: over the query limit {limit}")));
    }
    for (index, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return Err(Fault::Refused(format!("invalid reward percentile: {percentile}")));
        }
        let before = index.checked_sub(1).and_then(|before| percentiles.get(before));
        if let Some(before) = before.filter(|before| *before > percentile) {
            return Err(Fault::Refused(format!(
                "invalid reward percentile: #{}:{before} > #{index}:{percentile}",
                index - 1
            )));
        }
    }
    // The result is between 0 and a million, as checked above.
    Ok(percentiles.iter().map(|percentile| (percentile * 10_000.0).round() as u64).collect())
}

/// For each share of the block's gas: sorted by tip, the transaction at which the gas used so far reaches the share has this tip.
/// Zero if the block has no user transactions.
fn rewards_at(shares: &[u64], mut paid: Vec<(u128, u64)>) -> Vec<u128> {
    paid.sort_unstable();
    let total: u64 = paid.iter().map(|(_, gas)| gas).sum();
    let mut remaining = paid.iter();
    let mut current = remaining.next();
    let mut reached = current.map_or(0, |(_, gas)| *gas);
    shares
        .iter()
        .map(|share| {
            let threshold = u128::from(total) * u128::from(*share) / u128::from(PARTS);
            while u128::from(reached) < threshold {
                let Some(next) = remaining.next() else { break };
                reached = reached.saturating_add(next.1);
                current = Some(next);
            }
            current.map_or(0, |(tip, _)| *tip)
        })
        .collect()
}

/// Only for display, so precision beyond 2^53 does not matter.
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_weighed_by_gas() {
        let paid = vec![(5, 10_000), (1, 80_000), (9, 10_000)];
        let shares = shares(&[0.0, 50.0, 80.0, 80.1, 90.0, 100.0], 100).unwrap();
        assert_eq!(rewards_at(&shares, paid), [1, 1, 1, 5, 5, 9]);
        assert_eq!(rewards_at(&shares, Vec::new()), [0; 6]);
    }

    #[test]
    fn percentiles_are_checked() {
        let message = |percentiles: &[f64]| shares(percentiles, 100).unwrap_err().to_string();
        assert_eq!(message(&[-1.0]), "invalid reward percentile: -1");
        assert_eq!(message(&[100.5]), "invalid reward percentile: 100.5");
        assert_eq!(message(&[f64::NAN]), "invalid reward percentile: NaN");
        assert_eq!(message(&[20.0, 10.0]), "invalid reward percentile: #0:20 > #1:10");
        assert_eq!(message(&[1.0; 101]), "invalid reward percentile: over the query limit 100");
        shares(&[0.0, 25.0, 25.0, 100.0], 100).unwrap();
    }

    #[test]
    fn an_empty_limit_has_no_ratio() {
        assert_eq!(ratio(1, 0), 0.0);
        assert_eq!(ratio(1, 2), 0.5);
    }
}
