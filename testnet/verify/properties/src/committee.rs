//! Four validators with known keys, and their possible messages.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_consensus::{
    CommitCertificate, CommitSignature, Ed25519Signer, Height, PART_BYTES, PartList, PolkaCertificate, Proposal,
    ProposalPart, Round, RoundCertificate, RoundCertificateKind, RoundSignature, SignedProposal, SignedVote,
    Signer as _, Validator, ValidatorId, ValidatorSet, Vote, VoteKind,
};

pub(crate) const CHAIN: B256 = B256::repeat_byte(0xc4);
pub(crate) const VALIDATORS: usize = 4;

/// The keys, their set, and three blocks; the last block has two parts.
pub(crate) struct Committee {
    pub(crate) signers: Vec<Ed25519Signer>,
    pub(crate) set: ValidatorSet,
    pub(crate) blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) body: Bytes,
    pub(crate) parts: PartList,
}

impl Block {
    fn new(seed: u8, bytes: usize) -> Self {
        let body = Bytes::from(vec![seed; bytes]);
        let parts = PartList::of(&body).expect("a body of legal size");
        Self { hash: keccak256(&body), body, parts }
    }

    pub(crate) fn part(&self, height: Height, index: usize) -> Option<ProposalPart> {
        let bytes = self.body.chunks(PART_BYTES).nth(index)?;
        let index = u32::try_from(index).expect("few parts");
        Some(ProposalPart { height, root: self.parts.root(), index, bytes: Bytes::copy_from_slice(bytes) })
    }
}

pub(crate) fn signer(n: usize) -> Ed25519Signer {
    let mut secret = [0x4b; 32];
    secret[0] = u8::try_from(n).expect("few validators");
    Ed25519Signer::new(&secret)
}

/// The one committee of all targets.
pub(crate) static COMMITTEE: LazyLock<Committee> = LazyLock::new(|| {
    let signers: Vec<_> = (0..VALIDATORS).map(signer).collect();
    let set = ValidatorSet::new(signers.iter().map(|signer| Validator::new(signer.key(), 10)).collect());
    let set = set.expect("four distinct keys of equal power");
    Committee { signers, set, blocks: vec![Block::new(1, 40), Block::new(2, 90), Block::new(3, PART_BYTES + 10)] }
});

/// Signatures are cached: signing is the slowest step of a target, and the same few messages are signed repeatedly.
/// By signer and bytes.
type Signatures = HashMap<(usize, Vec<u8>), [u8; 64]>;
static SIGNED: LazyLock<Mutex<Signatures>> = LazyLock::new(Mutex::default);
const MAX_SIGNED: usize = 1 << 16;

impl Committee {
    pub(crate) fn id(&self, n: usize) -> ValidatorId {
        self.signers[n].validator()
    }

    pub(crate) fn sign(&self, n: usize, bytes: &[u8]) -> [u8; 64] {
        let mut signed = SIGNED.lock().unwrap_or_else(PoisonError::into_inner);
        if signed.len() >= MAX_SIGNED {
            signed.clear();
        }
        *signed
            .entry((n, bytes.to_vec()))
            .or_insert_with(|| self.signers[n].sign(bytes).expect("a key in memory always signs"))
    }

    /// The proposer.
    pub(crate) fn proposer(&self, height: Height, round: Round) -> usize {
        let id = self.set.proposer(height, round).id;
        (0..VALIDATORS).find(|n| self.id(*n) == id).expect("the proposer is a member")
    }

    pub(crate) fn vote(
        &self,
        n: usize,
        kind: VoteKind,
        height: Height,
        round: Round,
        hash: Option<B256>,
    ) -> SignedVote {
        let vote = Vote { kind, height, round, block_hash: hash, validator: self.id(n) };
        SignedVote { signature: self.sign(n, &vote.sign_bytes(CHAIN)), vote }
    }

    pub(crate) fn proposal(
        &self,
        n: usize,
        height: Height,
        round: Round,
        pol_round: Option<Round>,
        block: &Block,
    ) -> SignedProposal {
        let proposal = Proposal {
            height,
            round,
            pol_round,
            block_hash: block.hash,
            parts: block.parts.clone(),
            proposer: self.id(n),
        };
        SignedProposal { signature: self.sign(n, &proposal.sign_bytes(CHAIN)), proposal }
    }

    fn signatures(
        &self,
        who: u8,
        kind: VoteKind,
        height: Height,
        round: Round,
        hash: Option<B256>,
    ) -> Vec<(ValidatorId, [u8; 64])> {
        let members = (0..VALIDATORS).filter(|n| who >> n & 1 == 1);
        let mut signatures: Vec<_> =
            members.map(|n| (self.id(n), self.vote(n, kind, height, round, hash).signature)).collect();
        signatures.sort_unstable();
        signatures
    }

    /// Signatures of the members whose bits are set in `who`.
    pub(crate) fn certificate(&self, who: u8, height: Height, round: Round, hash: B256) -> CommitCertificate {
        let signatures = self.signatures(who, VoteKind::Precommit, height, round, Some(hash));
        let signatures =
            signatures.into_iter().map(|(validator, signature)| CommitSignature { validator, signature }).collect();
        CommitCertificate { height, round, block_hash: hash, signatures }
    }

    pub(crate) fn polka(&self, who: u8, height: Height, round: Round, hash: B256) -> PolkaCertificate {
        let signatures = self.signatures(who, VoteKind::Prevote, height, round, Some(hash));
        let signatures =
            signatures.into_iter().map(|(validator, signature)| CommitSignature { validator, signature }).collect();
        PolkaCertificate { height, round, block_hash: hash, signatures }
    }

    /// From votes for nil.
    pub(crate) fn round_certificate(&self, who: u8, skip: bool, height: Height, round: Round) -> RoundCertificate {
        let kind = VoteKind::Precommit;
        let signatures = self.signatures(who, kind, height, round, None).into_iter();
        let signatures = signatures
            .map(|(validator, signature)| RoundSignature { kind, block_hash: None, validator, signature })
            .collect();
        let kind = if skip { RoundCertificateKind::Skip } else { RoundCertificateKind::Precommit };
        RoundCertificate { height, round, kind, signatures }
    }
}
