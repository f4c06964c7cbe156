//! Read access to the staking state, for RPC, the ABI's view functions, consensus and the peg.
//!
//! Nothing is written. `Refused` means that the state breaks its own invariants (a bug), or that the slots hold no
//! staking state.

use alloy_primitives::{Address, B256, U256};

use crate::{
    StakingFault, StakingParams, layout,
    layout::ValidatorField,
    module::{self, Member, Redelegation, Ruling, touch},
    records::{Delegation, Validator, items, len},
    slots::{Slots, address, lane},
    staged::Staged,
};

/// Most former validators that [`validators`] lists; it lists the latest ones.
pub const MAX_FORMER_LISTED: u64 = 1_024;

/// An epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// Number, from 0.
    pub number: u64,
    /// Its first height.
    pub start_height: u64,
    /// Timestamp of the block before that height (genesis for epoch 0), seconds.
    pub start_time: u64,
    /// Blocks by which it is longer than planned, because the handover is missing.
    pub extended: u64,
}

/// The distribution of all stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// All issued stake.
    pub issued: U256,
    /// Bonded stake.
    pub bonded: U256,
    /// Leaving stake.
    pub unbonding: U256,
    /// Slashed stake, without the reporters' parts.
    pub slashed: U256,
    /// Rounding remainders of pools that ended.
    pub dust: U256,
}

impl Totals {
    /// Liquid stake: the rest.
    pub fn liquid(&self) -> Option<U256> {
        self.issued.checked_sub(self.held()?)
    }

    /// Stake that is not liquid: the token balance of the staking module.
    pub fn held(&self) -> Option<U256> {
        self.bonded.checked_add(self.unbonding)?.checked_add(self.slashed)?.checked_add(self.dust)
    }
}

/// The distribution of the reward pool's coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewardTotals {
    /// Owed to delegators and operators.
    pub owed: U256,
    /// Earned by the set's power, not settled yet.
    pub undistributed: U256,
    /// Rounding remainders, and coin that no validator earned.
    pub dust: U256,
}

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorView {
    /// Operator, which identifies it.
    pub operator: Address,
    /// Ed25519 consensus key.
    pub consensus_key: B256,
    /// Address of the peg key.
    pub peg_address: Address,
    /// Commission, basis points.
    pub commission_bps: u16,
    /// When the commission was last changed, seconds.
    pub commission_changed: u64,
    /// Bonded stake.
    pub tokens: U256,
    /// Shares of the bonded stake.
    pub shares: U256,
    /// The operator's own part of the bonded stake.
    pub self_bond: U256,
    /// Power in the active set; zero when not a member.
    pub power: u64,
    /// Whether it is in jail for downtime.
    pub jailed: bool,
    /// When it may return, seconds; zero when not jailed.
    pub jailed_until: u64,
    /// Whether it is excluded permanently because of a double signature.
    pub tombstoned: bool,
    /// The first epoch without it, when it is exiting or has exited.
    pub exit_epoch: Option<u64>,
    /// Coin owed to its operator as commission, including unsettled coin.
    pub commission: U256,
    /// Coin owed to its delegators, including unsettled coin.
    pub rewards: U256,
}

/// A delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegationView {
    /// Shares.
    pub shares: U256,
    /// Their value.
    pub tokens: U256,
    /// Shares locked by redelegations.
    pub locked: U256,
}

/// Leaving stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbondingView {
    /// The validator that it leaves.
    pub validator: Address,
    /// First epoch in which it no longer counts.
    pub leave_epoch: u64,
    /// Its current value.
    pub tokens: U256,
    /// When it can be claimed, as far as is known now; `None` until its epoch has begun.
    pub claimable_at: Option<u64>,
}

/// A live redelegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedelegationView {
    /// Number.
    pub id: u64,
    /// The validator that it left.
    pub from: Address,
    /// The validator that received it.
    pub to: Address,
    /// First epoch for whose faults it is not liable.
    pub leave_epoch: u64,
    /// Locked shares of `to`.
    pub shares: U256,
    /// When the shares are unlocked, as far as is known now; `None` until the epoch has begun.
    pub free_at: Option<u64>,
}

/// A member's record in the current downtime window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// Commit certificates seen in the window.
    pub certificates: u64,
    /// Those that it signed.
    pub signed: u64,
    /// Whether it proposed a decided block.
    pub proposed: bool,
    /// Whether it was a member from the window's start.
    pub throughout: bool,
}

