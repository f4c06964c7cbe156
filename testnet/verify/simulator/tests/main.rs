//! The fixed share of the simulator, and what each fault and strategy must show.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod constant_set;
mod disk_points;
mod faults;
mod fixed_share;
mod offences;
mod pegged;
mod quiet;
mod rotation;
mod starts;
mod strategies;
mod support;
mod upgrade;
