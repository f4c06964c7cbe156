//! The simulated cluster: members with a disk that survives crashes, a clock, a network, and a record of everything signed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use causeway_consensus::{
    ConsensusMessage, Ed25519Signer, Height, Host, HostConfig, PeerToken, SignedVote, Signer, Timeouts, ValidatorId,
};
use causeway_execution::{Executor, StateSource, staking_state};
use causeway_genesis::{AllocAccount, Genesis, NodeKeys, SecretKey, ceremony};
use causeway_mempool::{Mempool, PoolConfig};
use causeway_peg::{LocalPegSigner, PegSigner};
use causeway_staking::views::{self, ValidatorView};
use causeway_storage::{Storage, StorageOptions};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::disk::Disk;
use crate::{
    chain::{Chain, Clock, Clocks, Outcome},
    evidence,
    handle::{Effect, Event, Head, Node, NodeSettings},
    metrics::Metrics,
    peg_desk::PegDesk,
    sets::Sets,
    start,
    sync::Ask,
    trust::Trust,
};

pub(super) const INTERVAL_MS: u64 = 100;
pub(super) const START_MS: u64 = 1_800_000_000_000;
pub(super) const CHAIN_ID: u64 = 777;

/// One stake token.
pub(super) fn stake(tokens: u64) -> U256 {
    U256::from(tokens) * U256::from(10).pow(U256::from(18))
}

/// What a test wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Validators at genesis, each with 1,000 tokens.
    pub(super) validators: usize,
    /// Nodes with keys that may register later; each operator has 1,000 liquid tokens, and coin on a standalone chain.
    pub(super) others: usize,
    pub(super) pegged: bool,
    pub(super) seed: u64,
    pub(super) epoch_length: u64,
}

impl Plan {
    pub(super) fn new(validators: usize, seed: u64) -> Self {
        Self { validators, others: 0, pegged: false, seed, epoch_length: 3_600 }
    }

    pub(super) fn pegged(self) -> Self {
        Self { pegged: true, ..self }
    }

    pub(super) fn others(self, others: usize) -> Self {
        Self { others, ..self }
    }

    pub(super) fn epochs(self, epoch_length: u64) -> Self {
        Self { epoch_length, ..self }
    }

    pub(super) fn start(self) -> Cluster {
        Cluster::new(self)
    }
}

pub(super) struct Member {
    pub(super) keys: NodeKeys,
    pub(super) operator: PrivateKeySigner,
    pub(super) nonce: u64,
    pub(super) disk: Disk,
    pub(super) up: Option<(Node, Chain)>,
    /// How far its wall clock is behind.
    pub(super) late_ms: u64,
    /// How far both its clocks are ahead.
    pub(super) ahead_ms: u64,
    pub(super) trust: Trust,
    /// Why it stopped, where a test expects that.
    pub(super) halted: Option<String>,
}

