//! A log on a disk that is full.

use alloy_primitives::keccak256;
use causeway_records::{OsDisk, Wal, WalError};
use std::{path::Path, process::Command, sync::Arc};

const CHILD: &str = "CAUSEWAY_RECORDS_FAULT_CHILD";

/// Runs a test of this file again in a process that cannot make any file longer than `kib` KiB: writes beyond that fail
/// with EFBIG, as they fail with ENOSPC on a full disk. The directory is handed over in the environment.
fn run_with_file_size_limit(test: &str, dir: &Path, kib: u32) {
    // The limit's signal would kill the process; ignored, the write fails instead.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --exact full_disk::{test} --nocapture", kib * 2);
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_log_that_cannot_grow_halts_and_keeps_what_was_synced() {
    let chain = keccak256(b"genesis");
    let entry = |number: u8| vec![number; 10_000];
    if let Ok(dir) = std::env::var(CHILD) {
        let (mut wal, _) = Wal::open(Arc::new(OsDisk), &Path::new(&dir).join("wal"), chain).unwrap();
        wal.reset(5).unwrap();
        let mut synced = 0u8;
        let error = loop {
            if let Err(error) = wal.append(&entry(synced)).and_then(|()| wal.sync()) {
                break error;
            }
            synced += 1;
        };
        assert!(matches!(error, WalError::Io { .. }), "{error}");
        assert!(matches!(wal.append(b"more"), Err(WalError::Halted)));
        assert!(matches!(wal.sync(), Err(WalError::Halted)));
        std::fs::write(Path::new(&dir).join("synced"), [synced]).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_with_file_size_limit("a_log_that_cannot_grow_halts_and_keeps_what_was_synced", dir.path(), 64);
    let synced = std::fs::read(dir.path().join("synced")).unwrap()[0];
    assert!(synced > 1);
    let (wal, entries) = Wal::open(Arc::new(OsDisk), &dir.path().join("wal"), chain).unwrap();
    assert_eq!(entries, (0..synced).map(entry).collect::<Vec<_>>());
    assert!(wal.dropped_bytes() > 0, "the entry that did not fit is a torn tail");
}
