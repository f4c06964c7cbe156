//! Evidence this node has seen, from the database into a block: kept until its validator is tombstoned or it has expired.

use alloy_consensus::Header;
use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use causeway_consensus::{ConsensusKey, Evidence, SignedVote, ValidatorSet};
use causeway_execution::{StakingSlotsError, StateSource, SystemCall, staking_state};
use causeway_genesis::{Genesis, addresses::STAKING};
use causeway_staking::{IStaking, views};
use causeway_storage::{Storage, StorageError};

/// What the state says of a piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A block can carry it, naming this epoch.
    Reportable { epoch: u64 },
    /// It is of a height after the next block's: that block cannot carry it, a later one can.
    Early,
    /// Its validator is out for ever: by this evidence or by other.
    Punished,
    /// It is too old, or its validator was never registered: no block will ever carry it.
    Void,
}

/// What became of a piece of evidence that was shown to [`keep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It waits for a block now.
    New,
    /// It is known, or enough other evidence against its validator waits.
    Enough,
    /// Nothing follows from it: its validator is tombstoned, was never registered, or the offence is too old.
    Settled,
}

/// Keeps a piece of evidence for a block, unless the latest state has settled it.
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

/// The call by which the block at `height` reports one piece of pending evidence. They take turns, so that one which execution
/// refuses for a reason of its own keeps back no other.
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

/// Forgets what the latest state has settled; answers how many pieces still wait.
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

/// Notes the members of the set that the height after the head begins with, and forgets those whose time has passed.
///
/// # Errors
/// When the database cannot be read or written.
pub fn note_members(genesis: &Genesis, storage: &Storage, set: &ValidatorSet) -> eyre::Result<()> {
    let head = storage.head();
    let oldest = oldest_height(genesis, storage.latest().as_ref(), head.timestamp)?;
    storage.note_members(head.number.saturating_add(1), oldest, set.iter().map(|validator| validator.key))?;
    Ok(())
}

/// The keys of all who were members lately, with the last height each is known to have been one at.
///
/// # Errors
/// When the database cannot be read.
pub fn former_members(storage: &Storage) -> Result<Vec<(ConsensusKey, u64)>, StorageError> {
    storage.former_members()
}

/// Compares a precommit whose signature verifies with the stored certificate of its height: one read.
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
    // The epoch's stake answers until the unbonding period after the epoch is over.
    let expired = match views::epoch_start(&mut slots, epoch.saturating_add(1))? {
        Some((_, ended_s)) => {
            head.timestamp >= ended_s.saturating_add(genesis.schedule.first().staking.unbonding_seconds)
        }
        None => false,
    };
    Ok(if expired { Standing::Void } else { Standing::Reportable { epoch } })
}

/// The first height whose offences can still be punished at `now_s`.
fn oldest_height(genesis: &Genesis, state: &dyn StateSource, now_s: u64) -> Result<u64, StakingSlotsError> {
    let period_s = genesis.schedule.first().staking.unbonding_seconds;
    // The last epoch that began so long ago: all epochs before it ended even earlier.
    let epoch = last_epoch(state, |_, start_s| start_s.saturating_add(period_s) <= now_s)?;
    let start = epoch.map(|epoch| views::epoch_start(&mut staking_state(state), epoch)).transpose()?;
    Ok(start.flatten().map_or(0, |(height, _)| height))
}

/// The last epoch whose start, by height and time, satisfies `is_early`; starts ascend with epochs.
fn last_epoch(state: &dyn StateSource, is_early: impl Fn(u64, u64) -> bool) -> Result<Option<u64>, StakingSlotsError> {
    let mut slots = staking_state(state);
    let mut beyond = views::epoch(&mut slots)?.number.saturating_add(1);
    let mut first = 0;
    // Epochs below `first` are early, those from `beyond` on are not or have not begun.
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