pub(super) struct Cluster {
    pub(super) genesis: Arc<Genesis>,
    pub(super) members: Vec<Member>,
    pub(super) queue: BTreeMap<(u64, u64), (usize, u64, Event)>,
    /// Counts starts of a member, so that nothing from before a crash reaches it.
    pub(super) lives: Vec<u64>,
    next: u64,
    now: Arc<AtomicU64>,
    seed: u64,
    pub(super) loss_percent: u64,
    /// Members that a test has signed twice for.
    pub(super) offenders: Vec<ValidatorId>,
    /// Whether no peg signature reaches anybody.
    pub(super) peg_muted: bool,
    /// The lowest height each member has signed at in each of its lives.
    pub(super) lowest_signed: BTreeMap<(usize, u64), u64>,
    /// Whether a halt is recorded instead of failing the test.
    pub(super) may_halt: bool,
    /// What each key has signed, by what may be signed only once.
    signed: BTreeMap<(ValidatorId, &'static str, u64, u32), Vec<u8>>,
    /// When each height was first committed.
    pub(super) committed_ms: BTreeMap<u64, u64>,
    /// The certificates that decided, to see who signed.
    pub(super) signers: BTreeMap<u64, Vec<ValidatorId>>,
}

pub(super) fn user() -> PrivateKeySigner {
    // A well-known test key: the first account of the mnemonic "test test ... junk".
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80".parse().unwrap()
}

/// The same keys in every run.
fn keys_of(index: usize) -> NodeKeys {
    let key = |role: u8| {
        let mut bytes = [role; 32];
        bytes[24..].copy_from_slice(&(index as u64 + 1).to_be_bytes());
        SecretKey::from_bytes(bytes)
    };
    NodeKeys { consensus: key(1), peg: key(2), p2p: key(3) }
}

fn operator_of(index: usize) -> PrivateKeySigner {
    let mut bytes = [4; 32];
    bytes[24..].copy_from_slice(&(index as u64 + 1).to_be_bytes());
    PrivateKeySigner::from_slice(&bytes).unwrap()
}

fn genesis(plan: &Plan, members: &[(NodeKeys, PrivateKeySigner)]) -> Genesis {
    let peg = plan.pegged.then(|| ceremony::predicted_peg(1, Address::repeat_byte(0xdd), 0).unwrap());
    let mut spec = ceremony::new_spec(CHAIN_ID, "cluster", START_MS / 1_000, peg);
    spec.block_interval_ms = INTERVAL_MS;
    spec.checkpoint_interval = 5;
    spec.epoch_length = plan.epoch_length;
    // As long as the number of epochs in it may be.
    spec.staking.unbonding_seconds =
        spec.staking.unbonding_seconds.min(plan.epoch_length.saturating_mul(INTERVAL_MS).saturating_mul(10));
    let coin = AllocAccount { balance: U256::from(10).pow(U256::from(20)), ..AllocAccount::default() };
    if !plan.pegged {
        spec.alloc.insert(user().address(), coin.clone());
    }
    for (index, (keys, operator)) in members.iter().enumerate() {
        if !plan.pegged {
            spec.alloc.insert(operator.address(), coin.clone());
        }
        if index < plan.validators {
            let entry = ceremony::validator_entry(&format!("v{index}"), operator.address(), stake(1_000), keys);
            ceremony::add_validator(&mut spec, entry).unwrap();
        } else {
            spec.staking.alloc.insert(operator.address(), stake(1_000));
        }
    }
    Genesis::build(spec).unwrap()
}

impl Cluster {
    fn new(plan: Plan) -> Self {
        let count = plan.validators + plan.others;
        let identities: Vec<_> = (0..count).map(|index| (keys_of(index), operator_of(index))).collect();
        let genesis = Arc::new(genesis(&plan, &identities));
        let unbonding_s = genesis.spec.staking.unbonding_seconds;
        let members = identities.into_iter().map(|(keys, operator)| Member {
            keys,
            operator,
            nonce: 0,
            disk: Disk::new(),
            up: None,
            late_ms: 0,
            ahead_ms: 0,
            trust: Trust { unbonding_s, ..Trust::default() },
            halted: None,
        });
        let mut cluster = Self {
            genesis,
            members: members.collect(),
            queue: BTreeMap::new(),
            lives: vec![0; count],
            next: 0,
            now: Arc::new(AtomicU64::new(START_MS)),
            seed: plan.seed | 1,
            loss_percent: 0,
            offenders: Vec::new(),
            may_halt: false,
            peg_muted: false,
            lowest_signed: BTreeMap::new(),
            signed: BTreeMap::new(),
            committed_ms: BTreeMap::new(),
            signers: BTreeMap::new(),
        };
        for member in 0..count {
            cluster.start(member);
        }
        cluster
    }

    pub(super) fn random(&mut self, below: u64) -> u64 {
        // xorshift64: the same seed gives the same run.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn schedule(&mut self, delay_ms: u64, member: usize, event: Event) {
        self.next += 1;
        let life = self.lives[member];
        self.queue.insert((self.now() + delay_ms, self.next), (member, life, event));
    }

