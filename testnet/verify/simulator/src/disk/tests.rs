#![allow(clippy::unwrap_used)]
use std::{path::Path, sync::Arc};

use alloy_primitives::B256;
use borsh::{BorshDeserialize, BorshSerialize};
use causeway_records::{Disk, PegSignStateFile, Wal};
use causeway_storage::{Family, Tables, Write};

use super::*;

const CHAIN: B256 = B256::repeat_byte(7);

#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Signed(Vec<u64>);

fn signed(number: u64) -> Signed {
    Signed(vec![number; 40])
}

fn write_file(disk: &dyn Disk, path: &Path, content: &[u8], sync: bool) {
    let mut file = disk.create(path).unwrap();
    file.append(content).unwrap();
    if sync {
        file.sync().unwrap();
        disk.sync_dir(&root()).unwrap();
    }
}

fn read_file(disk: &dyn Disk, path: &Path) -> Option<Vec<u8>> {
    disk.open(path).unwrap().map(|mut file| file.read_all().unwrap())
}

#[test]
fn what_was_synced_survives_every_fault_and_what_was_not_may_go() {
    let path = root().join("file");
    for fault in WriteFault::CUTS {
        let mut contents = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let machine = MachineDisk::new(seed, 0);
            let disk = machine.boot();
            write_file(&disk, &path, b"durable", true);
            disk.open(&path).unwrap().unwrap().append(b" pending").unwrap();
            machine.end(fault);
            assert!(disk.open(&path).is_err(), "the process is gone");
            let content = read_file(&machine.boot(), &path).unwrap();
            assert!(content.starts_with(b"durable"), "{fault:?}: {content:?}");
            contents.insert(content);
        }
        match fault {
            WriteFault::Clean => assert_eq!(contents, [b"durable pending".to_vec()].into()),
            WriteFault::UnsyncedLost => assert_eq!(contents, [b"durable".to_vec()].into()),
            WriteFault::TornPrefix => assert_eq!(contents.len(), b" pending".len() + 1),
            // Holes read as zero.
            _ => assert!(contents.len() > 20 && contents.iter().any(|content| content.contains(&0))),
        }
    }
}

#[test]
fn a_name_is_durable_only_after_its_directory_was_synced() {
    let (old, new) = (root().join("file"), root().join("file.new"));
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let machine = MachineDisk::new(seed, 0);
        let disk = machine.boot();
        write_file(&disk, &old, b"old", true);
        let mut file = disk.create(&new).unwrap();
        file.append(b"new").unwrap();
        file.sync().unwrap();
        disk.rename(&new, &old).unwrap();
        assert_eq!(read_file(&disk, &old).unwrap(), b"new");
        machine.end(WriteFault::ByteSubset);
        seen.insert(read_file(&machine.boot(), &old).unwrap());
    }
    assert_eq!(seen, [b"old".to_vec(), b"new".to_vec()].into());
}

#[test]
fn a_failed_sync_is_not_made_good_by_a_later_one() {
    let path = root().join("file");
    let mut lost = 0;
    for seed in 0..100 {
        let machine = MachineDisk::new(seed, 0);
        let disk = machine.boot();
        write_file(&disk, &path, b"durable", true);
        let mut file = disk.open(&path).unwrap().unwrap();
        file.append(b" pending").unwrap();
        machine.arm(machine.points() + 1, WriteFault::SyncError);
        assert!(!machine.has_failed());
        file.sync().unwrap_err();
        assert!(machine.has_failed());
        file.sync().unwrap();
        assert_eq!(file.read_all().unwrap(), b"durable pending", "the cache still shows it");
        machine.end(WriteFault::UnsyncedLost);
        lost += u64::from(read_file(&machine.boot(), &path).unwrap() != b"durable pending");
    }
    assert!(lost > 50, "{lost}");
}

/// Every point of replacing a sign state, with every fault and many outcomes, leaves the whole old or the whole new content.
#[test]
fn a_sign_state_is_old_or_new_after_a_fault_at_any_point() {
    let path = root().join("peg_sign_state");
    for fault in WriteFault::ALL {
        for point in 1..=5 {
            for seed in 0..50 {
                let machine = MachineDisk::new(seed, 0);
                let file = PegSignStateFile::new(Arc::new(machine.boot()), &path);
                file.store(&signed(1)).unwrap();
                let written = machine.points();
                assert_eq!(written, 5, "{:?}", machine.labels());
                machine.arm(written + point, fault);
                file.store(&signed(2)).unwrap_err();
                if fault == WriteFault::SyncError {
                    assert_eq!(machine.struck(), None);
                    machine.end(fault);
                }
                let mut known = Vec::new();
                for _ in 0..3 {
                    let file = PegSignStateFile::new(Arc::new(machine.boot()), &path);
                    match file.load::<Signed>() {
                        Ok(found) => known.push(found.unwrap()),
                        // Cut again while recovering.
                        Err(_) => assert_eq!(fault, WriteFault::CrashAgain),
                    }
                }
                let state = known.last().unwrap();
                assert!([signed(1), signed(2)].contains(state), "{fault:?} at {point}: {state:?}");
                assert!(known.iter().all(|other| other == state), "what was read once stays");
            }
        }
    }
}

