//! The checks, numbered as in the peg's design notes.

mod backing;
mod certificates;
mod claims;
mod mints;
mod sets;
mod stake;
mod withdrawals;

pub(crate) use backing::{backing, equation, locked, supply};
pub(crate) use certificates::{certificates, certificates_check, checkpoints};
pub(crate) use claims::{claims, code};
pub(crate) use mints::mints;
pub(crate) use stake::stake;
pub(crate) use withdrawals::withdrawals;

use crate::{
    audit::Facts,
    report::{Check, Object},
};
use alloy_primitives::U256;

/// Advice for a sidechain that contradicts itself or the parent.
const STOP: &str = "keep the bundle, do not deposit, and warn the operators: the chain's history is false";

/// Fails unless the peg's proven slot has the expected value at every height that needs a proof. `expected` computes the
/// value from the history up to a height. A missing proof fails check 0, once.
fn require_slot(
    facts: &Facts<'_>,
    check: &mut Check,
    object: Object,
    slot: U256,
    what: &str,
    expected: impl Fn(u64) -> U256,
) {
    for height in facts.proven_heights() {
        let expected = expected(height);
        if let Some(value) = facts.chain.slot(height, slot)
            && value != expected
        {
            let (value, expected) = (shown(value), shown(expected));
            let reason =
                format!("the {what} is {value} in the state of block {height}, but {expected} by the history up to it");
            check.fail(object, reason, STOP);
        }
    }
}

/// Formats counts and amounts in decimal, hashes in hexadecimal.
fn shown(value: U256) -> String {
    if value.bit_len() > 192 { format!("{value:#066x}") } else { value.to_string() }
}

/// The sum, or `None` above 2^256, which only invented amounts reach.
fn sum(amounts: impl IntoIterator<Item = U256>) -> Option<U256> {
    amounts.into_iter().try_fold(U256::ZERO, U256::checked_add)
}
