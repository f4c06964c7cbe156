//! Budgets of bytes in memory for clients. Dropping a share gives it back.

use std::sync::Arc;

use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RpcLimits;
use crate::errors::CODE_LIMIT;

/// The budgets that all connections share.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Requests that are being read or worked on.
    pub(crate) bodies: Budget,
    /// Answers that are being built or that clients have not read.
    pub(crate) answers: Budget,
}

impl Budgets {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self {
            bodies: Budget::new("body_bytes_in_flight", limits.body_bytes_in_flight),
            answers: Budget::new("answer_bytes_in_flight", limits.answer_bytes_in_flight),
        }
    }
}

/// A number of bytes that can be taken and given back.
#[derive(Debug)]
pub(crate) struct Budget {
    name: &'static str,
    limit: usize,
    free: Arc<Semaphore>,
}

impl Budget {
    /// `name` is the limit's name in the configuration.
    pub(crate) fn new(name: &'static str, limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { name, limit, free: Arc::new(Semaphore::new(limit)) }
    }

    /// Takes bytes from the budget.
    ///
    /// # Errors
    /// [`Exhausted`] if fewer are left.
    pub(crate) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Exhausted> {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.free).try_acquire_many_owned(bytes).ok())
            .ok_or(Exhausted { name: self.name, limit: self.limit })
    }
}

/// A budget has too little left. The text names the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes in flight: {name} limits them to {limit}")]
pub(crate) struct Exhausted {
    name: &'static str,
    limit: usize,
}

impl From<Exhausted> for ErrorObjectOwned {
    fn from(exhausted: Exhausted) -> Self {
        ErrorObject::owned(CODE_LIMIT, exhausted.to_string(), None::<()>)
    }
}

/// A share of a budget. It can grow and shrink.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Share {
    pub(crate) fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(held) => held.merge(more),
            None => self.0 = Some(more),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back this many bytes, or all if the share is smaller.
    pub(crate) fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes());
        if let Some(held) = &mut self.0 {
            drop(held.split(bytes));
        }
    }

    /// Adds `other`, a share of the same budget.
    pub(crate) fn merge(&mut self, other: Self) {
        if let Some(more) = other.0 {
            self.add(more);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_can_be_given_back_in_parts() {
        let budget = Budget::new("test", 10);
        let mut held = Share::default();
        held.add(budget.take(4).unwrap());
        held.add(budget.take(6).unwrap());
        assert_eq!(held.bytes(), 10);
        assert_eq!(budget.take(1).unwrap_err().to_string(), "too many bytes in flight: test limits them to 10");
        held.release(3);
        let mut other = Share::default();
        other.add(budget.take(3).unwrap());
        held.merge(other);
        assert_eq!(held.bytes(), 10);
        held.release(usize::MAX);
        assert_eq!(held.bytes(), 0);
        drop(budget.take(10).unwrap());
    }
}
