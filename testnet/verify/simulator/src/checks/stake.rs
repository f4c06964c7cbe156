//! I9, stake: every issued token is liquid, bonded, leaving, slashed or dust; pools equal the sum of their shares' values; the sets
//! have the powers that follow from their stakes; the reward pool has all the coin that it owes.
//!
//! Slots are read without the module ([`super::slots`]); holders and delegators are read from logs, so an entry missing from the module's own totals and
//! lists is found here. The powers are computed from the rule's text.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256, U512};
use alloy_sol_types::SolEvent;
use causeway_execution::ExecutedBlock;
use causeway_genesis::{
    Genesis,
    addresses::{PEG, REWARD_POOL, STAKE_TOKEN, STAKING},
};
use causeway_staking::{IStakeToken, IStaking};

use super::{
    Violation,
    canon::Canon,
    ensure,
    slashes::{Punished, punished},
    slots::{EpochWord, Seat, StakeSlots, StakeTotals},
    violation::STAKE,
};

/// Interval in heights at which all pools and delegations are summed; also with each new set.
const ALL_EVERY: u64 = 8;
/// Number of epochs ahead in which stake may leave: two, and the horizon of the queue.
const LEAVE_EPOCHS: u64 = 2 + 64;
/// The total that powers are scaled to.
const TOTAL_POWER: u64 = 1 << 40;
/// Longest extra wait of stake for a missing acknowledgement, and for an epoch that does not begin.
const UNACKNOWLEDGED_FACTOR: u64 = 4;
const STUCK_FACTOR: u64 = 8;
/// The peg module's slots of the current epoch and of the latest acknowledged one.
const PEG_EPOCH: u64 = 13;
const PEG_ACKED: u64 = 14;

/// Possible holders of stake, and facts after the last block.
#[derive(Debug)]
pub(crate) struct Stakes {
    /// Accounts that may have liquid stake.
    holders: BTreeSet<Address>,
    /// Delegators by validator.
    delegators: BTreeMap<Address, BTreeSet<Address>>,
    last: Option<(u64, StakeTotals)>,
    /// Validators in jail at the last check, and how many were jailed since the last count.
    jailed: BTreeSet<Address>,
    newly_jailed: u64,
    /// Operators punished for double signing, and one that was punished again.
    punished: BTreeSet<Address>,
    punished_again: Option<Address>,
    /// The epoch after the last block.
    epoch: Option<EpochWord>,
}

/// Events of validators in a block, for coverage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Staked {
    pub(crate) registered: u64,
    pub(crate) exited: u64,
    pub(crate) unjailed: u64,
    pub(crate) slashed: u64,
    pub(crate) tombstoned: u64,
    pub(crate) redelegated: u64,
    pub(crate) unbonded: u64,
    pub(crate) rewarded: u64,
    /// Validators punished while stake was leaving.
    pub(crate) slashed_leaving: u64,
}

/// The expected facts of the state after a block.
#[derive(Debug, Default)]
pub(crate) struct Due {
    taken: Vec<TakenBack>,
    punished: Vec<Punished>,
}

/// Unbonded stake that a block pays back: delegator, validator, epoch, and the time of the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenBack {
    delegator: Address,
    leave: u64,
    asked: u64,
}

