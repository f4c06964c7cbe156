//! Records are on disk before messages leave.
#![allow(clippy::unwrap_used)]
use std::{collections::BTreeMap, io, path::Path, path::PathBuf, sync::Arc};

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::Timeouts;
use causeway_genesis::{Genesis, NodeKeys, RulesEntry, SecretKey, ceremony};
use causeway_mempool::PoolConfig;
use causeway_records::{Disk, DiskFile};
use causeway_signer::Signers;
use causeway_storage::{Storage, StorageOptions};
use parking_lot::Mutex;

use super::*;
use crate::{
    assemble::{Assembled, Assembly, assemble, create_sign_states},
    clocks::{Clock, Clocks},
    config::DataDir,
    metrics::Metrics,
    transactions::Admission,
    trust::Trust,
};

/// An action on the disk or outside, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    Append(PathBuf),
    Sync(PathBuf),
    Rename(PathBuf),
    Publish,
    Commit,
}

#[derive(Debug, Default)]
struct Record {
    done: Vec<Done>,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// The file whose sync fails.
    failing: Option<PathBuf>,
}

#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Record>>);

#[derive(Debug)]
struct RecordedFile(Recorder, PathBuf);

impl Disk for Recorder {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn DiskFile>>> {
        let known = self.0.lock().files.contains_key(path);
        Ok(known.then(|| Box::new(RecordedFile(self.clone(), path.into())) as Box<dyn DiskFile>))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.lock().files.insert(path.into(), Vec::new());
        Ok(Box::new(RecordedFile(self.clone(), path.into())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut record = self.0.lock();
        let content = record.files.remove(from).unwrap();
        record.files.insert(to.into(), content);
        record.done.push(Done::Rename(to.into()));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn salt(&self) -> u64 {
        1
    }
}

impl RecordedFile {
    /// A log is written to another path and renamed; an open handle keeps naming the same file.
    fn place(&self) -> PathBuf {
        PathBuf::from(self.1.to_str().unwrap().trim_end_matches(".new"))
    }
}

impl DiskFile for RecordedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.0.lock().files.get(&self.1).map_or(0, Vec::len) as u64)
    }

    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.0.lock().files.get(&self.1).cloned().unwrap_or_default())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut record = self.0.0.lock();
        record.files.entry(self.1.clone()).or_default().extend_from_slice(bytes);
        record.done.push(Done::Append(self.place()));
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.0.lock().files.entry(self.1.clone()).or_default().truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut record = self.0.0.lock();
        if record.failing == Some(self.place()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        record.done.push(Done::Sync(self.place()));
        Ok(())
    }
}

/// Runs jobs when told to, and records all messages that leave.
struct Beyond {
    disk: Recorder,
    jobs: Vec<Job>,
    writes: bool,
}

impl Outside for Beyond {
    fn publish(&mut self, _: GossipMessage) {
        self.disk.0.lock().done.push(Done::Publish);
    }

    fn send(&mut self, _: PeerToken, _: ConsensusMessage) {
        self.disk.0.lock().done.push(Done::Publish);
    }

    fn verdict(&mut self, _: Verdict) {}

    fn penalize(&mut self, _: PeerToken, _: PenaltyReason) {}

    fn request(&mut self, _: PeerToken, _: SyncRequest) {}

    fn run(&mut self, job: Job) {
        if matches!(job, Job::Commit { .. }) {
            self.disk.0.lock().done.push(Done::Commit);
        }
        self.jobs.push(job);
    }

    fn blocking(&mut self, write: &mut dyn FnMut()) {
        if self.writes {
            write();
        }
    }
}

/// A validator without reachable peers, and its clock.
struct Alone {
    performer: Performer,
    admission: Admission,
    beyond: Beyond,
    wal_entries: Vec<Vec<u8>>,
    now_ms: Arc<Mutex<u64>>,
    dir: DataDir,
    home: tempfile::TempDir,
    genesis: Arc<Genesis>,
}

