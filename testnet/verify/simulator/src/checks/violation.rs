//! A violation of an invariant.

/// I1: one block a height.
pub const AGREEMENT: &str = "I1";
/// I2: decided blocks follow the rules.
pub const VALIDITY: &str = "I2";
/// I3: one state after a height, and its root is the header's.
pub const STATE: &str = "I3";
/// I4: nothing that was acknowledged as final is lost.
pub const DURABILITY: &str = "I4";
/// I5: an honest key never signs two conflicting messages.
pub const SIGNING: &str = "I5";
/// I6: after healing, heights are decided within a bounded number of rounds.
pub const LIVENESS: &str = "I6";
/// I7: the coin locked on the parent backs the coin on the sidechain.
pub const BACKING: &str = "I7";
/// I8: each deposit and withdrawal executes at most once, with the intended recipient and amount.
pub const BRIDGE: &str = "I8";
/// I9: stake is conserved.
pub const STAKE: &str = "I9";
/// I10: memory and queues are bounded.
pub const BOUNDS: &str = "I10";

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} at height {height}: {text}")]
pub struct Violation {
    /// Its name in docs/reliability.md, `I1` to `I10`; another word when a node did something that no fault explains.
    pub invariant: &'static str,
    /// The height on the sidechain; 0 when none applies.
    pub height: u64,
    /// The expectation and the observation.
    pub text: String,
}

impl Violation {
    /// A violation of `invariant`.
    pub fn new(invariant: &'static str, height: u64, text: impl Into<String>) -> Self {
        Self { invariant, height, text: text.into() }
    }
}

/// Fails with a [`Violation`] unless `holds`; only then is `text` evaluated.
pub(crate) fn ensure(
    holds: bool,
    invariant: &'static str,
    height: u64,
    text: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(invariant, height, text())) }
}
