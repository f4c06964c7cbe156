//! The write-ahead log's file: any bytes open or are refused; damage after the last sync costs only unsynced
//! entries, and damage before it is always detected.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::B256;
use causeway_records::{Wal, WalError};

use crate::committee::CHAIN;
use crate::memory::Files;
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. After a first byte of 0 comes a file, after any other byte a history and its damage.
pub const TARGET: Target = Target { name: "log_file", check, seeds, max_bytes: 2048 };

/// A CRC-32C detects this number of flipped bits in an entry of this length (Hamming distance 6 up to 5,243 bits).
const MAX_FLIPS: usize = 4;
const MAX_ENTRY_BYTES: usize = 255;

fn path() -> &'static Path {
    Path::new("data/wal")
}

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if reader.u8() == 0 {
        drop(open(reader.rest()));
    } else {
        damaged(&mut reader);
    }
}

/// Opens a file with this content twice: the entries are the same.
fn open(content: &[u8]) -> Result<Vec<Vec<u8>>, WalError> {
    let files = Files::with(path(), content);
    let (mut wal, entries) = Wal::open(files.clone(), path(), CHAIN)?;
    assert!(entries.iter().map(Vec::len).sum::<usize>() <= content.len());
    wal.append(b"one more").and_then(|()| wal.sync()).expect("the disk is healthy");
    drop(wal);
    let (_, mut again) = Wal::open(files, path(), CHAIN).expect("it opened before");
    assert_eq!(again.pop().as_deref(), Some(b"one more".as_slice()));
    assert_eq!(again, entries, "the same entries");
    Ok(entries)
}

fn damaged(reader: &mut Reader<'_>) {
    let files = Arc::new(Files::default());
    let (mut wal, _) = Wal::open(files.clone(), path(), CHAIN).expect("a new log");
    let mut written: Vec<Vec<u8>> = Vec::new();
    let (mut synced, mut synced_bytes) = (0, files.content(path()).len());
    for _ in 0..1 + reader.below(12) {
        match reader.u8() {
            kind @ 0..=199 => {
                let entry = vec![kind; usize::from(reader.u8()).min(MAX_ENTRY_BYTES)];
                wal.append(&entry).expect("the disk is healthy");
                written.push(entry);
            }
            200..=249 => {
                wal.sync().expect("the disk is healthy");
                (synced, synced_bytes) = (written.len(), files.content(path()).len());
            }
            height => {
                wal.reset(u64::from(height)).expect("the disk is healthy");
                written.clear();
                (synced, synced_bytes) = (0, files.content(path()).len());
            }
        }
    }
    drop(wal);
    let mut content = files.content(path());
    let cut = usize::from(reader.u16());
    let kept = if cut == 0 { content.len() } else { cut % (content.len() + 1) };
    content.truncate(kept);
    let mut flipped = false;
    for _ in 0..reader.below(MAX_FLIPS + 1) {
        let (at, bit) = (usize::from(reader.u16()), reader.u8() % 8);
        if let Some(byte) = content.get_mut(at) {
            *byte ^= 1 << bit;
            flipped = true;
        }
    }
    match open(&content) {
        Ok(entries) => {
            assert!(written.starts_with(&entries), "an entry that nobody wrote");
            assert!(flipped || kept < synced_bytes || entries.len() >= synced, "a synced entry is gone");
        }
        Err(error) => {
            assert!(flipped || kept < synced_bytes, "only an unsynced end is missing: {error}");
            answers(error.to_string());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let files = Arc::new(Files::default());
    let (mut wal, _) = Wal::open(files.clone(), path(), CHAIN).expect("a new log");
    let file = |files: &Files| [vec![0], files.content(path())].concat();
    let mut seeds = vec![file(&files)];
    for entry in [b"first".as_slice(), b"", &[7; 100]] {
        wal.append(entry).and_then(|()| wal.sync()).expect("the disk is healthy");
        seeds.push(file(&files));
    }
    let foreign = Arc::new(Files::default());
    Wal::open(foreign.clone(), path(), B256::ZERO).map(drop).expect("a new log");
    seeds.push(file(&foreign));
    seeds.push(vec![1, 4, 1, 20, 220, 2, 30, 3, 9, 0, 0, 0]);
    seeds.push(vec![1, 4, 1, 20, 220, 2, 30, 230, 0, 0, 2, 70, 0, 3, 100, 0, 1]);
    seeds.push(vec![1, 3, 1, 20, 251, 2, 30, 120, 0, 0]);
    seeds
}
