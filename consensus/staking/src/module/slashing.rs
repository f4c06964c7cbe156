//! Slashes of bonded stake, of leaving stake, and (when settled) of redelegated stake.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;

use super::{Done, Env, Ruling, StakingModule, epochs::load_epoch, leaving, operator::retire, token};
use crate::{
    StakingFault,
    abi::IStaking,
    layout,
    math::{ppm_ceil, ppm_floor},
    records::Validator,
    slots::{Slots, address, lane, lanes},
    staged::Staged,
};

/// The fault that is punished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Punished in the epoch of the fault.
    Downtime = 1,
    /// Punished once, as long as evidence counts. It is the last punishment of a validator.
    DoubleSign = 2,
}

/// An entry of a validator's slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slash {
    /// Epoch of the fault.
    pub(super) epoch: u64,
    pub(super) ppm: u64,
    pub(super) kind: Kind,
}

pub(super) fn load_slash<S: Slots>(st: &mut Staged<'_, S>, operator: Address, index: u64) -> Ruling<Slash, S> {
    let word = st.get(layout::slash(operator, index))?;
    let kind = match lane(word, 2) {
        1 => Kind::Downtime,
        2 => Kind::DoubleSign,
        _ => return Err(StakingFault::Accounting.into()),
    };
    Ok(Slash { epoch: lane(word, 0), ppm: lane(word, 1), kind })
}

/// Slashes a validator for a fault in `slash.epoch`: its bonded stake and all stake that leaves after that epoch, each
/// rounded up. Returns the slashed amount; changes the validator without saving it.
pub(super) fn slash<S: Slots>(st: &mut Staged<'_, S>, validator: &mut Validator, slash: Slash) -> Ruling<U256, S> {
    let operator = validator.operator;
    let bonded = ppm_ceil(validator.pool.tokens, slash.ppm).ok_or(StakingFault::Accounting)?;
    validator.pool.tokens = validator.pool.tokens.checked_sub(bonded).ok_or(StakingFault::Accounting)?;
    st.shift(layout::BONDED, layout::SLASHED, bonded)?;
    let mut slashed = bonded;
    let current = load_epoch(st)?.number;
    let after = slash.epoch.checked_add(1).ok_or(StakingFault::Accounting)?;
    for leave in leaving::leave_epochs(st, operator, current, after)? {
        let mut pool = leaving::load_pool(st, operator, leave)?;
        let part = ppm_ceil(pool.tokens, slash.ppm).ok_or(StakingFault::Accounting)?;
        pool.tokens = pool.tokens.checked_sub(part).ok_or(StakingFault::Accounting)?;
        leaving::save_pool(st, operator, leave, pool)?;
        st.shift(layout::UNBONDING, layout::SLASHED, part)?;
        slashed = slashed.checked_add(part).ok_or(StakingFault::Accounting)?;
    }
    let entry = lanes([slash.epoch, slash.ppm, slash.kind as u64, 0]);
    st.set(layout::slash(operator, validator.slashes), entry)?;
    validator.slashes = validator.slashes.checked_add(1).ok_or(StakingFault::Accounting)?;
    Ok(slashed)
}

impl StakingModule {
    /// Punishes the holder of `consensus_key`, which signed twice at `height` in the epoch `epoch_hint` (execution has
    /// verified the evidence): slashes and tombstones it, and removes it from every set that may still change. The reporter
    /// gets its part of the slashed stake at once, liquid. Returns the slashed amount.
    ///
    /// A next set whose handover to the parent may have been signed stays as it is; then the validator remains a
    /// member in the next epoch and is removed in the one after.
    ///
    /// # Errors
    /// `UnknownConsensusKey`, `AlreadyTombstoned`, `WrongEvidenceEpoch`, `EvidenceExpired`; errors of the slots.
    pub fn punish_double_sign<S: Slots>(
        &self,
        slots: &mut S,
        env: &Env,
        consensus_key: B256,
        height: u64,
        epoch_hint: u64,
        reporter: Address,
    ) -> Ruling<Done<U256>, S> {
        Self::act(slots, |st, effects| {
            let owner: U256 = st.get(layout::consensus_key(consensus_key))? >> 64usize;
            if owner.is_zero() {
                return Err(StakingFault::UnknownConsensusKey { consensus_key }.into());
            }
            let mut validator = Validator::load(st, address(owner))?;
            let operator = validator.operator;
            if validator.tombstoned {
                return Err(StakingFault::AlreadyTombstoned { operator }.into());
            }
            self.check_evidence(st, env, height, epoch_hint)?;
            let fault = Slash { epoch: epoch_hint, ppm: self.params.double_sign_slash_ppm, kind: Kind::DoubleSign };
            let slashed = slash(st, &mut validator, fault)?;
            validator.tombstoned = true;
            retire(st, &mut validator)?;
            validator.save(st)?;
            let current = load_epoch(st)?.number;
            if validator.in_sets_from(current.checked_add(1).ok_or(StakingFault::Accounting)?) {
                let window = st.get(layout::WINDOW)?;
                st.set(layout::WINDOW, lanes([lane(window, 0), 1, 0, 0]))?;
            }
            let mut reward = ppm_floor(slashed, self.params.reporter_ppm).ok_or(StakingFault::Accounting)?;
            if reporter.is_zero() {
                reward = U256::ZERO;
            }
            token::release(st, effects, layout::SLASHED, reporter, reward)?;
            let epoch = epoch_hint;
            effects.log(IStaking::Slashed { operator, epoch, amount: slashed, reporter, reward }.encode_log_data());
            effects.log(IStaking::Tombstoned { operator, consensusKey: consensus_key, height }.encode_log_data());
            Ok(slashed)
        })
    }
}
