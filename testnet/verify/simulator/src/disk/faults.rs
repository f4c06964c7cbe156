//! Where a disk fails, and how.

use std::fmt;

/// How a write or sync fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteFault {
    /// The process is killed before it; everything written earlier stays.
    Clean,
    /// The power is cut during it: of what was not synced, in the order it was written, a prefix is left.
    TornPrefix,
    /// The power is cut during it: any pieces of what was not synced are left.
    ByteSubset,
    /// The power is cut before it: nothing that was not synced is left.
    UnsyncedLost,
    /// It fails, and the system goes on: what was not synced may be left or not, and a later sync does not bring it back.
    SyncError,
    /// The power is cut before it, and again while the node recovers.
    CrashAgain,
}

impl WriteFault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Clean, Self::TornPrefix, Self::ByteSubset, Self::UnsyncedLost, Self::SyncError, Self::CrashAgain];
    /// Those that end the process and leave one of the states a disk can be in.
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

/// One write or sync of one machine, and what happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// The machine.
    pub machine: usize,
    /// Which of its writes and syncs, counted from 1 over all its lives.
    pub point: u64,
    /// What happens.
    pub fault: WriteFault,
}

/// What is done to a disk.
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
    /// What was done to it.
    pub action: Action,
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.file, self.action)
    }
}
