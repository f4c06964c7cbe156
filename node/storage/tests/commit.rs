//! The durable effects of a commit, its refusals, and the state after a restart or a crash.

use crate::support::{Changes, Content, Place, TestChain, certificate, copy_dir, genesis, open_error};
use alloy_primitives::{Address, B256, Bytes, Log, keccak256};
use causeway_consensus::{CommitCertificate, Height};
use causeway_execution::{Block, ExecutedBlock, StateSource};
use causeway_records::LockError;
use causeway_storage::{Storage, StorageError, StorageOptions};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

in_each_place! {
    everything_of_a_block_can_be_read_back_also_after_a_restart,
    what_the_chain_does_not_have_is_none_not_an_error,
    code_is_stored_by_hash_and_genesis_code_is_there,
    what_does_not_follow_the_head_is_refused_and_changes_nothing,
    listeners_hear_each_block_in_order_once_it_can_be_read,
}

fn balance(number: u64) -> Changes {
    Changes { accounts: [(1, Some(number)), (2, Some(number + 1))].into(), slots: [((3, 1), number)].into() }
}

fn content(number: u64) -> Content {
    let mut content = Content::default();
    for nonce in 0..3 {
        let log = Log::new(Address::repeat_byte(9), vec![B256::repeat_byte(1)], Bytes::from(vec![1, 2, 3])).unwrap();
        content.add(number * 10 + nonce, vec![log]);
    }
    content
}

fn everything_of_a_block_can_be_read_back_also_after_a_restart(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    for number in 1..=5 {
        chain.push_with(&balance(number), content(number));
    }
    for restarted in [false, true] {
        if restarted {
            chain.reopen_in(place);
        }
        let storage = &chain.storage;
        assert_eq!((storage.head_number(), storage.head().number), (5, 5));
        for (executed, certificate) in &chain.blocks {
            let number = executed.block.header.number;
            assert_eq!(storage.header_by_number(number).unwrap().as_deref(), Some(&executed.block.header));
            assert_eq!(storage.hash_by_number(number).unwrap(), Some(executed.hash));
            assert_eq!(storage.number_by_hash(&executed.hash).unwrap(), Some(number));
            assert_eq!(storage.block(number).unwrap().as_deref(), Some(&*executed.block));
            assert_eq!(storage.body(number).unwrap(), Some(executed.block.encode()));
            assert_eq!(storage.receipts(number).unwrap().as_deref(), Some(&executed.receipts));
            assert_eq!(storage.senders(number).unwrap().as_ref(), Some(&executed.senders));
            assert_eq!(storage.certificate(number).unwrap().as_ref(), Some(certificate));
            for (index, transaction) in executed.block.transactions.iter().enumerate() {
                assert_eq!(storage.transaction(&transaction.hash()).unwrap(), Some((number, index)));
            }
            assert_eq!(storage.latest().block_hash(number).unwrap(), executed.hash);
        }
        assert_eq!(storage.head_hash(), chain.blocks[4].0.hash);
        chain.check_all();
    }
}

fn what_the_chain_does_not_have_is_none_not_an_error(place: &Place) {
    let chain = TestChain::open_in(place, StorageOptions::default());
    let (storage, nothing) = (&chain.storage, keccak256(b"nothing"));
    assert!(storage.header_by_number(1).unwrap().is_none());
    assert!(storage.number_by_hash(&nothing).unwrap().is_none());
    assert!(storage.transaction(&nothing).unwrap().is_none());
    assert!(storage.block(1).unwrap().is_none());
    assert!(storage.receipts(1).unwrap().is_none());
    assert!(storage.certificate(0).unwrap().is_none());
    assert!(storage.latest().code(nothing).is_err());
    assert!(storage.latest().block_hash(1).is_err(), "a view knows no block after its own");
    assert_eq!(storage.block(0).unwrap().unwrap().header, chain.genesis.header);
}

