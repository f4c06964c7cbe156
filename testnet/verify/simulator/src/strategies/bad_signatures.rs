//! Bad signatures: on votes, proposals, certificates and attestations of the peg.

use alloy_primitives::B256;
use causeway_consensus::{ConsensusMessage, SIGNATURE_BYTES};
use causeway_network::GossipMessage;
use causeway_peg::{LocalPegSigner, PegSigner, Signature65};

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{phantom, say, sign},
};
use crate::setup;

/// Percentage of messages that are signed wrongly.
const WRONG: u64 = 60;

#[derive(Debug)]
pub(super) struct BadSignatures;

/// An invalid signature of `bytes`; `right` is the valid one.
fn wrong(
    out: &mut Context<'_>,
    right: [u8; SIGNATURE_BYTES],
    bytes: &dyn Fn(B256) -> Vec<u8>,
) -> [u8; SIGNATURE_BYTES] {
    match out.rng.below(5) {
        0 => {
            let mut bent = right;
            bent[out.rng.index(SIGNATURE_BYTES)] ^= 1 << out.rng.below(8);
            bent
        }
        1 => [0; SIGNATURE_BYTES],
        2 => [0xff; SIGNATURE_BYTES],
        // Of another chain.
        3 => {
            let chain = phantom(out.rng);
            sign(&out.own.keys, &bytes(chain))
        }
        // A signature by the next machine's key.
        _ => sign(&setup::node_keys(20_000 + out.own.index), &bytes(out.genesis.hash)),
    }
}

fn consensus(out: &mut Context<'_>, message: &ConsensusMessage) -> Option<ConsensusMessage> {
    let mut message = message.clone();
    match &mut message {
        ConsensusMessage::Vote(signed) => {
            let vote = signed.vote.clone();
            signed.signature = wrong(out, signed.signature, &|chain| vote.sign_bytes(chain));
        }
        ConsensusMessage::Proposal(signed) => {
            let proposal = signed.proposal.clone();
            signed.signature = wrong(out, signed.signature, &|chain| proposal.sign_bytes(chain));
        }
        ConsensusMessage::PolkaCertificate(polka) => polka.signatures.last_mut()?.signature[7] ^= 1,
        ConsensusMessage::RoundCertificate(round) => round.signatures.last_mut()?.signature[7] ^= 1,
        ConsensusMessage::Decision(notice) => notice.certificate.signatures.last_mut()?.signature[7] ^= 1,
        ConsensusMessage::Part(_) | ConsensusMessage::PartRequest(_) | ConsensusMessage::ProposalRequest(_) => {
            return None;
        }
    }
    Some(message)
}

fn bent(out: &mut Context<'_>, signature: &Signature65) -> Option<Signature65> {
    if out.rng.percent(50) {
        let signer = LocalPegSigner::new((*out.own.keys.peg.expose()).into()).ok()?;
        return signer.sign(phantom(out.rng)).ok();
    }
    let mut bytes = *signature.as_bytes();
    bytes[out.rng.index(32)] ^= 1;
    Signature65::from_bytes(&bytes).ok()
}

impl Strategy for BadSignatures {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        if !out.rng.percent(WRONG) {
            return as_it_is(message);
        }
        let spoilt = match message {
            GossipMessage::Consensus(said) => consensus(out, said).map(say),
            GossipMessage::Peg(said) => bent(out, &said.signature)
                .map(|signature| GossipMessage::Peg(causeway_peg::PegMessage { signature, ..*said })),
            GossipMessage::Transactions(_) => None,
        };
        let Some(spoilt) = spoilt else { return as_it_is(message) };
        out.acted();
        vec![(0, spoilt)]
    }
}
