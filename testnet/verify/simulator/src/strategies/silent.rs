//! Silence: the member runs, receives everything, and sends nothing.

use causeway_network::GossipMessage;

use super::{Context, Outgoing, Strategy};

#[derive(Debug)]
pub(super) struct Silent;

impl Strategy for Silent {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, _: &GossipMessage) -> Outgoing {
        out.acted();
        Vec::new()
    }
}
