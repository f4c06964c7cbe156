//! Installed filters (`eth_newFilter` and similar methods). They are polled by their id, and expire if they are not.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::U64;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::RandomIntegerIdProvider;
use jsonrpsee::types::SubscriptionId;
use parking_lot::Mutex;

use crate::config::RpcLimits;
use crate::errors::Fault;
use crate::eth::log_criteria::HeldCriteria;

/// The events that a filter reports. A running poll shares them.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Hashes of new blocks.
    Blocks,
    /// Hashes of transactions that the pool admits.
    Pending,
    /// Logs in new blocks, within the caller's range of blocks.
    Logs(Arc<LogFilter>),
}

/// The criteria and the range of blocks of a log filter. `None` leaves an end open.
#[derive(Debug)]
pub(crate) struct LogFilter {
    pub(crate) criteria: HeldCriteria,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    /// The next block, or the next position in the feed of pending transactions, to report.
    cursor: u64,
    touched_ms: u64,
    connection: usize,
}

/// All filters of the server.
#[derive(Debug)]
pub(crate) struct Filters {
    installed: Mutex<BTreeMap<u64, Installed>>,
    per_connection: usize,
    capacity: usize,
    ttl_ms: u64,
}

impl Filters {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self {
            installed: Mutex::default(),
            per_connection: limits.filters_per_connection,
            capacity: limits.filters,
            ttl_ms: limits.filter_ttl_ms,
        }
    }

    /// Installs a filter that reports events from `cursor` on.
    ///
    /// # Errors
    /// [`Fault::Limit`] if the connection or the server has its maximum of filters.
    pub(crate) fn install(&self, kind: Kind, cursor: u64, connection: usize, now_ms: u64) -> Result<U64, Fault> {
        let mut installed = self.installed.lock();
        installed.retain(|_, filter| !is_expired(filter, self.ttl_ms, now_ms));
        if installed.len() >= self.capacity {
            return Err(Fault::Limit(format!("the server has {} filters, its maximum", self.capacity)));
        }
        let own = installed.values().filter(|filter| filter.connection == connection).count();
        if own >= self.per_connection {
            return Err(Fault::Limit(format!("the connection has {} filters, its maximum", self.per_connection)));
        }
        // Ids are random, so that no user guesses those of others.
        let id = loop {
            let id = random_id();
            if !installed.contains_key(&id) {
                break id;
            }
        };
        installed.insert(id, Installed { kind, cursor, touched_ms: now_ms, connection });
        Ok(U64::from(id))
    }

    /// The filter and its cursor. The cursor moves to `next(kind)` first, so that a concurrent poll reports nothing twice.
    ///
    /// # Errors
    /// [`Fault::FilterNotFound`] if it does not exist or has expired.
    pub(crate) fn poll(&self, id: U64, now_ms: u64, next: impl FnOnce(&Kind) -> u64) -> Result<(Kind, u64), Fault> {
        let mut installed = self.installed.lock();
        let filter = live(&mut installed, id, self.ttl_ms, now_ms)?;
        let cursor = filter.cursor;
        filter.cursor = cursor.max(next(&filter.kind));
        Ok((filter.kind.clone(), cursor))
    }

    /// Moves the cursor back after a failed poll, so that the next poll reports the same events.
    pub(crate) fn rewind(&self, id: U64, cursor: u64) {
        if let Some(filter) = self.installed.lock().get_mut(&id.to::<u64>()) {
            filter.cursor = filter.cursor.min(cursor);
        }
    }

    /// The log filter with this id.
    ///
    /// # Errors
    /// [`Fault::FilterNotFound`] if there is no log filter with this id.
    pub(crate) fn logs(&self, id: U64, now_ms: u64) -> Result<Arc<LogFilter>, Fault> {
        match &live(&mut self.installed.lock(), id, self.ttl_ms, now_ms)?.kind {
            Kind::Logs(filter) => Ok(Arc::clone(filter)),
            Kind::Blocks | Kind::Pending => Err(Fault::FilterNotFound),
        }
    }

    /// Removes a filter. `false` if there was none with this id.
    pub(crate) fn uninstall(&self, id: U64) -> bool {
        self.installed.lock().remove(&id.to::<u64>()).is_some()
    }
}

fn live(installed: &mut BTreeMap<u64, Installed>, id: U64, ttl_ms: u64, now_ms: u64) -> Result<&mut Installed, Fault> {
    let id = id.to::<u64>();
    if installed.get(&id).is_some_and(|filter| is_expired(filter, ttl_ms, now_ms)) {
        installed.remove(&id);
    }
    let filter = installed.get_mut(&id).ok_or(Fault::FilterNotFound)?;
    filter.touched_ms = now_ms;
    Ok(filter)
}

fn is_expired(filter: &Installed, ttl_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(filter.touched_ms) > ttl_ms
}

/// A random number of at most 53 bits, which the number types of all clients can represent.
pub(crate) fn random_id() -> u64 {
    match RandomIntegerIdProvider.next_id() {
        SubscriptionId::Num(id) => id,
        SubscriptionId::Str(_) => unreachable!("the integer provider gives integers"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filters() -> Filters {
        Filters::new(&RpcLimits { filters: 3, filters_per_connection: 2, filter_ttl_ms: 1_000, ..RpcLimits::default() })
    }

    #[test]
    fn a_filter_lives_as_long_as_it_is_polled_in_time() {
        let filters = filters();
        let id = filters.install(Kind::Blocks, 5, 1, 0).unwrap();
        assert_eq!(filters.poll(id, 1_000, |_| 8).unwrap().1, 5);
        assert_eq!(filters.poll(id, 2_000, |_| 9).unwrap().1, 8);
        assert_eq!(filters.poll(id, 3_001, |_| 10).unwrap_err(), Fault::FilterNotFound);
        assert!(!filters.uninstall(id));
    }

    #[test]
    fn a_failed_poll_is_repeated() {
        let filters = filters();
        let id = filters.install(Kind::Pending, 5, 1, 0).unwrap();
        assert_eq!(filters.poll(id, 0, |_| 8).unwrap().1, 5);
        filters.rewind(id, 5);
        assert_eq!(filters.poll(id, 0, |_| 9).unwrap().1, 5);
    }

    #[test]
    fn each_limit_is_named_and_expired_filters_make_room() {
        let filters = filters();
        filters.install(Kind::Blocks, 0, 1, 0).unwrap();
        filters.install(Kind::Blocks, 0, 1, 0).unwrap();
        let error = filters.install(Kind::Blocks, 0, 1, 0).unwrap_err();
        assert_eq!(error.to_string(), "the connection has 2 filters, its maximum");
        filters.install(Kind::Blocks, 0, 2, 0).unwrap();
        let error = filters.install(Kind::Blocks, 0, 3, 0).unwrap_err();
        assert_eq!(error.to_string(), "the server has 3 filters, its maximum");
        filters.install(Kind::Blocks, 0, 3, 1_001).unwrap();
    }

    #[test]
    fn only_log_filters_answer_get_filter_logs() {
        let filters = filters();
        let id = filters.install(Kind::Blocks, 0, 1, 0).unwrap();
        assert_eq!(filters.logs(id, 0).unwrap_err(), Fault::FilterNotFound);
        assert!(filters.uninstall(id));
    }
}
