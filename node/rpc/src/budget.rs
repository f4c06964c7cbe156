//! Bytes that are in memory for clients, counted: what is taken from a budget comes back when it is dropped.

use std::sync::Arc;

use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RpcLimits;
use crate::errors::CODE_LIMIT;

/// The budgets that all connections share.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Requests: read so far, or being worked on.
    pub(crate) bodies: Budget,
    /// Answers: being built, or not read yet.
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

/// So many bytes, to be taken and given back.
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

    /// # Errors
    /// [`Exhausted`] when less is left.
    pub(crate) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Exhausted> {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.free).try_acquire_many_owned(bytes).ok())
            .ok_or(Exhausted { name: self.name, limit: self.limit })
    }
}

/// A budget has less left than was asked for; the text names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is in flight: {name}, the limit of {limit} bytes, is reached")]
pub(crate) struct Exhausted {
    name: &'static str,
    limit: usize,
}

impl From<Exhausted> for ErrorObjectOwned {
    fn from(exhausted: Exhausted) -> Self {
        ErrorObject::owned(CODE_LIMIT, exhausted.to_string(), None::<()>)
    }
}

/// A share of a budget that grows and shrinks.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    pub(crate) fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(held) => held.merge(more),
            None => self.0 = Some(more),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back that many bytes, or all where fewer are held.
    pub(crate) fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes());
        if let Some(held) = &mut self.0 {
            drop(held.split(bytes));
        }
    }

    /// Moves everything that `other` holds of the same budget here.
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
        let mut held = Held::default();
        held.add(budget.take(4).unwrap());
        held.add(budget.take(6).unwrap());
        assert_eq!(held.bytes(), 10);
        assert_eq!(
            budget.take(1).unwrap_err().to_string(),
            "too much is in flight: test, the limit of 10 bytes, is reached"
        );
        held.release(3);
        let mut other = Held::default();
        other.add(budget.take(3).unwrap());
        held.merge(other);
        assert_eq!(held.bytes(), 10);
        held.release(usize::MAX);
        assert_eq!(held.bytes(), 0);
        drop(budget.take(10).unwrap());
    }
}
