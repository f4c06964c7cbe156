//! `debug_*`: raw encodings and traces.

pub(crate) mod raw;
pub(crate) mod trace;
