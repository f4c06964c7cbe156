//! Admission and order of transactions, against a naive model.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod admission;
mod model;
mod order;
mod rules_change;
mod support;
