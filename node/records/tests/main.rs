//! The log and the sign states, on sound, failing and full disks.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod disk_faults;
mod full_disk;
mod wal;
