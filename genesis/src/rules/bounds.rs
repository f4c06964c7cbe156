//! The ranges of figures, and which of them cannot change while a chain runs.

use super::{ModulePrices, Rules, RulesEntry};
use crate::validity::{
    BPS, MAX_BASE_FEE, MAX_BLOCK_INTERVAL_MS, MAX_EPOCH_LENGTH, MAX_GAS_LIMIT, MAX_REPORTER_PPM, MAX_UNBONDING_EPOCHS,
    MIN_BLOCK_INTERVAL_MS, MIN_EPOCH_LENGTH, MIN_GAS_LIMIT, SpecFault,
};

/// Most bytes of a transaction that any rules may allow. What carries transactions, the network and the pool, goes by it.
pub const MAX_TRANSACTION_BYTES: u64 = 128 * 1024;
/// Most bytes of `extra_data` that any rules may allow: Ethereum's limit, which tools rely on.
pub const MAX_EXTRA_DATA_BYTES: u64 = 32;
/// Greatest floor of the base fee in wei.
pub const MAX_BASE_FEE_FLOOR: u64 = MAX_BASE_FEE;
/// Most bytes of a block that any rules may allow: what consensus carries.
pub(super) const MAX_BLOCK_BYTES: u64 = {
    assert!(causeway_consensus::MAX_BLOCK_BYTES <= 1 << 30, "a block's size fits every integer");
    causeway_consensus::MAX_BLOCK_BYTES as u64
};

/// Room for the header, a certificate by all validators and a system transaction of each kind.
const MIN_BLOCK_BYTES: u64 = 256 * 1024;
const MIN_TRANSACTION_BYTES: u64 = 32 * 1024;
const MAX_TIME_DRIFT_MS: u64 = 60_000;
const MAX_SYSTEM_GAS: u64 = 100_000_000;
const MIN_HOOK_GAS: u64 = 100_000;
const MAX_PRICE: u64 = 1_000_000;

/// Figures that no entry may change, and why. A path ends before what it covers.
const FIXED: [(&str, &str); 5] = [
    ("modules.addresses", "state, logs and contracts refer to the modules by their addresses"),
    ("staking.pegged", "a chain has its parent chain for life"),
    (
        "staking.unbondingSeconds",
        "stake that leaves, kept evidence and the trust of nodes that were offline count on it",
    ),
    ("staking.downtimeWindow", "the window under way would be judged by another length"),
    ("peg.checkpointInterval", "checkpoints are numbered by it, here and on the parent chain"),
];

/// Figures of the first rules that have a key of their own at the top of the genesis file.
const TOP_LEVEL: [(&str, &str); 4] = [
    ("block.gasLimit", "gasLimit"),
    ("block.intervalMs", "blockIntervalMs"),
    ("staking.epochLength", "epochLength"),
    ("staking", "staking"),
];

/// Whether the figures that `entry` names may be changed by it.
pub(super) fn may_change(entry: &RulesEntry) -> Result<(), SpecFault> {
    let height = entry.height;
    for path in entry.named() {
        if let Some((_, reason)) = FIXED.iter().find(|(fixed, _)| covers(fixed, &path)) {
            return Err(SpecFault::FixedFigure { height, at: path, reason });
        }
        if height == 0
            && let Some((_, key)) = TOP_LEVEL.iter().find(|(place, _)| covers(place, &path))
        {
            return Err(SpecFault::TopLevelFigure { at: path, key });
        }
    }
    Ok(())
}

