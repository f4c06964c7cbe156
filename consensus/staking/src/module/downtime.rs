//! Downtime: finds members that were inactive for a whole window of blocks.
//!
//! Windows follow each other without overlap. A member was active in a window if it proposed a decided block or signed at
//! least a tenth of the window's commit certificates. A member that was inactive, and was a member during the whole window,
//! is jailed and slashed a little. A block carries the certificate of the previous block, so the last block of an epoch is
//! counted in the hook after the rotation, for members of both sets.

use alloy_primitives::U256;

use super::{
    BlockContext, Ruling, StakingModule,
    epochs::{ValidatorSet, load_epoch, load_set},
    slashing::{Kind, Slash, slash},
};
use crate::{
    StakingFault, layout,
    records::Validator,
    slots::{Slots, lane, lanes},
    staged::Staged,
};

const SIGNED_MASK: u32 = (1 << 30) - 1;
const PROPOSED: u32 = 1 << 30;
const JOINED_LATE: u32 = 1 << 31;

/// An active member signs at least one in this many of a window's certificates.
const ALIVE_PART: u64 = 10;

/// A member's record in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Certificates that it signed.
    pub(crate) signed: u32,
    pub(crate) proposed: bool,
    /// It was not a member during the whole window.
    pub(crate) joined_late: bool,
}

impl Counters {
    fn unpack(word: u32) -> Self {
        Self { signed: word & SIGNED_MASK, proposed: word & PROPOSED != 0, joined_late: word & JOINED_LATE != 0 }
    }

    fn pack(self) -> u32 {
        let proposed = if self.proposed { PROPOSED } else { 0 };
        let joined_late = if self.joined_late { JOINED_LATE } else { 0 };
        self.signed.min(SIGNED_MASK) | proposed | joined_late
    }
}

/// The number of certificates in the window so far, and the record of each of `count` members.
pub(crate) fn load_window<S: Slots>(st: &mut Staged<'_, S>, count: usize) -> Ruling<(u64, Vec<Counters>), S> {
    let certificates = lane(st.get(layout::WINDOW)?, 0);
    let mut members = Vec::with_capacity(count);
    for position in 0..count {
        let word = st.get(layout::counters(position))? >> (32 * (position % layout::COUNTERS_PER_SLOT));
        members.push(Counters::unpack((word & U256::from(u32::MAX)).to()));
    }
    Ok((certificates, members))
}

fn save_window<S: Slots>(st: &mut Staged<'_, S>, certificates: u64, members: &[Counters]) -> Ruling<(), S> {
    let window = st.get(layout::WINDOW)?;
    st.set(layout::WINDOW, lanes([certificates, lane(window, 1), 0, 0]))?;
    for (at, chunk) in members.chunks(layout::COUNTERS_PER_SLOT).enumerate() {
        let word = chunk.iter().rev().fold(U256::ZERO, |word, member| (word << 32) | U256::from(member.pack()));
        st.set(layout::counters(at * layout::COUNTERS_PER_SLOT), word)?;
    }
    Ok(())
}

impl StakingModule {
    /// Counts the proposer and the signers of the previous block. At the end of a window it jails the inactive members.
    pub(super) fn count_liveness<S: Slots>(&self, st: &mut Staged<'_, S>, ctx: &BlockContext<'_>) -> Ruling<(), S> {
        let epoch = load_epoch(st)?.number;
        let count = usize::try_from(lane(st.get(layout::set_head(epoch))?, 0)).map_err(|_| StakingFault::Accounting)?;
        let (mut certificates, mut members) = load_window(st, count)?;
        if !ctx.previous_signers.is_empty() {
            certificates = certificates.saturating_add(1);
        }
        for key in ctx.previous_signers {
            if let Some(position) = position_of_key(st, U256::from_be_bytes(key.0))?
                && let Some(member) = members.get_mut(position)
            {
                member.signed = member.signed.saturating_add(1);
            }
        }
        if let Some(proposer) = ctx.previous_proposer
            && let Some(validator) = Validator::find(st, proposer)?
            && let Some(position) = position_of_key(st, U256::from_be_bytes(validator.consensus_key.0))?
            && let Some(member) = members.get_mut(position)
        {
            member.proposed = true;
        }
        let previous = ctx.height.saturating_sub(1);
        if previous == 0 || !previous.is_multiple_of(self.params.downtime_window) {
            return save_window(st, certificates, &members);
        }
        self.jail_the_absent(st, epoch, ctx.timestamp, certificates, &members)?;
        save_window(st, 0, &vec![Counters::default(); count])
    }

    fn jail_the_absent<S: Slots>(
        &self,
        st: &mut Staged<'_, S>,
        epoch: u64,
        now: u64,
        certificates: u64,
        members: &[Counters],
    ) -> Ruling<(), S> {
        if members.iter().all(|member| member.joined_late || is_alive(member, certificates)) {
            return Ok(());
        }
        for (seat, member) in load_set(st, epoch)?.seats.iter().zip(members) {
            if member.joined_late || is_alive(member, certificates) {
                continue;
            }
            let mut validator = Validator::load(st, seat.operator)?;
            if validator.jailed || validator.tombstoned {
                continue;
            }
            slash(st, &mut validator, Slash { epoch, ppm: self.params.downtime_slash_ppm, kind: Kind::Downtime })?;
            validator.jailed = true;
            validator.jailed_until = now.saturating_add(self.params.jail_seconds);
            validator.save(st)?;
        }
        Ok(())
    }
}

fn is_alive(member: &Counters, certificates: u64) -> bool {
    member.proposed || u64::from(member.signed) * ALIVE_PART >= certificates
}

/// Position in the active set of the member with a consensus key.
fn position_of_key<S: Slots>(st: &mut Staged<'_, S>, key: U256) -> Ruling<Option<usize>, S> {
    let entry = st.get(layout::consensus_key(key.into()))?;
    Ok(lane(entry, 0).checked_sub(1).and_then(|position| usize::try_from(position).ok()))
}

/// Carries the window over to another set: members of both sets keep their record; new members are marked as joined late.
pub(super) fn carry_window<S: Slots>(st: &mut Staged<'_, S>, old: &ValidatorSet, new: &ValidatorSet) -> Ruling<(), S> {
    let (certificates, before) = load_window(st, old.seats.len())?;
    let record = |operator| {
        let position = old.seats.iter().position(|seat| seat.operator == operator);
        let late = Counters { joined_late: true, ..Counters::default() };
        position.and_then(|position| before.get(position)).copied().unwrap_or(late)
    };
    let mut after: Vec<Counters> = new.seats.iter().map(|seat| record(seat.operator)).collect();
    // A shorter set must clear the old records.
    after.resize(after.len().max(before.len()), Counters::default());
    save_window(st, certificates, &after)
}