impl Stakes {
    /// At genesis.
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let operators = genesis.spec.validators.iter().map(|validator| validator.operator);
        let holders = genesis.spec.staking.alloc.keys().copied().chain(operators.clone()).collect();
        let delegators = operators.map(|operator| (operator, BTreeSet::from([operator]))).collect();
        Self {
            holders,
            delegators,
            last: None,
            jailed: BTreeSet::new(),
            newly_jailed: 0,
            punished: BTreeSet::new(),
            punished_again: None,
            epoch: None,
        }
    }

    /// Reads the block after the head: the accounts it concerns, and the facts expected after it.
    pub(crate) fn read(&mut self, canon: &Canon, executed: &ExecutedBlock) -> (Staked, Due) {
        let slots = StakeSlots(&canon.mirror);
        let punished = punished(canon, executed, slots.epoch().number + LEAVE_EPOCHS);
        let slashed_leaving = punished.iter().filter(|punished| punished.had_leaving).count() as u64;
        let (mut staked, mut taken) = (Staked { slashed_leaving, ..Staked::default() }, Vec::new());
        for log in executed.receipts.iter().flat_map(|receipt| &receipt.logs) {
            let (topics, data) = (log.data.topics(), &log.data.data);
            if log.address == STAKE_TOKEN {
                if let Ok(IStakeToken::Transfer { to, .. }) =
                    IStakeToken::Transfer::decode_raw_log_validate(topics, data)
                {
                    self.holders.insert(to);
                }
                continue;
            }
            let Ok(event) = decode(log.address, topics, data) else { continue };
            match event {
                IStaking::IStakingEvents::Registered(event) => {
                    self.delegators.entry(event.operator).or_default().insert(event.operator);
                    staked.registered += 1;
                }
                IStaking::IStakingEvents::Delegated(event) => {
                    self.delegators.entry(event.validator).or_default().insert(event.delegator);
                }
                IStaking::IStakingEvents::Redelegated(event) => {
                    self.delegators.entry(event.to).or_default().insert(event.delegator);
                    staked.redelegated += 1;
                }
                IStaking::IStakingEvents::UnbondedClaimed(event) => {
                    let (delegator, leave) = (event.delegator, event.leaveEpoch);
                    self.holders.insert(delegator);
                    let asked = slots.asked(delegator, event.validator, leave);
                    taken.push(TakenBack { delegator, leave, asked });
                    staked.unbonded += 1;
                }
                IStaking::IStakingEvents::Slashed(event) => {
                    self.holders.insert(event.reporter);
                    staked.slashed += 1;
                }
                IStaking::IStakingEvents::Tombstoned(event) => {
                    staked.tombstoned += 1;
                    if !self.punished.insert(event.operator) {
                        self.punished_again = Some(event.operator);
                    }
                }
                IStaking::IStakingEvents::Exited(_) => staked.exited += 1,
                IStaking::IStakingEvents::Unjailed(_) => staked.unjailed += 1,
                IStaking::IStakingEvents::RewardsClaimed(event) => staked.rewarded += u64::from(!event.coin.is_zero()),
                _ => {}
            }
        }
        (staked, Due { taken, punished })
    }

    /// Number of validators jailed since the last call.
    pub(crate) fn take_jailed(&mut self) -> u64 {
        std::mem::take(&mut self.newly_jailed)
    }

    /// The state after the block, which is the head now.
    pub(crate) fn decided(&mut self, canon: &Canon, executed: &ExecutedBlock, due: &Due) -> Result<(), Violation> {
        let slots = StakeSlots(&canon.mirror);
        let (height, epoch) = (canon.height(), slots.epoch().number);
        let before = self.last;
        ensure(self.punished_again.is_none(), STAKE, height, || {
            format!("{:?} was punished again for signing twice", self.punished_again)
        })?;
        self.epochs(canon, slots)?;
        self.conserved(canon, slots)?;
        reward_pool(canon, slots, executed)?;
        due.taken.iter().try_for_each(|taken| free(canon, slots, *taken))?;
        due.punished.iter().try_for_each(|punished| punished.check(canon, epoch + LEAVE_EPOCHS))?;
        if height.is_multiple_of(ALL_EVERY) || before.is_none_or(|(before, _)| before != epoch) {
            self.pools(slots, height, epoch)?;
            sets(canon, slots, height, epoch)?;
        }
        Ok(())
    }

    /// An epoch has the length that the rules give it, plus the blocks by which it was extended.
    fn epochs(&mut self, canon: &Canon, slots: StakeSlots<'_>) -> Result<(), Violation> {
        let epoch = slots.epoch();
        let Some(before) = self.epoch.replace(epoch).filter(|before| before.number != epoch.number) else {
            return Ok(());
        };
        let due = before.start_height + canon.rules(canon.height()).staking.epoch_length + before.extended;
        ensure((epoch.number, epoch.start_height) == (before.number + 1, due), STAKE, canon.height(), || {
            format!("epoch {} begins at {}, after {before:?} it is due at {due}", epoch.number, epoch.start_height)
        })
    }

    /// Sums all tokens over accounts and totals.
    fn conserved(&mut self, canon: &Canon, slots: StakeSlots<'_>) -> Result<(), Violation> {
        let (height, totals, epoch) = (canon.height(), slots.totals(), slots.epoch().number);
        let liquid = self.holders.iter().fold(U256::ZERO, |sum, holder| sum + slots.liquid(*holder));
        let StakeTotals { issued, bonded, unbonding, slashed, dust } = totals;
        ensure(issued == liquid + bonded + unbonding + slashed + dust, STAKE, height, || {
            format!(
                "issued are {issued}, liquid {liquid}, bonded {bonded}, leaving {unbonding}, slashed {slashed}, dust {dust}"
            )
        })?;
        if let Some((epoch_before, before)) = self.last.replace((epoch, totals)) {
            let may_issue = canon.rules(height).staking.issuance_ppm > 0 && epoch != epoch_before;
            let kept = issued == before.issued || (may_issue && issued > before.issued);
            ensure(kept && slashed >= before.slashed && dust >= before.dust, STAKE, height, || {
                format!("there was {before:?}, now there is {totals:?}")
            })?;
        }
        Ok(())
    }

    /// Compares pools with totals, and delegations with pools.
    fn pools(&mut self, slots: StakeSlots<'_>, height: u64, epoch: u64) -> Result<(), Violation> {
        let (mut bonded, mut leaving) = (U256::ZERO, U256::ZERO);
        for operator in slots.operators() {
            let Some(record) = slots.record(operator) else {
                return Err(Violation::new(STAKE, height, format!("{operator} is listed and never registered")));
            };
            if record.jailed && self.jailed.insert(operator) {
                self.newly_jailed += 1;
            } else if !record.jailed {
                self.jailed.remove(&operator);
            }
            bonded += record.tokens;
            leaving += slots.leaving(operator, epoch + LEAVE_EPOCHS).iter().fold(U256::ZERO, |sum, pool| sum + pool.1);
            let (mut shares, mut owed) = (U256::ZERO, U256::ZERO);
            for delegator in self.delegators.get(&operator).into_iter().flatten() {
                let delegation = slots.delegation(*delegator, operator);
                shares += delegation.shares;
                let since = record.share_index.saturating_sub(delegation.share_index);
                let earned = (U512::from(since) * U512::from(delegation.shares)) >> 128usize;
                owed += delegation.accrued + U256::from_limbs_slice(&earned.as_limbs()[..4]);
            }
            ensure(shares == record.shares, STAKE, height, || {
                format!("{operator} has {} shares, its delegators {shares}", record.shares)
            })?;
            ensure(owed <= record.rewards, STAKE, height, || {
                format!("{operator} owes its delegators {owed} of {}", record.rewards)
            })?;
        }
        let totals = slots.totals();
        ensure((bonded, leaving) == (totals.bonded, totals.unbonding), STAKE, height, || {
            format!("validators hold {bonded} bonded and {leaving} leaving, counted are {totals:?}")
        })
    }
}

