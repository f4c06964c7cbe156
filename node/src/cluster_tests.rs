//! Whole nodes without IO between them: the production `handle`, execution and database, under a simulated clock and network.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::{Ed25519Signer, Height, Host, HostConfig, PeerToken, SignState, Signer, Timeouts};
use causeway_execution::{Executor, RecoveredTx, StateSource};
use causeway_genesis::{AllocAccount, Genesis, NodeKeys, ceremony};
use causeway_mempool::{Mempool, PoolConfig};
use causeway_parent::ParentUpdate;
use causeway_peg::{Deposit, LocalPegSigner, ParentView, PegSigner};
use causeway_storage::{Storage, StorageOptions};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::{
    chain::{Chain, Clock, Clocks, Outcome},
    handle::{Effect, Event, Node},
    metrics::Metrics,
    peg_desk::{PegDesk, PegSigns},
    start,
    sync::Ask,
};

const INTERVAL_MS: u64 = 100;
const START_MS: u64 = 1_800_000_000_000;

/// What survives a crash of a member.
struct Disk {
    dir: TempDir,
    sign_state: SignState,
    peg_signs: PegSigns,
    wal_height: u64,
    wal: Vec<Vec<u8>>,
}

struct Member {
    keys: NodeKeys,
    disk: Disk,
    up: Option<(Node, Chain)>,
}

struct Cluster {
    genesis: Arc<Genesis>,
    members: Vec<Member>,
    queue: BTreeMap<(u64, u64), (usize, u64, Event)>,
    /// Counts starts of a member, so that nothing from before a crash reaches it.
    lives: Vec<u64>,
    next: u64,
    now: Arc<AtomicU64>,
    seed: u64,
    loss_percent: u64,
    /// How far each member's wall clock is behind.
    late_ms: Vec<u64>,
}

fn user() -> PrivateKeySigner {
    // A well-known test key: the first account of the mnemonic "test test ... junk".
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap()
}

impl Cluster {
    fn new(size: usize, pegged: bool, seed: u64) -> Self {
        let keys: Vec<NodeKeys> = (0..size).map(|_| NodeKeys::generate().unwrap()).collect();
        let peg = pegged.then(|| ceremony::predicted_peg(1, Address::repeat_byte(0xdd), 0).unwrap());
        let mut spec = ceremony::new_spec(777, "cluster", START_MS / 1_000, peg);
        spec.block_interval_ms = INTERVAL_MS;
        spec.checkpoint_interval = 5;
        if !pegged {
            spec.alloc.insert(
                user().address(),
                AllocAccount { balance: U256::from(10).pow(U256::from(20)), ..AllocAccount::default() },
            );
        }
        for (index, keys) in keys.iter().enumerate() {
            let operator = Address::repeat_byte(u8::try_from(index + 1).unwrap());
            ceremony::add_validator(
                &mut spec,
                ceremony::validator_entry(&format!("v{index}"), operator, U256::from(1_000), keys),
            )
            .unwrap();
        }
        let genesis = Arc::new(Genesis::build(spec).unwrap());
        let members = keys
            .into_iter()
            .map(|keys| {
                let disk = Disk {
                    dir: TempDir::new().unwrap(),
                    sign_state: SignState::default(),
                    peg_signs: PegSigns::default(),
                    wal_height: 0,
                    wal: Vec::new(),
                };
                Member { keys, disk, up: None }
            })
            .collect();
        let now = Arc::new(AtomicU64::new(START_MS));
        let mut cluster = Self {
            genesis,
            members,
            queue: BTreeMap::new(),
            lives: vec![0; size],
            next: 0,
            now,
            seed: seed | 1,
            loss_percent: 0,
            late_ms: vec![0; size],
        };
        for member in 0..size {
            cluster.start(member);
        }
        cluster
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64: the same seed gives the same run.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn schedule(&mut self, delay_ms: u64, member: usize, event: Event) {
        self.next += 1;
        let life = self.lives[member];
        self.queue.insert((self.now() + delay_ms, self.next), (member, life, event));
    }

    fn start(&mut self, index: usize) {
        let genesis = self.genesis.clone();
        let member = &mut self.members[index];
        let storage =
            Storage::open(&member.disk.dir.path().join("chain"), &genesis, StorageOptions::default()).unwrap();
        let clock = self.now.clone();
        let (late, wall) = (self.late_ms[index], clock.clone());
        let wall: Clock = Arc::new(move || wall.load(Ordering::Relaxed) - late);
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let chain = Chain {
            genesis: genesis.clone(),
            storage: storage.clone(),
            executor: Arc::new(Executor::new(genesis.clone())),
            pool: Arc::new(Mutex::new(Mempool::new(PoolConfig::new(777, genesis.spec.gas_limit)))),
            validators: genesis.validator_set(),
            operators: Arc::new(start::operators(&genesis)),
            clocks: Clocks { wall, steady: clock },
            events: mpsc::channel(1).0,
            metrics: Metrics::default(),
        };
        let timeouts =
            Timeouts { propose_ms: 300, prevote_ms: 100, precommit_ms: 100, delta_ms: 50, rebroadcast_ms: 300 };
        let config = HostConfig { timeouts, ..HostConfig::new(genesis.hash) };
        let signer: Box<dyn Signer> = Box::new(Ed25519Signer::new(member.keys.consensus.expose()));
        let host = Host::new(config, Some(signer), member.disk.sign_state.clone());
        let desk = genesis.peg_domain().map(|domain| {
            let signer: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new((*member.keys.peg.expose()).into()).unwrap());
            let progress = start::progress(&genesis, &storage).unwrap().unwrap();
            PegDesk::new(
                domain,
                genesis.peg_validator_set().unwrap(),
                Some(signer),
                member.disk.peg_signs.clone(),
                progress,
            )
        });
        let head = storage.head().number;
        let wal = if member.disk.wal_height == head + 1 { member.disk.wal.clone() } else { Vec::new() };
        member.up = Some((
            Node::new(
                host,
                genesis.hash,
                Some(member.keys.validator_id()),
                chain.validators.clone(),
                INTERVAL_MS,
                Height(head),
                desk,
            ),
            chain,
        ));
        self.lives[index] += 1;
        self.schedule(0, index, Event::Start { wal });
        for other in 0..self.members.len() {
            if other != index && self.members[other].up.is_some() {
                self.schedule(1, index, Event::PeerConnected(token(other)));
                self.schedule(1, other, Event::PeerConnected(token(index)));
            }
        }
    }

