//! I10, bounds: nothing in a node grows past its named limit: the pool, the votes, bodies and decisions kept by consensus,
//! the queue of catching up, the federation's attestations, pending evidence, the write-ahead log.
//!
//! Sizes and limits are reported by the nodes: this checks that limits are kept, not that everything has a limit.

use causeway_consensus::Size;

use super::{Violation, violation::BOUNDS};

/// Events of one machine between two checks of its sizes.
pub(crate) const LOOK_EVERY: u64 = 16;

/// Sizes of a machine at one moment.
pub(crate) fn check(height: u64, machine: usize, sizes: impl IntoIterator<Item = Size>) -> Result<(), Violation> {
    match sizes.into_iter().find(|size| size.held > size.most) {
        None => Ok(()),
        Some(Size { what, held, most }) => Err(Violation::new(
            BOUNDS,
            height,
            format!("machine {machine} holds {held} {what}, {most} at most are due"),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_too_many_is_noticed() {
        let size = |held| Size { what: "votes", held, most: 10 };
        check(5, 1, [size(0), size(10)]).unwrap();
        let violation = check(5, 1, [size(0), size(11)]).unwrap_err();
        assert_eq!(violation, Violation::new(BOUNDS, 5, "machine 1 holds 11 votes, 10 at most are due"));
    }
}
