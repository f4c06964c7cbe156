//! A deterministic network of hosts: one seed gives one order of events. Outputs are performed in order, as a caller must. A
//! crash may come between any two of them; unsynced log entries may be lost; messages may be lost, delayed, duplicated and
//! reordered; Byzantine members equivocate.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_consensus::*;

pub(crate) const CHAIN: B256 = B256::repeat_byte(0xc4);

/// SplitMix64: small, seeded, and random enough for schedules.
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub(crate) fn secret(n: usize) -> [u8; 32] {
    let mut secret = [0x5e; 32];
    secret[..8].copy_from_slice(&(n as u64).to_le_bytes());
    secret
}

pub(crate) fn validator_set(powers: &[u64]) -> ValidatorSet {
    let members = powers.iter().enumerate();
    let members = members.filter(|(_, power)| **power > 0);
    ValidatorSet::new(members.map(|(n, p)| Validator::new(Ed25519Signer::new(&secret(n)).key(), *p)).collect()).unwrap()
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) powers: Vec<u64>,
    /// The powers of each epoch in turn, the last ones for ever; 0 means not a member. Empty: `powers` in every epoch.
    pub(crate) epochs: Vec<Vec<u64>>,
    /// Heights in an epoch.
    pub(crate) epoch_length: u64,
    /// Nodes without a key, after the validators.
    pub(crate) followers: usize,
    pub(crate) loss_percent: u64,
    pub(crate) duplicate_percent: u64,
    pub(crate) delay_ms: (u64, u64),
    /// Chance of a crash at each performed output, in 1/10,000.
    pub crash_per_10k: u64,
    /// Chance that a crash also loses the whole log (the sign state survives).
    pub(crate) lose_log_percent: u64,
    /// The nodes that may lose their logs; empty means all.
    pub(crate) log_losers: BTreeSet<usize>,
    /// Byzantine members: they vote and propose differently to odd and even peers.
    pub(crate) equivocators: BTreeSet<usize>,
    /// Members that never send a message.
    pub(crate) silent: BTreeSet<usize>,
    pub(crate) body_bytes: usize,
    /// Whether a node fetches decided blocks when told it is behind.
    pub(crate) sync: bool,
    /// Chance that the application gives no verdict (a local failure).
    pub(crate) no_verdict_percent: u64,
    pub(crate) timeouts: Timeouts,
    /// After this time the network is perfect and nobody crashes.
    pub(crate) heal_ms: u64,
}

impl Settings {
    pub(crate) fn new(seed: u64, validators: usize) -> Self {
        Self {
            seed,
            powers: vec![10; validators],
            epochs: Vec::new(),
            epoch_length: 5,
            followers: 0,
            loss_percent: 0,
            duplicate_percent: 0,
            delay_ms: (5, 40),
            crash_per_10k: 0,
            lose_log_percent: 0,
            log_losers: BTreeSet::new(),
            equivocators: BTreeSet::new(),
            silent: BTreeSet::new(),
            body_bytes: 300,
            sync: true,
            no_verdict_percent: 0,
            timeouts: Timeouts {
                propose_ms: 400,
                prevote_ms: 200,
                precommit_ms: 200,
                delta_ms: 100,
                rebroadcast_ms: 300,
            },
            heal_ms: u64::MAX,
        }
    }
}

enum Event {
    Deliver { to: usize, from: usize, message: ConsensusMessage },
    Feed { to: usize, life: u64, input: Input },
    Sync { to: usize, life: u64, peer: usize },
    Restart { node: usize },
}

pub(crate) struct Node {
    pub(crate) host: Option<Host>,
    pub(crate) chain: Vec<(CommitCertificate, Bytes)>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) misbehaved: Vec<(PeerToken, Misbehaviour)>,
    sign_state: SignState,
    log: Vec<Vec<u8>>,
    log_height: Height,
    unsynced: Vec<Vec<u8>>,
    /// Counts restarts, so that answers to requests from before a restart are ignored.
    pub(crate) life: u64,
}

