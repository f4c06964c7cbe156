//! One world, one thread: work that production code spreads over a thread pool stays on the world's thread. The results do
//! not depend on this, but the speed does: handing a microsecond of work to another thread costs more than doing it.

use std::cell::Cell;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Makes this thread a thread pool of its own, for its whole life.
pub(crate) fn work_alone() {
    if !ALONE.replace(true) {
        // This fails only on a thread that already is in a pool, where nothing is to be done.
        let _pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    }
}
