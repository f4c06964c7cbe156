//! Fake heads and false blocks: it claims heights that it does not have, and answers requests for blocks with none, late ones, other
//! ones, or altered ones.

use alloy_primitives::Bytes;
use causeway_consensus::{CommitCertificate, Height};
use causeway_network::{GossipMessage, SyncRequest, SyncResponse};

use super::{Context, Outgoing, Strategy, as_it_is, forgery::phantom};

#[derive(Debug)]
pub(super) struct FakeSync;

type Blocks = Vec<(Bytes, CommitCertificate)>;

fn claimed(out: &mut Context<'_>, head: u64) -> u64 {
    match out.rng.below(6) {
        0 => head + 1,
        1 => head + out.rng.between(2, 100),
        2 => u64::MAX,
        3 => head.saturating_sub(out.rng.between(1, 20)),
        4 => 0,
        _ => head,
    }
}

/// Blocks up to `most` from `from` on that are not those of the chain. `None` is silence.
fn false_blocks(out: &mut Context<'_>, from: u64, most: usize, mut blocks: Blocks) -> Option<Blocks> {
    let first = blocks.first().cloned();
    match out.rng.below(9) {
        0 => return None,
        1 => blocks.clear(),
        2 => blocks.truncate(1),
        3 => {
            // Another body under a genuine certificate.
            for (body, _) in &mut blocks {
                let mut bytes = body.to_vec();
                let at = out.rng.index(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                }
                *body = bytes.into();
            }
        }
        4 => blocks.iter_mut().for_each(|(_, certificate)| {
            certificate.signatures.truncate(certificate.signatures.len() / 2);
        }),
        5 => blocks.iter_mut().for_each(|(_, certificate)| {
            let again = certificate.signatures.first().cloned();
            certificate.signatures.truncate(1);
            certificate.signatures.extend(again);
        }),
        6 => blocks.iter_mut().for_each(|(body, _)| *body = Bytes::copy_from_slice(&body[..body.len() / 2])),
        7 => blocks.reverse(),
        _ => {
            // Heights that are not decided.
            let certificate = first.map(|(_, certificate)| certificate);
            let certificate = certificate.or_else(|| out.own.storage()?.certificate(out.head).ok().flatten())?;
            blocks = (from..from.saturating_add(most.min(4) as u64))
                .map(|height| {
                    let body = phantom(out.rng);
                    let certificate =
                        CommitCertificate { height: Height(height), block_hash: body, ..certificate.clone() };
                    (Bytes::copy_from_slice(&body.0), certificate)
                })
                .collect();
        }
    }
    Some(blocks)
}

impl Strategy for FakeSync {
    fn outgoing(&mut self, _: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        as_it_is(message)
    }

    fn answer(&mut self, out: &mut Context<'_>, request: &SyncRequest, honest: SyncResponse) -> Option<SyncResponse> {
        match (request, honest) {
            (SyncRequest::Blocks { from, max }, SyncResponse::Blocks(blocks)) => {
                out.acted();
                let most = usize::try_from(*max).unwrap_or(0);
                let mut answer = false_blocks(out, *from, most, blocks)?;
                answer.truncate(most);
                Some(SyncResponse::Blocks(answer))
            }
            (_, SyncResponse::Status { head, .. }) => {
                let lie = claimed(out, head);
                if lie != head {
                    out.acted();
                }
                Some(SyncResponse::Status { head: lie, hash: phantom(out.rng) })
            }
            (_, honest) => Some(honest),
        }
    }
}