/// The staking module's event in a log.
pub(super) fn decode(
    address: Address,
    topics: &[alloy_primitives::B256],
    data: &[u8],
) -> Result<IStaking::IStakingEvents, alloy_sol_types::Error> {
    use alloy_sol_types::SolEventInterface;
    if address != STAKING {
        return Err(alloy_sol_types::Error::Other("another account's".into()));
    }
    IStaking::IStakingEvents::decode_raw_log(topics, data)
}

/// The pool has the coin that it owes, and the fees of this block, which the next block distributes.
fn reward_pool(canon: &Canon, slots: StakeSlots<'_>, executed: &ExecutedBlock) -> Result<(), Violation> {
    let fee =
        |receipt: &causeway_execution::Receipt| U256::from(receipt.effective_gas_price) * U256::from(receipt.gas_used);
    let fees = executed.receipts.iter().fold(U256::ZERO, |sum, receipt| sum + fee(receipt));
    let (has, counted) = (canon.mirror.balance(REWARD_POOL), slots.counted_coin());
    ensure(has == counted + fees, STAKE, canon.height(), || {
        format!("the reward pool has {has} wei, it owes {counted} and took {fees} in this block")
    })
}

/// Stake was paid back no earlier than the unbonding rules allow.
fn free(canon: &Canon, slots: StakeSlots<'_>, taken: TakenBack) -> Result<(), Violation> {
    let TakenBack { delegator, leave, asked } = taken;
    let spec = &canon.genesis.spec;
    let after = |start: u64, factor: u64| start.saturating_add(factor.saturating_mul(spec.staking.unbonding_seconds));
    let acked = canon.mirror.slot(PEG, U256::from(PEG_ACKED)).saturating_to::<u64>();
    let acknowledged = spec.peg.is_none() || acked >= leave;
    let due = match slots.epoch_started(leave) {
        Some(start) => after(start, if acknowledged { 1 } else { UNACKNOWLEDGED_FACTOR }),
        None if slots.epoch().extended > 0 => after(asked, STUCK_FACTOR),
        None => u64::MAX,
    };
    let now = canon.head().timestamp;
    ensure(now >= due, STAKE, canon.height(), || {
        format!("{delegator} took back at {now} what leaves in epoch {leave} and is free at {due}")
    })
}

