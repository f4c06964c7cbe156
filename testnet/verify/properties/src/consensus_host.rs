//! The BFT host of one validator among three Byzantine ones: votes, proposals, certificates and garbage in any
//! order, with crashes in between.
//!
//! For any input, this validator never signs two conflicting messages, sends nothing that its sign state does not
//! contain, decides a height once and by a valid certificate, and recovers from its own log.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{
    CommitCertificate, ConsensusMessage, DecisionNotice, Height, Host, HostConfig, Input, Output, PartRequest,
    ProposalPart, ProposalRequest, Round, SignState, Timeouts, VoteKind,
};

use crate::committee::{Block, CHAIN, COMMITTEE, Committee, VALIDATORS, signer};
use crate::reader::Reader;
use crate::{Target, answers};

/// See the module. Two bytes of choices, then commands of a few bytes each.
pub const TARGET: Target = Target { name: "consensus_host", check, seeds, max_bytes: 1024 };

const MAX_COMMANDS: usize = 160;
/// More outputs than any input may cause.
const MAX_OUTPUTS: usize = 1024;

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut node = run(&mut Reader::new(bytes));
    node.crash(usize::MAX);
}

/// A recovered validator.
pub(crate) fn run(reader: &mut Reader<'_>) -> Node {
    let us = reader.below(VALIDATORS);
    let mut node = Node::new(us, reader.flag());
    node.start(Height(1));
    for _ in 0..MAX_COMMANDS {
        if reader.is_empty() {
            break;
        }
        node.command(reader);
    }
    node
}

/// Height, round and step.
type Scope = (Height, Round, u8);
/// The block, and the polka round of a proposal.
type Said = (Option<B256>, Option<Round>);

/// A validator with its disk and its open requests.
pub(crate) struct Node {
    all: &'static Committee,
    us: usize,
    host: Host,
    now_ms: u64,
    height: Height,
    /// Synced entries, which survive a crash.
    synced_log: Vec<Vec<u8>>,
    /// Unsynced entries, which a crash may lose.
    unsynced_log: Vec<Vec<u8>>,
    sign_state: SignState,
    /// Open requests of the host.
    to_build: Option<(Height, Round)>,
    to_judge: Vec<(Height, B256, Bytes)>,
    decided: BTreeMap<Height, (CommitCertificate, Bytes)>,
    /// All signatures of this key: block by (height, round, step).
    signed: BTreeMap<Scope, Said>,
    silent: bool,
}

impl Node {
    fn new(us: usize, silent: bool) -> Self {
        let host = host(us, silent, SignState::default());
        Self {
            all: &COMMITTEE,
            us,
            host,
            now_ms: 10_000,
            height: Height(0),
            synced_log: Vec::new(),
            unsynced_log: Vec::new(),
            sign_state: SignState::default(),
            to_build: None,
            to_judge: Vec::new(),
            decided: BTreeMap::new(),
            signed: BTreeMap::new(),
            silent,
        }
    }

    fn start(&mut self, height: Height) {
        self.height = height;
        self.to_build = None;
        self.to_judge.clear();
        self.feed(Input::StartHeight { height, validators: self.all.set.clone() });
    }

    fn feed(&mut self, input: Input) {
        let outputs = self.host.step(self.now_ms, input);
        self.perform(outputs);
        answers(self.host.status());
    }

    fn hear(&mut self, from: u64, message: ConsensusMessage) {
        self.feed(Input::Message { from, message });
        answers(self.host.verdict());
    }