fn keys_of(index: u8) -> NodeKeys {
    let key = |role| SecretKey::from_bytes([16 * index + role; 32]);
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

impl Alone {
    fn new() -> Self {
        Self::among(&[1_000])
    }

    /// The first of several validators with these numbers of tokens.
    fn among(tokens: &[u64]) -> Self {
        Self::on(tokens, Vec::new())
    }

    /// The same on a chain with these changes of its rules.
    fn on(tokens: &[u64], rules: Vec<RulesEntry>) -> Self {
        let start_ms = 1_800_000_000_000;
        let mut spec = ceremony::new_spec(777, "alone", start_ms / 1_000, None);
        spec.rules = rules;
        for (index, tokens) in (0_u8..).zip(tokens) {
            let stake = U256::from(*tokens) * U256::from(10).pow(U256::from(18));
            let operator = Address::repeat_byte(0xa0 + index);
            let entry = ceremony::validator_entry(&format!("v{index}"), operator, stake, &keys_of(index));
            ceremony::add_validator(&mut spec, entry).unwrap();
        }
        let genesis = Arc::new(Genesis::build(spec).unwrap());
        let (disk, dir) = (Recorder::default(), DataDir("/node".into()));
        create_sign_states(Arc::new(disk.clone()), &dir).unwrap();
        Self::try_start(genesis, disk, dir, tempfile::tempdir().unwrap(), Arc::new(Mutex::new(start_ms))).unwrap()
    }

    /// Ends the process and starts it again.
    fn restart(self) -> Self {
        self.try_restart().unwrap()
    }

    fn try_restart(self) -> eyre::Result<Self> {
        let Self { performer, admission, beyond, now_ms, dir, home, genesis, .. } = self;
        drop((performer, admission));
        Self::try_start(genesis, beyond.disk, dir, home, now_ms)
    }

    fn try_start(
        genesis: Arc<Genesis>,
        disk: Recorder,
        dir: DataDir,
        home: tempfile::TempDir,
        now_ms: Arc<Mutex<u64>>,
    ) -> eyre::Result<Self> {
        let clock: Clock = {
            let now_ms = now_ms.clone();
            Arc::new(move || *now_ms.lock())
        };
        let Assembled { performer, wal_entries, admission } = assemble(Assembly {
            storage: Storage::open(home.path(), &genesis, StorageOptions::default()).unwrap(),
            disk: Arc::new(disk.clone()),
            dir: dir.clone(),
            signers: Some(Signers::local(&keys_of(0)).unwrap()),
            timeouts: Timeouts::default(),
            trust: Trust::default(),
            pool: PoolConfig::new(777),
            clocks: Clocks { wall: clock.clone(), steady: clock },
            metrics: Metrics::default(),
            genesis: genesis.clone(),
        })?;
        let beyond = Beyond { disk, jobs: Vec::new(), writes: true };
        Ok(Self { performer, admission, beyond, wal_entries, now_ms, dir, home, genesis })
    }

    /// Runs until `height` is durable or there is nothing left to do.
    fn run(&mut self, height: u64) -> eyre::Result<()> {
        let wal = std::mem::take(&mut self.wal_entries);
        self.performer.take(Event::Start { wal }, &mut self.beyond)?;
        while self.performer.chain.storage.head().number < height {
            while let Some(job) = self.beyond.jobs.pop() {
                let end = job.run(&self.performer.chain);
                self.performer.finish(end, &mut self.beyond)?;
            }
            let Some(at) = self.performer.next_deadline_ms() else { return Ok(()) };
            {
                let mut now_ms = self.now_ms.lock();
                *now_ms = at.max(*now_ms);
            }
            self.performer.take(Event::Tick, &mut self.beyond)?;
        }
        Ok(())
    }

    fn done(&self) -> Vec<Done> {
        self.beyond.disk.0.lock().done.clone()
    }
}

#[test]
fn the_log_is_synced_before_a_sign_state_a_message_or_a_commit() {
    let mut alone = Alone::new();
    alone.run(3).unwrap();
    let (wal, sign_state) = (alone.dir.wal(), alone.dir.sign_state());
    let (mut dirty, mut signed, mut left) = (false, 0, 0);
    for done in alone.done() {
        match done {
            Done::Append(path) if path == wal => dirty = true,
            Done::Sync(path) if path == wal => dirty = false,
            Done::Rename(path) if path == sign_state => {
                assert!(!dirty, "a sign state names what the log may lose");
                signed += 1;
            }
            Done::Publish | Done::Commit => {
                assert!(!dirty, "it leaves before the log is on disk");
                assert!(signed > 0, "it leaves before its signature is recorded");
                left += 1;
            }
            _ => {}
        }
    }
    // A proposal and two votes at each height, each recorded on its own; the first is the empty record.
    assert!(signed > 9 && left > 9, "signed {signed}, left {left}");
}

#[test]
fn nothing_leaves_once_a_write_has_failed() {
    for failing in [DataDir::wal, DataDir::sign_state] {
        let mut alone = Alone::new();
        let path = failing(&alone.dir);
        alone.beyond.disk.0.lock().failing = Some(path.clone());
        let error = alone.run(1).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(!alone.done().iter().any(|done| matches!(done, Done::Publish | Done::Commit)));
    }
}

#[test]
fn a_write_that_the_outside_does_not_make_is_an_error() {
    let mut alone = Alone::new();
    alone.beyond.writes = false;
    assert_eq!(alone.run(1).unwrap_err().to_string(), "a write was not made");
}

#[test]
fn a_fatal_job_stops_the_process_with_its_reason() {
    let mut alone = Alone::new();
    let end = JobEnd::Fatal("the disk is gone".into());
    let error = alone.performer.finish(end, &mut alone.beyond).unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
}

#[test]
fn a_validator_with_more_than_two_thirds_goes_on_after_a_start_without_a_peer() {
    let mut strong = Alone::among(&[9_000, 1_000]);
    strong.run(2).unwrap();
    let mut strong = strong.restart();
    strong.run(4).unwrap();
    assert_eq!(strong.performer.chain.storage.head().number, 4);
}

fn entry(height: u64, version: u64, figures: &serde_json::Value) -> RulesEntry {
    RulesEntry { height, version, changes: figures.as_object().unwrap().clone() }
}

#[test]
fn a_node_stops_before_rules_that_it_does_not_know_with_the_block_before_them_durable() {
    let mut alone = Alone::on(&[1_000], vec![entry(4, 2, &serde_json::json!({ "new": true }))]);
    let text = "block 4 follows rules version 2, which this build (causeway ";
    let error = alone.run(10).unwrap_err().to_string();
    assert!(error.starts_with(text) && error.contains("Install a release that knows version 2"), "{error}");
    assert_eq!(alone.performer.chain.storage.head().number, 3);
    let disk = Arc::new(alone.beyond.disk.clone());
    let (wal, _) = causeway_records::Wal::open(disk, &alone.dir.wal(), alone.genesis.hash).unwrap();
    assert_eq!(wal.height(), 3, "nothing of the next height was begun");
    let restarted = alone.try_restart().err().map(|error| error.to_string());
    assert_eq!(restarted, Some(error), "and a restart says the same");
}

#[test]
fn a_node_goes_on_over_a_change_of_the_rules_that_it_knows_at_the_new_pace() {
    let figures = serde_json::json!({ "block": { "gasLimit": 30_000_000, "intervalMs": 4_000 } });
    let mut alone = Alone::on(&[1_000], vec![entry(4, 1, &figures)]);
    let mut times = Vec::new();
    for height in 1..=6 {
        alone.run(height).unwrap();
        let head = alone.performer.chain.storage.head();
        assert_eq!(head.gas_limit, if height < 4 { 60_000_000 } else { 30_000_000 });
        times.push(head.timestamp);
    }
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [1, 1, 4, 4, 4]);
    assert_eq!(alone.restart().performer.chain.storage.head().number, 6);
}