pub(crate) struct Sim {
    pub(crate) settings: Settings,
    /// The set of each epoch, the last one for ever.
    pub(crate) sets: Vec<ValidatorSet>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now_ms: u64,
    pub(crate) rng: Rng,
    pub(crate) crashes: u64,
    pub(crate) recoveries: u64,
    pub(crate) highest_round: u32,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    /// Everything that honest keys signed, by the slot in which only one signature is allowed.
    signed: BTreeMap<(ValidatorId, u8, Height, Round), Vec<u8>>,
    /// Links that are cut.
    pub(crate) cut: BTreeSet<(usize, usize)>,
}

pub(crate) fn body_of(height: Height, previous: B256, salt: u64, bytes: usize) -> Bytes {
    let mut body = borsh::to_vec(&(height.0, previous, salt)).unwrap();
    let pattern = (salt % 251) as u8;
    body.resize(body.len().max(bytes), pattern);
    body.into()
}

impl Sim {
    pub(crate) fn new(settings: Settings) -> Self {
        let epochs = if settings.epochs.is_empty() { vec![settings.powers.clone()] } else { settings.epochs.clone() };
        let sets = epochs.iter().map(|powers| validator_set(powers)).collect();
        let count = settings.powers.len() + settings.followers;
        let mut sim = Self {
            rng: Rng(settings.seed),
            sets,
            nodes: Vec::new(),
            now_ms: 1_000_000,
            crashes: 0,
            recoveries: 0,
            highest_round: 0,
            events: BTreeMap::new(),
            sequence: 0,
            signed: BTreeMap::new(),
            cut: BTreeSet::new(),
            settings,
        };
        for _ in 0..count {
            sim.nodes.push(Node {
                host: None,
                chain: Vec::new(),
                evidence: Vec::new(),
                misbehaved: Vec::new(),
                sign_state: SignState::default(),
                log: Vec::new(),
                log_height: Height(0),
                unsynced: Vec::new(),
                life: 0,
            });
        }
        for node in 0..count {
            sim.boot(node);
        }
        sim
    }

    /// The validators of a height.
    pub(crate) fn set_at(&self, height: Height) -> &ValidatorSet {
        let epoch = (height.0 - 1) / self.settings.epoch_length;
        self.sets.get(epoch as usize).or(self.sets.last()).unwrap()
    }

    /// Makes a host start `height`, as a node does when the previous block is durable.
    fn start_height(&mut self, node: usize, height: Height) -> Input {
        let upcoming = self.set_at(Height(height.0 + self.settings.epoch_length)).clone();
        if let Some(host) = &mut self.nodes[node].host {
            host.note_upcoming(Some(upcoming));
        }
        Input::StartHeight { height, validators: self.set_at(height).clone() }
    }

    fn is_validator(&self, node: usize) -> bool {
        node < self.settings.powers.len()
    }

    pub(crate) fn is_honest(&self, node: usize) -> bool {
        !self.settings.equivocators.contains(&node)
    }

    fn healed(&self) -> bool {
        self.now_ms >= 1_000_000 + self.settings.heal_ms.min(u64::MAX / 2)
    }

