//! Whole swarms over loopback: gossip, sync and hostile peers.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod gossip;
mod hostile;
mod support;
mod sync;
