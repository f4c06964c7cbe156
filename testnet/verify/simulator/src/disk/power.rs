//! Every write and sync of a machine, counted and labelled, and the faults at them.

use super::{
    faults::{Action, Point, WriteFault},
    files::{Files, Left},
};
use crate::rng::{Purpose, Rng};

/// A second cut strikes within this number of writes and syncs of the recovery.
const RECOVERY_POINTS: u64 = 16;

/// What happens at a point.
pub(super) enum Fate {
    /// The operation is done.
    Done,
    /// The process ends before the operation.
    EndsBefore(WriteFault),
    /// The process ends during the operation: it is written, and not synced.
    EndsDuring(WriteFault),
    /// The operation fails, and the process goes on.
    Fails,
}

/// State shared by a machine's files and tables.
#[derive(Debug)]
pub(super) struct State {
    pub(super) files: Files,
    pub(super) rng: Rng,
    names: Vec<String>,
    points: Vec<(u8, Action)>,
    armed: Option<(u64, WriteFault)>,
    /// Whether the next life ends early, too.
    again: bool,
    struck: Option<WriteFault>,
    failed: Option<Failed>,
    boot: u64,
}

/// The target of a failed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    Files,
    Tables,
}

impl State {
    pub(super) fn new(seed: u64, machine: usize) -> Self {
        let index = u32::try_from(machine).unwrap_or(u32::MAX);
        Self {
            files: Files::default(),
            rng: Rng::new(seed, Purpose::Disk, index),
            names: Vec::new(),
            points: Vec::new(),
            armed: None,
            again: false,
            struck: None,
            failed: None,
            boot: 0,
        }
    }

    /// Counts a point and returns what happens there.
    pub(super) fn point(&mut self, file: &str, action: Action) -> Fate {
        let name = self.names.iter().position(|known| known == file).unwrap_or_else(|| {
            self.names.push(file.to_owned());
            self.names.len() - 1
        });
        self.points.push((u8::try_from(name).unwrap_or(u8::MAX), action));
        let fault = match self.armed {
            Some((point, fault)) if point == self.points.len() as u64 => fault,
            _ => return Fate::Done,
        };
        self.armed = None;
        match fault {
            WriteFault::Clean | WriteFault::UnsyncedLost => Fate::EndsBefore(fault),
            WriteFault::TornPrefix | WriteFault::ByteSubset => Fate::EndsDuring(fault),
            WriteFault::CrashAgain => {
                self.again = true;
                Fate::EndsBefore(fault)
            }
            WriteFault::SyncError => {
                let what = if action == Action::Write { Failed::Tables } else { Failed::Files };
                self.failed = Some(what);
                Fate::Fails
            }
        }
    }

    /// Sets a fault at the given point.
    pub(super) fn arm(&mut self, point: u64, fault: WriteFault) {
        self.armed = Some((point, fault));
    }

    pub(super) fn disarm(&mut self) {
        (self.armed, self.again) = (None, false);
    }

    /// The process ends. Unless it was only killed, unsynced writes are lost.
    pub(super) fn end(&mut self, fault: WriteFault) {
        let left = match fault {
            WriteFault::Clean => Left::All,
            WriteFault::TornPrefix => Left::Prefix,
            WriteFault::ByteSubset => Left::Pieces,
            WriteFault::UnsyncedLost => Left::Nothing,
            // After a failed sync, or before a second cut, any part may be left.
            WriteFault::SyncError | WriteFault::CrashAgain => {
                *self.rng.pick(&[Left::All, Left::Prefix, Left::Pieces, Left::Nothing])
            }
        };
        self.files.cut(left, &mut self.rng);
        self.struck = Some(fault);
    }

    /// A new life begins; handles of the previous life no longer work.
    pub(super) fn boot(&mut self) -> u64 {
        self.boot += 1;
        (self.struck, self.failed) = (None, None);
        if std::mem::take(&mut self.again) {
            let point = self.points.len() as u64 + 1 + self.rng.below(RECOVERY_POINTS);
            let fault = *self.rng.pick(&WriteFault::CUTS);
            self.arm(point, fault);
        }
        self.boot
    }

    pub(super) fn is_alive(&self, boot: u64) -> bool {
        self.boot == boot && self.struck.is_none()
    }

    pub(super) fn struck(&self) -> Option<WriteFault> {
        self.struck
    }

    pub(super) fn failed(&self) -> Option<Failed> {
        self.failed
    }

    pub(super) fn points(&self) -> u64 {
        self.points.len() as u64
    }

    /// Earlier operations are not counted.
    pub(super) fn forget_points(&mut self) {
        self.points.clear();
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = Point> + '_ {
        self.points.iter().map(|(name, action)| Point { file: self.names[usize::from(*name)].clone(), action: *action })
    }

    /// A copy with the same content and its own future faults.
    pub(super) fn copy(&self, seed: u64, machine: usize) -> Self {
        Self { files: self.files.clone(), ..Self::new(seed, machine) }
    }
}
