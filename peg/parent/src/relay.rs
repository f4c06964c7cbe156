//! Submits certified checkpoints to the registry on the parent, epoch by epoch.
//!
//! The registry accepts a checkpoint of its own epoch or of the next one, so it needs one checkpoint of each epoch, in
//! order: the handovers recorded on the sidechain, however far behind it is. In the current epoch a further checkpoint is
//! worth its gas only if it settles something: new withdrawals, newly minted deposits, or a long time without a checkpoint.
//!
//! A relayer keeps no state between two runs and reads everything from both chains, so it can stop at any point and continue
//! after a restart. Several relayers may run; each waits for its own delay and then checks whether another one was faster.

use crate::{
    peg_calls::Submission,
    submitter::{SubmitError, Submitter},
};
use alloy_primitives::{Address, B256};
use causeway_peg::{CertificateSig, Checkpoint, PegValidatorSet, RegistryState};
use std::time::Duration;

/// A checkpoint that settles nothing is submitted anyway when the registry's is this many checkpoints old.
pub const IDLE_CHECKPOINTS: u64 = 60;
/// A proof of history ends this many deposits above the oldest one that the vault stores, to allow for new deposits
/// meanwhile.
const HISTORY_MARGIN: u64 = 512;

/// Why the sidechain could not be read. A local failure.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A checkpoint with all data that its submission needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its certificate.
    pub signatures: Vec<CertificateSig>,
    /// The set of its epoch.
    pub set: PegValidatorSet,
}

/// A relayer's view of the sidechain.
pub trait Source: Sync {
    /// Epoch of the set in force.
    ///
    /// # Errors
    /// [`SourceError`], here and below.
    fn epoch(&self) -> Result<u64, SourceError>;
    /// The handover that a registry in this state needs next ([`causeway_peg::next_handover`]).
    fn handover(&self, registry: &RegistryState) -> Result<Option<Certified>, SourceError>;
    /// The latest recorded checkpoint.
    fn latest(&self) -> Result<Option<Certified>, SourceError>;
    /// A recorded checkpoint by number.
    fn recorded(&self, number: u64) -> Result<Option<Checkpoint>, SourceError>;
    /// Nonce of the last deposit minted.
    fn minted(&self) -> Result<u64, SourceError>;
    /// Leaf of a minted deposit.
    fn deposit_leaf(&self, nonce: u64) -> Result<B256, SourceError>;
}

/// Why nothing could be relayed. The caller should always try again later.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The parent's endpoint or contracts failed.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// This node's own database.
    #[error("the sidechain could not be read: {0}")]
    Source(#[from] SourceError),
    /// The endpoint does not show a checkpoint that it accepted. Continuing would send the same checkpoint again.
    #[error(
        "the registry accepted checkpoint {accepted}, but the endpoint shows {shown}: its reads lag behind its transactions"
    )]
    LaggingEndpoint {
        /// Number of the checkpoint just accepted.
        accepted: u64,
        /// The registry's latest number, as the endpoint shows it.
        shown: u64,
    },
    /// The vault no longer stores deposits that this chain has not minted yet.
    #[error(
        "checkpoint {checkpoint} is older than the deposits the vault remembers, the oldest of which is {oldest}, and this \
         chain has minted {minted} so far: waiting until it has caught up"
    )]
    NotMintedYet {
        /// The checkpoint's number.
        checkpoint: u64,
        /// Oldest deposit remembered.
        oldest: u64,
        /// Last deposit minted.
        minted: u64,
    },
}

/// One relayer's access to both chains.
#[derive(Debug)]
pub struct Relay<'a, S> {
    /// The sidechain.
    pub source: &'a S,
    /// The submitter for the parent.
    pub submitter: &'a Submitter,
    /// The registry.
    pub registry: Address,
    /// The vault.
    pub vault: Address,
    /// How long to wait for faster relayers.
    pub delay: Duration,
}

