//! A machine's disk: files and tables that know what was synced, and what a power cut may leave of the rest.

mod faults;
mod files;
mod power;
mod sim;
mod tables;
#[cfg(test)]
mod tests;

pub use faults::{Action, CrashPoint, Point, WriteFault};
pub use sim::{MachineDisk, SimDisk, root};
pub use tables::{MachineTables, SimTables};