/// The current epoch.
///
/// # Errors
/// An error of the slots, here and in every view below.
pub fn epoch<S: Slots>(slots: &mut S) -> Ruling<EpochInfo, S> {
    let module::Epoch { number, start_height, start_time, extended } = module::load_epoch(&mut Staged::new(slots))?;
    Ok(EpochInfo { number, start_height, start_time, extended })
}

/// Start height and time of an epoch that has begun.
pub fn epoch_start<S: Slots>(slots: &mut S, epoch: u64) -> Ruling<Option<(u64, u64)>, S> {
    module::epoch_start(&mut Staged::new(slots), epoch)
}

/// The set that decides the next height.
pub fn active_set<S: Slots>(slots: &mut S) -> Ruling<Vec<Member>, S> {
    let st = &mut Staged::new(slots);
    let epoch = module::load_epoch(st)?.number;
    module::load_set(st, epoch)?.members(st)
}

/// The set of the next epoch.
pub fn next_set<S: Slots>(slots: &mut S) -> Ruling<Vec<Member>, S> {
    let st = &mut Staged::new(slots);
    let epoch = module::load_epoch(st)?.number.checked_add(1).ok_or(StakingFault::Accounting)?;
    module::load_set(st, epoch)?.members(st)
}

/// The validator of `operator`, if it registered, with its current rewards.
pub fn validator<S: Slots>(slots: &mut S, operator: Address) -> Ruling<Option<ValidatorView>, S> {
    let st = &mut Staged::new(slots);
    let Some(found) = Validator::find(st, operator)? else { return Ok(None) };
    touch(st, &found, operator)?;
    let self_bond = found.self_bond(st)?;
    Ok(Some(ValidatorView {
        operator,
        consensus_key: found.consensus_key,
        peg_address: found.peg_address,
        commission_bps: found.commission_bps,
        commission_changed: found.commission_changed,
        tokens: found.pool.tokens,
        shares: found.pool.shares,
        self_bond,
        power: found.power,
        jailed: found.jailed,
        jailed_until: found.jailed_until,
        tombstoned: found.tombstoned,
        exit_epoch: found.exiting.then_some(found.exit_epoch),
        commission: st.get(layout::validator(operator, ValidatorField::Commission))?,
        rewards: st.get(layout::validator(operator, ValidatorField::Rewards))?,
    }))
}

/// Operators of all validators, then of the latest [`MAX_FORMER_LISTED`] former ones (tombstoned or exited).
pub fn validators<S: Slots>(slots: &mut S) -> Ruling<Vec<Address>, S> {
    let st = &mut Staged::new(slots);
    let mut operators: Vec<Address> = items(st, layout::CANDIDATES)?.into_iter().map(address).collect();
    let former = len(st, layout::FORMER)?;
    for position in former.saturating_sub(MAX_FORMER_LISTED)..former {
        operators.push(address(st.get(layout::item(layout::FORMER, position))?));
    }
    Ok(operators)
}

fn delegation_of<S: Slots>(st: &mut Staged<'_, S>, delegator: Address, operator: Address) -> Ruling<DelegationView, S> {
    let Delegation { shares, locked, .. } = Delegation::load(st, delegator, operator)?;
    let tokens = match Validator::find(st, operator)? {
        Some(validator) => validator.pool.value(shares)?,
        None => U256::ZERO,
    };
    Ok(DelegationView { shares, tokens, locked })
}

/// A delegation; all zero when there is none.
pub fn delegation<S: Slots>(slots: &mut S, delegator: Address, operator: Address) -> Ruling<DelegationView, S> {
    delegation_of(&mut Staged::new(slots), delegator, operator)
}

/// All delegations of an account, including those with only unclaimed rewards.
pub fn delegations<S: Slots>(slots: &mut S, delegator: Address) -> Ruling<Vec<(Address, DelegationView)>, S> {
    let st = &mut Staged::new(slots);
    let operators = items(st, layout::delegated_to(delegator))?;
    operators.into_iter().map(address).map(|operator| Ok((operator, delegation_of(st, delegator, operator)?))).collect()
}

/// Coin that `delegator` can claim from `operator` now.
pub fn pending_rewards<S: Slots>(slots: &mut S, delegator: Address, operator: Address) -> Ruling<U256, S> {
    let st = &mut Staged::new(slots);
    match Validator::find(st, operator)? {
        Some(validator) => Ok(touch(st, &validator, delegator)?.accrued),
        None => Ok(U256::ZERO),
    }
}

