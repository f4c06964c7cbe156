//! Leads the registry on the parent through the epochs and submits certified checkpoints to it.
//!
//! The registry accepts a checkpoint of its own epoch or of the next one, so it needs one checkpoint of each epoch, in order:
//! the handovers recorded on this chain, however many it is behind. In the present epoch a further checkpoint is worth its gas
//! when it settles something: new withdrawals, newly minted deposits, or nothing for a long time.
//!
//! Nothing is remembered between two looks but the chains themselves, so a relayer can stop anywhere and go on after a restart.
//! Several nodes may relay; each waits its own delay, and looks again whether another has been faster.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use causeway_execution::peg_state;
use causeway_parent::{Submission, Submitter};
use causeway_peg::{Checkpoint, PegModule, RegistryState, deposit::deposit_leaf, next_handover};
use causeway_storage::{CheckpointRecord, Storage};
use eyre::{OptionExt, bail};

/// How often the relayer looks, in milliseconds.
pub const LOOK_MS: u64 = 1_000;
/// A checkpoint that settles nothing is submitted all the same when the registry's is this many checkpoints old.
pub const IDLE_CHECKPOINTS: u64 = 60;
/// The longest pause after failures, in milliseconds.
pub const MAX_PAUSE_MS: u64 = 60_000;
/// How far above the oldest deposit the vault remembers a proof of history ends: room for deposits made meanwhile.
const HISTORY_MARGIN: u64 = 512;

/// A relayer.
pub struct Relayer {
    /// Where certified checkpoints and validator sets are.
    pub storage: Arc<Storage>,
    /// The way to the parent.
    pub submitter: Submitter,
    /// The registry on the parent.
    pub registry: Address,
    /// How long others are let go first.
    pub delay: Duration,
}

impl Relayer {
    /// Relays until the process ends.
    pub async fn run(self) {
        let mut pause = LOOK_MS;
        loop {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = match self.look().await {
                Ok(()) => LOOK_MS,
                Err(error) => {
                    let pause = pause.saturating_mul(2).min(MAX_PAUSE_MS);
                    tracing::warn!(%error, retry_in_ms = pause, "cannot relay a checkpoint to the parent; it is tried again");
                    pause
                }
            };
        }
    }

    /// Submits what the registry needs, one checkpoint after the other, until it needs nothing or another relayer is at it.
    async fn look(&self) -> eyre::Result<()> {
        let mut accepted = None;
        while let Some(record) = self.next(accepted).await? {
            let number = record.checkpoint.number;
            if accepted.is_none() && !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
                if self.next(None).await?.is_none_or(|now| now.checkpoint.number != number) {
                    tracing::debug!(number, "another relayer was faster");
                    return Ok(());
                }
            }
            if !self.submit(&record).await? {
                return Ok(());
            }
            accepted = Some(number);
        }
        Ok(())
    }

    /// The checkpoint the registry needs next. `accepted` is the one it took just now.
    async fn next(&self, accepted: Option<u64>) -> eyre::Result<Option<CheckpointRecord>> {
        let registry = self.submitter.registry_state(self.registry).await?;
        if let Some(number) = accepted.filter(|number| registry.number < *number) {
            bail!(
                "the registry accepted checkpoint {number} and shows {}: the endpoint lags behind itself",
                registry.number
            );
        }
        let state = self.storage.latest();
        let mut slots = peg_state(&*state);
        let Some((epoch, handover)) = next_handover(&mut slots, &registry)? else {
            return self.worthwhile(&registry);
        };
        let current = PegModule::epoch(&mut slots)?;
        if current.saturating_sub(registry.epoch) > 1 {
            tracing::info!(
                registry_epoch = registry.epoch,
                epoch = current,
                checkpoint = handover.checkpoint,
                "the registry is epochs behind: handing over epoch {epoch}"
            );
        }
        let record = self.storage.checkpoint(handover.checkpoint)?;
        Ok(Some(record.ok_or_eyre("the certificate of a recorded handover is not stored: the database is damaged")?))
    }

    /// The latest recorded checkpoint, when it settles something that the registry's does not.
    fn worthwhile(&self, registry: &RegistryState) -> eyre::Result<Option<CheckpointRecord>> {
        let accepted = registry.number;
        let Some(record) = self.storage.latest_checkpoint()?.filter(|record| record.checkpoint.number > accepted)
        else {
            return Ok(None);
        };
        if record.checkpoint.number.saturating_sub(accepted) >= IDLE_CHECKPOINTS {
            return Ok(Some(record));
        }
        let settled = self.storage.checkpoint(accepted)?.map(|record| record.checkpoint);
        let worth = settled.is_none_or(|settled| {
            record.checkpoint.withdrawalCount > settled.withdrawalCount
                || record.checkpoint.depositNonce > settled.depositNonce
        });
        Ok(worth.then_some(record))
    }

    /// Submits a checkpoint with the set of its epoch. False when another relayer was faster.
    async fn submit(&self, record: &CheckpointRecord) -> eyre::Result<bool> {
        let checkpoint = &record.checkpoint;
        let (set, vault) = {
            let state = self.storage.latest();
            let mut slots = peg_state(&*state);
            let set = PegModule::validator_set_of(&mut slots, checkpoint.epoch)?;
            (
                set.ok_or_eyre("the validator set of a recorded checkpoint is not in the state")?,
                PegModule::vault(&mut slots)?,
            )
        };
        let later = self.later_deposits(vault, checkpoint).await?;
        let (number, epoch) = (checkpoint.number, checkpoint.epoch);
        match self.submitter.submit_checkpoint(self.registry, checkpoint, &set, &record.signatures, &later).await? {
            Submission::Accepted { hash, gas_used, .. } => {
                tracing::info!(number, epoch, transaction = %hash, gas_used, "the registry accepted a checkpoint");
                Ok(true)
            }
            Submission::AlreadyThere { latest } => {
                tracing::debug!(number, epoch, latest, "another relayer was faster");
                Ok(false)
            }
        }
    }

    /// Leaves of the deposits after the checkpoint's, up to one that the registry can verify: none unless thousands of
    /// deposits were made since.
    async fn later_deposits(&self, vault: Address, checkpoint: &Checkpoint) -> eyre::Result<Vec<B256>> {
        let oldest = self.submitter.oldest_remembered_deposit(vault).await?;
        let nonce = checkpoint.depositNonce;
        // Before the first deposit there is nothing to prove.
        if nonce == 0 || nonce >= oldest {
            return Ok(Vec::new());
        }
        let minted = PegModule::deposit_nonce(&mut peg_state(&*self.storage.latest()))?;
        let last = oldest.saturating_add(HISTORY_MARGIN).min(minted);
        if last < oldest {
            bail!(
                "checkpoint {} is older than the deposits the vault remembers, the oldest of which is {oldest}, and this chain \
                 has minted {minted} so far: waiting until it has caught up",
                checkpoint.number
            );
        }
        let mut leaves = (nonce.saturating_add(1)..=last)
            .map(|nonce| {
                let record = self.storage.deposit(nonce)?.ok_or_eyre("a minted deposit is not stored")?;
                Ok(deposit_leaf(&record.deposit))
            })
            .collect::<eyre::Result<Vec<B256>>>()?;
        let own = self.submitter.link_history(self.registry, nonce, checkpoint.depositAcc, &leaves).await?;
        leaves.truncate(own);
        Ok(leaves)
    }
}
