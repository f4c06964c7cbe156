//! The write-ahead log under every cut and every flipped byte.

use alloy_primitives::{B256, keccak256};
use causeway_records::{OsDisk, Wal, WalError, wal::MAX_ENTRY_BYTES};
use proptest::prelude::*;
use std::{fs, path::Path, sync::Arc};

const HEADER_BYTES: usize = 60;

fn chain() -> B256 {
    keccak256(b"genesis")
}

fn open(path: &Path) -> Result<(Wal, Vec<Vec<u8>>), WalError> {
    Wal::open(Arc::new(OsDisk), path, chain())
}

/// Writes groups of entries, each group synced, and returns where each group ends in the file.
fn write(path: &Path, height: u64, groups: &[Vec<Vec<u8>>]) -> Vec<usize> {
    let (mut wal, _) = open(path).unwrap();
    wal.reset(height).unwrap();
    let mut ends = vec![HEADER_BYTES];
    for group in groups {
        for entry in group {
            wal.append(entry).unwrap();
        }
        wal.sync().unwrap();
        ends.push(usize::try_from(fs::metadata(path).unwrap().len()).unwrap());
    }
    ends
}

fn groups() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let entry = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec(prop::collection::vec(entry, 1..4), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_leaves_a_prefix_and_every_flip_is_noticed(groups in groups(), flip in 1u8..) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        let ends = write(&path, 9, &groups);
        let all: Vec<Vec<u8>> = groups.concat();
        let whole = fs::read(&path).unwrap();
        let (wal, entries) = open(&path).unwrap();
        prop_assert_eq!((wal.height(), wal.created(), wal.dropped_bytes()), (9, false, 0));
        prop_assert_eq!(&entries, &all);
        drop(wal);

        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            match open(&path) {
                Ok((wal, entries)) => {
                    prop_assert!(cut >= HEADER_BYTES);
                    prop_assert!(all.starts_with(&entries) && entries.len() < all.len());
                    prop_assert_eq!(fs::metadata(&path).unwrap().len() + wal.dropped_bytes(), cut as u64);
                    // Complete groups before the cut are there.
                    let synced = ends.iter().take_while(|end| **end <= cut).count() - 1;
                    prop_assert!(entries.len() >= groups[..synced].concat().len());
                }
                Err(WalError::Corrupt { .. }) => prop_assert!(cut < HEADER_BYTES),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }

        let last_synced = ends[ends.len() - 2];
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= flip;
            fs::write(&path, &bad).unwrap();
            match open(&path) {
                // Only the last synced group may be taken for a torn tail, and only a prefix may remain.
                Ok((wal, entries)) => {
                    prop_assert!(at >= last_synced, "byte {} is before {}", at, last_synced);
                    prop_assert!(all.starts_with(&entries) && entries.len() < all.len());
                    prop_assert!(wal.dropped_bytes() > 0);
                }
                Err(WalError::Corrupt { offset, .. }) => {
                    prop_assert!(at < last_synced && offset <= at as u64);
                    prop_assert_eq!(fs::read(&path).unwrap(), bad, "a corrupt log is left as it is");
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(junk in prop::collection::vec(any::<u8>(), 0..300)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        fs::write(&path, &junk).unwrap();
        let refused = matches!(open(&path), Err(WalError::Corrupt { .. }));
        prop_assert!(refused);
        // The same after a sound header.
        fs::remove_file(&path).unwrap();
        write(&path, 1, &[]);
        let mut content = fs::read(&path).unwrap();
        content.extend_from_slice(&junk);
        fs::write(&path, &content).unwrap();
        let (wal, entries) = open(&path).unwrap();
        prop_assert!(entries.is_empty());
        prop_assert_eq!(wal.dropped_bytes(), junk.len() as u64);
    }
}

#[test]
fn a_new_log_is_reported_as_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    let (wal, entries) = open(&path).unwrap();
    assert!(wal.created() && entries.is_empty() && wal.height() == 0);
    drop(wal);
    assert!(!open(&path).unwrap().0.created());
}

#[test]
fn appending_continues_after_reopening_and_after_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    write(&path, 3, &[vec![b"one".to_vec()], vec![b"two".to_vec()]]);
    let mut content = fs::read(&path).unwrap();
    content.extend_from_slice(b"half an entry");
    fs::write(&path, content).unwrap();
    let (mut wal, entries) = open(&path).unwrap();
    assert_eq!((entries.len(), wal.dropped_bytes()), (2, 13));
    wal.append(b"three").unwrap();
    wal.sync().unwrap();
    drop(wal);
    let (wal, entries) = open(&path).unwrap();
    assert_eq!(entries, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    assert_eq!(wal.height(), 3);
}

#[test]
fn a_reset_empties_the_log_and_files_of_an_interrupted_reset_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    write(&path, 3, &[vec![b"one".to_vec()]]);
    // As if the process had died before the rename.
    fs::write(dir.path().join("wal.new"), b"half a header").unwrap();
    let (mut wal, entries) = open(&path).unwrap();
    assert_eq!((entries.len(), wal.height()), (1, 3));
    wal.reset(4).unwrap();
    wal.append(b"two").unwrap();
    wal.sync().unwrap();
    drop(wal);
    let (wal, entries) = open(&path).unwrap();
    assert_eq!((wal.height(), entries), (4, vec![b"two".to_vec()]));
}

#[test]
fn another_chains_log_is_refused_and_both_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    write(&path, 3, &[]);
    let other = keccak256(b"another");
    let error = Wal::open(Arc::new(OsDisk), &path, other).unwrap_err();
    assert!(matches!(error, WalError::ForeignChain { expected, found, .. } if expected == other && found == chain()));
    let text = error.to_string();
    assert!(text.contains(&other.to_string()) && text.contains(&chain().to_string()));
}

#[test]
fn bytes_of_another_log_inside_a_payload_are_never_read_as_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("wal"), dir.path().join("other"));
    write(&other, 3, &[vec![b"a".to_vec()], vec![b"b".to_vec()]]);
    let smuggled = fs::read(&other).unwrap();
    write(&path, 3, &[vec![smuggled]]);
    // The entry with these bytes is torn: its content must not make that look like corruption.
    let mut content = fs::read(&path).unwrap();
    content[HEADER_BYTES] ^= 1;
    fs::write(&path, &content).unwrap();
    let (_, entries) = open(&path).unwrap();
    assert!(entries.is_empty());
}

#[test]
fn an_entry_that_is_too_long_is_refused_and_the_log_stays_usable() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(&dir.path().join("wal")).unwrap();
    assert!(matches!(wal.append(&vec![0; MAX_ENTRY_BYTES + 1]), Err(WalError::EntryTooLarge(_))));
    wal.append(b"short").unwrap();
    wal.sync().unwrap();
}

#[test]
fn after_a_failed_write_every_further_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    let (mut wal, _) = open(&path).unwrap();
    // A directory at the path of the new file makes the reset fail.
    fs::create_dir(dir.path().join("wal.new")).unwrap();
    assert!(matches!(wal.reset(1), Err(WalError::Io { .. })));
    assert!(matches!(wal.append(b"entry"), Err(WalError::Halted)));
    assert!(matches!(wal.sync(), Err(WalError::Halted)));
    assert!(matches!(wal.reset(1), Err(WalError::Halted)));
}
