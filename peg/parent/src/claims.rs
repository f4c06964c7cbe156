//! Withdrawals that the vault has paid: its `Claimed` events up to the finalised block, kept in memory.
//!
//! No signature or decision depends on this data, so only the first endpoint is asked, without a cross-check. After a start
//! the events are read from the vault's deployment on; until all are read, a withdrawal that was not found is *not known*.

use crate::{
    config::{ConfigError, ParentConfig},
    endpoint::{Endpoint, EndpointError},
    wire::Wire,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Returns how many withdrawals the sidechain has burned so far: indexes 0 up to, but not including, this number.
pub type Burned = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// The known claims; cheap to query.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// A bit for each index.
    paid: Vec<u64>,
    /// Whether everything up to a finalised block has been read once.
    complete: bool,
}

impl Claims {
    /// Whether the vault had paid a withdrawal at the last finalised block that was read. `None` when this is not known yet.
    pub fn is_paid(&self, index: u64) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let word = usize::try_from(index / 64).ok().and_then(|at| known.paid.get(at)).copied().unwrap_or(0);
        let paid = word >> (index % 64) & 1 == 1;
        (paid || known.complete).then_some(paid)
    }

    fn pay(&self, index: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(at) = usize::try_from(index / 64) else { return };
        if known.paid.len() <= at {
            known.paid.resize(at.saturating_add(1), 0);
        }
        if let Some(word) = known.paid.get_mut(at) {
            *word |= 1 << (index % 64);
        }
    }

    fn completed(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).complete = true;
    }
}

/// Reads the claims, one range of blocks after another.
pub struct ClaimReader {
    config: ParentConfig,
    endpoint: Endpoint,
    wire: Arc<dyn Wire>,
    burned: Burned,
    claims: Claims,
    next_height: u64,
    range: u64,
    failures: u32,
}

impl std::fmt::Debug for ClaimReader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ClaimReader")
            .field("endpoint", &self.endpoint)
            .field("next_height", &self.next_height)
            .finish()
    }
}

/// Why a range could not be read.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("the vault has paid withdrawal {0}, which this node does not know yet: waiting until it has caught up")]
    Unknown(u64),
}

impl ClaimReader {
    /// Makes a reader and starts it as a tokio task. Aborting the task ends it.
    ///
    /// # Errors
    /// [`ConfigError`] for settings that can never work.
    pub fn spawn(
        config: ParentConfig,
        wire: Arc<dyn Wire>,
        burned: Burned,
    ) -> Result<(Claims, JoinHandle<()>), ConfigError> {
        let reader = Self::new(config, wire, burned)?;
        let claims = reader.claims.clone();
        Ok((claims, tokio::spawn(reader.run())))
    }

    pub(crate) fn new(config: ParentConfig, wire: Arc<dyn Wire>, burned: Burned) -> Result<Self, ConfigError> {
        config.validate()?;
        let endpoint = Endpoint::new(&config, 0, wire.clone())?;
        let (next_height, range) = (config.from_height, config.max_log_range);
        Ok(Self { endpoint, wire, burned, claims: Claims::default(), next_height, range, failures: 0, config })
    }

    async fn run(mut self) {
        loop {
            self.poll().await;
            let factor = 1u64.checked_shl(self.failures).unwrap_or(u64::MAX);
            let pause = self.config.poll_ms.saturating_mul(factor).min(self.config.max_backoff_ms);
            self.wire.sleep(Duration::from_millis(pause.max(self.config.poll_ms))).await;
        }
    }

    /// Reads one range, if there is a new one.
    pub(crate) async fn poll(&mut self) {
        match self.advance().await {
            Ok(()) => self.failures = 0,
            Err(stop) => {
                tracing::debug!(%stop, "claims cannot be read now");
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Stop> {
        if self.failures > 0 || self.next_height == self.config.from_height {
            self.endpoint.check_chain().await?;
        }
        let finalized = self.endpoint.finalized().await?.height;
        if finalized >= self.next_height {
            let to = self.next_height.saturating_add(self.range.saturating_sub(1)).min(finalized);
            let paid = match self.endpoint.claims(self.next_height, to).await {
                Err(error) if error.may_be_range() && self.range > 1 => {
                    self.range = (to.saturating_sub(self.next_height).saturating_add(1) / 2).max(1);
                    return Err(error.into());
                }
                paid => paid?,
            };
            let burned = (self.burned)().unwrap_or(0);
            if let Some(unknown) = paid.iter().find(|index| **index >= burned) {
                return Err(Stop::Unknown(*unknown));
            }
            paid.into_iter().for_each(|index| self.claims.pay(index));
            self.next_height = to.saturating_add(1);
            self.range = self.range.saturating_mul(2).min(self.config.max_log_range);
        }
        if self.next_height > finalized {
            self.claims.completed();
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn claims(&self) -> Claims {
        self.claims.clone()
    }
}