impl<S: Source> Relay<'_, S> {
    /// Submits the checkpoints that the registry needs, one after another, until it needs no more or another relayer is
    /// active.
    ///
    /// # Errors
    /// [`RelayError`]. It is not an error when another relayer was faster.
    pub async fn look(&self) -> Result<(), RelayError> {
        let mut accepted = None;
        while let Some(needed) = self.needed(accepted).await? {
            let number = needed.checkpoint.number;
            if accepted.is_none() && !self.delay.is_zero() {
                self.submitter.wire().sleep(self.delay).await;
                if self.needed(None).await?.is_none_or(|now| now.checkpoint.number != number) {
                    tracing::debug!(number, "another relayer was faster");
                    return Ok(());
                }
            }
            if !self.submit(&needed).await? {
                return Ok(());
            }
            accepted = Some(number);
        }
        Ok(())
    }

    /// The checkpoint that the registry needs next. `accepted` is the one it just accepted.
    async fn needed(&self, accepted: Option<u64>) -> Result<Option<Certified>, RelayError> {
        let registry = self.submitter.registry_state(self.registry).await?;
        if let Some(accepted) = accepted.filter(|accepted| registry.number < *accepted) {
            return Err(RelayError::LaggingEndpoint { accepted, shown: registry.number });
        }
        let Some(handover) = self.source.handover(&registry)? else {
            return Ok(self.worthwhile(registry.number)?);
        };
        let epoch = self.source.epoch()?;
        if epoch.saturating_sub(registry.epoch) > 1 {
            tracing::info!(
                registry_epoch = registry.epoch,
                epoch,
                "the registry is epochs behind: checkpoint {} hands over epoch {}",
                handover.checkpoint.number,
                handover.checkpoint.epoch
            );
        }
        Ok(Some(handover))
    }

    /// The latest recorded checkpoint, if it settles something that the accepted one does not.
    fn worthwhile(&self, accepted: u64) -> Result<Option<Certified>, SourceError> {
        let Some(latest) = self.source.latest()?.filter(|latest| latest.checkpoint.number > accepted) else {
            return Ok(None);
        };
        if latest.checkpoint.number.saturating_sub(accepted) >= IDLE_CHECKPOINTS {
            return Ok(Some(latest));
        }
        let worth = self.source.recorded(accepted)?.is_none_or(|settled| {
            latest.checkpoint.withdrawalCount > settled.withdrawalCount
                || latest.checkpoint.depositNonce > settled.depositNonce
        });
        Ok(worth.then_some(latest))
    }

    /// False when another relayer was faster.
    async fn submit(&self, Certified { checkpoint, signatures, set }: &Certified) -> Result<bool, RelayError> {
        let later = self.later_deposits(checkpoint).await?;
        let (number, epoch) = (checkpoint.number, checkpoint.epoch);
        match self.submitter.submit_checkpoint(self.registry, checkpoint, set, signatures, &later).await? {
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

    /// Leaves of the deposits after the checkpoint's last one, up to a deposit that the registry can verify: none unless
    /// thousands of deposits were made since.
    async fn later_deposits(&self, checkpoint: &Checkpoint) -> Result<Vec<B256>, RelayError> {
        let oldest = self.submitter.oldest_remembered_deposit(self.vault).await?;
        let nonce = checkpoint.depositNonce;
        // Before the first deposit there is nothing to prove.
        if nonce == 0 || nonce >= oldest {
            return Ok(Vec::new());
        }
        let minted = self.source.minted()?;
        let last = oldest.saturating_add(HISTORY_MARGIN).min(minted);
        if last < oldest {
            return Err(RelayError::NotMintedYet { checkpoint: checkpoint.number, oldest, minted });
        }
        let leaves = (nonce.saturating_add(1)..=last).map(|nonce| self.source.deposit_leaf(nonce));
        let mut leaves = leaves.collect::<Result<Vec<B256>, SourceError>>()?;
        let own = self.submitter.link_history(self.registry, nonce, checkpoint.depositAcc, &leaves).await?;
        leaves.truncate(own);
        Ok(leaves)
    }
}