    fn crash(&mut self, index: usize) {
        self.members[index].up = None;
        for other in 0..self.members.len() {
            if other != index && self.members[other].up.is_some() {
                self.schedule(1, other, Event::PeerDisconnected(token(index)));
            }
        }
    }

    /// Runs until `done` holds or simulated time runs out.
    fn run(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now() + limit_ms;
        while !done(self) {
            let ticks = self.members.iter().enumerate().filter_map(|(index, member)| {
                let (node, _) = member.up.as_ref()?;
                node.next_deadline_ms().map(|at| (at, index))
            });
            let tick = ticks.min();
            let queued = self.queue.keys().next().copied();
            let take_queue = match (queued, tick) {
                (Some((at, _)), Some((deadline, _))) => at <= deadline,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return false,
            };
            let at = if take_queue { queued.unwrap().0 } else { tick.unwrap().0 };
            if at > end {
                return false;
            }
            self.now.store(at.max(self.now()), Ordering::Relaxed);
            if take_queue {
                let (_, (member, life, event)) = self.queue.pop_first().unwrap();
                if self.lives[member] == life {
                    self.step(member, event);
                }
            } else {
                self.step(tick.unwrap().1, Event::Tick);
            }
        }
        true
    }

    fn step(&mut self, index: usize, event: Event) {
        let now = self.now();
        let Some((node, _)) = &mut self.members[index].up else { return };
        let effects = node.handle(now, event);
        for effect in effects {
            self.perform(index, effect);
        }
    }

