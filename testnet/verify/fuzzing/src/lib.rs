//! What every fuzz binary shares: memory beyond a bound is a crash, whether it is touched or not.

use std::alloc::System;

use cap::Cap;

/// Far more than any input here may make a node hold.
const MEMORY_BYTES: usize = 1 << 30;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, MEMORY_BYTES);
