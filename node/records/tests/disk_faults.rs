//! The log and the sign states when one step of a write fails, and files that a process left behind when it died while it
//! replaced one.

use alloy_primitives::{B256, keccak256};
use causeway_consensus::SignState;
use causeway_records::{Disk, DiskFile, OsDisk, PegSignStateFile, SignStateError, SignStateFile, Wal, WalError};
use parking_lot::Mutex;
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A step of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Append,
    Sync,
    Rename,
    SyncDir,
}

const STEPS: [Step; 5] = [Step::Create, Step::Append, Step::Sync, Step::Rename, Step::SyncDir];

/// The operating system's disk with one step that fails once (after its effect when `late`); records all steps.
#[derive(Debug, Default)]
struct Faulty {
    fails: Mutex<Option<Step>>,
    late: AtomicBool,
    steps: Mutex<Vec<Step>>,
}

impl Faulty {
    fn step<T>(&self, step: Step, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.steps.lock().push(step);
        let mut fails = self.fails.lock();
        if *fails != Some(step) {
            return act();
        }
        *fails = None;
        if self.late.load(Ordering::SeqCst) {
            act()?;
        }
        Err(io::Error::other(format!("{step:?} failed")))
    }

    fn fail(&self, step: Step, late: bool) {
        self.late.store(late, Ordering::SeqCst);
        *self.fails.lock() = Some(step);
    }

    fn steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.steps.lock())
    }
}

#[derive(Debug, Clone)]
struct FaultyDisk(Arc<Faulty>);

#[derive(Debug)]
struct FaultyFile(Box<dyn DiskFile>, Arc<Faulty>);

