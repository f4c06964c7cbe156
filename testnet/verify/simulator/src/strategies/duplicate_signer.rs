//! A signer counted more than once: the same vote sent repeatedly, and certificates, in messages and in blocks, in which
//! signatures stand several times until they look like enough.

use std::sync::Arc;

use causeway_consensus::{
    CommitCertificate, CommitSignature, ConsensusMessage, Height, PolkaCertificate, Round, VoteKind,
};
use causeway_execution::ExecutedBlock;
use causeway_network::GossipMessage;

use super::{
    Context, Outgoing, Strategy, as_it_is,
    blocks::{Attributes, rebuilt},
    forgery::{say, signature_of},
    hearsay::Hearsay,
};

/// Most copies of each of its votes.
const TIMES: u64 = 4;

#[derive(Debug, Default)]
pub(super) struct DuplicateSigner {
    heard: Hearsay,
}

/// `signatures` with some of them several times, as many as there are members.
fn repeated(out: &mut Context<'_>, mut signatures: Vec<CommitSignature>, keep: usize) -> Vec<CommitSignature> {
    let members = out.set().map_or(0, |set| set.len());
    out.rng.shuffle(&mut signatures);
    signatures.truncate(keep.max(1));
    while !signatures.is_empty() && signatures.len() < members {
        let again = out.rng.pick(&signatures).clone();
        signatures.push(again);
    }
    signatures.sort_by_key(|signature| signature.validator);
    signatures
}

impl Strategy for DuplicateSigner {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        self.heard.note(out.head, message);
        if out.own_vote(message).is_none() {
            return as_it_is(message);
        }
        out.acted();
        (0..=out.rng.below(TIMES)).map(|again| (again * 3, message.clone())).collect()
    }

    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        self.heard.note(out.head, message);
        !out.is_own(message)
    }

    fn built(&mut self, out: &mut Context<'_>, block: Arc<ExecutedBlock>) -> Arc<ExecutedBlock> {
        let Some(certificate) = &block.block.parent_certificate else { return block };
        let members = out.set().map_or(0, |set| set.len());
        // With all of its signers once more, and with fewer than are needed.
        let signatures = if out.rng.percent(50) {
            let mut all = certificate.signatures.clone();
            all.extend(certificate.signatures.first().cloned());
            all.sort_by_key(|signature| signature.validator);
            all
        } else {
            repeated(out, certificate.signatures.clone(), members / 2)
        };
        let certificate = CommitCertificate { signatures, ..certificate.clone() };
        let attributes = Attributes { certificate: Some(certificate), ..Attributes::default() };
        let Some(rebuilt) = rebuilt(out, &block, attributes) else { return block };
        out.acted();
        rebuilt
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        let (height, round) = (out.head + 1, out.round());
        let Some(block_hash) = self.heard.blocks(height, round).pop() else { return Vec::new() };
        let votes = self.heard.votes(height, round, VoteKind::Prevote);
        let votes = votes.into_iter().filter(|signed| signed.vote.block_hash == Some(block_hash));
        let signatures: Vec<CommitSignature> = votes.map(signature_of).collect();
        let members = out.set().map_or(0, |set| set.len());
        if signatures.is_empty() || 3 * signatures.len() > 2 * members {
            return Vec::new();
        }
        let keep = signatures.len();
        let signatures = repeated(out, signatures, keep);
        let polka = PolkaCertificate { height: Height(height), round: Round(round), block_hash, signatures };
        out.acted();
        out.others().map(|to| (to, say(ConsensusMessage::PolkaCertificate(polka.clone())))).collect()
    }
}
