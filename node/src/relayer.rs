//! Submits certified checkpoints to the registry on the parent.
//!
//! A checkpoint is worth its gas when it settles something: new withdrawals, newly minted deposits, or nothing for a long time.
//! Several nodes may relay; each waits its own delay, and looks again whether another has been faster.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use causeway_parent::{Submission, Submitter};
use causeway_peg::{CertificateSig, Checkpoint, PegValidatorSet};
use causeway_storage::Storage;

/// How often the relayer looks, in milliseconds.
pub const LOOK_MS: u64 = 1_000;
/// A checkpoint that settles nothing is submitted all the same when the registry's is this many checkpoints old.
pub const IDLE_CHECKPOINTS: u64 = 60;
/// The longest pause after failures, in milliseconds.
pub const MAX_PAUSE_MS: u64 = 60_000;

/// A relayer.
pub struct Relayer {
    /// Where certified checkpoints are.
    pub storage: Arc<Storage>,
    /// The way to the parent.
    pub submitter: Submitter,
    /// The registry on the parent.
    pub registry: Address,
    /// The committed validator set.
    pub set: PegValidatorSet,
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
                    tracing::warn!(%error, "cannot relay a checkpoint to the parent; it is tried again");
                    pause.saturating_mul(2).min(MAX_PAUSE_MS)
                }
            };
        }
    }

    async fn look(&self) -> eyre::Result<()> {
        let Some((checkpoint, signatures)) = self.latest_recorded()? else { return Ok(()) };
        let (accepted, _) = self.submitter.latest_checkpoint(self.registry).await?;
        if !self.is_worth(&checkpoint, accepted)? {
            return Ok(());
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        // The vault remembers its last 4,096 deposits; a checkpoint further behind waits for a later one.
        match self.submitter.submit_checkpoint(self.registry, &checkpoint, &self.set, &signatures, &[]).await? {
            Submission::Accepted { hash, gas_used, .. } => {
                tracing::info!(number = checkpoint.number, transaction = %hash, gas_used, "the registry accepted a checkpoint");
            }
            Submission::AlreadyThere { latest } => {
                tracing::debug!(number = checkpoint.number, latest, "another relayer was faster")
            }
        }
        Ok(())
    }

    fn latest_recorded(&self) -> eyre::Result<Option<(Checkpoint, Vec<CertificateSig>)>> {
        Ok(self.storage.latest_checkpoint()?.map(|record| (record.checkpoint, record.signatures)))
    }

    fn is_worth(&self, checkpoint: &Checkpoint, accepted: u64) -> eyre::Result<bool> {
        if checkpoint.number <= accepted {
            return Ok(false);
        }
        if accepted == 0 || checkpoint.number.saturating_sub(accepted) >= IDLE_CHECKPOINTS {
            return Ok(checkpoint.withdrawalCount > 0 || checkpoint.depositNonce > 0 || accepted != 0);
        }
        let settled = self.storage.checkpoint(accepted)?;
        Ok(settled.is_none_or(|settled| {
            checkpoint.withdrawalCount > settled.checkpoint.withdrawalCount
                || checkpoint.depositNonce > settled.checkpoint.depositNonce
        }))
    }
}
