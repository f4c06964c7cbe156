//! Heights and rounds: every consensus message belongs to one height and one round.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

/// A block number. Height 0 is the genesis block; consensus decides heights from 1 on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Height(pub u64);

impl Height {
    /// The next height, or `None` at the end of the number range (580 billion years at one block a second).
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The previous height, or `None` at genesis.
    pub fn prev(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One attempt to decide a height; counts from 0 at each height.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Round(pub u32);

impl Round {
    /// The first round of every height.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