impl Disk for FaultyDisk {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        let file = OsDisk.open(path)?;
        Ok(file.map(|file| Box::new(FaultyFile(file, Arc::clone(&self.0))) as Box<dyn DiskFile>))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.step(Step::Create, || OsDisk.create(path))?;
        Ok(Box::new(FaultyFile(file, Arc::clone(&self.0))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.step(Step::Rename, || OsDisk.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.step(Step::SyncDir, || OsDisk.sync_dir(dir))
    }

    fn salt(&self) -> u64 {
        OsDisk.salt()
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        self.0.read_all()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self(file, faulty) = self;
        faulty.step(Step::Append, || file.append(bytes))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        let Self(file, faulty) = self;
        faulty.step(Step::Sync, || file.sync())
    }
}

fn faulty() -> (Arc<Faulty>, Arc<dyn Disk>) {
    let faulty = Arc::new(Faulty::default());
    (Arc::clone(&faulty), Arc::new(FaultyDisk(faulty)))
}

fn chain() -> B256 {
    keccak256(b"genesis")
}

fn assert_halted(wal: &mut Wal) {
    assert!(matches!(wal.append(b"more"), Err(WalError::Halted)));
    assert!(matches!(wal.sync(), Err(WalError::Halted)));
    assert!(matches!(wal.reset(9), Err(WalError::Halted)));
}

#[test]
fn a_log_halts_at_a_failed_append_or_sync_and_what_was_synced_before_is_read_again() {
    for (step, late) in [(Step::Append, false), (Step::Append, true), (Step::Sync, false), (Step::Sync, true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        let (faulty, disk) = faulty();
        let (mut wal, _) = Wal::open(Arc::clone(&disk), &path, chain()).unwrap();
        wal.reset(7).unwrap();
        wal.append(b"synced").unwrap();
        wal.sync().unwrap();
        faulty.fail(step, late);
        let error = wal.append(b"uncertain").and_then(|()| wal.sync()).unwrap_err();
        assert!(matches!(error, WalError::Io { .. }), "{error}");
        assert_halted(&mut wal);
        let (wal, entries) = Wal::open(disk, &path, chain()).unwrap();
        assert_eq!((wal.height(), &*entries[0]), (7, b"synced".as_slice()), "{step:?} {late}");
        assert!(entries[1..].iter().all(|entry| entry == b"uncertain"));
    }
}

#[test]
fn a_log_halts_at_any_failed_step_of_a_reset_and_is_the_old_or_the_new_one() {
    for (step, late) in STEPS.into_iter().flat_map(|step| [(step, false), (step, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        let (faulty, disk) = faulty();
        let (mut wal, _) = Wal::open(Arc::clone(&disk), &path, chain()).unwrap();
        wal.reset(7).unwrap();
        wal.append(b"old").unwrap();
        wal.sync().unwrap();
        faulty.fail(step, late);
        assert!(matches!(wal.reset(8), Err(WalError::Io { .. })));
        assert_halted(&mut wal);
        let (wal, entries) = Wal::open(disk, &path, chain()).unwrap();
        let renamed = step == Step::SyncDir || (step == Step::Rename && late);
        let expected = if renamed { (8, Vec::new()) } else { (7, vec![b"old".to_vec()]) };
        assert_eq!((wal.height(), entries), expected, "{step:?} {late}");
    }
}

#[test]
fn a_log_that_cannot_be_created_is_an_error() {
    for (step, late) in STEPS.into_iter().flat_map(|step| [(step, false), (step, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let (faulty, disk) = faulty();
        faulty.fail(step, late);
        assert!(matches!(Wal::open(disk, &dir.path().join("wal"), chain()), Err(WalError::Io { .. })));
    }
}

#[test]
fn a_sign_state_that_may_have_been_replaced_is_not_replaced_again() {
    for (step, late) in STEPS.into_iter().flat_map(|step| [(step, false), (step, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let (faulty, disk) = faulty();
        let file = PegSignStateFile::new(Arc::clone(&disk), dir.path().join("peg"));
        file.store(&1u64).unwrap();
        faulty.fail(step, late);
        assert!(matches!(file.store(&2u64), Err(SignStateError::Io { .. })), "{step:?}");
        let third = file.store(&3u64);
        if matches!(step, Step::Rename | Step::SyncDir) {
            assert!(matches!(third, Err(SignStateError::Halted(_))));
            assert!(matches!(file.clone().store(&3u64), Err(SignStateError::Halted(_))), "nor through another handle");
            let renamed = step == Step::SyncDir || late;
            let reopened = PegSignStateFile::new(disk, dir.path().join("peg"));
            assert_eq!(reopened.load::<u64>().unwrap(), Some(if renamed { 2 } else { 1 }));
        } else {
            third.unwrap();
            assert_eq!(file.load::<u64>().unwrap(), Some(3));
        }
    }
}

#[test]
fn files_of_a_dead_process_are_made_durable_before_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let (faulty, disk) = faulty();
    let (log, state) = (dir.path().join("wal"), SignStateFile::new(Arc::clone(&disk), dir.path().join("sign_state")));
    drop(Wal::open(Arc::clone(&disk), &log, chain()).unwrap());
    assert_eq!(faulty.steps(), STEPS, "a replacement is durable in each of its steps");
    state.store(&SignState::default()).unwrap();
    assert_eq!(faulty.steps(), STEPS);
    drop(Wal::open(Arc::clone(&disk), &log, chain()).unwrap());
    assert_eq!(faulty.steps(), [Step::Sync, Step::SyncDir]);
    assert!(state.load().unwrap().is_some());
    assert_eq!(faulty.steps(), [Step::Sync, Step::SyncDir]);
    for step in [Step::Sync, Step::SyncDir] {
        faulty.fail(step, false);
        assert!(matches!(state.load(), Err(SignStateError::Io { .. })));
        faulty.fail(step, false);
        assert!(matches!(Wal::open(Arc::clone(&disk), &log, chain()), Err(WalError::Io { .. })));
    }
}

#[test]
fn a_record_too_long_to_be_read_again_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let file = PegSignStateFile::new(Arc::new(OsDisk), dir.path().join("peg"));
    file.store(&vec![1u8; 1_000]).unwrap();
    assert!(matches!(file.store(&vec![2u8; 2 << 20]), Err(SignStateError::Io { .. })));
    assert_eq!(file.load().unwrap(), Some(vec![1u8; 1_000]));
}
