//! Bodies and verdicts: a complete body is validated, and a validated block can be decided.
//!
//! Catch-up decides here and not in the core. A verified commit certificate and a body that the caller called valid are a
//! decision by definition, in whatever round the core is. The library's sync path, with its peer ids, asserts and second
//! certificate store, is not used; the core receives no more input until the next height resets it. A crash before the block
//! is durable loses nothing: the network has the decision, and the log still restores the old state.

use alloy_primitives::{B256, Bytes};
use tracing::{error, warn};

use super::{Ask, Certified, Host, Inner};
use crate::certificate::CommitCertificate;
use crate::engine::{EngineInput, JudgedBlock};
use crate::height::{Height, Round};
use crate::io::{Misbehaviour, Output, PeerToken};
use crate::wal::WalEntry;

/// Other bodies for one block that wait until the current body has its verdict.
pub(super) const MAX_QUEUED_BODIES: usize = 2;

/// After this long, a body without a verdict (a local failure, pitfall 14) is validated again when it arrives again. A
/// proposal in a later round has the same effect at once.
const ASK_AGAIN_MS: u64 = 2_000;

/// Invalid bodies remembered for one block.
const MAX_REFUSED_BODIES: usize = 8;

impl Host {
    /// Handles our own block, built for the round for which we must provide one.
    pub(super) fn on_built(&mut self, height: Height, round: Round, block_hash: B256, body: Bytes) {
        let inner = &mut self.inner;
        let keep = inner.kept_roots();
        let Some(work) = inner.work.as_mut().filter(|work| !work.decided && work.height == height) else { return };
        if work.building != Some(round) || work.round != round {
            return; // too late: the round is over, or the block was built twice
        }
        work.building = None;
        let Some((root, _)) = inner.bodies.insert(&body, round, inner.now_ms, &keep) else {
            error!(%height, %round, bytes = body.len(), "the size of our own block is not allowed; not proposing it");
            return;
        };
        work.blocks.entry(block_hash).or_default().valid = Some(root);
        inner.append(&WalEntry::Body { height, block_hash, body });
        let proposed_before = inner.index.all_proposals(height).any(|signed| signed.proposal.block_hash == block_hash);
        let judged =
            inner.us().map(|us| JudgedBlock { height, round, pol_round: None, proposer: us, block_hash, valid: true });
        self.feed(EngineInput::Propose { height, round, block_hash });
        // The core does not match our own block with a proposal from another round. A replay of the logged verdict does, so
        // if a validator proposed this same block before we built it, the replay would diverge. Feeding the verdict here too
        // keeps both equal.
        if let Some(judged) = judged.filter(|_| proposed_before) {
            self.feed(EngineInput::Block(judged));
        }
    }

    /// Handles the caller's verdict on a body.
    pub(super) fn on_verdict(&mut self, height: Height, block_hash: B256, valid: bool) {
        let Some(work) = self.inner.work.as_mut().filter(|work| !work.decided && work.height == height) else { return };
        let Some(block) = work.blocks.get_mut(&block_hash) else { return };
        let Some(ask) = block.asking.take() else { return };
        let judged = JudgedBlock {
            height,
            round: ask.round,
            pol_round: ask.pol_round,
            proposer: ask.proposer,
            block_hash,
            valid,
        };
        if valid {
            let Some(body) = self.inner.bodies.body(&ask.root).cloned() else {
                self.inner.ask_next(block_hash); // it was evicted meanwhile: treated as never validated
                return;
            };
            block.valid = Some(ask.root);
            block.queue.clear();
            if let Some(certified) = work.certified.take_if(|c| c.certificate.block_hash == block_hash) {
                self.inner.finish(certified.certificate, body);
                return;
            }
            self.inner.append(&WalEntry::Body { height, block_hash, body });
            self.feed(EngineInput::Block(judged));
        } else {
            let first_refusal = block.refused.is_empty();
            if block.refused.len() < MAX_REFUSED_BODIES {
                block.refused.push(ask.root);
            }
            if let Some(certified) = work.certified.as_mut().filter(|c| c.certificate.block_hash == block_hash) {
                error!(%height, %block_hash, "a body that claims to be the decided block is invalid");
                if let Some((_, peer)) = certified.body.take_if(|(root, _)| *root == ask.root) {
                    self.inner.blame(peer, Misbehaviour::WrongBody);
                }
            }
            self.inner.ask_next(block_hash);
            if first_refusal {
                self.feed(EngineInput::Block(judged));
            }
        }
    }

    /// Handles a decided block from a peer, received by catch-up or in answer to a stale vote.
    pub(super) fn on_certified(&mut self, from: PeerToken, certificate: CommitCertificate, body: Bytes) {
        let inner = &mut self.inner;
        let Some(work) = inner.work.as_ref().filter(|w| !w.decided && w.height == certificate.height) else { return };
        if certificate.verify_with(&work.set, |vote| inner.verifies(vote)).is_err() {
            inner.blame(from, Misbehaviour::InvalidCertificate("commit certificate"));
            return;
        }
        for vote in certificate.votes() {
            inner.index_certified_vote(&vote);
        }
        inner.certify(from, certificate, body);
    }
}

