//! Reading the state of staking, for RPC, the ABI's view functions, consensus and the peg.
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

/// Former validators that [`validators`] lists at most, the latest ones.
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
    /// Blocks that it lasts longer than its length, for want of a handover.
    pub extended: u64,
}

/// Where all stake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Everything issued.
    pub issued: U256,
    /// Bonded with validators.
    pub bonded: U256,
    /// On its way out.
    pub unbonding: U256,
    /// Slashed, without what reporters got.
    pub slashed: U256,
    /// Left by rounding in pools that ended.
    pub dust: U256,
}

impl Totals {
    /// What is liquid: the rest.
    pub fn liquid(&self) -> Option<U256> {
        self.issued.checked_sub(self.held()?)
    }

    /// What is not liquid; the token's balance of the staking module.
    pub fn held(&self) -> Option<U256> {
        self.bonded.checked_add(self.unbonding)?.checked_add(self.slashed)?.checked_add(self.dust)
    }
}

/// Where all coin of the reward pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewardTotals {
    /// Owed to delegators and operators.
    pub owed: U256,
    /// Earned by the set's power, not yet settled.
    pub undistributed: U256,
    /// Left by rounding, or earned by nobody.
    pub dust: U256,
}

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorView {
    /// Operator, who names it.
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
    /// Shares of it.
    pub shares: U256,
    /// The operator's own part of it.
    pub self_bond: U256,
    /// Power in the active set; zero when not a member.
    pub power: u64,
    /// In jail for downtime.
    pub jailed: bool,
    /// When it may return, seconds; zero when not jailed.
    pub jailed_until: u64,
    /// Out for ever for a double signature.
    pub tombstoned: bool,
    /// The epoch it is out from, when it leaves or has left.
    pub exit_epoch: Option<u64>,
    /// Coin owed to its operator as commission, as of now.
    pub commission: U256,
    /// Coin owed to its delegators, as of now.
    pub rewards: U256,
}

/// A delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegationView {
    /// Shares.
    pub shares: U256,
    /// What they are worth.
    pub tokens: U256,
    /// Shares that redelegations lock.
    pub locked: U256,
}

/// Stake on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbondingView {
    /// Validator it leaves.
    pub validator: Address,
    /// First epoch in which it no longer counts.
    pub leave_epoch: u64,
    /// What it is worth now.
    pub tokens: U256,
    /// When it can be claimed, as far as is known now; `None` until its epoch has begun.
    pub claimable_at: Option<u64>,
}

/// A live redelegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedelegationView {
    /// Number.
    pub id: u64,
    /// Validator it left.
    pub from: Address,
    /// Validator it went to.
    pub to: Address,
    /// First epoch whose faults it does not answer for.
    pub leave_epoch: u64,
    /// Locked shares of `to`.
    pub shares: U256,
    /// When they are free, as far as is known now; `None` until the epoch has begun.
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
/// The slots' own, here and in every view below.
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

/// The validator of `operator`, if it registered, with its rewards as of now.
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

/// A delegation; zeros where there is none.
pub fn delegation<S: Slots>(slots: &mut S, delegator: Address, operator: Address) -> Ruling<DelegationView, S> {
    delegation_of(&mut Staged::new(slots), delegator, operator)
}

/// All delegations of an account, those with unclaimed rewards alone included.
pub fn delegations<S: Slots>(slots: &mut S, delegator: Address) -> Ruling<Vec<(Address, DelegationView)>, S> {
    let st = &mut Staged::new(slots);
    let operators = items(st, layout::delegated_to(delegator))?;
    operators.into_iter().map(address).map(|operator| Ok((operator, delegation_of(st, delegator, operator)?))).collect()
}

/// Rewards that `delegator` could claim from `operator` now, coin.
pub fn pending_rewards<S: Slots>(slots: &mut S, delegator: Address, operator: Address) -> Ruling<U256, S> {
    let st = &mut Staged::new(slots);
    match Validator::find(st, operator)? {
        Some(validator) => Ok(touch(st, &validator, delegator)?.accrued),
        None => Ok(U256::ZERO),
    }
}

/// Stake of `delegator` on its way out.
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

/// Live redelegations of `delegator`, with slashes that nobody has settled yet not applied.
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

/// A time that is not "never, as far as is known".
fn known(time: u64) -> Option<u64> {
    (time != u64::MAX).then_some(time)
}

/// Where all stake is.
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

/// Where all coin of the reward pool is; its balance is the sum, and what came in since the last block began.
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

/// Liquid stake of an account; all that is not liquid belongs to the staking module.
pub fn balance_of<S: Slots>(slots: &mut S, account: Address) -> Ruling<U256, S> {
    if account == crate::STAKING {
        return Ok(totals(slots)?.held().ok_or(StakingFault::Accounting)?);
    }
    Staged::new(slots).get(layout::balance(account))
}

/// What `spender` may spend of `owner`.
pub fn allowance<S: Slots>(slots: &mut S, owner: Address, spender: Address) -> Ruling<U256, S> {
    Staged::new(slots).get(layout::allowance(owner, spender))
}

/// Everything issued.
pub fn total_supply<S: Slots>(slots: &mut S) -> Ruling<U256, S> {
    Staged::new(slots).get(layout::ISSUED)
}