    fn deliver(&mut self, to: usize, event: Event) {
        if self.members[to].up.is_some() && self.random(100) >= self.loss_percent {
            let delay = 1 + self.random(20);
            self.schedule(delay, to, event);
        }
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        let others: Vec<usize> = (0..self.members.len()).filter(|other| *other != index).collect();
        let chain = self.members[index].up.as_ref().map(|(_, chain)| chain.clone());
        let Some(chain) = chain else { return };
        let disk = &mut self.members[index].disk;
        match effect {
            Effect::PersistSignState(state) => disk.sign_state = state,
            Effect::AppendWal(entry) => disk.wal.push(entry),
            Effect::ResetWal(height) => {
                disk.wal_height = height.0;
                disk.wal.clear();
            }
            Effect::PersistPegSigns(signs) => disk.peg_signs = signs,
            Effect::GossipConsensus(message) => {
                for other in others {
                    self.deliver(other, Event::Consensus { from: token(index), message: message.clone() });
                }
            }
            Effect::GossipPeg(message) => {
                for other in others {
                    self.deliver(other, Event::Peg { from: token(index), message });
                }
            }
            Effect::Send { to, message } => self.deliver(member(to), Event::Consensus { from: token(index), message }),
            Effect::Ask(Ask::Status { peer }) => {
                if let Some((_, asked)) = &self.members[member(peer)].up {
                    let head = asked.storage.head().number;
                    self.deliver(index, Event::PeerHead { from: peer, head });
                }
            }
            Effect::Ask(Ask::Blocks { peer, from, max }) => {
                let blocks = match &self.members[member(peer)].up {
                    Some((_, asked)) => (from..from + u64::from(max))
                        .map_while(|number| {
                            Some((
                                asked.storage.block(number).unwrap()?.encode(),
                                asked.storage.certificate(number).unwrap()?,
                            ))
                        })
                        .collect(),
                    None => Vec::new(),
                };
                self.deliver(index, Event::Blocks { from: peer, blocks });
            }
            Effect::Build { height, round, deadline_ms, system } => {
                let proposer = self.members[index].keys.validator_id();
                let executed = Arc::new(chain.build_now(height, deadline_ms, proposer, system).unwrap());
                self.schedule(1, index, Event::Built { height, round, executed });
            }
            Effect::Execute { job, height, block_hash, certified, body } => {
                let event = match chain.execute_now(height, block_hash, certified, &body) {
                    Ok(executed) => Event::Executed { job, executed: Arc::new(executed) },
                    Err(Outcome::Refused(fault)) => panic!("an honest block was refused: {fault}"),
                    Err(Outcome::Failed(_)) => Event::ExecutionFailed { job },
                };
                self.schedule(1, index, event);
            }
            Effect::Commit { executed, certificate } => {
                let peg = chain.commit_now(&executed, &certificate).unwrap();
                self.schedule(1, index, Event::Committed { executed, peg });
            }
            Effect::Verdict(verdict) => {
                assert_ne!(verdict, causeway_network::Verdict::Reject, "an honest message was rejected")
            }
            Effect::Penalize { peer, reason } => panic!("{index} blames honest {peer}: {reason:?}"),
            Effect::Evidence(evidence) => panic!("an honest validator signed twice: {evidence:?}"),
            Effect::InvalidBlock => panic!("an honest block was called invalid"),
            Effect::Halt(reason) => panic!("{index} halts: {reason}"),
        }
    }

    fn head(&self, index: usize) -> u64 {
        self.members[index].up.as_ref().map_or(0, |(_, chain)| chain.storage.head().number)
    }

    fn all_reached(&self, height: u64) -> bool {
        (0..self.members.len()).all(|index| self.members[index].up.is_none() || self.head(index) >= height)
    }

    fn assert_agreement(&self) {
        let mut hashes: BTreeMap<u64, B256> = BTreeMap::new();
        for member in &self.members {
            let Some((_, chain)) = &member.up else { continue };
            for number in 0..=chain.storage.head().number {
                let hash = chain.storage.hash_by_number(number).unwrap().unwrap();
                assert_eq!(*hashes.entry(number).or_insert(hash), hash, "fork at height {number}");
            }
        }
    }

    fn balance(&self, index: usize, address: Address) -> U256 {
        let (_, chain) = self.members[index].up.as_ref().unwrap();
        chain.storage.latest().account(address).unwrap().unwrap_or_default().balance
    }

    fn submit(&self, nonce: u64, to: Address, wei: u64) {
        let transaction = TxEip1559 {
            chain_id: 777,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(wei),
            ..TxEip1559::default()
        };
        let signature = user().sign_hash_sync(&transaction.signature_hash()).unwrap();
        let transaction = Arc::new(RecoveredTx::recover(TxEnvelope::from(transaction.into_signed(signature))).unwrap());
        for member in &self.members {
            let Some((_, chain)) = &member.up else { continue };
            let account = chain.account_view(user().address()).unwrap();
            let base_fee = Executor::next_base_fee(&chain.storage.head());
            chain.pool.lock().add(transaction.clone(), &account, base_fee, self.now(), true).unwrap();
        }
    }
}

fn token(member: usize) -> PeerToken {
    member as PeerToken + 1
}

fn member(token: PeerToken) -> usize {
    usize::try_from(token - 1).unwrap()
}

#[test]
fn four_validators_agree_and_execute_a_transfer() {
    let mut cluster = Cluster::new(4, false, 1);
    let to = Address::repeat_byte(0x77);
    cluster.submit(0, to, 5);
    cluster.submit(1, to, 7);
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(10)), "no ten blocks in 20 s");
    cluster.assert_agreement();
    for index in 0..4 {
        assert_eq!(cluster.balance(index, to), U256::from(12));
    }
}

