//! Wrong sets: a wrong next set in checkpoints, and a wrong current set of the parent.

use alloy_primitives::B256;
use causeway_network::GossipMessage;
use causeway_peg::{Attestation, Checkpoint, SetAcknowledged};

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{attest, own_attestation, phantom},
};

#[derive(Debug)]
pub(super) struct WrongNextSet;

impl Strategy for WrongNextSet {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        let nobody = if out.rng.percent(20) { B256::ZERO } else { phantom(out.rng) };
        let wrong = match own_attestation(out, message) {
            Some(Attestation::Checkpoint(signed)) if out.rng.percent(20) => {
                Attestation::Checkpoint(Checkpoint { epoch: signed.epoch + 1, ..signed })
            }
            Some(Attestation::Checkpoint(signed)) => {
                Attestation::Checkpoint(Checkpoint { nextValset: nobody, ..signed })
            }
            Some(Attestation::SetAcknowledged(seen)) => {
                let epoch = seen.epoch + out.rng.below(3);
                Attestation::SetAcknowledged(SetAcknowledged { epoch, commitment: nobody })
            }
            _ => return as_it_is(message),
        };
        let Some(wrong) = attest(out, wrong) else { return as_it_is(message) };
        out.acted();
        let also = out.rng.percent(30).then(|| message.clone());
        std::iter::once(wrong).chain(also).map(|message| (0, message)).collect()
    }
}
