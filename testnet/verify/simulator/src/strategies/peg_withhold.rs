//! Withheld attestations: the other members of the federation have to do without this one.

use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy, as_it_is};

#[derive(Debug)]
pub(super) struct WithholdAttestations;

impl Strategy for WithholdAttestations {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        if matches!(message, GossipMessage::Peg(_)) {
            out.acted();
            return Vec::new();
        }
        as_it_is(message)
    }
}