fn code_is_stored_by_hash_and_genesis_code_is_there(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    for account in chain.genesis.alloc.values().filter(|account| !account.code.is_empty()) {
        assert_eq!(chain.storage.latest().code(keccak256(&account.code)).unwrap(), account.code);
    }
    let code = Bytes::from_static(&[0x60, 0x01]);
    let (executed, _) = chain.next(&Changes::default(), Content::default());
    let mut executed = ExecutedBlock::clone(&executed);
    executed.diff.code.insert(keccak256(&code), code.clone());
    let executed = Arc::new(executed);
    chain.storage.commit(&executed, &certificate(&executed)).unwrap();
    chain.reopen_in(place);
    assert_eq!(chain.storage.latest().code(keccak256(&code)).unwrap(), code);
}

fn what_does_not_follow_the_head_is_refused_and_changes_nothing(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    chain.push(&balance(1));
    let first = chain.blocks[0].clone();
    let (good, _) = chain.next(&balance(2), content(2));
    let alter = |change: &dyn Fn(&mut ExecutedBlock)| {
        let mut altered = ExecutedBlock::clone(&good);
        change(&mut altered);
        Arc::new(altered)
    };
    let with_header = |change: &dyn Fn(&mut alloy_consensus::Header)| {
        alter(&|executed| {
            let mut block = Block::clone(&executed.block);
            change(&mut block.header);
            executed.hash = block.hash();
            executed.block = Arc::new(block);
        })
    };
    let refused = |executed: &Arc<ExecutedBlock>| chain.storage.commit(executed, &certificate(executed)).unwrap_err();

    assert!(matches!(refused(&first.0), StorageError::Gap { head: 1, got: 1 }), "a block twice");
    assert!(matches!(refused(&with_header(&|header| header.number = 3)), StorageError::Gap { head: 1, got: 3 }));
    let orphan = with_header(&|header| header.parent_hash = keccak256(b"another"));
    assert!(matches!(refused(&orphan), StorageError::WrongPreviousBlock { number: 2, .. }));
    let misnamed = alter(&|executed| executed.hash = keccak256(b"another"));
    assert!(matches!(refused(&misnamed), StorageError::Inconsistent { number: 2, .. }));
    let unsent = alter(&|executed| executed.senders.truncate(1));
    assert!(matches!(refused(&unsent), StorageError::Inconsistent { number: 2, .. }));
    let unreceipted = alter(&|executed| executed.receipts.truncate(1));
    assert!(matches!(refused(&unreceipted), StorageError::Inconsistent { number: 2, .. }));
    for wrong in [
        CommitCertificate { height: Height(1), ..certificate(&good) },
        CommitCertificate { block_hash: first.0.hash, ..certificate(&good) },
    ] {
        let error = chain.storage.commit(&good, &wrong).unwrap_err();
        assert!(matches!(error, StorageError::WrongCertificate { number: 2, .. }));
        assert!(!error.is_fatal());
    }
    assert_eq!(chain.head(), 1);
    chain.storage.commit(&good, &certificate(&good)).unwrap();
    assert_eq!(chain.head(), 2);
}

fn listeners_hear_each_block_in_order_once_it_can_be_read(place: &Place) {
    let mut chain = TestChain::open_in(place, StorageOptions::default());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (record, storage) = (Arc::clone(&heard), Arc::downgrade(&chain.storage));
    chain.storage.on_commit(Box::new(move |executed| {
        let storage = storage.upgrade().unwrap();
        assert_eq!(storage.head_hash(), executed.hash);
        assert!(storage.receipts(executed.block.header.number).unwrap().is_some());
        record.lock().unwrap().push(executed.block.header.number);
    }));
    for number in 1..=4 {
        chain.push(&balance(number));
    }
    assert_eq!(*heard.lock().unwrap(), [1, 2, 3, 4]);
}

