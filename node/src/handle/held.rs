//! A node with a key that only listens and catches up: decided blocks are executed and committed without consensus, and
//! nothing is signed. See [`crate::hold`].

use alloy_primitives::Bytes;
use causeway_consensus::{CommitCertificate, ConsensusMessage, Input, Misbehaviour, PeerToken};
use causeway_network::Verdict;

use super::{Effect, Node};
use crate::sync::OfferedBlock;

impl Node {
    /// One step of a node that only listens and catches up.
    pub(super) fn held(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.committing || self.decided.is_some() {
            return;
        }
        if let Some(OfferedBlock { from, certificate, body }) = self.sync.take(now_ms, self.height.0) {
            self.fetched(now_ms, from, certificate, body, effects);
            return;
        }
        let behind = self.sync.is_behind(self.height.0);
        let Some(hold) = self.hold.take_if(|hold| hold.is_over(now_ms, behind)) else { return };
        if behind {
            tracing::warn!(
                height = self.height.0,
                claimed = self.sync.best_head(),
                "peers claim blocks that none of them has sent: this node goes on without them"
            );
        }
        let (wal, heard) = hold.end();
        self.started_ms = now_ms;
        self.sync.height_started();
        self.begin(now_ms, wal, effects);
        for (from, message) in heard {
            let outputs = self.host.step(now_ms, Input::Message { from, message });
            self.outputs(now_ms, outputs, effects);
        }
    }

    /// Handles a decided block while consensus does not run.
    pub(super) fn fetched(
        &mut self,
        now_ms: u64,
        from: PeerToken,
        certificate: CommitCertificate,
        body: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        if self.committing || self.decided.is_some() || certificate.height != self.height {
            return;
        }
        if certificate.verify(self.settings.chain, self.validators()).is_err() {
            self.misbehaved(from, &Misbehaviour::InvalidCertificate("commit certificate"), effects);
        } else if self.may_catch_up(now_ms, effects) {
            self.fetched_from = Some(from);
            self.decide(now_ms, certificate, body, effects);
        }
    }

    /// Whether to accept decided blocks from peers; if not, the node stops with the reason.
    pub(super) fn may_catch_up(&self, now_ms: u64, effects: &mut Vec<Effect>) -> bool {
        let head = self.height.0.saturating_sub(1);
        match self.settings.trust.catch_up(now_ms, head, self.head_timestamp) {
            Ok(()) => true,
            Err(reason) => {
                effects.push(Effect::Halt(reason));
                false
            }
        }
    }

    /// Handles a message while this node only listens.
    pub(super) fn overhear(
        &mut self,
        now_ms: u64,
        from: PeerToken,
        message: ConsensusMessage,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Verdict(Verdict::Ignore));
        let outputs = self.host.overhear(&message);
        self.outputs(now_ms, outputs, effects);
        let height = message.height();
        if height >= self.height
            && let Some(hold) = &mut self.hold
        {
            hold.met_peer(now_ms);
        }
        if height > self.height {
            self.sync.saw_head(from, height.0.saturating_sub(1));
        } else if height == self.height {
            match message {
                ConsensusMessage::Decision(notice) => {
                    self.fetched(now_ms, from, notice.certificate, notice.body, effects);
                }
                message => {
                    if let Some(hold) = &mut self.hold {
                        hold.hear(from, message);
                    }
                }
            }
        }
    }
}
