//! Moves the evidence that this node has seen from the database into a block. It is kept until its validator is tombstoned or it expires.

use alloy_consensus::Header;
use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use causeway_consensus::{ConsensusKey, Evidence, SignedVote, ValidatorSet};
use causeway_execution::{StakingSlotsError, StateSource, SystemCall, staking_state};
use causeway_genesis::{Genesis, addresses::STAKING};
use causeway_staking::{IStaking, views};
use causeway_storage::{Storage, StorageError};

/// The status of a piece of evidence in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A block can carry it, with this epoch.
    Reportable { epoch: u64 },
    /// Its height is above the next block's, so only a later block can carry it.
    Early,
    /// Its validator is already tombstoned, by this evidence or by another.
    Punished,
    /// It is too old, or its validator was never registered: no block can carry it.
    Void,
}

/// The result of [`keep`] for a piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It now waits for a block.
    New,
    /// It is known, or enough other evidence against its validator waits.
    Enough,
    /// It has no effect: its validator is tombstoned or was never registered, or the offence is too old.
    Settled,
}

/// Stores a piece of evidence for a block, unless the latest state has settled it.
///
/// # Errors
/// When the database cannot be read or written.
pub fn keep(genesis: &Genesis, storage: &Storage, evidence: &Evidence) -> eyre::Result<Kept> {
    let state = storage.latest();
    match standing(genesis, state.as_ref(), evidence, &storage.head())? {
        Standing::Reportable { .. } | Standing::Early if storage.keep_evidence(evidence)? => Ok(Kept::New),
        Standing::Reportable { .. } | Standing::Early => Ok(Kept::Enough),
        Standing::Punished | Standing::Void => Ok(Kept::Settled),
    }
}

/// The call by which the block at `height` reports one pending piece of evidence. The pieces take turns, so a piece that
/// execution refuses cannot block the others.
///
/// # Errors
/// When the database cannot be read.
pub fn report(
    genesis: &Genesis,
    storage: &Storage,
    state: &dyn StateSource,
    height: u64,
) -> eyre::Result<Option<SystemCall>> {
    let head = storage.head();
    let mut reportable = Vec::new();
    for evidence in storage.pending_evidence()? {
        if let Standing::Reportable { epoch } = standing(genesis, state, &evidence, &head)? {
            reportable.push((evidence, epoch));
        }
    }
    let turn = usize::try_from(height).unwrap_or(0).checked_rem(reportable.len());
    let Some((evidence, epoch)) = turn.and_then(|turn| reportable.get(turn)) else { return Ok(None) };
    let call = IStaking::reportEvidenceCall { evidence: Bytes::from(borsh::to_vec(evidence)?), epoch: *epoch };
    Ok(Some(SystemCall { to: STAKING, input: Bytes::from(call.abi_encode()) }))
}

/// Removes the evidence that the latest state has settled; returns the number of remaining pieces.
///
/// # Errors
/// When the database cannot be read or written.
pub fn settle(genesis: &Genesis, storage: &Storage, state: &dyn StateSource) -> eyre::Result<usize> {
    let head = storage.head();
    let pending = storage.pending_evidence()?;
    let mut settled = Vec::new();
    for evidence in &pending {
        match standing(genesis, state, evidence, &head)? {
            Standing::Reportable { .. } | Standing::Early => continue,
            Standing::Punished => {
                tracing::warn!(validator = %evidence.validator(), height = evidence.height().0, "the validator is tombstoned: the evidence against it is settled");
            }
            Standing::Void => {
                tracing::warn!(validator = %evidence.validator(), height = evidence.height().0, "evidence has expired, or its validator was never registered: it is dropped");
            }
        }
        settled.push(evidence.hash());
    }
    if !settled.is_empty() {
        storage.drop_evidence(&settled)?;
    }
    Ok(pending.len().saturating_sub(settled.len()))
}

