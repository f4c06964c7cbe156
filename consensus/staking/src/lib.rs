//! Proof of stake rules: how stake becomes voting power.
//!
//! Pure: it knows nothing of blocks, storage or the EVM. Start with [`power::scale_power`].

pub mod power;

pub use power::{MAX_STAKES, PowerError, TOTAL_POWER, scale_power};
