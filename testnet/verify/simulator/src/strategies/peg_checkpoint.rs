//! Forged checkpoints: attestations of blocks, states and withdrawals that were not decided, and of heights that are not final.

use causeway_network::GossipMessage;
use causeway_peg::{Attestation, Checkpoint};

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{attest, own_attestation, phantom},
};

#[derive(Debug)]
pub(super) struct ForgedCheckpoint;

fn forged(out: &mut Context<'_>, true_one: Checkpoint) -> Checkpoint {
    let nothing = phantom(out.rng);
    match out.rng.below(8) {
        0 => Checkpoint { stateRoot: nothing, ..true_one },
        1 => Checkpoint { withdrawalRoot: nothing, withdrawalCount: true_one.withdrawalCount + 1, ..true_one },
        2 => Checkpoint { withdrawalCount: true_one.withdrawalCount + 1, ..true_one },
        3 => Checkpoint { blockHash: nothing, ..true_one },
        4 => Checkpoint { depositNonce: true_one.depositNonce + 1, depositAcc: nothing, ..true_one },
        5 => Checkpoint { prevDigest: nothing, ..true_one },
        6 => Checkpoint { height: true_one.height + 1, ..true_one },
        // A height that is not reached yet.
        _ => Checkpoint {
            number: true_one.number + 1,
            height: true_one.height + out.genesis.spec.checkpoint_interval,
            blockHash: nothing,
            ..true_one
        },
    }
}

impl Strategy for ForgedCheckpoint {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        let Some(Attestation::Checkpoint(true_one)) = own_attestation(out, message) else { return as_it_is(message) };
        let forged = forged(out, true_one);
        let Some(forged) = attest(out, Attestation::Checkpoint(forged)) else { return as_it_is(message) };
        out.acted();
        let also = out.rng.percent(30).then(|| message.clone());
        std::iter::once(forged).chain(also).map(|message| (0, message)).collect()
    }
}