#[test]
fn synced_entries_of_the_log_survive_a_fault_at_any_later_point() {
    let path = root().join("wal");
    for fault in WriteFault::ALL {
        for point in 1..=4 {
            for seed in 0..50 {
                let machine = MachineDisk::new(seed, 0);
                let (mut wal, _) = Wal::open(Arc::new(machine.boot()), &path, CHAIN).unwrap();
                wal.reset(1).unwrap();
                wal.append(b"one").unwrap();
                wal.append(b"two").unwrap();
                wal.sync().unwrap();
                machine.arm(machine.points() + point, fault);
                // One point more than there are syncs: the last of them is a rewrite.
                let ended = wal
                    .append(&[3; 700])
                    .and_then(|()| wal.append(b"four"))
                    .and_then(|()| wal.sync())
                    .and_then(|()| wal.reset(2));
                ended.unwrap_err();
                if machine.struck().is_none() {
                    machine.end(fault);
                }
                let (wal, entries) = loop {
                    match Wal::open(Arc::new(machine.boot()), &path, CHAIN) {
                        Ok(opened) => break opened,
                        Err(error) => assert!(machine.struck().is_some(), "{fault:?} at {point}: {error}"),
                    }
                };
                assert_eq!(wal.height(), 1);
                assert!(entries.len() >= 2 && entries[0] == b"one" && entries[1] == b"two", "{fault:?} at {point}");
                assert!(entries.len() < 3 || entries[2] == [3; 700]);
            }
        }
    }
}

#[test]
fn a_batch_of_rows_is_there_or_not() {
    let row =
        |key: u8, value: Option<u8>| Write { family: Family::Meta, key: vec![key], value: value.map(|v| vec![v]) };
    for fault in WriteFault::ALL {
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let (machine, rows) = (MachineDisk::new(seed, 0), MachineTables::default());
            let tables = rows.boot(&machine.boot());
            tables.write(vec![row(1, Some(1)), row(2, Some(1))]).unwrap();
            machine.arm(2, fault);
            tables.write(vec![row(1, Some(2)), row(2, None)]).unwrap_err();
            if machine.struck().is_some() {
                tables.write(vec![row(3, Some(3))]).unwrap_err();
            }
            let tables = rows.boot(&machine.boot());
            let mut read = Vec::new();
            tables
                .range(Family::Meta, &[0], &[9], &mut |key, value| {
                    read.push((key[0], value[0]));
                    true
                })
                .unwrap();
            assert!(read == [(1, 1), (2, 1)] || read == [(1, 2)], "{read:?}");
            found.insert(read.len());
        }
        let both = matches!(fault, WriteFault::TornPrefix | WriteFault::ByteSubset | WriteFault::SyncError);
        assert_eq!(found.len(), if both { 2 } else { 1 }, "{fault:?}");
    }
}

#[test]
fn rows_are_read_in_order_within_their_bounds() {
    let (machine, rows) = (MachineDisk::new(1, 0), MachineTables::default());
    let tables = rows.boot(&machine.boot());
    let row = |key: &[u8]| Write { family: Family::AccountHistory, key: key.to_vec(), value: Some(key.to_vec()) };
    tables.write(vec![row(b"b2"), row(b"a1"), row(b"a3"), row(b"b1")]).unwrap();
    assert_eq!(tables.last(Family::AccountHistory).unwrap().unwrap().0, b"b2");
    assert_eq!(tables.last(Family::Meta).unwrap(), None);
    let seek = |from: &[u8]| tables.seek_prefix(Family::AccountHistory, from, 1).unwrap().map(|(key, _)| key);
    assert_eq!(seek(b"a0"), Some(b"a1".to_vec()));
    assert_eq!(seek(b"a2"), Some(b"a3".to_vec()));
    assert_eq!(seek(b"a4"), None, "another key's history");
    let mut keys = Vec::new();
    tables
        .range(Family::AccountHistory, b"a3", b"b2", &mut |key, _| {
            keys.push(key.to_vec());
            true
        })
        .unwrap();
    assert_eq!(keys, [b"a3".to_vec(), b"b1".to_vec()]);
}