/// Notes the members of the set of the height after the head, and removes former members whose evidence would be too old.
///
/// # Errors
/// When the database cannot be read or written.
pub fn note_members(genesis: &Genesis, storage: &Storage, set: &ValidatorSet) -> eyre::Result<()> {
    let head = storage.head();
    let oldest = oldest_height(genesis, storage.latest().as_ref(), head.timestamp)?;
    storage.note_members(head.number.saturating_add(1), oldest, set.iter().map(|validator| validator.key))?;
    Ok(())
}

/// The keys of all recent members, each with the last height at which it is known to have been a member.
///
/// # Errors
/// When the database cannot be read.
pub fn former_members(storage: &Storage) -> Result<Vec<(ConsensusKey, u64)>, StorageError> {
    storage.former_members()
}

/// Compares a precommit with a valid signature with the stored certificate of its height; costs one read.
///
/// # Errors
/// When the database cannot be read.
pub fn compare(storage: &Storage, vote: &SignedVote) -> Result<Option<Evidence>, StorageError> {
    let certificate = storage.certificate(vote.vote.height.0)?;
    let other = certificate.and_then(|certificate| certificate.contradicted_by(vote));
    Ok(other.map(|other| Evidence::of_votes(other, vote.clone())))
}

fn standing(
    genesis: &Genesis,
    state: &dyn StateSource,
    evidence: &Evidence,
    head: &Header,
) -> Result<Standing, StakingSlotsError> {
    let mut slots = staking_state(state);
    let Some(key) = views::key_of_id(&mut slots, evidence.validator())? else { return Ok(Standing::Void) };
    let Some(operator) = views::operator_of_key(&mut slots, key)? else { return Ok(Standing::Void) };
    if views::validator(&mut slots, operator)?.is_some_and(|validator| validator.tombstoned) {
        return Ok(Standing::Punished);
    }
    let height = evidence.height().0;
    if height > head.number.saturating_add(1) {
        return Ok(Standing::Early);
    }
    let Some(epoch) = last_epoch(state, |start_height, _| start_height <= height)? else { return Ok(Standing::Void) };
    // The epoch's stake can be slashed until the unbonding period after the end of the epoch is over.
    let expired = match views::epoch_start(&mut slots, epoch.saturating_add(1))? {
        Some((_, ended_s)) => {
            head.timestamp >= ended_s.saturating_add(genesis.schedule.first().staking.unbonding_seconds)
        }
        None => false,
    };
    Ok(if expired { Standing::Void } else { Standing::Reportable { epoch } })
}

/// The lowest height whose offences can still be punished at `now_s`.
fn oldest_height(genesis: &Genesis, state: &dyn StateSource, now_s: u64) -> Result<u64, StakingSlotsError> {
    let period_s = genesis.schedule.first().staking.unbonding_seconds;
    // The last epoch that began that long ago: all epochs before it ended even earlier.
    let epoch = last_epoch(state, |_, start_s| start_s.saturating_add(period_s) <= now_s)?;
    let start = epoch.map(|epoch| views::epoch_start(&mut staking_state(state), epoch)).transpose()?;
    Ok(start.flatten().map_or(0, |(height, _)| height))
}

/// The last epoch whose start height and time satisfy `is_early`; starts ascend with the epoch number.
fn last_epoch(state: &dyn StateSource, is_early: impl Fn(u64, u64) -> bool) -> Result<Option<u64>, StakingSlotsError> {
    let mut slots = staking_state(state);
    let mut beyond = views::epoch(&mut slots)?.number.saturating_add(1);
    let mut first = 0;
    // Epochs below `first` are early; those from `beyond` on are not early or have not begun.
    while first < beyond {
        let middle = first.saturating_add(beyond.saturating_sub(first) / 2);
        let early = views::epoch_start(&mut slots, middle)?.is_some_and(|(height, time)| is_early(height, time));
        if early {
            first = middle.saturating_add(1);
        } else {
            beyond = middle;
        }
    }
    Ok(first.checked_sub(1))
}
