//! Lanes for blocking work: it runs outside the async runtime's threads, a bounded number at once, each for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::config::RpcLimits;
use crate::errors::Fault;

/// The cost of a method. It decides the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Reads memory only, and runs at once.
    Memory,
    /// A few storage reads.
    Read,
    /// Runs the EVM, scans blocks or walks tries.
    Heavy,
    /// Executes blocks again and records their calls, which takes much memory.
    Trace,
}

/// The lanes. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    reads: Lane,
    heavy: Lane,
    traces: Lane,
    limit: Duration,
}

#[derive(Debug, Clone)]
struct Lane {
    name: &'static str,
    running: Arc<Semaphore>,
    /// Running and waiting together. When all permits are taken, the next request is refused.
    admitted: Arc<Semaphore>,
    capacity: usize,
}

impl Lane {
    fn new(name: &'static str, running: usize, waiting: usize) -> Self {
        let capacity = running.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self {
            name,
            running: Arc::new(Semaphore::new(running.min(Semaphore::MAX_PERMITS))),
            admitted: Arc::new(Semaphore::new(capacity)),
            capacity,
        }
    }
}

impl Lanes {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get).max(2);
        let or = |running: usize, default: usize| if running == 0 { default } else { running };
        let (reads, heavy) = (or(limits.reads_running, cores.saturating_mul(4)), or(limits.heavy_running, cores));
        Self {
            reads: Lane::new("reads", reads, limits.reads_waiting),
            heavy: Lane::new("expensive requests", heavy, limits.heavy_waiting),
            traces: Lane::new("traces", limits.traces_running, limits.traces_waiting),
            limit: Duration::from_millis(limits.request_ms),
        }
    }

    /// Runs `work` in the lane of its cost. Its argument is the deadline, after which the caller has had its answer.
    ///
    /// # Errors
    /// [`Fault::Limit`] if the lane is full, [`Fault::TimedOut`] after the deadline, and the faults of `work`.
    pub(crate) async fn run<T, F>(&self, cost: Cost, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(Instant) -> Result<T, Fault> + Send + 'static,
    {
        let deadline = Instant::now() + self.limit;
        let lane = match cost {
            Cost::Memory => return work(deadline),
            Cost::Read => &self.reads,
            Cost::Heavy => &self.heavy,
            Cost::Trace => &self.traces,
        };
        let Ok(admitted) = Arc::clone(&lane.admitted).try_acquire_owned() else {
            return Err(Fault::Limit(format!(
                "server is busy: {} {} are running or waiting",
                lane.capacity, lane.name
            )));
        };
        let running = Arc::clone(&lane.running);
        let queued = async move {
            let turn = running.acquire_owned().await.map_err(|_| Fault::Internal("lanes are shut down"))?;
            let task = tokio::task::spawn_blocking(move || {
                // The permits are held until the work ends, even if the caller's time is over before.
                let _permits = (admitted, turn);
                work(deadline)
            });
            task.await.unwrap_or_else(|error| Err(Fault::internal("worker", error)))
        };
        match tokio::time::timeout(self.limit, queued).await {
            Ok(result) => result,
            Err(_) => Err(Fault::TimedOut { limit_ms: u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX) }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn limits() -> RpcLimits {
        RpcLimits { heavy_running: 1, heavy_waiting: 0, request_ms: 60_000, ..RpcLimits::default() }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_names_its_limit() {
        let lanes = Lanes::new(&limits());
        let (release, blocked) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let lanes = lanes.clone();
            async move {
                lanes
                    .run(Cost::Heavy, move |_| {
                        started.send(()).unwrap();
                        blocked.recv().map_err(|_| Fault::Internal("test"))
                    })
                    .await
            }
        });
        running.await.unwrap();
        let refused = lanes.run(Cost::Heavy, |_| Ok(())).await.unwrap_err();
        assert_eq!(refused, Fault::Limit("server is busy: 1 expensive requests are running or waiting".to_owned()));
        // Other lanes are not affected.
        lanes.run(Cost::Read, |_| Ok(())).await.unwrap();
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        lanes.run(Cost::Heavy, |_| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn work_that_outlives_its_time_is_answered_with_the_limit_and_keeps_its_place() {
        let lanes = Lanes::new(&RpcLimits { request_ms: 50, ..limits() });
        let (release, blocked) = mpsc::channel::<()>();
        let late = lanes.run(Cost::Heavy, move |_| blocked.recv().map_err(|_| Fault::Internal("test")));
        assert_eq!(late.await.unwrap_err(), Fault::TimedOut { limit_ms: 50 });
        assert!(matches!(lanes.run(Cost::Heavy, |_| Ok(())).await, Err(Fault::Limit(_))));
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_an_internal_error() {
        let lanes = Lanes::new(&limits());
        let result: Result<(), Fault> = lanes.run(Cost::Heavy, |_| panic!("planted")).await;
        assert_eq!(result, Err(Fault::Internal("worker")));
        lanes.run(Cost::Heavy, |_| Ok(())).await.unwrap();
    }
}
