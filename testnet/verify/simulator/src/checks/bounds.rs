//! I10, bounds: nothing a node holds grows past its named limit: the pool, what consensus keeps of votes, bodies and decisions,
//! the queue of catching up, the peg desk, pending evidence, the write-ahead log.
//!
//! Sizes and limits are what the nodes say of themselves: this holds that limits are kept, not that everything has one.

use causeway_consensus::Size;

use super::{Violation, violation::BOUNDS};

/// Events of one machine between two looks at its sizes.
pub(crate) const LOOK_EVERY: u64 = 16;

/// What a machine holds at one moment.
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
