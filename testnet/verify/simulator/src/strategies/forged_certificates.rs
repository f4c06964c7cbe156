//! Forged locks and commits: certificates of polkas, rounds and decisions with a signer counted twice, with signers of no set,
//! of too little power, of other votes or of another height; and proposals with a polka that never existed.

use causeway_consensus::{
    CommitCertificate, CommitSignature, ConsensusMessage, DecisionNotice, Height, PolkaCertificate, Proposal, Round,
    RoundCertificate, RoundCertificateKind, RoundSignature, VoteKind,
};
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    blocks::rubbish,
    forgery::{Ballot, own_signature, phantom, propose, say, signature_of, strangers_signature},
    hearsay::Hearsay,
};

/// Percentage of ticks at which it sends one.
const SHOWN: u64 = 40;

#[derive(Debug, Default)]
pub(super) struct ForgedCertificates {
    heard: Hearsay,
}

impl ForgedCertificates {
    /// Signatures that do not prove `ballot`.
    fn signatures(&self, out: &mut Context<'_>, ballot: Ballot) -> Vec<CommitSignature> {
        let members: Vec<_> =
            out.set().iter().flat_map(|set| set.iter().map(|member| member.id).collect::<Vec<_>>()).collect();
        let own = own_signature(out, ballot);
        let genuine: Vec<CommitSignature> = self
            .heard
            .votes(ballot.height, ballot.round, ballot.kind)
            .into_iter()
            .filter(|signed| signed.vote.block_hash == ballot.block)
            .map(signature_of)
            .collect();
        let mut signatures = match out.rng.below(6) {
            // One signer, repeated once for each member.
            0 => vec![own; members.len()],
            // Too little power.
            1 => std::iter::once(own).chain(genuine.into_iter().take(members.len() / 3)).collect(),
            // Of keys in no set, or in an old set.
            2 => (0..members.len()).map(|_| strangers_signature(out, ballot)).collect(),
            // Genuine ones of other votes.
            3 => {
                let other = match ballot.kind {
                    VoteKind::Prevote => VoteKind::Precommit,
                    VoteKind::Precommit => VoteKind::Prevote,
                };
                let others = self.heard.votes(ballot.height, ballot.round, other);
                others.into_iter().map(signature_of).chain([own]).collect()
            }
            // The members' names over the member's own signature.
            4 => members.iter().map(|id| CommitSignature { validator: *id, ..own.clone() }).collect(),
            // Genuine signatures, each twice.
            _ => genuine.iter().chain(&genuine).cloned().chain([own]).collect(),
        };
        if out.rng.percent(80) {
            signatures.sort_by_key(|signature| signature.validator);
        }
        signatures.truncate(causeway_consensus::MAX_VALIDATORS);
        signatures
    }

    /// Whether by chance they are a valid certificate.
    fn proves(&self, out: &Context<'_>, signatures: &[CommitSignature], ballot: Ballot) -> bool {
        let Some(set) = out.set() else { return true };
        let block_hash = ballot.block.unwrap_or_default();
        let (height, round) = (Height(ballot.height), Round(ballot.round));
        let certificate = CommitCertificate { height, round, block_hash, signatures: signatures.to_vec() };
        ballot.kind == VoteKind::Precommit && certificate.verify(out.genesis.hash, &set).is_ok()
    }

    fn message(&self, out: &mut Context<'_>) -> Option<GossipMessage> {
        let height = out.head + 1;
        let round = out.round() + u32::try_from(out.rng.below(4)).unwrap_or(0);
        let known = self.heard.blocks(height, round);
        let block = if known.is_empty() || out.rng.percent(30) { phantom(out.rng) } else { *out.rng.pick(&known) };
        let kind = if out.rng.percent(50) { VoteKind::Prevote } else { VoteKind::Precommit };
        let ballot = Ballot { kind, height, round, block: Some(block) };
        let signatures = self.signatures(out, ballot);
        if self.proves(out, &signatures, ballot) {
            return None;
        }
        let (height, round) = (Height(height), Round(round));
        Some(say(match (kind, out.rng.below(3)) {
            (VoteKind::Prevote, 0 | 1) => {
                ConsensusMessage::PolkaCertificate(PolkaCertificate { height, round, block_hash: block, signatures })
            }
            (VoteKind::Precommit, 0 | 1) => {
                let certificate = CommitCertificate { height, round, block_hash: block, signatures };
                ConsensusMessage::Decision(DecisionNotice { certificate, body: rubbish(block) })
            }
            (kind, _) => {
                let skip = out.rng.percent(50);
                let vote = |CommitSignature { validator, signature }| RoundSignature {
                    kind,
                    block_hash: Some(block),
                    validator,
                    signature,
                };
                let signatures = signatures.into_iter().map(vote).collect();
                let kind = if skip { RoundCertificateKind::Skip } else { RoundCertificateKind::Precommit };
                ConsensusMessage::RoundCertificate(RoundCertificate { height, round, kind, signatures })
            }
        }))
    }
}

impl Strategy for ForgedCertificates {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        match message {
            GossipMessage::Consensus(ConsensusMessage::Proposal(signed))
                if signed.proposal.proposer == out.id()
                    && signed.proposal.round.0 > 0
                    && signed.proposal.pol_round.is_none() =>
            {
                let before = Round(signed.proposal.round.0 - 1);
                let forged = Proposal { pol_round: Some(before), ..signed.proposal.clone() };
                out.acted();
                vec![(0, say(ConsensusMessage::Proposal(propose(out, forged))))]
            }
            _ => as_it_is(message),
        }
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        !out.is_own(message)
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        if !out.rng.percent(SHOWN) {
            return Vec::new();
        }
        let Some(message) = self.message(out) else { return Vec::new() };
        out.acted();
        out.others().map(|to| (to, message.clone())).collect()
    }
}
