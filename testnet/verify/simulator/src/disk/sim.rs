//! The simulated disk, as the production log and sign states see it.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use causeway_records::{Disk, DiskFile};
use parking_lot::Mutex;

use super::{
    faults::{Action, Point, WriteFault},
    files::Inode,
    power::{Failed, Fate, State},
};

/// The disk of a machine, over all its lives.
#[derive(Debug, Clone)]
pub struct MachineDisk(pub(super) Arc<Mutex<State>>);

impl MachineDisk {
    /// An empty disk.
    pub fn new(seed: u64, machine: usize) -> Self {
        Self(Arc::new(Mutex::new(State::new(seed, machine))))
    }

    /// Begins a life. Returns the disk that the node of that life writes to.
    pub fn boot(&self) -> SimDisk {
        let boot = self.0.lock().boot();
        SimDisk { state: self.0.clone(), boot }
    }

    /// Sets a fault at the point `point`, counted from 1 over all lives.
    pub fn arm(&self, point: u64, fault: WriteFault) {
        self.0.lock().arm(point, fault);
    }

    /// Sets a fault at one of the next `within` points.
    pub fn arm_soon(&self, within: u64, fault: WriteFault) {
        let mut state = self.0.lock();
        let point = state.points() + 1 + state.rng.below(within);
        state.arm(point, fault);
    }

    /// Removes the pending fault.
    pub fn disarm(&self) {
        self.0.lock().disarm();
    }

    /// Ends the process now.
    pub fn end(&self, fault: WriteFault) {
        self.0.lock().end(fault);
    }

    /// The fault that has ended the process of this life.
    pub fn struck(&self) -> Option<WriteFault> {
        self.0.lock().struck()
    }

    /// Whether a write or sync of this life has failed: its process must stop.
    pub fn has_failed(&self) -> bool {
        self.0.lock().failed().is_some()
    }

    /// Whether a write to a file has failed: its process must stop at once. (Tables refuse further writes by themselves.)
    pub fn files_failed(&self) -> bool {
        self.0.lock().failed() == Some(Failed::Files)
    }

    /// Counts writes and syncs from here on.
    pub fn forget_points(&self) {
        self.0.lock().forget_points();
    }

    /// Writes and syncs so far.
    pub fn points(&self) -> u64 {
        self.0.lock().points()
    }

    /// The operations, in order.
    pub fn labels(&self) -> Vec<Point> {
        self.0.lock().labels().collect()
    }

    /// Removes a file, as an operator or a restored backup does.
    pub fn remove(&self, path: &Path) {
        self.0.lock().files.remove(path);
    }

    /// A copy of the files, as in a snapshot of the machine. The machine must be down.
    #[must_use]
    pub fn snapshot(&self, seed: u64, machine: usize) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().copy(seed, machine))))
    }
}

/// The disk during one life.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    boot: u64,
}

/// The error that a process of an ended life gets; its output is ignored.
fn gone() -> io::Error {
    io::Error::other("the machine is down")
}

fn failure() -> io::Error {
    io::Error::other("simulated input/output error")
}

impl SimDisk {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if !state.is_alive(self.boot) {
            return Err(gone());
        }
        act(&mut state)
    }

    /// Passes a point: runs `write` when the operation is written, and `fail` when it fails.
    fn change<T>(
        &self,
        file: &str,
        action: Action,
        write: impl FnOnce(&mut State) -> T,
        fail: impl FnOnce(&mut State),
    ) -> io::Result<T> {
        self.with(|state| match state.point(file, action) {
            Fate::Done => Ok(write(state)),
            Fate::EndsBefore(fault) => {
                state.end(fault);
                Err(gone())
            }
            Fate::EndsDuring(fault) => {
                // A sync is done only when it has returned.
                if !matches!(action, Action::Sync | Action::SyncDir) {
                    write(state);
                }
                state.end(fault);
                Err(gone())
            }
            Fate::Fails => {
                fail(state);
                Err(failure())
            }
        })
    }

    /// Passes the point of a batch of rows. Returns whether it is on the disk, and the result for its writer. A batch is written or not,
    /// even when a fault tears other writes.
    pub(super) fn write_batch(&self) -> (bool, io::Result<()>) {
        let mut state = self.state.lock();
        if !state.is_alive(self.boot) {
            return (false, Err(gone()));
        }
        match state.point("tables", Action::Write) {
            Fate::Done => (true, Ok(())),
            Fate::EndsBefore(fault) => {
                state.end(fault);
                (false, Err(gone()))
            }
            Fate::EndsDuring(fault) => {
                state.end(fault);
                (state.rng.percent(50), Err(gone()))
            }
            Fate::Fails => (state.rng.percent(50), Err(failure())),
        }
    }

    fn file(&self, inode: Inode, path: &Path) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), inode, label: label(path) })
    }
}

/// A file's name without the suffix it has while it is written.
fn label(path: &Path) -> String {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    name.strip_suffix(".new").unwrap_or(&name).to_owned()
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        self.with(|state| Ok(state.files.find(path))).map(|inode| inode.map(|inode| self.file(inode, path)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let create = |state: &mut State| state.files.create(path);
        let inode = self.change(&label(path), Action::Create, create, |state| {
            if state.rng.percent(50) {
                state.files.create(path);
            }
        })?;
        Ok(self.file(inode, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| state.files.rename(from, to);
        let found = self.change(&label(to), Action::Rename, rename, |state| {
            if state.rng.percent(50) {
                state.files.rename(from, to);
            }
        })?;
        if found { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let fail = |state: &mut State| state.files.fail_sync_dir(&mut state.rng);
        self.change("directory", Action::SyncDir, |state| state.files.sync_dir(dir), fail)
    }

    fn salt(&self) -> u64 {
        self.state.lock().rng.bits()
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: Inode,
    label: String,
}

impl SimFile {
    fn content<T>(&self, read: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        self.disk.with(|state| state.files.read(self.inode).map(read).ok_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.content(|content| content.len() as u64)
    }

    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        self.content(<[u8]>::to_vec)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let append = |state: &mut State| state.files.append(self.inode, bytes);
        self.disk.change(&self.label, Action::Append, append, |state| {
            let part = state.rng.index(bytes.len() + 1);
            state.files.append(self.inode, &bytes[..part]);
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let truncate = |state: &mut State| state.files.truncate(self.inode, len);
        self.disk.change(&self.label, Action::Truncate, truncate, |_| ())
    }

    fn sync(&mut self) -> io::Result<()> {
        let fail = |state: &mut State| state.files.fail_sync(self.inode, &mut state.rng);
        self.disk.change(&self.label, Action::Sync, |state| state.files.sync(self.inode), fail)
    }
}

/// Prefix of the paths of a machine's files.
pub fn root() -> PathBuf {
    PathBuf::from("/machine")
}
