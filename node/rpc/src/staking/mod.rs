//! `staking_*` and `consensus_*`: validators, their stake, and the heights they decide.

pub(crate) mod accounts;
pub(crate) mod consensus;
pub(crate) mod totals;
pub(crate) mod validators;