impl Inner {
    /// Takes a verified commit certificate of the current height and the body that the peer sent with it.
    fn certify(&mut self, from: PeerToken, certificate: CommitCertificate, body: Bytes) {
        let block_hash = certificate.block_hash;
        let Some(work) = &mut self.work else { return };
        let known = work.blocks.get(&block_hash).and_then(|block| block.valid);
        if let Some(valid) = known.and_then(|root| self.bodies.body(&root)).cloned() {
            self.finish(certificate, valid);
            return;
        }
        if work.certified.is_none() {
            self.await_body(certificate.clone());
        }
        let (now_ms, keep) = (self.now_ms, self.kept_roots());
        let Some((root, _)) = self.bodies.insert(&body, certificate.round, now_ms, &keep) else {
            self.blame(from, Misbehaviour::WrongBody);
            return;
        };
        let Some(work) = &mut self.work else { return };
        if let Some(certified) = &mut work.certified {
            certified.body.get_or_insert((root, from));
        }
        let proposer = work.set.proposer(certificate.height, certificate.round).id;
        // A body refused before may be valid: the refusal may have depended on this node's clock or on a local error. It must
        // not exclude a block that more than two thirds of the stake accepted.
        work.blocks.entry(block_hash).or_default().refused.retain(|refused| *refused != root);
        self.consider(block_hash, Ask { root, round: certificate.round, pol_round: None, proposer, asked_ms: 0 });
    }

    /// Remembers a proven decision until a valid body arrives.
    pub(super) fn await_body(&mut self, certificate: CommitCertificate) {
        let help_ms = self.now_ms.saturating_add(self.config.timeouts.rebroadcast_ms);
        if let Some(work) = &mut self.work {
            work.certified = Some(Certified { certificate, body: None, help_ms });
        }
    }

    /// A body became complete: requests its validation for every block that was proposed with it.
    pub(super) fn on_whole_body(&mut self, root: B256) {
        let Some(height) = self.work.as_ref().map(|work| work.height) else { return };
        let proposals = self.index.all_proposals(height).map(|signed| &signed.proposal);
        let asks: Vec<_> = proposals
            .filter(|proposal| proposal.parts.root() == root)
            .map(|p| {
                (p.block_hash, Ask { root, round: p.round, pol_round: p.pol_round, proposer: p.proposer, asked_ms: 0 })
            })
            .collect();
        for (block_hash, ask) in asks {
            self.consider(block_hash, ask);
        }
    }

    /// Asks the caller to validate a complete body, unless the block is known to be valid or this body to be invalid.
    /// Verdicts name only the block, so one body of a block is validated at a time. A proposer that sends garbage under an
    /// honest block's hash can delay that block's own body by one verdict, but cannot exclude it.
    pub(super) fn consider(&mut self, block_hash: B256, ask: Ask) {
        let Some(work) = self.work.as_mut().filter(|work| !work.decided) else { return };
        let block = work.blocks.entry(block_hash).or_default();
        if block.valid.is_some() || block.refused.contains(&ask.root) {
            return;
        }
        let unanswered = |asking: &Ask| {
            asking.root == ask.root
                && (asking.round < ask.round || self.now_ms.saturating_sub(asking.asked_ms) >= ASK_AGAIN_MS)
        };
        if let Some(asking) = block.asking.as_ref().filter(|asking| !unanswered(asking)) {
            let known = asking.root == ask.root || block.queue.iter().any(|queued| queued.root == ask.root);
            if !known && block.queue.len() < MAX_QUEUED_BODIES {
                block.queue.push_back(ask);
            }
            return;
        }
        let Some(body) = self.bodies.body(&ask.root).cloned() else { return };
        self.out.push(Output::ValidateBlock {
            height: work.height,
            round: ask.round,
            proposer: ask.proposer,
            block_hash,
            body,
        });
        block.asking = Some(Ask { asked_ms: self.now_ms, ..ask });
    }

    fn ask_next(&mut self, block_hash: B256) {
        let Some(work) = &mut self.work else { return };
        let next = work.blocks.get_mut(&block_hash).and_then(|block| block.queue.pop_front());
        if let Some(ask) = next {
            self.consider(block_hash, ask);
        }
    }

    /// Finishes the height with its decision.
    pub(super) fn finish(&mut self, certificate: CommitCertificate, body: Bytes) {
        let Some(work) = self.work.as_mut().filter(|work| !work.decided) else {
            warn!(height = %certificate.height, "decided twice; the second one is ignored");
            return;
        };
        work.decided = true;
        work.timers.clear();
        work.wanted.clear();
        work.certified = None;
        work.building = None;
        self.decisions.keep(certificate.clone(), body.clone(), self.now_ms);
        self.out.push(Output::Decided { certificate, body });
    }
}
