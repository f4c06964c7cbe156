//! One host under test, and the keys of all validators to sign any message of any validator.

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_consensus::*;

pub(crate) const CHAIN: B256 = B256::repeat_byte(0xc4);
pub(crate) const PEER: PeerToken = 77;

/// A block for tests: a body and its hash.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) body: Bytes,
}

pub(crate) fn block(seed: u8, bytes: usize) -> Block {
    let body = Bytes::from(vec![seed; bytes]);
    Block { hash: keccak256(&body), body }
}

pub(crate) struct Kit {
    pub(crate) signers: Vec<Ed25519Signer>,
    pub(crate) set: ValidatorSet,
    pub(crate) host: Host,
    pub(crate) us: usize,
    pub(crate) now_ms: u64,
}

pub(crate) fn signer(n: usize) -> Ed25519Signer {
    let mut secret = [0x4b; 32];
    secret[..8].copy_from_slice(&(n as u64).to_le_bytes());
    Ed25519Signer::new(&secret)
}

pub(crate) fn config() -> HostConfig {
    let mut config = HostConfig::new(CHAIN);
    config.timeouts =
        Timeouts { propose_ms: 900, prevote_ms: 500, precommit_ms: 500, delta_ms: 100, rebroadcast_ms: 1_000 };
    config
}

impl Kit {
    /// `count` validators of equal power; the host is validator `us`, and no height is started.
    pub(crate) fn idle(count: usize, us: usize) -> Self {
        let signers: Vec<_> = (0..count).map(signer).collect();
        let set = ValidatorSet::new(signers.iter().map(|s| Validator::new(s.key(), 10)).collect()).unwrap();
        let host = Host::new(config(), Some(Box::new(signer(us))), SignState::default());
        Self { signers, set, host, us, now_ms: 10_000 }
    }

    /// As [`Kit::idle`], but the host does not propose height 1, and height 1 is started.
    pub(crate) fn started(count: usize) -> Self {
        let us = Self::idle(count, 0).someone_but(Height(1), 0);
        let mut kit = Self::idle(count, us);
        kit.start(1);
        kit
    }

    fn someone_but(&self, height: Height, round: u32) -> usize {
        (0..self.signers.len()).find(|n| *n != self.proposer(height.0, round)).unwrap()
    }

    pub(crate) fn id(&self, n: usize) -> ValidatorId {
        self.signers[n].validator()
    }

    pub(crate) fn others(&self) -> Vec<usize> {
        (0..self.signers.len()).filter(|n| *n != self.us).collect()
    }

    /// Number of the proposer.
    pub(crate) fn proposer(&self, height: u64, round: u32) -> usize {
        let id = self.set.proposer(Height(height), Round(round)).id;
        self.signers.iter().position(|s| s.validator() == id).unwrap()
    }

    pub(crate) fn feed(&mut self, input: Input) -> Vec<Output> {
        self.host.step(self.now_ms, input)
    }

    pub(crate) fn start(&mut self, height: u64) -> Vec<Output> {
        let validators = self.set.clone();
        self.feed(Input::StartHeight { height: Height(height), validators })
    }

    pub(crate) fn hear(&mut self, message: ConsensusMessage) -> Vec<Output> {
        self.feed(Input::Message { from: PEER, message })
    }

    /// Moves the clock to the host's deadlines until `until_ms` from now has passed.
    pub(crate) fn wait(&mut self, ms: u64) -> Vec<Output> {
        let end = self.now_ms + ms;
        let mut outputs = Vec::new();
        while let Some(at) = self.host.next_deadline_ms().filter(|at| *at <= end) {
            self.now_ms = self.now_ms.max(at);
            outputs.extend(self.feed(Input::Tick));
        }
        self.now_ms = end;
        outputs
    }

    pub(crate) fn signed_vote(
        &self,
        n: usize,
        kind: VoteKind,
        height: u64,
        round: u32,
        hash: Option<B256>,
    ) -> SignedVote {
        let vote = Vote { kind, height: Height(height), round: Round(round), block_hash: hash, validator: self.id(n) };
        let signature = self.signers[n].sign(&vote.sign_bytes(CHAIN)).unwrap();
        SignedVote { vote, signature }
    }

    pub(crate) fn prevote(&self, n: usize, height: u64, round: u32, hash: Option<B256>) -> ConsensusMessage {
        ConsensusMessage::Vote(self.signed_vote(n, VoteKind::Prevote, height, round, hash))
    }

    pub(crate) fn precommit(&self, n: usize, height: u64, round: u32, hash: Option<B256>) -> ConsensusMessage {
        ConsensusMessage::Vote(self.signed_vote(n, VoteKind::Precommit, height, round, hash))
    }

    /// A proposal by the proposer of that round.
    pub(crate) fn proposal(&self, height: u64, round: u32, pol_round: Option<u32>, block: &Block) -> SignedProposal {
        let n = self.proposer(height, round);
        self.sign_proposal(
            n,
            Proposal {
                height: Height(height),
                round: Round(round),
                pol_round: pol_round.map(Round),
                block_hash: block.hash,
                parts: PartList::of(&block.body).unwrap(),
                proposer: self.id(n),
            },
        )
    }

    pub(crate) fn sign_proposal(&self, n: usize, proposal: Proposal) -> SignedProposal {
        let signature = self.signers[n].sign(&proposal.sign_bytes(CHAIN)).unwrap();
        SignedProposal { proposal, signature }
    }