    pub(super) fn start(&mut self, index: usize) {
        let genesis = self.genesis.clone();
        let member = &mut self.members[index];
        let storage =
            Storage::open(&member.disk.dir.path().join("chain"), &genesis, StorageOptions::default()).unwrap();
        let clock = |ahead: u64, late: u64| -> Clock {
            let now = self.now.clone();
            Arc::new(move || now.load(Ordering::Relaxed) + ahead - late)
        };
        let clocks = Clocks { wall: clock(member.ahead_ms, member.late_ms), steady: clock(member.ahead_ms, 0) };
        let chain = Chain {
            genesis: genesis.clone(),
            storage: storage.clone(),
            executor: Arc::new(Executor::new(genesis.clone())),
            pool: Arc::new(Mutex::new(Mempool::new(PoolConfig::new(CHAIN_ID, genesis.spec.gas_limit)))),
            sets: Arc::new(Sets::load(&storage).unwrap()),
            clocks,
            events: mpsc::channel(1).0,
            metrics: Metrics::default(),
        };
        let timeouts =
            Timeouts { propose_ms: 300, prevote_ms: 100, precommit_ms: 100, delta_ms: 50, rebroadcast_ms: 300 };
        let config = HostConfig { timeouts, ..HostConfig::new(genesis.hash) };
        let signer: Box<dyn Signer> = Box::new(Ed25519Signer::new(member.keys.consensus.expose()));
        let mut host = Host::new(config, Some(signer), member.disk.sign_state.clone());
        let next = chain.sets.next_height(start::progress(&genesis, &storage).unwrap());
        evidence::note_members(&genesis, &storage, &next.validators.set).unwrap();
        for (key, last) in evidence::former_members(&storage).unwrap() {
            host.note_key(key, Height(last));
        }
        let desk = genesis.peg_domain().map(|domain| {
            let signer: Arc<dyn PegSigner> = Arc::new(LocalPegSigner::new((*member.keys.peg.expose()).into()).unwrap());
            PegDesk::new(domain, Some(signer), member.disk.peg_signs.clone(), next.peg.clone().unwrap(), next.epoch)
        });
        let head = Head { number: storage.head().number, timestamp: storage.head().timestamp };
        let wal = if member.disk.wal_height == head.number + 1 { member.disk.wal.clone() } else { Vec::new() };
        let settings = NodeSettings {
            chain: genesis.hash,
            validator: Some(member.keys.validator_id()),
            block_interval_ms: INTERVAL_MS,
            trust: member.trust,
        };
        member.halted = None;
        member.up = Some((Node::new(host, settings, head, next, desk), chain));
        self.lives[index] += 1;
        self.schedule(0, index, Event::Start { wal });
        for other in 0..self.members.len() {
            if other != index && self.members[other].up.is_some() {
                self.schedule(1, index, Event::PeerConnected(token(other)));
                self.schedule(1, other, Event::PeerConnected(token(index)));
            }
        }
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.members[index].up = None;
        for other in 0..self.members.len() {
            if other != index && self.members[other].up.is_some() {
                self.schedule(1, other, Event::PeerDisconnected(token(index)));
            }
        }
    }

