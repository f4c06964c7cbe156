//! Epochs and their validator sets.
//!
//! Epoch `e` lasts from `start_height(e)` to the block before `start_height(e + 1)`. The set that decides height `h` is
//! the active set in the state after block `h - 1`.

use alloy_primitives::{Address, U256};

use super::{Env, Member, Ruling, StakingModule};
use crate::{
    ModuleError, StakingFault, layout,
    power::scale_power,
    records::Validator,
    slots::{Slots, address, address_word, lane, lanes},
    staged::Staged,
};

/// The current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) start_height: u64,
    pub(crate) start_time: u64,
    pub(crate) extended: u64,
}

pub(crate) fn load_epoch<S: Slots>(st: &mut Staged<'_, S>) -> Ruling<Epoch, S> {
    let word = st.get(layout::EPOCH)?;
    Ok(Epoch { number: lane(word, 0), start_height: lane(word, 1), start_time: lane(word, 2), extended: lane(word, 3) })
}

pub(super) fn save_epoch<S: Slots>(st: &mut Staged<'_, S>, epoch: Epoch) -> Ruling<(), S> {
    let Epoch { number, start_height, start_time, extended } = epoch;
    st.set(layout::EPOCH, lanes([number, start_height, start_time, extended]))?;
    st.set(layout::epoch_start(number), lanes([start_height, start_time, 0, 0]))
}

/// Start height and time of an epoch that has begun.
pub(crate) fn epoch_start<S: Slots>(st: &mut Staged<'_, S>, epoch: u64) -> Ruling<Option<(u64, u64)>, S> {
    if epoch > load_epoch(st)?.number {
        return Ok(None);
    }
    let word = st.get(layout::epoch_start(epoch))?;
    Ok(Some((lane(word, 0), lane(word, 1))))
}

/// A member as stored in the set's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) operator: Address,
    pub(crate) power: u64,
    pub(crate) stake: U256,
}

/// A set as stored in its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValidatorSet {
    pub(crate) seats: Vec<Seat>,
    pub(crate) power: u64,
    pub(crate) stake: U256,
}

impl ValidatorSet {
    /// Scales stakes to powers; no stake is zero, and their sum is below 2^128.
    pub(super) fn new(stakes: Vec<(Address, U256)>) -> Result<Self, StakingFault> {
        let amounts: Vec<U256> = stakes.iter().map(|(_, stake)| *stake).collect();
        let powers = scale_power(&amounts).map_err(|_| StakingFault::Accounting)?;
        let power = powers.iter().try_fold(0u64, |sum, power| sum.checked_add(*power));
        let stake = amounts.iter().try_fold(U256::ZERO, |sum, stake| sum.checked_add(*stake));
        let seats =
            stakes.into_iter().zip(powers).map(|((operator, stake), power)| Seat { operator, power, stake }).collect();
        Ok(Self { seats, power: power.ok_or(StakingFault::Accounting)?, stake: stake.ok_or(StakingFault::Accounting)? })
    }

    /// The members with their keys.
    pub(crate) fn members<S: Slots>(&self, st: &mut Staged<'_, S>) -> Ruling<Vec<Member>, S> {
        self.seats
            .iter()
            .map(|seat| {
                let validator = Validator::load(st, seat.operator)?;
                Ok(Member {
                    operator: seat.operator,
                    consensus_key: validator.consensus_key,
                    peg_address: validator.peg_address,
                    power: seat.power,
                    stake: seat.stake,
                })
            })
            .collect()
    }
}

/// Power of the set of `epoch`, which is the current one or the next.
pub(super) fn set_power<S: Slots>(st: &mut Staged<'_, S>, epoch: u64) -> Ruling<u64, S> {
    Ok(lane(st.get(layout::set_head(epoch))?, 1))
}

/// The set of `epoch`, which is the current one or the next.
pub(crate) fn load_set<S: Slots>(st: &mut Staged<'_, S>, epoch: u64) -> Ruling<ValidatorSet, S> {
    let head = st.get(layout::set_head(epoch))?;
    let stake = st.get(layout::set_stake(epoch))?;
    let seats = (0..lane(head, 0))
        .map(|position| {
            let word = st.get(layout::set_member(epoch, position))?;
            let stake = st.get(layout::set_member_stake(epoch, position))?;
            Ok(Seat { operator: address(word >> 64), power: lane(word, 0), stake })
        })
        .collect::<Result<Vec<_>, ModuleError<S::Error>>>()?;
    Ok(ValidatorSet { seats, power: lane(head, 1), stake })
}

/// Overwrites the set of `epoch - 2` with the set of `epoch`, and marks its members as selected.
pub(super) fn save_set<S: Slots>(st: &mut Staged<'_, S>, epoch: u64, set: &ValidatorSet) -> Ruling<(), S> {
    let before = lane(st.get(layout::set_head(epoch))?, 0);
    let count = u64::try_from(set.seats.len()).map_err(|_| StakingFault::Accounting)?;
    st.set(layout::set_head(epoch), lanes([count, set.power, 0, 0]))?;
    st.set(layout::set_stake(epoch), set.stake)?;
    for (position, seat) in (0u64..).zip(&set.seats) {
        st.set(layout::set_member(epoch, position), (address_word(seat.operator) << 64) | U256::from(seat.power))?;
        st.set(layout::set_member_stake(epoch, position), seat.stake)?;
        let mut validator = Validator::load(st, seat.operator)?;
        validator.selected = epoch.checked_add(1).ok_or(StakingFault::Accounting)?;
        validator.counted = seat.stake;
        validator.save(st)?;
    }
    for position in count..before {
        st.set(layout::set_member(epoch, position), U256::ZERO)?;
        st.set(layout::set_member_stake(epoch, position), U256::ZERO)?;
    }
    Ok(())
}

impl StakingModule {
    /// Checks that `height` is in `epoch`, and that evidence of that epoch still counts: until the unbonding time after the
    /// end of the epoch is over.
    pub(super) fn check_evidence<S: Slots>(
        &self,
        st: &mut Staged<'_, S>,
        env: &Env,
        height: u64,
        epoch: u64,
    ) -> Ruling<(), S> {
        let wrong = StakingFault::WrongEvidenceEpoch { height, epoch };
        let current = load_epoch(st)?.number;
        let (start, _) = epoch_start(st, epoch)?.ok_or(wrong)?;
        if height < start || height > env.height {
            return Err(wrong.into());
        }
        if epoch == current {
            return Ok(());
        }
        let next = epoch.checked_add(1).ok_or(wrong)?;
        let (end, ended_at) = epoch_start(st, next)?.ok_or(wrong)?;
        if height >= end {
            return Err(wrong.into());
        }
        if env.timestamp >= ended_at.saturating_add(self.params.unbonding_seconds) {
            return Err(StakingFault::EvidenceExpired { epoch }.into());
        }
        Ok(())
    }
}