/// Powers follow from stakes, in the set and in the peg's federation.
fn sets(canon: &Canon, slots: StakeSlots<'_>, height: u64, epoch: u64) -> Result<(), Violation> {
    let active = slots.seats(epoch);
    for (of, seats) in [(epoch, &active), (epoch + 1, &slots.seats(epoch + 1))] {
        let powers = powers(&seats.iter().map(|seat| seat.stake).collect::<Vec<_>>());
        ensure(seats.iter().map(|seat| seat.power).eq(powers.iter().copied()), STAKE, height, || {
            format!("the set of epoch {of} is {seats:?}, its stakes give {powers:?}")
        })?;
    }
    let active: BTreeMap<Address, Seat> = active.into_iter().map(|seat| (seat.operator, seat)).collect();
    let mut federation = BTreeMap::new();
    for operator in slots.operators() {
        let record = slots.record(operator);
        let (power, due) =
            (record.map_or(0, |record| record.power), active.get(&operator).map_or(0, |seat| seat.power));
        ensure(power == due, STAKE, height, || format!("{operator} has power {power}, its set gives it {due}"))?;
        if let (Some(record), 1..) = (record, due) {
            federation.insert(record.peg, due);
        }
    }
    if canon.genesis.spec.peg.is_none() {
        return Ok(());
    }
    let pegged = canon.mirror.slot(PEG, U256::from(PEG_EPOCH)).saturating_to::<u64>();
    let members: BTreeMap<Address, u64> = super::slots::federation(&canon.mirror, epoch).into_iter().collect();
    ensure(pegged == epoch && members == federation, STAKE, height, || {
        format!("the federation of epoch {pegged} is {members:?}, the set of epoch {epoch} is {federation:?}")
    })
}

/// Powers of stakes by the rule: the stakes themselves while their sum fits 2^40; else each stake's share of 2^40 less one unit for each stake
/// above zero, rounded down. The remaining units go to the largest remainders, the earlier first, and no stake above zero gets power zero.
fn powers(stakes: &[U256]) -> Vec<u64> {
    let total = stakes.iter().fold(U512::ZERO, |sum, stake| sum + U512::from(*stake));
    if total <= U512::from(TOTAL_POWER) {
        return stakes.iter().map(|stake| stake.saturating_to()).collect();
    }
    let held = stakes.iter().filter(|stake| !stake.is_zero()).count();
    let shared = TOTAL_POWER - u64::try_from(held).unwrap_or(0);
    let scaled: Vec<U512> = stakes.iter().map(|stake| U512::from(*stake) * U512::from(shared)).collect();
    let mut powers: Vec<u64> = scaled.iter().map(|scaled| (*scaled / total).saturating_to()).collect();
    let left = shared - powers.iter().sum::<u64>();
    let mut places: Vec<usize> = (0..stakes.len()).collect();
    // A stable sort: equal elements keep their order.
    places.sort_by_key(|place| std::cmp::Reverse(scaled[*place] % total));
    for place in places.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        powers[place] += 1;
    }
    powers.iter().zip(stakes).map(|(power, stake)| (*power).max(u64::from(!stake.is_zero()))).collect()
}

#[cfg(test)]
#[path = "stake_tests.rs"]
mod tests;
