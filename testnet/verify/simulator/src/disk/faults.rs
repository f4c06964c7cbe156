//! Faults of a disk, and the points where they strike.

use std::fmt;

/// The way in which a write or sync fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteFault {
    /// The process is killed before it; all earlier writes stay.
    Clean,
    /// The power is cut during it: a prefix of the unsynced writes, in their order, is left.
    TornPrefix,
    /// The power is cut during it: any pieces of the unsynced writes are left.
    ByteSubset,
    /// The power is cut before it: no unsynced write is left.
    UnsyncedLost,
    /// It fails, and the system goes on: unsynced writes may be left or lost, and a later sync does not make them durable.
    SyncError,
    /// The power is cut before it, and again while the node recovers.
    CrashAgain,
}

impl WriteFault {
    /// All values.
    pub const ALL: [Self; 6] =
        [Self::Clean, Self::TornPrefix, Self::ByteSubset, Self::UnsyncedLost, Self::SyncError, Self::CrashAgain];
    /// The faults that end the process and leave one of the possible states of the disk.
    pub const CUTS: [Self; 4] = [Self::Clean, Self::TornPrefix, Self::ByteSubset, Self::UnsyncedLost];

    /// Its name, for counters and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "disk:clean",
            Self::TornPrefix => "disk:torn_prefix",
            Self::ByteSubset => "disk:byte_subset",
            Self::UnsyncedLost => "disk:unsynced_lost",
            Self::SyncError => "disk:sync_error",
            Self::CrashAgain => "disk:crash_again",
        }
    }
}

/// A fault at one write or sync of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// The machine.
    pub machine: usize,
    /// Number of the write or sync, counted from 1 over all its lives.
    pub point: u64,
    /// The fault.
    pub fault: WriteFault,
}

/// A kind of write to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A file is created or emptied.
    Create,
    /// Bytes are added to a file.
    Append,
    /// A file is cut.
    Truncate,
    /// A file's content is made durable.
    Sync,
    /// A file gets the name of another.
    Rename,
    /// Names are made durable.
    SyncDir,
    /// A batch of rows is written and made durable.
    Write,
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Create => "create",
            Self::Append => "append",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::SyncDir => "dirsync",
            Self::Write => "write",
        })
    }
}

/// A place at which a machine can fail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The file, or `tables`.
    pub file: String,
    /// The operation.
    pub action: Action,
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.file, self.action)
    }
}
