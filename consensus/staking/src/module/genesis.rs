//! State at genesis.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};

use super::{
    Effects, Ruling, StakingModule,
    delegation::add_stake,
    epochs::{Epoch, ValidatorSet, save_epoch, save_set},
    hook::install,
    operator::{Entry, enter},
    token,
};
use crate::{
    layout,
    params::{GenesisMember, StakingParams, check_genesis},
    slots::Slots,
    staged::Staged,
};

impl StakingModule {
    /// Slots of the staking account in block 0: the validators are bonded, active in epoch 0 and selected for epoch 1,
    /// in the given order; `alloc` is liquid.
    ///
    /// # Panics
    /// When [`check_genesis`] refuses the arguments; chain specs are checked with it.
    pub fn genesis_slots(
        params: &StakingParams,
        validators: &[GenesisMember],
        alloc: &BTreeMap<Address, U256>,
        timestamp: u64,
    ) -> BTreeMap<U256, U256> {
        let checked = check_genesis(params, validators, alloc);
        assert!(checked.is_ok(), "staking at genesis was checked: {checked:?}");
        let mut slots = BTreeMap::new();
        let written = Self::act(&mut slots, |st, effects| write(st, effects, validators, alloc, timestamp));
        assert!(written.is_ok(), "staking at genesis was checked: {written:?}");
        slots
    }
}

fn write<S: Slots>(
    st: &mut Staged<'_, S>,
    effects: &mut Effects,
    validators: &[GenesisMember],
    alloc: &BTreeMap<Address, U256>,
    timestamp: u64,
) -> Ruling<(), S> {
    st.set(layout::VERSION, U256::from(layout::LAYOUT_VERSION))?;
    for (account, amount) in alloc {
        st.set(layout::balance(*account), *amount)?;
        st.add(layout::ISSUED, *amount)?;
    }
    for member in validators {
        let entry = Entry {
            operator: member.operator,
            consensus_key: member.consensus_key,
            peg_address: member.peg_address,
            commission_bps: member.commission_bps,
            registered_at: timestamp,
        };
        let mut validator = enter(st, &entry)?;
        st.add(layout::balance(member.operator), member.stake)?;
        st.add(layout::ISSUED, member.stake)?;
        token::bond(st, effects, member.operator, member.stake)?;
        add_stake(st, &mut validator, member.operator, member.stake)?;
    }
    save_epoch(st, Epoch { number: 0, start_height: 1, start_time: timestamp, extended: 0 })?;
    let set = ValidatorSet::new(validators.iter().map(|member| (member.operator, member.stake)).collect())?;
    save_set(st, 0, &set)?;
    save_set(st, 1, &set)?;
    install(st, &set)
}
