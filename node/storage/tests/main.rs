//! Commits, history and indexes, on sound and on failing disks.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[macro_use]
mod support;

mod commit;
mod faults;
mod history;
mod logs;
mod offences;
mod peg_index;