#[test]
fn another_chains_directory_is_refused_and_both_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::open(dir.path(), StorageOptions::default());
    let ours = chain.genesis.hash;
    drop(chain);
    let other = genesis("Another chain");
    let error = open_error(dir.path(), &other);
    assert!(
        matches!(error, StorageError::ForeignChain { expected, found, .. } if expected == other.hash && found == ours)
    );
    let text = error.to_string();
    assert!(text.contains(&ours.to_string()) && text.contains(&other.hash.to_string()), "{text}");
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::open(dir.path(), StorageOptions::default());
    let view = chain.storage.latest();
    assert!(matches!(open_error(dir.path(), &chain.genesis), StorageError::Lock(LockError::Locked { .. })));
    let genesis = Arc::clone(&chain.genesis);
    drop(chain);
    assert!(
        matches!(open_error(dir.path(), &genesis), StorageError::Lock(LockError::Locked { .. })),
        "a view keeps it open"
    );
    drop(view);
    Storage::open(dir.path(), &genesis, StorageOptions::default()).unwrap();
}

#[test]
fn tables_of_an_unknown_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::open(dir.path(), StorageOptions::default());
    let genesis = Arc::clone(&chain.genesis);
    drop(chain);
    let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), dir.path()).unwrap();
    {
        // The version is the first four bytes of the first row of "meta".
        let options = rocksdb::Options::default();
        let db = rocksdb::DB::open_cf(&options, dir.path(), &families).unwrap();
        let meta = db.cf_handle("meta").unwrap();
        let mut identity = db.get_cf(meta, [0]).unwrap().unwrap();
        identity[0] = 99;
        db.put_cf(meta, [0], identity).unwrap();
    }
    let error = open_error(dir.path(), &genesis);
    assert!(matches!(error, StorageError::UnknownSchema { supported: 2, .. }));
    assert!(error.to_string().contains("schema version 99"), "{error}");
    {
        let mut db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path(), &families).unwrap();
        db.create_cf("from_the_future", &rocksdb::Options::default()).unwrap();
    }
    let error = open_error(dir.path(), &genesis);
    assert!(error.to_string().contains("from_the_future"), "{error}");
}

/// RocksDB's own log files, oldest first.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

#[test]
fn after_a_crash_with_any_tail_the_database_is_a_prefix_of_the_committed_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = TestChain::open(dir.path(), StorageOptions::default());
    for number in 1..=12 {
        chain.push_with(&balance(number), content(number));
    }
    // A copy of the directory of a process that did not close it.
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    let log = logs(image.path()).pop().unwrap();
    let whole = std::fs::read(&log).unwrap();
    let mut heads = Vec::new();
    for cut in (0..=24).map(|part| whole.len() * part / 24) {
        let crashed = tempfile::tempdir().unwrap();
        copy_dir(image.path(), crashed.path());
        let log = logs(crashed.path()).pop().unwrap();
        std::fs::write(&log, &whole[..cut]).unwrap();
        let storage = Storage::open(crashed.path(), &chain.genesis, StorageOptions::default()).unwrap();
        let survived = TestChain {
            genesis: Arc::clone(&chain.genesis),
            storage,
            options: chain.options,
            models: chain.models.clone(),
            blocks: chain.blocks.clone(),
        };
        survived.check_all();
        heads.push(survived.head());
        // The chain continues from there.
        let next = usize::try_from(survived.head()).unwrap();
        if let Some((executed, certificate)) = survived.blocks.get(next) {
            survived.storage.commit(executed, certificate).unwrap();
            survived.check(survived.head());
        }
    }
    assert!(heads.is_sorted(), "{heads:?}");
    assert_eq!(heads.last(), Some(&12), "what was synced is there");
    assert!(heads[0] < 12);
}

#[test]
fn a_process_killed_between_commits_loses_no_finished_commit() {
    const CHILD: &str = "CAUSEWAY_STORAGE_TEST_CHILD";
    if let Ok(dir) = std::env::var(CHILD) {
        let mut chain = TestChain::open(Path::new(&dir), StorageOptions::default());
        for number in 1..=7 {
            chain.push_with(&balance(number), content(number));
        }
        std::process::abort();
    }
    let dir = tempfile::tempdir().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commit::a_process_killed_between_commits_loses_no_finished_commit", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    let chain = TestChain::open(dir.path(), StorageOptions::default());
    assert_eq!(chain.head(), 7);
    let state = chain.storage.latest();
    assert_eq!(state.account(crate::support::address(1)).unwrap().unwrap().balance, alloy_primitives::U256::from(7));
}
