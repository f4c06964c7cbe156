//! Twins: two honest copies of one key, each with a disk of its own. Neither does anything wrong by itself.

use std::collections::BTreeSet;

use causeway_consensus::SIGNATURE_BYTES;
use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is};

/// Signatures that are remembered.
const KEPT: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Twin {
    /// What this copy has signed, by height.
    signed: BTreeSet<(u64, [u8; SIGNATURE_BYTES])>,
}

impl Strategy for Twin {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        if let Some(signed) = out.own_vote(message) {
            self.signed.insert((signed.vote.height.0, signed.signature));
            if self.signed.len() > KEPT {
                self.signed.pop_first();
            }
        }
        as_it_is(message)
    }

    /// It is told of everything, also of what its other self signs.
    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        if let Some(signed) = out.own_vote(message)
            && !self.signed.contains(&(signed.vote.height.0, signed.signature))
        {
            out.acted();
        }
        true
    }
}