    fn later(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn head(&self, node: usize) -> B256 {
        self.nodes[node].chain.last().map_or(B256::ZERO, |(certificate, _)| certificate.block_hash)
    }

    fn boot(&mut self, node: usize) {
        let mut config = HostConfig::new(CHAIN);
        config.timeouts = self.settings.timeouts;
        let signer: Option<Box<dyn Signer>> =
            if self.is_validator(node) { Some(Box::new(Ed25519Signer::new(&secret(node)))) } else { None };
        let mut host = Host::new(config, signer, self.nodes[node].sign_state.clone());
        for (certificate, body) in self.nodes[node].chain.iter().rev().take(5).rev() {
            host.keep_decided(certificate.clone(), body.clone());
        }
        let height = Height(self.nodes[node].chain.len() as u64 + 1);
        host.note_upcoming(Some(self.set_at(Height(height.0 + self.settings.epoch_length)).clone()));
        let log = self.nodes[node].log.clone();
        let outputs = if log.is_empty() || self.nodes[node].log_height != height {
            host.step(self.now_ms, Input::StartHeight { height, validators: self.set_at(height).clone() })
        } else {
            self.recoveries += 1;
            host.recover(self.now_ms, height, self.set_at(height).clone(), log.clone()).unwrap_or_else(|error| {
                for (index, entry) in log.iter().enumerate() {
                    eprintln!("{index}: {}", describe(entry));
                }
                panic!("seed {}, node {node}: an intact log does not replay: {error}", self.settings.seed)
            })
        };
        self.nodes[node].host = Some(host);
        self.nodes[node].life += 1;
        self.perform(node, outputs);
    }

    fn crash(&mut self, node: usize) {
        self.crashes += 1;
        let may_lose = self.settings.log_losers.is_empty() || self.settings.log_losers.contains(&node);
        let lose_log = self.rng.chance(self.settings.lose_log_percent) && may_lose;
        // Any prefix of the unsynced entries may have reached the disk.
        let kept = self.rng.below(self.nodes[node].unsynced.len() as u64 + 1) as usize;
        let down_ms = 50 + self.rng.below(1_500);
        let state = &mut self.nodes[node];
        state.host = None;
        let unsynced = std::mem::take(&mut state.unsynced);
        state.log.extend(unsynced.into_iter().take(kept));
        if lose_log {
            state.log.clear();
        }
        self.later(down_ms, Event::Restart { node });
    }

    /// Performs outputs in order; a crash may come before any of them.
    fn perform(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            if self.settings.crash_per_10k > 0 && !self.healed() && self.rng.below(10_000) < self.settings.crash_per_10k
            {
                self.crash(node);
                return;
            }
            let life = self.nodes[node].life;
            match output {
                Output::PersistSignState(state) => {
                    self.sync_log(node);
                    self.nodes[node].sign_state = state;
                }
                Output::AppendWal(entry) => self.nodes[node].unsynced.push(entry),
                Output::ResetWal { height } => {
                    assert_eq!(height.0, self.nodes[node].chain.len() as u64 + 1);
                    self.nodes[node].log_height = height;
                    self.nodes[node].log.clear();
                    self.nodes[node].unsynced.clear();
                }
                Output::Broadcast(message) => {
                    self.sync_log(node);
                    self.check_own_signature(node, &message);
                    if self.settings.silent.contains(&node) {
                        continue;
                    }
                    for to in 0..self.nodes.len() {
                        if to != node {
                            self.transmit(node, to, message.clone());
                        }
                    }
                }
                Output::Send { to, message } => {
                    self.sync_log(node);
                    self.transmit(node, to as usize, message);
                }
                Output::BuildBlock { height, round, deadline_ms } => {
                    assert!(deadline_ms >= self.now_ms);
                    assert_eq!(height.0, self.nodes[node].chain.len() as u64 + 1);
                    let salt = self.rng.next();
                    let body = body_of(height, self.head(node), salt, self.settings.body_bytes);
                    let block_hash = keccak256(&body);
                    let delay = 1 + self.rng.below(30);
                    let input = Input::BlockBuilt { height, round, block_hash, body };
                    self.later(delay, Event::Feed { to: node, life, input });
                }
                Output::ValidateBlock { height, block_hash, body, .. } => {
                    if !self.healed() && self.rng.chance(self.settings.no_verdict_percent) {
                        continue;
                    }
                    let fields: Option<(u64, B256, u64)> = borsh::from_slice(&body[..body.len().min(48)]).ok();
                    let valid = keccak256(&body) == block_hash
                        && fields.is_some_and(|(h, previous, _)| h == height.0 && previous == self.head(node));
                    let delay = 1 + self.rng.below(30);
                    let input = Input::BlockVerdict { height, block_hash, valid };
                    self.later(delay, Event::Feed { to: node, life, input });
                }
                Output::Decided { certificate, body } => {
                    self.sync_log(node);
                    let height = Height(self.nodes[node].chain.len() as u64 + 1);
                    assert_eq!(certificate.height, height, "one decision a height");
                    assert_eq!(certificate.block_hash, keccak256(&body), "the body is the decided block's");
                    certificate.verify(CHAIN, self.set_at(height)).expect("decisions carry a valid certificate");
                    self.nodes[node].chain.push((certificate, body));
                    self.check_agreement(node);
                    let delay = 1 + self.rng.below(20);
                    let input = self.start_height(node, height.next().unwrap());
                    self.later(delay, Event::Feed { to: node, life, input });
                }
                Output::Equivocation(evidence) => {
                    let accused = (0..self.settings.powers.len())
                        .find(|n| Ed25519Signer::new(&secret(*n)).validator() == evidence.validator())
                        .unwrap();
                    assert!(!self.is_honest(accused), "seed {}: {evidence:?}", self.settings.seed);
                    evidence.verify(CHAIN, &Ed25519Signer::new(&secret(accused)).key()).unwrap();
                    self.nodes[node].evidence.push(evidence);
                }
                Output::LatePrecommit(vote) => {
                    let (certificate, _) = &self.nodes[node].chain[vote.vote.height.0 as usize - 1];
                    if let Some(other) = certificate.contradicted_by(&vote) {
                        self.nodes[node].evidence.push(Evidence::of_votes(other, vote));
                    }
                }
                Output::Behind { peer, .. } => {
                    if self.settings.sync {
                        self.later(20, Event::Sync { to: node, life, peer: peer as usize });
                    }
                }
                Output::Misbehaved { peer, reason } => {
                    assert!(!self.is_honest(peer as usize), "honest node {peer} blamed: {reason}");
                    self.nodes[node].misbehaved.push((peer, reason));
                }
            }
        }
    }

