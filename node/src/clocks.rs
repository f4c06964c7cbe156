//! The node's two clocks.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The wall clock, Unix milliseconds.
pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Reads Unix milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The node's two clocks; simulated in tests.
#[derive(Clone)]
pub struct Clocks {
    /// For block timestamps: the operating system's time, which may be set back.
    pub wall: Clock,
    /// For deadlines: never goes back, so setting the system's time cannot stall the node's timers.
    pub steady: Clock,
}

impl Clocks {
    /// The machine's clocks. The steady clock starts at the time of the wall clock.
    pub fn machine() -> Self {
        let (started, origin_ms) = (Instant::now(), now_ms());
        let steady = move || origin_ms.saturating_add(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        Self { wall: Arc::new(now_ms), steady: Arc::new(steady) }
    }

    /// Reads the wall clock.
    pub fn wall_ms(&self) -> u64 {
        (self.wall)()
    }

    /// Reads the steady clock.
    pub fn steady_ms(&self) -> u64 {
        (self.steady)()
    }
}

impl std::fmt::Debug for Clocks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Clocks")
            .field("wall_ms", &self.wall_ms())
            .field("steady_ms", &self.steady_ms())
            .finish()
    }
}
