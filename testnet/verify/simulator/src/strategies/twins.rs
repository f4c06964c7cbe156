//! Twins: two honest copies of one node with the same key, each with its own disk. Neither breaks a rule by itself.

use std::collections::BTreeSet;

use causeway_consensus::SIGNATURE_BYTES;
use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is};

/// Number of remembered signatures.
const KEPT: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Twin {
    /// Signatures of this copy, by height.
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

    /// It receives everything, also the other copy's messages.
    fn heard(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> bool {
        if let Some(signed) = out.own_vote(message)
            && !self.signed.contains(&(signed.vote.height.0, signed.signature))
        {
            out.acted();
        }
        true
    }
}
