//! Whole nodes without IO between them: the production `handle`, execution and database, under a simulated clock and network.
#![allow(clippy::unwrap_used)]

mod accounts;
mod basics;
mod cluster;
mod disk;
mod offences;
mod pegged;
mod rotation;
mod starts;
