//! The `staking` section of the chain spec: the figures of proof of stake, fixed for the life of the chain.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use borsh::BorshSerialize;
use causeway_staking::{GenesisMember, StakingParams};
use serde::{Deserialize, Serialize};

use crate::spec::ChainSpec;

/// Figures of proof of stake. Every key may be left out; a spec that is written holds all of them. Fractions are in millionths
/// (`...Ppm`), commissions in hundredths of a percent (`...Bps`), amounts in units of 10^-18 of the staking token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StakingSpec {
    /// Most validators of a set, 1 to 128; those with the most stake get in.
    pub max_validators: u64,
    /// Least stake of an operator in its own validator, above zero; a validator below it leaves the set.
    pub min_self_bond: U256,
    /// Least amount delegated at once, above zero.
    pub min_delegation: U256,
    /// Seconds from the epoch in which stake has left its validator until it may be claimed, 1 to 31 536 000. Evidence is
    /// accepted, and a node may be offline without a trusted checkpoint, for as long.
    pub unbonding_seconds: u64,
    /// Blocks of a window in which a validator must show itself, 10 to 1 000 000.
    pub downtime_window: u64,
    /// Part of the stake that a validator loses for a window of silence.
    pub downtime_slash_ppm: u64,
    /// Seconds before a silent validator may return, at most 31 536 000.
    pub jail_seconds: u64,
    /// Part of the stake that a validator loses for signing two conflicting messages.
    pub double_sign_slash_ppm: u64,
    /// Part of what is slashed that goes to the reporter, at most half.
    pub reporter_ppm: u64,
    /// New stake issued per epoch as a part of what is bonded, at most 10 000.
    pub issuance_ppm: u64,
    /// How far a commission may move in 24 hours, at most 10 000.
    pub max_commission_change_bps: u16,
    /// Liquid stake tokens that exist from the start, beside what genesis validators have bonded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alloc: BTreeMap<Address, U256>,
}

impl Default for StakingSpec {
    fn default() -> Self {
        Self {
            max_validators: 100,
            min_self_bond: U256::from(1_000_000_000_000_000_000u64),
            min_delegation: U256::from(1_000_000_000_000_000u64),
            unbonding_seconds: 1_209_600,
            downtime_window: 1_000,
            downtime_slash_ppm: 100,
            jail_seconds: 600,
            double_sign_slash_ppm: 50_000,
            reporter_ppm: 50_000,
            issuance_ppm: 0,
            max_commission_change_bps: 100,
            alloc: BTreeMap::new(),
        }
    }
}

impl ChainSpec {
    /// What the staking module is to know of this spec.
    pub fn staking_params(&self) -> StakingParams {
        let staking = &self.staking;
        StakingParams {
            epoch_length: self.epoch_length,
            pegged: self.peg.is_some(),
            max_validators: staking.max_validators,
            min_self_bond: staking.min_self_bond,
            min_delegation: staking.min_delegation,
            unbonding_seconds: staking.unbonding_seconds,
            downtime_window: staking.downtime_window,
            downtime_slash_ppm: staking.downtime_slash_ppm,
            jail_seconds: staking.jail_seconds,
            double_sign_slash_ppm: staking.double_sign_slash_ppm,
            reporter_ppm: staking.reporter_ppm,
            issuance_ppm: staking.issuance_ppm,
            max_commission_change_bps: staking.max_commission_change_bps,
        }
    }

    /// The validators as the staking module registers them in block 0.
    pub(crate) fn genesis_members(&self) -> Vec<GenesisMember> {
        let members = self.validators.iter().map(|validator| GenesisMember {
            operator: validator.operator,
            consensus_key: validator.consensus_key,
            peg_address: validator.peg_address,
            stake: validator.stake,
            commission_bps: validator.commission_bps,
        });
        members.collect()
    }
}