/// A transaction by nobody with coin, as gossip carries it.
fn gossiped(gas_limit: u64) -> Vec<Bytes> {
    let tx = TxEip1559 {
        chain_id: 777,
        gas_limit,
        max_fee_per_gas: 10,
        to: TxKind::Call(Address::repeat_byte(1)),
        ..TxEip1559::default()
    };
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    vec![TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()]
}

#[test]
fn a_peer_is_blamed_only_for_transactions_that_no_rules_of_the_chain_allow() {
    let above_cap = (1 << 24) + 1;
    let fork = |height: u64, name: &str| entry(height, 1, &serde_json::json!({ "evm": { "fork": name } }));
    let steady = Alone::new();
    let before = Alone::on(&[1_000], vec![fork(50, "prague")]);
    let unknown = Alone::on(&[1_000], vec![entry(50, 2, &serde_json::json!({}))]);
    assert_eq!(steady.admission.gossiped(&gossiped(above_cap)), Verdict::Reject);
    // A peer that is at block 49 admits it honestly, and so may one whose rules this node does not know.
    assert_eq!(before.admission.gossiped(&gossiped(above_cap)), Verdict::Ignore);
    assert_eq!(unknown.admission.gossiped(&gossiped(above_cap)), Verdict::Ignore);
    // Less gas than any transaction needs is a fault under all rules that are known.
    assert_eq!(before.admission.gossiped(&gossiped(20_999)), Verdict::Reject);
    // What only lacks coin is nobody's fault.
    assert_eq!(steady.admission.gossiped(&gossiped(21_000)), Verdict::Ignore);
}
