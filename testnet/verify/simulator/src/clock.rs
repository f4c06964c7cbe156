//! A machine's clocks: wrong, fast or slow, and set back and forth; the steady clock never goes back.

use std::sync::Arc;

use causeway::clocks::{Clock, Clocks};
use parking_lot::Mutex;

use crate::{schedule::Now, world::START_UNIX_MS};

const MILLION: i64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
struct State {
    /// World time at which the rate last changed or the machine started.
    since_ms: u64,
    /// The steady clock at that time.
    steady_ms: u64,
    /// Parts per million by which it is fast; negative when slow.
    ppm: i64,
    /// Lead of the wall clock over the steady clock.
    wall_ahead_ms: i64,
}

impl State {
    fn steady_ms(&self, now_ms: u64) -> u64 {
        let passed = i64::try_from(now_ms.saturating_sub(self.since_ms)).unwrap_or(i64::MAX / (2 * MILLION));
        let shown = passed + passed * self.ppm / MILLION;
        self.steady_ms + u64::try_from(shown).unwrap_or(0)
    }

    fn wall_ms(&self, now_ms: u64) -> u64 {
        self.steady_ms(now_ms).saturating_add_signed(self.wall_ahead_ms)
    }
}

/// The clocks of one machine.
#[derive(Debug, Clone)]
pub struct MachineClock {
    now: Now,
    state: Arc<Mutex<State>>,
}

impl MachineClock {
    /// Correct clocks.
    pub fn new(now: Now) -> Self {
        let since_ms = now.ms();
        let state = State { since_ms, steady_ms: START_UNIX_MS + since_ms, ppm: 0, wall_ahead_ms: 0 };
        Self { now, state: Arc::new(Mutex::new(state)) }
    }

    /// A process starts: its steady clock begins at the wall clock's value.
    pub fn boot(&self) {
        let mut state = self.state.lock();
        let now_ms = self.now.ms();
        *state = State { since_ms: now_ms, steady_ms: state.wall_ms(now_ms), wall_ahead_ms: 0, ..*state };
    }

    /// Makes both clocks fast or slow, by at most a tenth.
    pub fn set_rate(&self, ppm: i64) {
        let mut state = self.state.lock();
        let now_ms = self.now.ms();
        let ppm = ppm.clamp(-MILLION / 10, MILLION / 10);
        *state = State { since_ms: now_ms, steady_ms: state.steady_ms(now_ms), ppm, ..*state };
    }

    /// Sets the wall clock forward or back.
    pub fn jump(&self, ms: i64) {
        let mut state = self.state.lock();
        state.wall_ahead_ms = state.wall_ahead_ms.saturating_add(ms);
    }

    /// Sets the wall clock to the true time; it runs at the true rate from now on.
    pub fn set_right(&self) {
        self.set_rate(0);
        let off = self.off_ms();
        self.jump(-off);
    }

    /// Lead of the wall clock over the true time.
    pub fn off_ms(&self) -> i64 {
        let truth = i64::try_from(START_UNIX_MS + self.now.ms()).unwrap_or(i64::MAX);
        i64::try_from(self.wall_ms()).unwrap_or(i64::MAX) - truth
    }

    /// The wall clock, Unix milliseconds.
    pub fn wall_ms(&self) -> u64 {
        self.state.lock().wall_ms(self.now.ms())
    }

    /// The steady clock.
    pub fn steady_ms(&self) -> u64 {
        self.state.lock().steady_ms(self.now.ms())
    }

    /// The world's time at which the steady clock reaches `steady_ms`, or now if it has passed.
    pub fn when(&self, steady_ms: u64) -> u64 {
        let state = *self.state.lock();
        let wait = steady_ms.saturating_sub(state.steady_ms).min(u64::MAX / (2 * MILLION as u64));
        let rate = MILLION.saturating_add(state.ppm).unsigned_abs();
        // Slightly early, because of rounding.
        let mut at = state.since_ms + (wait * MILLION as u64 / rate).saturating_sub(1);
        while state.steady_ms(at) < steady_ms {
            at += 1;
        }
        at.max(self.now.ms())
    }

    /// The clocks for the node.
    pub fn clocks(&self) -> Clocks {
        let (wall, steady) = (self.clone(), self.clone());
        let wall: Clock = Arc::new(move || wall.wall_ms());
        Clocks { wall, steady: Arc::new(move || steady.steady_ms()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    #[test]
    fn a_jump_moves_the_wall_clock_alone_until_the_next_start() {
        let mut schedule = Schedule::<()>::default();
        let clock = MachineClock::new(schedule.now().clone());
        schedule.advance(1_000);
        clock.jump(-400);
        assert_eq!((clock.wall_ms(), clock.steady_ms()), (START_UNIX_MS + 600, START_UNIX_MS + 1_000));
        clock.boot();
        assert_eq!((clock.wall_ms(), clock.steady_ms()), (START_UNIX_MS + 600, START_UNIX_MS + 600));
        clock.set_right();
        assert_eq!((clock.wall_ms(), clock.steady_ms()), (START_UNIX_MS + 1_000, START_UNIX_MS + 600));
    }

    #[test]
    fn a_deadline_is_met_at_the_first_millisecond_that_shows_it() {
        let mut schedule = Schedule::<()>::default();
        let clock = MachineClock::new(schedule.now().clone());
        for (step, ppm) in [(7, 300), (1_000, -70_000), (33, 99_999), (5, -100_000), (12, 0)] {
            schedule.advance(schedule.now().ms() + step);
            let before = clock.steady_ms();
            clock.set_rate(ppm);
            assert_eq!(clock.steady_ms(), before, "a change of rate moves nothing");
            for wait in [0, 1, 2, 99, 1_000, 123_456] {
                let at = clock.when(before + wait);
                let state = *clock.state.lock();
                assert!(state.steady_ms(at) >= before + wait, "{ppm} {wait}");
                assert!(wait == 0 || state.steady_ms(at - 1) < before + wait, "{ppm} {wait}");
            }
        }
    }
}