    fn sync_log(&mut self, node: usize) {
        let entries = std::mem::take(&mut self.nodes[node].unsynced);
        self.nodes[node].log.extend(entries);
    }

    /// I5: an honest key never signs two conflicting messages, across crashes too.
    fn check_own_signature(&mut self, node: usize, message: &ConsensusMessage) {
        if !self.is_validator(node) {
            assert!(
                !matches!(message, ConsensusMessage::Vote(_) | ConsensusMessage::Proposal(_)),
                "a follower is silent"
            );
            return;
        }
        let us = Ed25519Signer::new(&secret(node)).validator();
        let (key, bytes) = match message {
            ConsensusMessage::Vote(SignedVote { vote, .. }) if vote.validator == us => {
                ((us, vote.kind as u8, vote.height, vote.round), vote.sign_bytes(CHAIN))
            }
            ConsensusMessage::Proposal(SignedProposal { proposal, .. }) if proposal.proposer == us => {
                ((us, 9, proposal.height, proposal.round), proposal.sign_bytes(CHAIN))
            }
            _ => return,
        };
        assert!(
            self.set_at(key.2).get(&us).is_some(),
            "seed {}: node {node} signs outside the set",
            self.settings.seed
        );
        self.highest_round = self.highest_round.max(key.3.0);
        let first = self.signed.entry(key).or_insert_with(|| bytes.clone());
        assert_eq!(*first, bytes, "seed {}: node {node} signed twice at {key:?}", self.settings.seed);
    }

    /// I1: agreement.
    fn check_agreement(&self, node: usize) {
        let at = self.nodes[node].chain.len() - 1;
        let hash = self.nodes[node].chain[at].0.block_hash;
        for other in self.nodes.iter().filter_map(|n| n.chain.get(at)) {
            assert_eq!(other.0.block_hash, hash, "seed {}: fork at {}", self.settings.seed, at + 1);
        }
    }

    fn transmit(&mut self, from: usize, to: usize, message: ConsensusMessage) {
        let healed = self.healed();
        if self.cut.contains(&(from, to)) || (!healed && self.rng.chance(self.settings.loss_percent)) {
            return;
        }
        // Messages pass through the codec, as on the network.
        let decoded = ConsensusMessage::decode(&message.encode()).expect("own messages decode");
        assert_eq!(decoded, message);
        let message = if self.is_honest(from) { message } else { self.twist(from, to, message) };
        let copies = 1 + u64::from(!healed && self.rng.chance(self.settings.duplicate_percent));
        for _ in 0..copies {
            let (least, most) = self.settings.delay_ms;
            let delay = least + self.rng.below(most - least + 1);
            self.later(delay, Event::Deliver { to, from, message: message.clone() });
        }
    }