fn covers(place: &str, path: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether every figure of the rules from `height` on is in its range.
pub(super) fn check(height: u64, rules: &Rules, pegged: bool) -> Result<(), SpecFault> {
    let Rules { version: _, evm: _, block, base_fee, transaction, system, modules, staking, peg } = rules;
    let ModulePrices { input_word, signature, leaf, tree_step, hash_word, credit } = modules.prices;
    let ranges = [
        ("block.gasLimit", block.gas_limit, MIN_GAS_LIMIT, MAX_GAS_LIMIT),
        ("block.intervalMs", block.interval_ms, MIN_BLOCK_INTERVAL_MS, MAX_BLOCK_INTERVAL_MS),
        ("block.maxBytes", block.max_bytes, MIN_BLOCK_BYTES, MAX_BLOCK_BYTES),
        ("block.maxExtraDataBytes", block.max_extra_data_bytes, 0, MAX_EXTRA_DATA_BYTES),
        ("block.timeDriftMs", block.time_drift_ms, 1_000, MAX_TIME_DRIFT_MS),
        ("baseFee.elasticity", base_fee.elasticity, 2, 16),
        ("baseFee.changeDenominator", base_fee.change_denominator, 2, 1_000),
        ("baseFee.floor", base_fee.floor, 0, MAX_BASE_FEE_FLOOR),
        ("transaction.maxBytes", transaction.max_bytes, MIN_TRANSACTION_BYTES, MAX_TRANSACTION_BYTES),
        ("system.gas", system.gas, MIN_GAS_LIMIT, MAX_SYSTEM_GAS),
        ("system.hookGas", system.hook_gas, MIN_HOOK_GAS, MAX_SYSTEM_GAS),
        ("modules.prices.inputWord", input_word, 0, MAX_PRICE),
        ("modules.prices.signature", signature, 0, MAX_PRICE),
        ("modules.prices.leaf", leaf, 0, MAX_PRICE),
        ("modules.prices.treeStep", tree_step, 0, MAX_PRICE),
        ("modules.prices.hashWord", hash_word, 0, MAX_PRICE),
        ("modules.prices.credit", credit, 0, MAX_PRICE),
        ("staking.epochLength", staking.epoch_length, MIN_EPOCH_LENGTH, MAX_EPOCH_LENGTH),
        ("staking.reporterPpm", staking.reporter_ppm, 0, MAX_REPORTER_PPM),
        ("staking.maxCommissionChangeBps", staking.max_commission_change_bps.into(), 0, BPS),
    ];
    let at =
        |fault: SpecFault| if height == 0 { fault } else { SpecFault::RulesFrom { height, fault: Box::new(fault) } };
    for (key, value, min, max) in ranges {
        if !(min..=max).contains(&value) {
            return Err(at(SpecFault::OutOfRange { key, value, min, max }));
        }
    }
    staking.check().map_err(|fault| at(fault.into()))?;
    // All factors are within their bounds by now: no product leaves 64 bits.
    let epoch_ms = staking.epoch_length.saturating_mul(block.interval_ms);
    let seconds = staking.unbonding_seconds;
    let epochs = seconds.saturating_mul(1_000).checked_div(epoch_ms).unwrap_or(u64::MAX);
    if epochs > MAX_UNBONDING_EPOCHS {
        return Err(at(SpecFault::UnbondingEpochs { seconds, epochs, max: MAX_UNBONDING_EPOCHS }));
    }
    let (interval, length) = (peg.checkpoint_interval, staking.epoch_length);
    if pegged && interval.saturating_mul(2) > length {
        return Err(at(SpecFault::CheckpointsPerEpoch { interval, length }));
    }
    let needed = largest_import_gas(&modules.prices);
    if pegged && needed > system.gas {
        return Err(at(SpecFault::SystemGas { gas: system.gas, needed }));
    }
    Ok(())
}

/// Gas of the largest import of deposits: were it more than a system transaction may use, deposits would wait for ever.
fn largest_import_gas(prices: &ModulePrices) -> u64 {
    const DEPOSITS: u64 = causeway_peg::deposit::MAX_DEPOSITS_PER_VIEW;
    const SIGNERS: u64 = causeway_staking::params::MAX_SET;
    // A deposit: nine words of input, its leaf, its credit, and the account, the event and the slots, rounded up.
    let deposit = [prices.input_word.saturating_mul(9), prices.leaf, prices.credit, 12_000];
    // A signature: four words of input, the check, and the slot of its signer.
    let signature = [prices.input_word.saturating_mul(4), prices.signature, 5_000];
    let sum = |parts: &[u64]| parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
    DEPOSITS.saturating_mul(sum(&deposit)).saturating_add(SIGNERS.saturating_mul(sum(&signature)))
}
