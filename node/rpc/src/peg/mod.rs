//! `peg_*`: deposits, withdrawals, checkpoints and the federation.

pub(crate) mod checkpoints;
mod index;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod validator_sets;
pub(crate) mod withdrawal_proofs;
