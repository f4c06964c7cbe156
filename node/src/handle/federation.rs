//! The federation's part of the node's decisions: what was seen of the parent goes in, effects come out.

use causeway_consensus::PeerToken;
use causeway_execution::SystemCall;
use causeway_federation::{Epoch, Federation, Output, PegProgress, Received, Seen};
use causeway_genesis::addresses::PEG;
use causeway_network::Verdict;
use causeway_parent::{ParentUpdate, WatchFrom};
use causeway_peg::PegMessage;

use super::{Effect, Node};
use crate::sets;

impl Node {
    /// Lets the federation act, if the chain is pegged, and performs what it wants.
    pub(super) fn federate(&mut self, effects: &mut Vec<Effect>, act: impl FnOnce(&mut Federation, &mut Vec<Output>)) {
        let Some(federation) = &mut self.federation else { return };
        let mut outputs = Vec::new();
        act(federation, &mut outputs);
        effects.extend(outputs.into_iter().map(|output| match output {
            Output::Persist(signs) => Effect::PersistPegSigns(signs),
            Output::Gossip(message) => Effect::GossipPeg(*message),
        }));
    }

    pub(super) fn peg(&mut self, from: PeerToken, message: PegMessage, effects: &mut Vec<Effect>) {
        let Some(federation) = &mut self.federation else {
            effects.push(Effect::Verdict(Verdict::Reject));
            return;
        };
        match federation.message(message) {
            Received::Accepted => effects.push(Effect::Verdict(Verdict::Accept)),
            Received::Known => effects.push(Effect::Verdict(Verdict::Ignore)),
            Received::Refused(reason) => {
                tracing::debug!(peer = from, reason, "a peg signature is refused");
                effects.push(Effect::Verdict(Verdict::Reject));
            }
        }
    }

    /// The system transactions at the start of the next block.
    pub(super) fn system_calls(&self) -> Vec<SystemCall> {
        let calls = self.federation.as_ref().map(Federation::system_calls).unwrap_or_default();
        calls.into_iter().map(|input| SystemCall { to: PEG, input }).collect()
    }
}

/// What the federation sees in an update from the parent.
pub(super) fn seen(update: ParentUpdate) -> Seen {
    match update {
        ParentUpdate::Finalized { height, timestamp, .. } => Seen::Finalized { height, timestamp },
        ParentUpdate::Deposits { view, deposits } => Seen::Deposits { view, deposits },
        ParentUpdate::Conflict(conflict) => Seen::Conflict(conflict.to_string()),
        ParentUpdate::Recovered => Seen::Recovered,
        ParentUpdate::Unreachable { since_ms, reason } => Seen::Unreachable { since_ms, reason },
        ParentUpdate::Checkpoint { number, .. } => Seen::Checkpoint { number },
        ParentUpdate::SetCommitted { epoch, commitment } => Seen::SetInForce { epoch, commitment },
    }
}

/// Where a watcher of the parent resumes: after the last minted deposit.
pub fn watch_from(progress: &PegProgress) -> WatchFrom {
    WatchFrom {
        parent_height: progress.parent_height,
        deposit_nonce: progress.imported,
        deposit_acc: progress.imported_acc,
    }
}

impl From<sets::Epoch> for Epoch {
    fn from(epoch: sets::Epoch) -> Self {
        Self { number: epoch.number, extended: epoch.extended }
    }
}