    pub(crate) fn command(&mut self, reader: &mut Reader<'_>) {
        let all = self.all;
        let choice = reader.u8();
        let from = u64::from(choice >> 5);
        let other = (self.us + 1 + reader.below(VALIDATORS - 1)) % VALIDATORS;
        let at = reader.u8();
        // Mostly the present height, sometimes the next or the previous one.
        let height = match at & 7 {
            6 => Height(self.height.0 + 1),
            7 => Height(self.height.0 - 1),
            _ => self.height,
        };
        let round = Round(u32::from(at >> 3 & 3));
        let block = &all.blocks[usize::from(at >> 5) % all.blocks.len()];
        let hash = (at >> 7 == 0).then_some(block.hash);
        match choice & 31 {
            0..=3 => self.hear(from, ConsensusMessage::Vote(all.vote(other, VoteKind::Prevote, height, round, hash))),
            4..=7 => self.hear(from, ConsensusMessage::Vote(all.vote(other, VoteKind::Precommit, height, round, hash))),
            8 | 9 => {
                let proposer = all.proposer(height, round);
                let pol_round = round.0.checked_sub(1).filter(|_| at & 1 == 1).map(Round);
                // The others cannot use our key.
                let by = if proposer == self.us { other } else { proposer };
                self.hear(from, ConsensusMessage::Proposal(all.proposal(by, height, round, pol_round, block)));
            }
            10 | 11 => self.parts(from, height, block, reader),
            12 => {
                let certificate = self.certificate(reader.u8(), height, round, block.hash);
                self.hear(from, ConsensusMessage::Decision(DecisionNotice { certificate, body: block.body.clone() }));
            }
            13 => {
                let certificate = self.certificate(reader.u8(), height, round, block.hash);
                self.feed(Input::SyncedBlock { from, certificate, body: block.body.clone() });
            }
            14 => {
                let who = self.others(reader.u8());
                self.hear(from, ConsensusMessage::PolkaCertificate(all.polka(who, height, round, block.hash)));
            }
            15 => {
                let who = self.others(reader.u8());
                let certificate = all.round_certificate(who, at & 1 == 1, height, round);
                self.hear(from, ConsensusMessage::RoundCertificate(certificate));
            }
            16 => self.hear(from, ConsensusMessage::ProposalRequest(ProposalRequest { height, round })),
            17 => {
                let request = PartRequest { height, root: block.parts.root(), indices: vec![0, 1] };
                self.hear(from, ConsensusMessage::PartRequest(request));
            }
            18..=20 => self.judge(choice & 31 != 20),
            21 | 22 => self.build(block),
            23 | 24 => self.wait(u64::from(at) * 20),
            25 => {
                if let Ok(message) = ConsensusMessage::decode(reader.long()) {
                    self.hear(from, message);
                }
            }
            26 => self.garble(from, other, height, round, hash, reader),
            27 | 28 => self.crash(usize::from(at)),
            29 => self.wait(60_000),
            _ => {
                if let (true, Some(next)) = (self.decided.contains_key(&self.height), self.height.next()) {
                    self.start(next);
                }
            }
        }
    }

    /// Honest parts, or one with a wrong index or content.
    fn parts(&mut self, from: u64, height: Height, block: &Block, reader: &mut Reader<'_>) {
        let lie = reader.u8();
        for index in 0..block.parts.hashes.len() {
            let Some(mut part) = block.part(height, index) else { continue };
            match lie {
                1 => part.index = part.index.wrapping_add(1) % 64,
                2 => part = ProposalPart { bytes: Bytes::from_static(b"another"), ..part },
                3 => part.root = B256::repeat_byte(3),
                _ => {}
            }
            self.hear(from, ConsensusMessage::Part(part));
        }
    }

    /// A vote of another member with some bits of its encoding changed.
    fn garble(
        &mut self,
        from: u64,
        other: usize,
        height: Height,
        round: Round,
        hash: Option<B256>,
        reader: &mut Reader<'_>,
    ) {
        let mut bytes = ConsensusMessage::Vote(self.all.vote(other, VoteKind::Prevote, height, round, hash)).encode();
        for _ in 0..=reader.u8() & 3 {
            let at = usize::from(reader.u8()) % bytes.len();
            bytes[at] ^= reader.u8();
        }
        if let Ok(message) = ConsensusMessage::decode(&bytes) {
            self.hear(from, message);
        }
    }

    /// The bits of all members but us, and ours only where we signed the same.
    fn others(&self, who: u8) -> u8 {
        who & 15 & !(1 << self.us)
    }

    fn certificate(&self, who: u8, height: Height, round: Round, hash: B256) -> CommitCertificate {
        self.all.certificate(self.others(who), height, round, hash)
    }

