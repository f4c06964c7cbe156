//! One world, one thread: what production code spreads over a pool of threads stays on the one that runs the world. Results do
//! not depend on it, time does: handing a microsecond's work to another thread costs more than doing it.

use std::cell::Cell;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Has this thread be a pool of its own, for as long as it lives.
pub(crate) fn work_alone() {
    if !ALONE.replace(true) {
        // It fails only on a thread that is in a pool already, and then nothing need be done.
        let _pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    }
}
