//! A disk that refuses writes, and a disk that returns other bytes than were written.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use alloy_primitives::keccak256;
use causeway_storage::{OsDisk, Storage, StorageError, StorageOptions, Wal, WalError};
use std::{path::Path, process::Command, sync::Arc};
use support::{Changes, Content, TestChain, certificate, copy_dir};

const CHILD: &str = "CAUSEWAY_STORAGE_FAULT_CHILD";

/// Runs a test of this file again in a process that cannot make any file longer than `kib` KiB: writes beyond that fail
/// with EFBIG, as they fail with ENOSPC on a full disk. The directory is handed over in the environment.
fn run_with_file_size_limit(test: &str, dir: &Path, kib: u32) {
    // The limit's signal would kill the process; ignored, the write fails instead.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --exact {test} --nocapture", kib * 2);
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn large_block(number: u8) -> (Changes, Content) {
    let changes = Changes {
        accounts: (0..200).map(|account| (account, Some(u64::from(number)))).collect(),
        ..Changes::default()
    };
    (changes, Content::default())
}

#[test]
fn a_failed_write_halts_the_database_and_a_restart_finds_a_prefix() {
    if let Ok(dir) = std::env::var(CHILD) {
        let dir = Path::new(&dir);
        let mut chain = TestChain::open(dir, StorageOptions::default());
        let failed = (1..=100).find_map(|number| {
            let (changes, content) = large_block(number);
            let (executed, model) = chain.next(&changes, content);
            match chain.storage.commit(&executed, &certificate(&executed)) {
                Ok(()) => {
                    chain.models.push(model);
                    None
                }
                Err(error) => Some((executed, error)),
            }
        });
        let (executed, error) = failed.expect("the limit is reached");
        assert!(error.is_fatal(), "{error}");
        assert!(matches!(error, StorageError::Database { .. }));
        let again = chain.storage.commit(&executed, &certificate(&executed)).unwrap_err();
        assert!(matches!(again, StorageError::Halted), "{again}");
        assert_eq!(chain.head() + 1, executed.block.header.number, "the head stays where it was");
        // Earlier blocks can still be read, at their heights.
        chain.check(chain.head());
        std::fs::write(dir.join("committed"), chain.head().to_string()).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_with_file_size_limit("a_failed_write_halts_the_database_and_a_restart_finds_a_prefix", dir.path(), 1_024);
    let committed: u64 = std::fs::read_to_string(dir.path().join("committed")).unwrap().parse().unwrap();
    let mut chain = TestChain::open(dir.path(), StorageOptions::default());
    // The block whose write failed was never acknowledged; it may be there or not.
    assert!((committed..=committed + 1).contains(&chain.head()), "{committed} against {}", chain.head());
    assert!(committed > 0);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut reference = TestChain::open(elsewhere.path(), StorageOptions::default());
    for number in 1..=u8::try_from(chain.head()).unwrap() {
        let (changes, content) = large_block(number);
        reference.push_with(&changes, content);
    }
    chain.models = reference.models;
    chain.blocks = reference.blocks;
    chain.check_all();
    let (changes, content) = large_block(200);
    chain.push_with(&changes, content);
    chain.check(chain.head());
}

#[test]
fn a_log_that_cannot_grow_halts_and_keeps_synced_entries() {
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
    run_with_file_size_limit("a_log_that_cannot_grow_halts_and_keeps_synced_entries", dir.path(), 64);
    let synced = std::fs::read(dir.path().join("synced")).unwrap()[0];
    assert!(synced > 1);
    let (wal, entries) = Wal::open(Arc::new(OsDisk), &dir.path().join("wal"), chain).unwrap();
    assert_eq!(entries, (0..synced).map(entry).collect::<Vec<_>>());
    assert!(wal.dropped_bytes() > 0, "the entry that did not fit is a torn tail");
}

/// Reads everything through the public interface; every result must be right, and errors are allowed.
fn survey(storage: &Storage, expected: &TestChain) {
    for (executed, certificate) in &expected.blocks {
        let number = executed.block.header.number;
        if let Ok(Some(block)) = storage.block(number) {
            assert_eq!(*block, *executed.block);
        }
        if let Ok(Some(found)) = storage.certificate(number) {
            assert_eq!(found, *certificate);
        }
        if number <= storage.head_number() {
            let (model, state) =
                (&expected.models[usize::try_from(number).unwrap()], storage.state_at(number).unwrap());
            for account in 0..200 {
                let address = support::address(account);
                if let Ok(found) = causeway_execution::StateSource::account(&*state, address) {
                    assert_eq!(found, model.accounts.get(&address).copied(), "account {account} at {number}");
                }
                let key = keccak256(address);
                if let Ok(leaf) = causeway_trie::get(&*state, None, model.root, key) {
                    assert_eq!(leaf.is_some(), model.accounts.contains_key(&address));
                }
            }
        }
    }
}

#[test]
fn flipped_bytes_in_tables_are_errors_never_other_values() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = TestChain::open(dir.path(), StorageOptions::default());
    for number in 1..=3 {
        let (changes, content) = large_block(number);
        chain.push_with(&changes, content);
    }
    // Reopening moves RocksDB's log into tables.
    chain.reopen(dir.path());
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    let mut tables: Vec<_> = std::fs::read_dir(image.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "sst"))
        .collect();
    tables.sort();
    assert!(tables.len() > 5);
    for (turn, table) in tables.iter().enumerate() {
        let damaged = tempfile::tempdir().unwrap();
        copy_dir(image.path(), damaged.path());
        let path = damaged.path().join(table);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = usize::from(keccak256(turn.to_be_bytes()).0[0]) * bytes.len() / 512;
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
        match Storage::open(damaged.path(), &chain.genesis, StorageOptions::default()) {
            Ok(storage) => survey(&storage, &chain),
            Err(error) => assert!(error.is_fatal(), "{error}"),
        }
    }
}
