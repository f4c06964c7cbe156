//! The server over a real chain in a temporary directory: blocks built by the executor, committed with certificates by all
//! validators, and asked for over HTTP and WebSocket.
#![allow(clippy::unwrap_used)]

mod blocks;
mod calls;
mod fees;
mod filters;
mod fixture;
mod flow;
mod hostile;
mod limits;
mod peg;
mod pool;
mod rules;
mod staking;
mod state;
mod traces;
