//! Actions of operators: register, change the commission, leave the jail, exit.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;

use super::{
    Done, Env, Ruling, StakingModule,
    delegation::{add_stake, unbond_self},
    epochs::load_epoch,
    leaving,
    redelegation::settle_moves_to,
    rewards::settle_validator,
    token,
};
use crate::{
    StakingFault,
    abi::IStaking,
    layout,
    layout::ValidatorField,
    params::{COMMISSION_CHANGE_SECONDS, MAX_CANDIDATES, WHOLE_BPS},
    records::{Pool, Validator, len, push, swap_remove},
    slots::{Slots, address, address_word},
    staged::Staged,
};

/// Operator, keys and commission of a new validator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) operator: Address,
    pub(super) consensus_key: B256,
    pub(super) peg_address: Address,
    pub(super) commission_bps: u16,
    pub(super) registered_at: u64,
}

/// Adds a validator without stake to the records, the key tables and the list of candidates.
pub(super) fn enter<S: Slots>(st: &mut Staged<'_, S>, entry: &Entry) -> Ruling<Validator, S> {
    let Entry { operator, consensus_key, peg_address, commission_bps, registered_at } = *entry;
    let key_slot = layout::consensus_key(consensus_key);
    // Evidence names a key by its id: a second key with the same id would protect the first one from evidence.
    let id_slot = layout::key_id(layout::id_of_key(consensus_key));
    if consensus_key.is_zero() || !st.get(key_slot)?.is_zero() || !st.get(id_slot)?.is_zero() {
        return Err(StakingFault::ConsensusKeyTaken { consensus_key }.into());
    }
    let peg_slot = layout::peg_address(peg_address);
    if peg_address.is_zero() || !st.get(peg_slot)?.is_zero() {
        return Err(StakingFault::PegAddressTaken { peg_address }.into());
    }
    if commission_bps > WHOLE_BPS {
        return Err(StakingFault::CommissionRefused { bps: commission_bps }.into());
    }
    st.set(key_slot, address_word(operator) << 64)?;
    st.set(peg_slot, address_word(operator))?;
    st.set(id_slot, U256::from_be_bytes(consensus_key.0))?;
    let position = push(st, layout::CANDIDATES, address_word(operator))?;
    let index = st.get(layout::POWER_INDEX)?;
    st.set(layout::validator(operator, ValidatorField::PowerIndex), index)?;
    let validator = Validator {
        operator,
        jailed: false,
        tombstoned: false,
        exiting: false,
        listed: Some(u32::try_from(position).map_err(|_| StakingFault::Accounting)?),
        commission_bps,
        commission_changed: registered_at,
        jailed_until: 0,
        exit_epoch: 0,
        selected: 0,
        counted: U256::ZERO,
        slashes: 0,
        power: 0,
        consensus_key,
        peg_address,
        pool: Pool::default(),
    };
    validator.save(st)?;
    Ok(validator)
}

/// Moves a validator from the candidates to the former ones; does not save it.
pub(super) fn retire<S: Slots>(st: &mut Staged<'_, S>, validator: &mut Validator) -> Ruling<(), S> {
    let Some(position) = validator.listed.take() else { return Ok(()) };
    if let Some(moved) = swap_remove(st, layout::CANDIDATES, u64::from(position))? {
        let mut moved = Validator::load(st, address(moved))?;
        moved.listed = Some(position);
        moved.save(st)?;
    }
    push(st, layout::FORMER, address_word(validator.operator))?;
    Ok(())
}