    fn judge(&mut self, valid: bool) {
        let Some((height, block_hash, body)) = self.to_judge.pop() else { return };
        let valid = valid && alloy_primitives::keccak256(&body) == block_hash;
        self.feed(Input::BlockVerdict { height, block_hash, valid });
    }

    fn build(&mut self, block: &Block) {
        let Some((height, round)) = self.to_build.take() else { return };
        self.feed(Input::BlockBuilt { height, round, block_hash: block.hash, body: block.body.clone() });
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.feed(Input::Tick);
        if let Some(deadline) = self.host.next_deadline_ms() {
            assert!(deadline <= self.now_ms + 10 * Timeouts::MAX_MS, "no deadline beyond reach");
        }
    }

    /// The process ends and starts again with a changed log. It may refuse that log; if it goes on, it still
    /// signs no conflicting message.
    pub(crate) fn wake_with(&mut self, log: Vec<Vec<u8>>) -> bool {
        self.now_ms += 1_000;
        self.host = host(self.us, self.silent, self.sign_state.clone());
        self.to_build = None;
        self.to_judge.clear();
        match self.host.recover(self.now_ms, self.height, self.all.set.clone(), log) {
            Ok(outputs) => {
                self.perform(outputs);
                true
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    }

    /// The log after a clean end.
    pub(crate) fn log(&self) -> Vec<Vec<u8>> {
        self.synced_log.iter().chain(&self.unsynced_log).cloned().collect()
    }

    /// The process ends with `kept` unsynced entries on the disk, and starts again.
    fn crash(&mut self, kept: usize) {
        self.now_ms += 1_000;
        self.unsynced_log.truncate(kept);
        self.synced_log.append(&mut self.unsynced_log);
        self.host = host(self.us, self.silent, self.sign_state.clone());
        for (certificate, body) in self.decided.values().filter(|(c, _)| c.height < self.height) {
            self.host.keep_decided(certificate.clone(), body.clone());
        }
        self.to_build = None;
        self.to_judge.clear();
        let (set, log) = (self.all.set.clone(), self.synced_log.clone());
        let recovered = self.host.recover(self.now_ms, self.height, set, log);
        let outputs = recovered.expect("a host comes back from its own log");
        self.perform(outputs);
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        assert!(outputs.len() <= MAX_OUTPUTS, "{} outputs", outputs.len());
        for output in outputs {
            match output {
                Output::PersistSignState(state) => {
                    self.synced_log.append(&mut self.unsynced_log);
                    assert!(state.last() >= self.sign_state.last(), "a sign state only goes forward");
                    self.sign_state = state;
                }
                Output::AppendWal(entry) => self.unsynced_log.push(entry),
                Output::ResetWal { height } => {
                    assert_eq!(height, self.height);
                    self.synced_log.clear();
                    self.unsynced_log.clear();
                }
                Output::Broadcast(message) => {
                    self.synced_log.append(&mut self.unsynced_log);
                    self.spoken(&message);
                }
                Output::Send { message, .. } => {
                    self.synced_log.append(&mut self.unsynced_log);
                    self.spoken(&message);
                }
                Output::BuildBlock { height, round, .. } => self.to_build = Some((height, round)),
                Output::ValidateBlock { height, block_hash, body, .. } => {
                    if self.to_judge.len() < 16 {
                        self.to_judge.push((height, block_hash, body));
                    }
                }
                Output::Decided { certificate, body } => self.decided(certificate, body),
                Output::Equivocation(evidence) => {
                    let accused = evidence.validator();
                    let member = self.all.set.get(&accused).expect("only members are accused");
                    evidence.verify(CHAIN, &member.key).expect("evidence proves what it says");
                    assert_ne!(accused, self.all.id(self.us), "an honest key never signs twice");
                }
                Output::LatePrecommit(vote) => assert!(vote.verify(CHAIN, &self.all.set)),
                Output::Behind { .. } | Output::Misbehaved { .. } => {}
            }
        }
    }

    fn decided(&mut self, certificate: CommitCertificate, body: Bytes) {
        self.synced_log.append(&mut self.unsynced_log);
        certificate.verify(CHAIN, &self.all.set).expect("a decision proves itself");
        assert_eq!(certificate.height, self.height);
        assert_eq!(alloy_primitives::keccak256(&body), certificate.block_hash, "the body decided is the body judged");
        // A restart may decide the same height again. Three Byzantine members may even change the block: that is outside our guarantee.
        self.decided.insert(self.height, (certificate, body));
    }

    /// Every own message of this node is recorded, and conflicts with no earlier one.
    fn spoken(&mut self, message: &ConsensusMessage) {
        let us = self.all.id(self.us);
        let (key, what) = match message {
            ConsensusMessage::Vote(m) if m.vote.validator == us => {
                assert!(m.verify(CHAIN, &self.all.set));
                let step = if m.vote.kind == VoteKind::Prevote { 1 } else { 2 };
                ((m.vote.height, m.vote.round, step), (m.vote.block_hash, None))
            }
            ConsensusMessage::Proposal(m) if m.proposal.proposer == us => {
                assert!(m.verify(CHAIN, &self.all.set));
                let p = &m.proposal;
                ((p.height, p.round, 0), (Some(p.block_hash), p.pol_round))
            }
            _ => return,
        };
        assert!(!self.silent, "a node without a key says nothing in its name");
        assert!((key.0, key.1) <= self.sign_state.last(), "persisted before it was sent");
        let first = *self.signed.entry(key).or_insert(what);
        assert_eq!(first, what, "two conflicting messages at {key:?}");
    }
}

fn host(us: usize, silent: bool, sign_state: SignState) -> Host {
    let mut config = HostConfig::new(CHAIN);
    config.timeouts =
        Timeouts { propose_ms: 900, prevote_ms: 500, precommit_ms: 500, delta_ms: 100, rebroadcast_ms: 1_000 };
    let key = (!silent).then(|| Box::new(signer(us)) as Box<dyn causeway_consensus::Signer>);
    Host::new(config, key, sign_state)
}

/// `[command, other, at]` with `at` = block (from bit 5) | round (from bit 3) | height.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for us in 0..4u8 {
        // A decision in round 0: proposal, part, verdict, two prevotes, two precommits, next height.
        let mut decide = vec![us, 0];
        decide.extend([21, 0, 0, 8, 0, 0, 10, 0, 0, 0, 18, 0, 0]);
        decide.extend([0, 0, 0, 0, 1, 0, 0, 2, 0, 4, 0, 0, 4, 1, 0, 4, 2, 0, 30, 0, 0]);
        seeds.push(decide.clone());
        // The same, with a crash in the middle and one at the end.
        let mut crash = decide.clone();
        crash.splice(18..18, [27, 0, 1]);
        crash.extend([28, 0, 9]);
        seeds.push(crash);
        // No proposal: time-outs, a round certificate, a late decision.
        seeds.push(vec![us, 0, 29, 0, 0, 29, 0, 0, 15, 0, 0, 15, 15, 0, 8, 15, 13, 0, 8, 15, 18, 0, 0, 30, 0, 0]);
    }
    seeds.push(vec![1, 1, 13, 0, 0, 15, 18, 0, 0, 30, 0, 0, 13, 0, 0, 15, 18, 0, 0]);
    seeds.push(vec![2, 0, 26, 0, 0, 1, 9, 3, 4, 5, 14, 1, 32, 15, 16, 0, 0, 17, 0, 0, 29, 0, 0]);
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without this, the properties above would hold trivially.
    #[test]
    fn seeds_lead_to_signatures_decisions_and_logs() {
        let nodes: Vec<_> = seeds().iter().map(|seed| run(&mut Reader::new(seed))).collect();
        let decided: usize = nodes.iter().map(|node| node.decided.len()).sum();
        let signed: usize = nodes.iter().map(|node| node.signed.len()).sum();
        let logged: usize = nodes.iter().map(|node| node.log().len()).sum();
        assert!(decided >= 8 && signed >= 16 && logged > 0, "{decided} decided, {signed} signed, {logged} logged");
    }
}