    pub(crate) fn parts(&self, height: u64, block: &Block) -> Vec<ConsensusMessage> {
        let list = PartList::of(&block.body).unwrap();
        let root = list.root();
        let chunks = (0u32..).zip(block.body.chunks(PART_BYTES));
        chunks
            .map(|(index, bytes)| {
                let bytes = Bytes::copy_from_slice(bytes);
                ConsensusMessage::Part(ProposalPart { height: Height(height), root, index, bytes })
            })
            .collect()
    }

    /// The proposal, its parts, and the caller's verdict on it.
    pub(crate) fn propose_valid(
        &mut self,
        height: u64,
        round: u32,
        pol_round: Option<u32>,
        block: &Block,
    ) -> Vec<Output> {
        let mut outputs = self.hear(ConsensusMessage::Proposal(self.proposal(height, round, pol_round, block)));
        for part in self.parts(height, block) {
            outputs.extend(self.hear(part));
        }
        outputs.extend(self.verdict(height, block, true));
        outputs
    }

    pub(crate) fn verdict(&mut self, height: u64, block: &Block, valid: bool) -> Vec<Output> {
        self.feed(Input::BlockVerdict { height: Height(height), block_hash: block.hash, valid })
    }

    /// A commit certificate by the first `signers` validators, sorted.
    pub(crate) fn certificate(&self, height: u64, round: u32, hash: B256, signers: usize) -> CommitCertificate {
        let votes = (0..signers).map(|n| self.signed_vote(n, VoteKind::Precommit, height, round, Some(hash)));
        let mut signatures: Vec<_> =
            votes.map(|v| CommitSignature { validator: v.vote.validator, signature: v.signature }).collect();
        signatures.sort();
        CommitCertificate { height: Height(height), round: Round(round), block_hash: hash, signatures }
    }

    pub(crate) fn polka(&self, height: u64, round: u32, hash: B256, signers: usize) -> PolkaCertificate {
        let votes = (0..signers).map(|n| self.signed_vote(n, VoteKind::Prevote, height, round, Some(hash)));
        let mut signatures: Vec<_> =
            votes.map(|v| CommitSignature { validator: v.vote.validator, signature: v.signature }).collect();
        signatures.sort();
        PolkaCertificate { height: Height(height), round: Round(round), block_hash: hash, signatures }
    }

    /// Nil precommits of the first `signers` validators: leaves `round`.
    pub(crate) fn round_certificate(
        &self,
        kind: RoundCertificateKind,
        height: u64,
        round: u32,
        signers: usize,
    ) -> RoundCertificate {
        let votes = (0..signers).map(|n| self.signed_vote(n, VoteKind::Precommit, height, round, None));
        let mut signatures: Vec<_> = votes
            .map(|v| RoundSignature {
                kind: VoteKind::Precommit,
                block_hash: None,
                validator: v.vote.validator,
                signature: v.signature,
            })
            .collect();
        signatures.sort_by_key(|s| s.validator);
        RoundCertificate { height: Height(height), round: Round(round), kind, signatures }
    }

    /// Decides `height` in round 0 for `block` with the votes of all validators.
    pub(crate) fn decide(&mut self, height: u64, block: &Block) -> Vec<Output> {
        let mut outputs = self.propose_valid(height, 0, None, block);
        for n in self.others() {
            outputs.extend(self.hear(self.prevote(n, height, 0, Some(block.hash))));
        }
        for n in self.others() {
            outputs.extend(self.hear(self.precommit(n, height, 0, Some(block.hash))));
        }
        outputs
    }
}

/// The votes broadcast in `outputs`.
pub(crate) fn votes(outputs: &[Output]) -> Vec<Vote> {
    let votes = outputs.iter().filter_map(|output| match output {
        Output::Broadcast(ConsensusMessage::Vote(signed)) => Some(signed.vote.clone()),
        _ => None,
    });
    votes.collect()
}

/// The blocks voted for in `outputs`, by kind.
pub(crate) fn voted(outputs: &[Output], kind: VoteKind) -> Vec<Option<B256>> {
    votes(outputs).into_iter().filter(|vote| vote.kind == kind).map(|vote| vote.block_hash).collect()
}

pub(crate) fn decided(outputs: &[Output]) -> Option<(&CommitCertificate, &Bytes)> {
    outputs.iter().find_map(|output| match output {
        Output::Decided { certificate, body } => Some((certificate, body)),
        _ => None,
    })
}

pub(crate) fn blamed(outputs: &[Output]) -> Option<&Misbehaviour> {
    outputs.iter().find_map(|output| match output {
        Output::Misbehaved { reason, .. } => Some(reason),
        _ => None,
    })
}

pub(crate) fn log(outputs: &[Output]) -> Vec<Vec<u8>> {
    let entries = outputs.iter().filter_map(|output| match output {
        Output::AppendWal(entry) => Some(entry.clone()),
        _ => None,
    });
    entries.collect()
}

pub(crate) fn last_sign_state(outputs: &[Output]) -> Option<SignState> {
    outputs.iter().rev().find_map(|output| match output {
        Output::PersistSignState(state) => Some(state.clone()),
        _ => None,
    })
}

pub(crate) fn sent(outputs: &[Output]) -> Vec<&ConsensusMessage> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    sent.collect()
}

pub(crate) fn asked(outputs: &[Output]) -> Vec<(B256, Bytes)> {
    let asked = outputs.iter().filter_map(|output| match output {
        Output::ValidateBlock { block_hash, body, .. } => Some((*block_hash, body.clone())),
        _ => None,
    });
    asked.collect()
}