    /// Runs until `done` holds or simulated time runs out.
    pub(super) fn run(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now() + limit_ms;
        while !done(self) {
            let ticks = self.members.iter().enumerate().filter_map(|(index, member)| {
                let (node, _) = member.up.as_ref()?;
                node.next_deadline_ms().map(|at| (at.saturating_sub(member.ahead_ms), index))
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
        let now = self.now() + self.members[index].ahead_ms;
        let Some((node, _)) = &mut self.members[index].up else { return };
        let effects = node.handle(now, event);
        for effect in effects {
            self.perform(index, effect);
        }
    }

    pub(super) fn deliver(&mut self, to: usize, event: Event) {
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
                self.check_signature(index, &chain, &message);
                for other in others {
                    self.deliver(other, Event::Consensus { from: token(index), message: message.clone() });
                }
            }
            Effect::GossipPeg(_) if self.peg_muted => {}
            Effect::GossipPeg(message) => {
                for other in others {
                    self.deliver(other, Event::Peg { from: token(index), message });
                }
            }
            Effect::Send { to, .. } if member(to) >= self.members.len() => {}
            Effect::Send { to, message } => self.deliver(member(to), Event::Consensus { from: token(index), message }),
            Effect::Ask(Ask::Status { peer }) => {
                if let Some((_, asked)) = self.members.get(member(peer)).and_then(|member| member.up.as_ref()) {
                    let head = asked.storage.head().number;
                    self.deliver(index, Event::PeerHead { from: peer, head });
                }
            }
            // A peer that is no member never answers.
            Effect::Ask(Ask::Blocks { peer, .. }) if member(peer) >= self.members.len() => {}
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
            Effect::Commit { executed, certificate, .. } => {
                let next = Box::new(chain.commit_now(&executed, &certificate).unwrap());
                let (height, now) = (certificate.height.0, self.now());
                self.committed_ms.entry(height).or_insert(now);
                let signers = certificate.signatures.iter().map(|signature| signature.validator).collect();
                self.signers.entry(height).or_insert(signers);
                self.schedule(1, index, Event::Committed { executed, next });
            }
            Effect::Verdict(verdict) => {
                assert_ne!(verdict, causeway_network::Verdict::Reject, "an honest message was rejected")
            }
            Effect::Penalize { peer, reason } => panic!("{index} blames honest {peer}: {reason:?}"),
            Effect::Evidence(evidence) => {
                assert!(self.offenders.contains(&evidence.validator()), "an honest validator: {evidence}");
                evidence::keep(&chain.genesis, &chain.storage, &evidence).unwrap();
            }
            Effect::Compare(vote) => {
                if let Some(found) = evidence::compare(&chain.storage, &vote).unwrap() {
                    self.schedule(1, index, Event::Conflict(found));
                }
            }
            Effect::InvalidBlock => panic!("an honest block was called invalid"),
            Effect::Halt(reason) => {
                assert!(self.may_halt, "{index} halts: {reason}");
                self.crash(index);
                self.members[index].halted = Some(reason);
            }
        }
    }

    /// No key signs two conflicting things, across crashes and restored snapshots, nor anything while it is no member.
    fn check_signature(&mut self, index: usize, chain: &Chain, message: &ConsensusMessage) {
        let us = self.members[index].keys.validator_id();
        let (kind, height, round, bytes) = match message {
            ConsensusMessage::Vote(SignedVote { vote, .. }) if vote.validator == us => {
                let kind = if vote.kind == causeway_consensus::VoteKind::Prevote { "prevote" } else { "precommit" };
                (kind, vote.height.0, vote.round.0, vote.sign_bytes(self.genesis.hash))
            }
            ConsensusMessage::Proposal(signed) if signed.proposal.proposer == us => {
                let proposal = &signed.proposal;
                ("proposal", proposal.height.0, proposal.round.0, proposal.sign_bytes(self.genesis.hash))
            }
            _ => return,
        };
        if height == chain.storage.head().number + 1 {
            assert!(chain.sets.of_next().set.get(&us).is_some(), "{index} signs a {kind} at {height} outside the set");
        }
        let lowest = self.lowest_signed.entry((index, self.lives[index])).or_insert(height);
        *lowest = height.min(*lowest);
        let first = self.signed.entry((us, kind, height, round)).or_insert_with(|| bytes.clone());
        assert_eq!(*first, bytes, "{index} signed two {kind}s at height {height}, round {round}");
    }

    pub(super) fn node(&self, index: usize) -> &Node {
        &self.members[index].up.as_ref().unwrap().0
    }

    pub(super) fn chain(&self, index: usize) -> &Chain {
        &self.members[index].up.as_ref().unwrap().1
    }

    pub(super) fn id(&self, index: usize) -> ValidatorId {
        self.members[index].keys.validator_id()
    }

    /// Everybody in the set of the height after member 0's head, by member.
    pub(super) fn set(&self) -> Vec<usize> {
        let set = self.chain(0).sets.of_next().set;
        (0..self.members.len()).filter(|index| set.get(&self.id(*index)).is_some()).collect()
    }

    /// The epoch of the height after a member's head.
    pub(super) fn epoch(&self, index: usize) -> u64 {
        let state = self.chain(index).storage.latest();
        views::epoch(&mut staking_state(state.as_ref())).unwrap().number
    }

    pub(super) fn validator(&self, index: usize) -> Option<ValidatorView> {
        let state = self.chain(0).storage.latest();
        views::validator(&mut staking_state(state.as_ref()), self.members[index].operator.address()).unwrap()
    }

    pub(super) fn head(&self, index: usize) -> u64 {
        self.members[index].up.as_ref().map_or(0, |(_, chain)| chain.storage.head().number)
    }

    pub(super) fn all_reached(&self, height: u64) -> bool {
        (0..self.members.len()).all(|index| self.members[index].up.is_none() || self.head(index) >= height)
    }

    pub(super) fn assert_agreement(&self) {
        let mut hashes: BTreeMap<u64, B256> = BTreeMap::new();
        for member in &self.members {
            let Some((_, chain)) = &member.up else { continue };
            for number in 0..=chain.storage.head().number {
                let hash = chain.storage.hash_by_number(number).unwrap().unwrap();
                assert_eq!(*hashes.entry(number).or_insert(hash), hash, "fork at height {number}");
            }
        }
    }

    pub(super) fn balance(&self, index: usize, address: Address) -> U256 {
        self.chain(index).storage.latest().account(address).unwrap().unwrap_or_default().balance
    }
}

pub(super) fn token(member: usize) -> PeerToken {
    member as PeerToken + 1
}

fn member(token: PeerToken) -> usize {
    usize::try_from(token - 1).unwrap()
}
