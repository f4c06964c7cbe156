//! What a broken invariant is.

/// I1: one block a height.
pub const AGREEMENT: &str = "I1";
/// I2: what is decided follows the rules.
pub const VALIDITY: &str = "I2";
/// I3: one state after a height, and its root is the header's.
pub const STATE: &str = "I3";
/// I4: nothing acknowledged as final is ever lost.
pub const DURABILITY: &str = "I4";
/// I5: an honest key never signs two conflicting messages.
pub const SIGNING: &str = "I5";
/// I6: after healing, heights are decided within a bounded number of rounds.
pub const LIVENESS: &str = "I6";
/// I7: what is locked on the parent stands behind what is on the sidechain.
pub const BACKING: &str = "I7";
/// I8: each deposit and withdrawal executes at most once, as it was meant.
pub const BRIDGE: &str = "I8";
/// I9: stake is conserved.
pub const STAKE: &str = "I9";
/// I10: memory and queues are bounded.
pub const BOUNDS: &str = "I10";

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} at height {height}: {text}")]
pub struct Violation {
    /// Its name in docs/reliability.md, `I1` to `I10`; another word where a node did what no fault explains.
    pub invariant: &'static str,
    /// The sidechain's height at which that was seen; 0 where none applies.
    pub height: u64,
    /// What was expected and what was found.
    pub text: String,
}

impl Violation {
    /// That `invariant` does not hold.
    pub fn new(invariant: &'static str, height: u64, text: impl Into<String>) -> Self {
        Self { invariant, height, text: text.into() }
    }
}

/// Fails with a [`Violation`] unless `holds`; `text` is made only then.
pub(crate) fn ensure(
    holds: bool,
    invariant: &'static str,
    height: u64,
    text: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(invariant, height, text())) }
}
