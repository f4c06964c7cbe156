//! Signatures of a member's keys outside its node, and certificates assembled from pieces.

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{
    CommitSignature, ConsensusMessage, Ed25519Signer, Height, PART_BYTES, PartList, Proposal, ProposalPart, Round,
    SIGNATURE_BYTES, SignedProposal, SignedVote, Signer, Vote, VoteKind,
};
use causeway_genesis::NodeKeys;
use causeway_network::GossipMessage;
use causeway_peg::{Attestation, LocalPegSigner, PegMessage};

use super::Context;
use crate::{rng::Rng, setup};

/// Keys of strangers: of machines that no world has.
const STRANGERS: usize = 10_000;

/// The content of a vote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ballot {
    pub(super) kind: VoteKind,
    pub(super) height: u64,
    pub(super) round: u32,
    pub(super) block: Option<B256>,
}

pub(super) fn say(message: ConsensusMessage) -> GossipMessage {
    GossipMessage::Consensus(message)
}

/// Signs with an ed25519 key in memory.
pub(super) fn sign(keys: &NodeKeys, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
    Ed25519Signer::new(keys.consensus.expose()).sign(bytes).expect("a key in memory always signs")
}

/// A vote signed with `keys`.
pub(super) fn vote_of(keys: &NodeKeys, chain: B256, ballot: Ballot) -> SignedVote {
    let Ballot { kind, height, round, block } = ballot;
    let vote =
        Vote { kind, height: Height(height), round: Round(round), block_hash: block, validator: keys.validator_id() };
    SignedVote { signature: sign(keys, &vote.sign_bytes(chain)), vote }
}

/// A vote as a message.
pub(super) fn vote(out: &Context<'_>, ballot: Ballot) -> GossipMessage {
    say(ConsensusMessage::Vote(vote_of(&out.own.keys, out.genesis.hash, ballot)))
}

/// The member's own signature in a certificate of votes as `ballot` says.
pub(super) fn own_signature(out: &Context<'_>, ballot: Ballot) -> CommitSignature {
    signature_of(&vote_of(&out.own.keys, out.genesis.hash, ballot))
}

pub(super) fn signature_of(signed: &SignedVote) -> CommitSignature {
    CommitSignature { validator: signed.vote.validator, signature: signed.signature }
}

/// A valid signature by a stranger.
pub(super) fn strangers_signature(out: &mut Context<'_>, ballot: Ballot) -> CommitSignature {
    let keys = setup::node_keys(STRANGERS + out.rng.index(100));
    signature_of(&vote_of(&keys, out.genesis.hash, ballot))
}

/// A proposal of this member.
pub(super) fn propose(out: &Context<'_>, proposal: Proposal) -> SignedProposal {
    SignedProposal { signature: sign(&out.own.keys, &proposal.sign_bytes(out.genesis.hash)), proposal }
}

/// The parts of a body in `list`.
pub(super) fn parts(height: Height, list: &PartList, body: &Bytes) -> Vec<ProposalPart> {
    let root = list.root();
    let part =
        |(index, bytes): (u32, &[u8])| ProposalPart { height, root, index, bytes: Bytes::copy_from_slice(bytes) };
    (0..).zip(body.chunks(PART_BYTES)).map(part).collect()
}

/// An attestation by this member's peg key; `None` on a chain without a parent.
pub(super) fn attest(out: &Context<'_>, attestation: Attestation) -> Option<GossipMessage> {
    let domain = out.genesis.peg_domain()?;
    let signer = LocalPegSigner::new((*out.own.keys.peg.expose()).into()).ok()?;
    PegMessage::sign(&domain, attestation, &signer).ok().map(GossipMessage::Peg)
}

/// The attestation in a message, when this member gave it.
pub(super) fn own_attestation(out: &Context<'_>, message: &GossipMessage) -> Option<Attestation> {
    match message {
        GossipMessage::Peg(message) if message.signer == out.own.keys.peg_address() => Some(message.attestation),
        _ => None,
    }
}

/// A random hash.
pub(super) fn phantom(rng: &mut Rng) -> B256 {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|word| word.copy_from_slice(&rng.bits().to_be_bytes()));
    B256::from(bytes)
}

/// A set of machines drawn as bits, by machine modulo 64.
pub(super) fn is_among(bits: u64, machine: usize) -> bool {
    bits >> (machine % 64) & 1 == 1
}
