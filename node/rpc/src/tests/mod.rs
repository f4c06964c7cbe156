//! Tests of the server over HTTP and WebSocket. The chain is in a temporary directory. The executor builds its blocks, and they are
//! committed with certificates by all validators.
#![allow(clippy::unwrap_used)]

mod arrows;
mod blocks;
mod calls;
mod fees;
mod filters;
mod fixture;
mod hostile;
mod http_budget;
mod limits;
mod peg;
mod pool;
mod readme;
mod requests;
mod rules;
mod staking;
mod state;
mod traces;