#[test]
fn a_single_validator_decides_alone() {
    let mut cluster = Cluster::new(1, false, 2);
    assert!(cluster.run(5_000, |cluster| cluster.head(0) >= 10));
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up_by_blocks() {
    let mut cluster = Cluster::new(4, false, 3);
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(3)));
    cluster.crash(3);
    assert!(cluster.run(120_000, |cluster| cluster.head(0) >= 120), "three of four stand still");
    cluster.start(3);
    assert!(cluster.run(10_000, |cluster| cluster.head(3) >= 120), "no catch-up within 10 s");
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(130)));
    cluster.assert_agreement();
}

#[test]
fn all_crash_at_any_moment_and_go_on_without_losing_a_block() {
    let mut cluster = Cluster::new(4, false, 4);
    for crash in 0..25 {
        let moment = 20 + cluster.random(250);
        let until = cluster.now() + moment;
        let reached = cluster.run(moment, |cluster| cluster.now() >= until);
        assert!(reached || cluster.now() <= until);
        let heads: Vec<u64> = (0..4).map(|index| cluster.head(index)).collect();
        for index in 0..4 {
            cluster.crash(index);
        }
        cluster.queue.clear();
        for (index, head) in heads.iter().enumerate() {
            cluster.start(index);
            assert!(cluster.head(index) >= *head, "crash {crash}: a durable block is gone");
        }
        let next = heads.iter().max().unwrap() + 1;
        assert!(
            cluster.run(60_000, |cluster| cluster.all_reached(next)),
            "crash {crash}: the chain does not go on past {next}"
        );
        cluster.assert_agreement();
    }
}

#[test]
fn a_tenth_of_all_messages_lost_does_not_stop_the_chain() {
    let mut cluster = Cluster::new(4, false, 5);
    cluster.loss_percent = 10;
    assert!(
        cluster.run(300_000, |cluster| cluster.all_reached(30)),
        "stuck at {:?}",
        (0..4).map(|i| cluster.head(i)).collect::<Vec<_>>()
    );
    cluster.assert_agreement();
}

#[test]
fn a_node_whose_clock_is_an_hour_late_follows_what_the_others_decide() {
    let mut cluster = Cluster::new(4, false, 7);
    assert!(cluster.run(10_000, |cluster| cluster.all_reached(2)));
    cluster.crash(3);
    cluster.late_ms[3] = 3_600_000;
    assert!(cluster.run(60_000, |cluster| cluster.head(0) >= 20));
    cluster.start(3);
    let target = cluster.head(0) + 20;
    assert!(cluster.run(120_000, |cluster| cluster.all_reached(target)), "the late node is at {}", cluster.head(3));
    cluster.assert_agreement();
}

#[test]
fn deposits_are_minted_and_checkpoints_recorded_once_two_thirds_attest_them() {
    let mut cluster = Cluster::new(4, true, 6);
    let recipient = Address::repeat_byte(0x99);
    let deposit = Deposit {
        nonce: 1,
        token: Address::ZERO,
        sender: Address::repeat_byte(1),
        recipient,
        amount: U256::from(1_234_567),
    };
    let acc = causeway_peg::deposit::extend_acc(B256::ZERO, causeway_peg::deposit::deposit_leaf(&deposit));
    let view = ParentView { parentHeight: 10, parentHash: B256::repeat_byte(7), depositNonce: 1, depositAcc: acc };
    for index in 0..2 {
        cluster.schedule(5, index, Event::Parent(ParentUpdate::Deposits { view, deposits: vec![deposit] }));
    }
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(12)));
    assert_eq!(cluster.balance(0, recipient), U256::ZERO, "half of the stake must not mint");
    cluster.schedule(5, 2, Event::Parent(ParentUpdate::Deposits { view, deposits: vec![deposit] }));
    let (height, minted) = (cluster.head(0) + 12, U256::from(1_234_567));
    assert!(cluster.run(20_000, |cluster| cluster.all_reached(height)));
    for index in 0..4 {
        assert_eq!(cluster.balance(index, recipient), minted);
        let (node, _) = cluster.members[index].up.as_ref().unwrap();
        let progress = node.desk().unwrap().progress();
        assert_eq!(progress.imported, 1);
        assert!(progress.recorded >= 2, "checkpoints are recorded, the last is {}", progress.recorded);
    }
    cluster.assert_agreement();
}
