//! A member's disk.

use std::path::Path;

use causeway_consensus::SignState;
use tempfile::TempDir;

use crate::peg_desk::PegSigns;

/// What survives a crash of a member.
pub(super) struct Disk {
    pub(super) dir: TempDir,
    pub(super) sign_state: SignState,
    pub(super) peg_signs: PegSigns,
    pub(super) wal_height: u64,
    pub(super) wal: Vec<Vec<u8>>,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            sign_state: SignState::default(),
            peg_signs: PegSigns::default(),
            wal_height: 0,
            wal: Vec::new(),
        }
    }

    /// A copy of everything, as a snapshot of the machine takes it. The member must be down.
    pub(super) fn snapshot(&self) -> Self {
        let dir = TempDir::new().unwrap();
        copy(self.dir.path(), dir.path());
        Self {
            dir,
            sign_state: self.sign_state.clone(),
            peg_signs: self.peg_signs.clone(),
            wal_height: self.wal_height,
            wal: self.wal.clone(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
