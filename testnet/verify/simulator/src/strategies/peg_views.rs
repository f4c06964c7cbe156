//! Two views of the parent: different deposits for different members, and deposits that were never made.

use causeway_network::GossipMessage;
use causeway_peg::{Attestation, ParentView};

use super::{
    Context, Outgoing, Strategy, as_it_is,
    forgery::{attest, own_attestation, phantom},
};

/// Percentage of ticks at which it invents deposits.
const MADE_UP: u64 = 5;

#[derive(Debug)]
pub(super) struct TwoViews;

fn another(out: &mut Context<'_>, view: ParentView) -> ParentView {
    match out.rng.below(4) {
        0 => ParentView { parentHash: phantom(out.rng), ..view },
        1 => ParentView { depositAcc: phantom(out.rng), ..view },
        2 => ParentView { parentHeight: view.parentHeight + 1, ..view },
        _ => ParentView { depositNonce: view.depositNonce + 1, depositAcc: phantom(out.rng), ..view },
    }
}

impl Strategy for TwoViews {
    fn outgoing(&mut self, out: &mut Context<'_>, _: usize, message: &GossipMessage) -> Outgoing {
        let Some(Attestation::ParentView(view)) = own_attestation(out, message) else { return as_it_is(message) };
        let other = another(out, view);
        let Some(other) = attest(out, Attestation::ParentView(other)) else { return as_it_is(message) };
        out.acted();
        let both = [(0, message.clone()), (0, other)];
        match out.rng.below(4) {
            0 => both[..1].to_vec(),
            1 => both[1..].to_vec(),
            2 => both.into_iter().rev().collect(),
            _ => both.to_vec(),
        }
    }

    fn tick(&mut self, out: &mut Context<'_>) -> Vec<(usize, GossipMessage)> {
        let Some(federation) = out.own.node().and_then(|node| node.federation()) else { return Vec::new() };
        let (nonce, parent_height) = (federation.progress().imported, federation.parent_height());
        if !out.rng.percent(MADE_UP) {
            return Vec::new();
        }
        let view = ParentView {
            parentHeight: parent_height,
            parentHash: phantom(out.rng),
            depositNonce: nonce + out.rng.between(1, 3),
            depositAcc: phantom(out.rng),
        };
        let Some(message) = attest(out, Attestation::ParentView(view)) else { return Vec::new() };
        out.acted();
        out.others().map(|to| (to, message.clone())).collect()
    }
}
