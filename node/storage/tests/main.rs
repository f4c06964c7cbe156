//! Commits, history and indexes, on sound and on failing disks.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod commit;
mod faults;
mod history;
mod logs;
mod offences;
mod peg_index;
mod support;