/// Leaving stake of `delegator`.
pub fn unbondings<S: Slots>(
    slots: &mut S,
    params: &StakingParams,
    acked_epoch: u64,
    delegator: Address,
) -> Ruling<Vec<UnbondingView>, S> {
    let st = &mut Staged::new(slots);
    let mut found = Vec::new();
    for item in items(st, layout::unbondings_of(delegator))? {
        let (validator, leave_epoch) = module::unbonding_of_word(item);
        let shares = st.get(layout::leaving_part(delegator, validator, leave_epoch))?;
        let asked = lane(st.get(layout::leaving_part_meta(delegator, validator, leave_epoch))?, 0);
        let tokens = module::load_pool(st, validator, leave_epoch)?.value(shares)?;
        let at = module::claimable_at(st, params, acked_epoch, leave_epoch, asked)?;
        found.push(UnbondingView { validator, leave_epoch, tokens, claimable_at: known(at) });
    }
    Ok(found)
}

/// Live redelegations of `delegator`; slashes that are not settled yet are not applied.
pub fn redelegations<S: Slots>(
    slots: &mut S,
    params: &StakingParams,
    delegator: Address,
) -> Ruling<Vec<RedelegationView>, S> {
    let st = &mut Staged::new(slots);
    let mut found = Vec::new();
    for item in items(st, layout::redelegations_of(delegator))? {
        let id = lane(item, 0);
        let made = Redelegation::load(st, id)?;
        let at = module::free_at(st, params, &made)?;
        let Redelegation { from, to, leave_epoch, shares, .. } = made;
        found.push(RedelegationView { id, from, to, leave_epoch, shares, free_at: known(at) });
    }
    Ok(found)
}

/// `None` for the value that means "not known yet".
fn known(time: u64) -> Option<u64> {
    (time != u64::MAX).then_some(time)
}

/// The distribution of all stake.
pub fn totals<S: Slots>(slots: &mut S) -> Ruling<Totals, S> {
    let st = &mut Staged::new(slots);
    Ok(Totals {
        issued: st.get(layout::ISSUED)?,
        bonded: st.get(layout::BONDED)?,
        unbonding: st.get(layout::UNBONDING)?,
        slashed: st.get(layout::SLASHED)?,
        dust: st.get(layout::DUST)?,
    })
}

/// The distribution of the reward pool's coin. The balance is their sum plus the coin received since the last block began.
pub fn rewards<S: Slots>(slots: &mut S) -> Ruling<RewardTotals, S> {
    let st = &mut Staged::new(slots);
    Ok(RewardTotals {
        owed: st.get(layout::COIN_OWED)?,
        undistributed: st.get(layout::COIN_UNDISTRIBUTED)?,
        dust: st.get(layout::COIN_DUST)?,
    })
}

/// The record of `operator` in the current downtime window; `None` when it is not a member.
pub fn uptime<S: Slots>(slots: &mut S, operator: Address) -> Ruling<Option<Uptime>, S> {
    let st = &mut Staged::new(slots);
    let epoch = module::load_epoch(st)?.number;
    let seats = module::load_set(st, epoch)?.seats;
    let Some(position) = seats.iter().position(|seat| seat.operator == operator) else { return Ok(None) };
    let (certificates, members) = module::load_window(st, seats.len())?;
    Ok(members.get(position).map(|member| Uptime {
        certificates,
        signed: u64::from(member.signed),
        proposed: member.proposed,
        throughout: !member.joined_late,
    }))
}

/// Operator that registered a consensus key.
pub fn operator_of_key<S: Slots>(slots: &mut S, consensus_key: B256) -> Ruling<Option<Address>, S> {
    let entry = Staged::new(slots).get(layout::consensus_key(consensus_key))?;
    Ok((!entry.is_zero()).then(|| address(entry >> 64)))
}

/// Consensus key of a validator id: the last 20 bytes of the key's keccak256, as votes and evidence name it.
pub fn key_of_id<S: Slots>(slots: &mut S, id: Address) -> Ruling<Option<B256>, S> {
    let key = Staged::new(slots).get(layout::key_id(id))?;
    Ok((!key.is_zero()).then(|| B256::from(key)))
}

/// Liquid stake of an account; the staking module owns all other stake.
pub fn balance_of<S: Slots>(slots: &mut S, account: Address) -> Ruling<U256, S> {
    if account == crate::STAKING {
        return Ok(totals(slots)?.held().ok_or(StakingFault::Accounting)?);
    }
    Staged::new(slots).get(layout::balance(account))
}

/// The allowance of `spender` from `owner`.
pub fn allowance<S: Slots>(slots: &mut S, owner: Address, spender: Address) -> Ruling<U256, S> {
    Staged::new(slots).get(layout::allowance(owner, spender))
}

/// All issued stake.
pub fn total_supply<S: Slots>(slots: &mut S) -> Ruling<U256, S> {
    Staged::new(slots).get(layout::ISSUED)
}