impl StakingModule {
    /// Registers the sender as a validator with its first self-bond. Execution has verified that the sender holds both keys.
    ///
    /// # Errors
    /// `BelowMinimum`, `AlreadyRegistered`, `ConsensusKeyTaken`, `PegAddressTaken`, `CommissionRefused`,
    /// `TooManyValidators`, `InsufficientStake`; errors of the slots.
    pub fn register<S: Slots>(
        &self,
        slots: &mut S,
        env: &Env,
        consensus_key: B256,
        peg_address: Address,
        commission_bps: u16,
        self_bond: U256,
    ) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| {
            let operator = env.sender;
            let minimum = self.params.min_self_bond;
            if self_bond < minimum {
                return Err(StakingFault::BelowMinimum { amount: self_bond, minimum }.into());
            }
            if Validator::find(st, operator)?.is_some() {
                return Err(StakingFault::AlreadyRegistered { operator }.into());
            }
            if len(st, layout::CANDIDATES)? >= MAX_CANDIDATES {
                return Err(StakingFault::TooManyValidators.into());
            }
            let registered_at = env.timestamp;
            let entry = Entry { operator, consensus_key, peg_address, commission_bps, registered_at };
            let mut validator = enter(st, &entry)?;
            token::bond(st, effects, operator, self_bond)?;
            add_stake(st, &mut validator, operator, self_bond)?;
            let event = IStaking::Registered {
                operator,
                consensusKey: consensus_key,
                pegAddress: peg_address,
                commissionBps: commission_bps,
                selfBond: self_bond,
            };
            effects.log(event.encode_log_data());
            Ok(())
        })
    }

    /// Changes the sender's commission for future rewards.
    ///
    /// # Errors
    /// `UnknownValidator`; `CommissionRefused` above 100 %, within a day of the last change (or the
    /// registration), or for too large a step; errors of the slots.
    pub fn set_commission<S: Slots>(&self, slots: &mut S, env: &Env, bps: u16) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| {
            let operator = env.sender;
            let mut validator = Validator::load(st, operator)?;
            let too_soon = env.timestamp < validator.commission_changed.saturating_add(COMMISSION_CHANGE_SECONDS);
            let step = bps.abs_diff(validator.commission_bps);
            if bps > WHOLE_BPS || too_soon || step > self.params.max_commission_change_bps {
                return Err(StakingFault::CommissionRefused { bps }.into());
            }
            settle_validator(st, &validator)?;
            validator.commission_bps = bps;
            validator.commission_changed = env.timestamp;
            validator.save(st)?;
            effects.log(IStaking::CommissionChanged { operator, bps }.encode_log_data());
            Ok(())
        })
    }

    /// Releases the sender from jail; it may be selected again for the next set that is computed.
    ///
    /// # Errors
    /// `UnknownValidator`, `Tombstoned`, `Exiting`, `NotJailed`, `StillJailed`, `SelfBondTooLow`; errors of the slots.
    pub fn unjail<S: Slots>(&self, slots: &mut S, env: &Env) -> Ruling<Done<()>, S> {
        Self::act(slots, |st, effects| {
            let operator = env.sender;
            let mut validator = Validator::load(st, operator)?;
            if validator.tombstoned {
                return Err(StakingFault::Tombstoned { operator }.into());
            }
            if validator.exiting {
                return Err(StakingFault::Exiting { operator }.into());
            }
            if !validator.jailed {
                return Err(StakingFault::NotJailed.into());
            }
            if env.timestamp < validator.jailed_until {
                return Err(StakingFault::StillJailed { until: validator.jailed_until }.into());
            }
            self.check_self_bond(st, &validator, operator)?;
            validator.jailed = false;
            validator.jailed_until = 0;
            validator.save(st)?;
            effects.log(IStaking::Unjailed { operator }.encode_log_data());
            Ok(())
        })
    }

    /// Starts the sender's permanent exit: its power shrinks as the bounds allow and is zero from the returned epoch on, in
    /// which its self-bond leaves. Stake of its other delegators stays bonded until they undelegate.
    ///
    /// # Errors
    /// `UnknownValidator`, `Tombstoned`, `Exiting`, `ExitQueueFull` (a validator with nearly all the set's stake
    /// cannot exit before others have joined), `TooManyUnbondings`; errors of the slots.
    pub fn exit<S: Slots>(&self, slots: &mut S, env: &Env) -> Ruling<Done<u64>, S> {
        Self::act(slots, |st, effects| {
            let operator = env.sender;
            let found = Validator::load(st, operator)?;
            if found.tombstoned {
                return Err(StakingFault::Tombstoned { operator }.into());
            }
            if found.exiting {
                return Err(StakingFault::Exiting { operator }.into());
            }
            settle_moves_to(st, effects, &self.params, env.timestamp, operator, operator)?;
            let mut validator = Validator::load(st, operator)?;
            let epoch = load_epoch(st)?.number;
            let exit_epoch = leaving::plan_exit(st, &validator, epoch)?;
            validator.exiting = true;
            validator.exit_epoch = exit_epoch;
            validator.save(st)?;
            unbond_self(st, effects, &mut validator, epoch, env.timestamp)?;
            effects.log(IStaking::Exited { operator, exitEpoch: exit_epoch }.encode_log_data());
            Ok(exit_epoch)
        })
    }
}
