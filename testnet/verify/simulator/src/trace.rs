//! The trace of a run: a hash that two runs of one seed share, and an optional transcript.

use std::{
    fmt::Display,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
};

/// The record of a run.
pub struct Trace {
    hasher: DefaultHasher,
    events: u64,
    transcript: Option<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Trace").field("hash", &self.hash()).field("events", &self.events).finish_non_exhaustive()
    }
}

impl Default for Trace {
    fn default() -> Self {
        // Fixed keys: the same in every process.
        Self { hasher: DefaultHasher::new(), events: 0, transcript: None }
    }
}

impl Trace {
    /// From now on, writes a line for each event.
    pub fn write_to(&mut self, out: Box<dyn Write + Send>) {
        self.transcript = Some(out);
    }

    /// Adds an event or an effect to the hash: everything that identifies it.
    pub fn note(&mut self, what: impl Hash) {
        self.events += 1;
        what.hash(&mut self.hasher);
    }

    /// Adds a line to the transcript, if there is one; `line` is not called otherwise.
    ///
    /// # Panics
    /// When the line cannot be written: an incomplete transcript would mislead.
    pub fn line<D: Display>(&mut self, now_ms: u64, line: impl FnOnce() -> D) {
        if let Some(out) = &mut self.transcript {
            let written = writeln!(out, "{:>7}.{:03} {}", now_ms / 1_000, now_ms % 1_000, line());
            written.expect("the transcript can be written");
        }
    }

    /// Whether lines are written.
    pub fn has_transcript(&self) -> bool {
        self.transcript.is_some()
    }

    /// The hash of everything noted so far, in order.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// Number of recorded events.
    pub fn events(&self) -> u64 {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_content_and_order() {
        let of = |items: &[u64]| {
            let mut trace = Trace::default();
            items.iter().for_each(|item| trace.note(item));
            trace.hash()
        };
        assert_eq!(of(&[1, 2]), of(&[1, 2]));
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[1]), of(&[1, 0]));
    }
}
