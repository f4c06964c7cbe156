//! The relayer of a node: checks every second which checkpoint the registry on the parent needs, and submits it from the node's
//! storage. [`causeway_parent::relay`] decides what is needed.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256};
use causeway_execution::peg_state;
use causeway_parent::{
    Submitter,
    relay::{Certified, Relay, Source, SourceError},
};
use causeway_peg::{Checkpoint, PegModule, RegistryState, deposit::deposit_leaf, next_handover};
use causeway_storage::{CheckpointRecord, Storage};

/// Interval between checks, in milliseconds.
pub const LOOK_MS: u64 = 1_000;
/// The longest pause after failures, in milliseconds.
pub const MAX_PAUSE_MS: u64 = 60_000;

/// A relayer.
pub struct Relayer {
    /// The source of certified checkpoints and validator sets.
    pub storage: Arc<Storage>,
    /// Submits to the parent.
    pub submitter: Submitter,
    /// The registry on the parent.
    pub registry: Address,
    /// How long other relayers may go first.
    pub delay: Duration,
}

impl Relayer {
    /// Relays until the process ends.
    pub async fn run(self) {
        let source = StoredChain(self.storage.clone());
        let mut pause = LOOK_MS;
        loop {
            self.submitter.wire().sleep(Duration::from_millis(pause)).await;
            pause = match self.look(&source).await {
                Ok(()) => LOOK_MS,
                Err(error) => {
                    let pause = pause.saturating_mul(2).min(MAX_PAUSE_MS);
                    tracing::warn!(%error, retry_in_ms = pause, "cannot relay a checkpoint to the parent; it is tried again");
                    pause
                }
            };
        }
    }

    async fn look(&self, source: &StoredChain) -> eyre::Result<()> {
        let vault = PegModule::vault(&mut peg_state(&*self.storage.latest()))?;
        let (registry, delay) = (self.registry, self.delay);
        Ok(Relay { source, submitter: &self.submitter, registry, vault, delay }.look().await?)
    }
}

/// The sidechain in this node's storage.
struct StoredChain(Arc<Storage>);

impl StoredChain {
    fn certified(&self, record: CheckpointRecord) -> Result<Certified, SourceError> {
        let CheckpointRecord { checkpoint, signatures, .. } = record;
        let state = self.0.latest();
        let set = PegModule::validator_set_of(&mut peg_state(&*state), checkpoint.epoch)?
            .ok_or("the validator set of a recorded checkpoint is not in the state")?;
        Ok(Certified { checkpoint, signatures, set })
    }
}

impl Source for StoredChain {
    fn epoch(&self) -> Result<u64, SourceError> {
        Ok(PegModule::epoch(&mut peg_state(&*self.0.latest()))?)
    }

    fn handover(&self, registry: &RegistryState) -> Result<Option<Certified>, SourceError> {
        let needed = next_handover(&mut peg_state(&*self.0.latest()), registry)?;
        let Some((_, handover)) = needed else { return Ok(None) };
        let record = self.0.checkpoint(handover.checkpoint)?;
        let record = record.ok_or("the certificate of a recorded handover is not stored: the database is damaged")?;
        self.certified(record).map(Some)
    }

    fn latest(&self) -> Result<Option<Certified>, SourceError> {
        self.0.latest_checkpoint()?.map(|record| self.certified(record)).transpose()
    }

    fn recorded(&self, number: u64) -> Result<Option<Checkpoint>, SourceError> {
        Ok(self.0.checkpoint(number)?.map(|record| record.checkpoint))
    }

    fn minted(&self) -> Result<u64, SourceError> {
        Ok(PegModule::deposit_nonce(&mut peg_state(&*self.0.latest()))?)
    }

    fn deposit_leaf(&self, nonce: u64) -> Result<B256, SourceError> {
        let record = self.0.deposit(nonce)?.ok_or("a minted deposit is not stored: the database is damaged")?;
        Ok(deposit_leaf(&record.deposit))
    }
}