    /// The equivocator, towards odd peers: a vote for a block becomes nil, a vote for nil becomes a vote for an unknown
    /// block, and a proposal has a garbage body under the same hash.
    fn twist(&mut self, from: usize, to: usize, message: ConsensusMessage) -> ConsensusMessage {
        let signer = Ed25519Signer::new(&secret(from));
        if to.is_multiple_of(2) {
            return message;
        }
        match message {
            ConsensusMessage::Vote(mut signed) if signed.vote.validator == signer.validator() => {
                signed.vote.block_hash =
                    if signed.vote.block_hash.is_some() { None } else { Some(B256::repeat_byte(0xbd)) };
                signed.signature = signer.sign(&signed.vote.sign_bytes(CHAIN)).unwrap();
                ConsensusMessage::Vote(signed)
            }
            ConsensusMessage::Proposal(mut signed) if signed.proposal.proposer == signer.validator() => {
                let body = vec![from as u8; 1 + self.settings.body_bytes / 2];
                signed.proposal.parts = PartList::of(&body).unwrap();
                signed.signature = signer.sign(&signed.proposal.sign_bytes(CHAIN)).unwrap();
                let part = ProposalPart {
                    height: signed.proposal.height,
                    root: signed.proposal.parts.root(),
                    index: 0,
                    bytes: body.into(),
                };
                self.later(30, Event::Deliver { to, from, message: ConsensusMessage::Part(part) });
                ConsensusMessage::Proposal(signed)
            }
            other => other,
        }
    }

    /// Runs until `done` returns true or the time is over; returns whether `done` returned true.
    pub(crate) fn run_until(&mut self, until_ms: u64, mut done: impl FnMut(&Sim) -> bool) -> bool {
        while !done(self) {
            let next_event = self.events.first_key_value().map(|((at, _), _)| *at);
            let hosts = self.nodes.iter().enumerate();
            let next_tick =
                hosts.filter_map(|(n, node)| Some((node.host.as_ref()?.next_deadline_ms()?.max(self.now_ms), n))).min();
            let event_first = match (next_event, next_tick) {
                (None, None) => return false,
                (Some(event), Some((tick, _))) => event <= tick,
                (event, _) => event.is_some(),
            };
            let at = if event_first { next_event } else { next_tick.map(|(at, _)| at) }.unwrap();
            if at > until_ms + 1_000_000 {
                return false;
            }
            self.now_ms = self.now_ms.max(at);
            if event_first {
                let (_, event) = self.events.pop_first().unwrap();
                self.handle(event);
            } else {
                self.step(next_tick.unwrap().1, Input::Tick);
            }
        }
        true
    }

    /// Runs until every honest node that is not silent has decided `height`.
    pub(crate) fn run_to_height(&mut self, height: u64, until_ms: u64) -> bool {
        let members: Vec<_> =
            (0..self.nodes.len()).filter(|n| self.is_honest(*n) && !self.settings.silent.contains(n)).collect();
        self.run_until(until_ms, |sim| members.iter().all(|n| sim.nodes[*n].chain.len() as u64 >= height))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, message } => {
                self.step(to, Input::Message { from: from as PeerToken, message });
            }
            Event::Feed { to, life, input } => {
                if self.nodes[to].life == life {
                    self.step(to, input);
                }
            }
            Event::Sync { to, life, peer } => {
                let next = self.nodes[to].chain.len();
                if let Some((certificate, body)) = self.nodes[peer].chain.get(next).cloned()
                    && self.nodes[to].life == life
                {
                    self.step(to, Input::SyncedBlock { from: peer as PeerToken, certificate, body });
                }
            }
            Event::Restart { node } => self.boot(node),
        }
    }

    fn step(&mut self, node: usize, input: Input) {
        let now_ms = self.now_ms;
        let Some(host) = &mut self.nodes[node].host else { return };
        let outputs = host.step(now_ms, input);
        self.perform(node, outputs);
    }
}

/// A readable form of a log entry.
fn describe(entry: &[u8]) -> String {
    match entry[0] {
        0 | 6 => format!("{:?}", borsh::from_slice::<SignedVote>(&entry[1..]).unwrap().vote),
        1 | 7 => format!("{:?}", borsh::from_slice::<SignedProposal>(&entry[1..]).unwrap().proposal),
        2 => {
            let polka = borsh::from_slice::<PolkaCertificate>(&entry[1..]).unwrap();
            format!("Polka {:?} {} by {}", polka.round, polka.block_hash, polka.signatures.len())
        }
        3 => format!("Body of {} bytes", entry.len()),
        4 => format!("Verdict {:?}", &entry[9..]),
        5 => format!("Timeout {:?}", &entry[9..]),
        other => format!("tag {other}"),
    }
}
